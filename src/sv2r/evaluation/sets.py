"""Sets of pictures: photographs in a folder, the pictures of a dataset or of a finished run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sv2r.config.resolve import detect_loader
from sv2r.errors import ConfigError, SampleError
from sv2r.images.decode import read_picture
from sv2r.images.references import find_photos
from sv2r.output.finished import RUN_FILE, open_finished
from sv2r.output.journal import FOLDER
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Runtime
from sv2r.storage.paths import url_of
from sv2r.storage.source import as_source, published_file
from sv2r.types import Record

if TYPE_CHECKING:
    from torch import Tensor

# With fewer pictures nothing can be said of a set.
LEAST_PICTURES = 8


@dataclass(frozen=True)
class PictureSet:
    """Pictures that are looked at together.

    name: as tables call it. paths: of the pictures. records: what a run says of them, by path; {}
    where they come from no run.
    """

    name: str
    paths: tuple[Path, ...]
    records: dict[Path, Record] = field(default_factory=dict)

    def some(self, most: int) -> PictureSet:
        """Return no more than so many of its pictures, evenly spread."""
        count = min(most, len(self.paths))
        places = [number * len(self.paths) // count for number in range(count)]
        return PictureSet(self.name, tuple(self.paths[place] for place in places), self.records)


def photos_in(folder: Path) -> PictureSet:
    """Return the photographs in a folder and its folders.

    Raises:
        ConfigError: there are fewer than LEAST_PICTURES for each half.
    """
    found = find_photos(folder, "--photos")
    if len(found.paths) < 2 * LEAST_PICTURES:
        raise ConfigError(
            f"--photos {folder}: {len(found.paths)} photographs; {2 * LEAST_PICTURES} at least are "
            "needed, one half of them to compare with and one half held out"
        )
    return PictureSet("photos", found.paths)


def pictures_of(name: str, folder: Path, registry: Registry) -> PictureSet:
    """Return the pictures that a finished run has made, or those of a dataset.

    Raises:
        ConfigError: it is neither, or has fewer than LEAST_PICTURES pictures.
    """
    folder = as_source(folder) if url_of(folder) else folder
    if (folder / FOLDER / RUN_FILE).is_file():
        found = _of_run(name, folder)
    else:
        found = _of_dataset(name, as_source(folder), registry)
    if len(found.paths) < LEAST_PICTURES:
        count = f"{len(found.paths)} picture{'' if len(found.paths) == 1 else 's'}"
        raise ConfigError(f"{folder}: {count}; {LEAST_PICTURES} at least are needed")
    return found


def _of_run(name: str, folder: Path) -> PictureSet:
    done = {
        published_file(folder, str(record.output)): record
        for record in open_finished(folder).records()
        if record.status == "done" and record.output
    }
    return PictureSet(name, tuple(done), done)


def _of_dataset(name: str, folder: Path, registry: Registry) -> PictureSet:
    spec = registry.spec("loader", detect_loader(registry, folder))
    dataset = spec.build(spec.options(), Runtime(input=folder))(folder)
    return PictureSet(name, tuple(dataset.samples[i].image for i in range(len(dataset.ids))))


def read_squares(paths: Sequence[Path], side: int) -> Iterator[Tensor]:
    """Yield pictures as (3, side, side) float32 in [0, 1].

    The shorter side is resized, without steps in between, and the middle is cut out: all sets are
    brought to one size in one way, so that sizes and resampling tell nothing apart.

    Raises:
        ConfigError: a picture cannot be read; names it.
    """
    import torch
    from torch.nn.functional import interpolate

    for path in paths:
        try:
            pixels = read_picture(path, path.name).pixels
        except SampleError as error:
            reason = str(error).removeprefix(f"{path.name}: ").partition(";")[0]
            raise ConfigError(f"{path}: {reason}; take it out of the set") from error
        picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
        scale = side / min(picture.shape[2:])
        size = [max(side, round(length * scale)) for length in picture.shape[2:]]
        resized = interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((length - side) // 2 for length in size)
        yield resized[0, :, top : top + side, left : left + side]
