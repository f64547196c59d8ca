"""Renders as squares to learn from, each with the part of its label map that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sv2r.config.resolve import detect_loader
from sv2r.errors import ConfigError, SampleError
from sv2r.images.decode import read_picture
from sv2r.plugin.options import validate_options
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Runtime
from sv2r.storage.hashes import sha256_file
from sv2r.training.photos import SquarePlace, cut_square
from sv2r.worker.seeds import picture_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sv2r.types import Dataset, Sample

# Squares that are looked at for whether there are labels.
_TRIED = 32
# Squares are kept in memory up to this many bytes.
_KEPT = 2 << 30


@dataclass
class Renders:
    """The squares of a dataset's pictures, mirrored ones behind the others.

    Pictures are (3, R, R) uint8, label maps (R, R) int32 with 0 for background.
    """

    samples: Sequence[Sample]
    resolution: int
    seed: int
    mirrored: bool
    _kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples) * (2 if self.mirrored else 1)

    def square(self, number: int) -> tuple[Tensor, Tensor]:
        """Return a square's pixels and labels.

        Raises:
            SampleError: its picture or labels cannot be read.
        """
        import torch

        if number in self._kept:
            return self._kept[number]
        sample = self.samples[number % len(self.samples)]
        pixels = read_picture(sample.image, sample.id).pixels
        place = self._place(sample)
        cut = torch.from_numpy(cut_square(pixels, place)).permute(2, 0, 1)
        labels = torch.from_numpy(cut_labels(sample.load_instances().labels, place))
        if number >= len(self.samples):
            cut, labels = cut.flip(-1), labels.flip(-1)
        made = cut.contiguous(), labels.contiguous()
        if len(self) * (made[0].numel() + 4 * made[1].numel()) <= _KEPT:
            self._kept[number] = made
        return made

    def labelled(self) -> bool:
        """Return whether any of the first squares shows a labelled instance."""
        return any(bool(self.square(n)[1].any()) for n in range(min(len(self), _TRIED)))

    def _place(self, sample: Sample) -> SquarePlace:
        drawn = picture_seed(self.seed, sample.id)
        return SquarePlace(self.resolution, (drawn >> 24) / 2**24, (drawn % 2**24) / 2**24)


def cut_labels(labels: NDArray[np.int32], place: SquarePlace) -> NDArray[np.int32]:
    """Return the square of an (H, W) label map that `cut_square` cuts of its picture."""
    import numpy as np

    height, width = labels.shape
    scale = place.side / min(height, width)
    sides = [max(round(n * scale), place.side) if scale != 1 else n for n in (height, width)]
    top, left = (
        round(place.down * (sides[0] - place.side)),
        round(place.right * (sides[1] - place.side)),
    )
    rows, columns = (
        ((np.arange(first, first + place.side) + 0.5) * full / side).astype(np.int64)
        for first, full, side in ((top, height, sides[0]), (left, width, sides[1]))
    )
    return np.ascontiguousarray(labels[rows[:, None], columns[None]], dtype=np.int32)


def open_renders(registry: Registry, root: Path, loader: str) -> Dataset:
    """Return the dataset in a folder. loader: its format's name, or "" to find it out.

    Raises:
        ConfigError: no such folder, no such loader, no picture in it.
    """
    root = root.expanduser().absolute()
    if not root.is_dir():
        raise ConfigError(f"--renders {root}: no such folder; give the dataset with the renders")
    name = loader or detect_loader(registry, root)
    spec = registry.spec("loader", name)
    listing = f"sv2r plugins show loader:{name}"
    options = validate_options(spec.options, {}, where="--loader", listing=listing)
    dataset: Dataset = spec.build(options, Runtime(input=root))(root)
    if not len(dataset.samples):
        raise ConfigError(f"--renders {root}: has no pictures that can be read")
    return dataset


def read_renders(dataset: Dataset, *, skip_broken: bool) -> tuple[list[Sample], dict[str, str]]:
    """Return the samples that can be read, and the SHA-256 of each picture by its id.

    Raises:
        ConfigError: one cannot be read and is not to be skipped.
    """

    def look(sample: Sample) -> str:
        try:
            read_picture(sample.image, sample.id)
            return sha256_file(sample.image)
        except SampleError as error:
            return f"! {error}"

    samples = list(dataset.samples)
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(look, samples))
    broken = [one[2:] for one in told if one.startswith("! ")]
    if broken and not skip_broken:
        raise ConfigError(
            f"{broken[0]} ({len(broken):,} such); remove them, or add --skip-broken true"
        )
    kept = [(s, t) for s, t in zip(samples, told, strict=True) if not t.startswith("! ")]
    return [s for s, _ in kept], {s.id: t for s, t in kept}


def split_renders(
    samples: Sequence[Sample], resolution: int, seed: int, held_out: int, *, flip: bool
) -> tuple[Renders, Renders]:
    """Return the renders to learn from and those held out, a fifth at most, drawn by the seed."""
    drawn = sorted(samples, key=lambda sample: picture_seed(seed, sample.id))
    held = {sample.id for sample in drawn[: min(held_out, len(samples) // 5)]}
    learnt = [sample for sample in samples if sample.id not in held]
    unseen = [sample for sample in samples if sample.id in held]
    return Renders(learnt, resolution, seed, flip), Renders(
        unseen, resolution, seed, mirrored=False
    )
