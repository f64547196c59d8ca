"""Real photos as squares to learn from: found, captioned, all of them looked at beforehand."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sv2r.errors import ConfigError, SampleError
from sv2r.images.decode import PICTURE_SUFFIXES, read_picture
from sv2r.images.references import picture_files
from sv2r.training.options import TrainOptions
from sv2r.worker.seeds import picture_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Watch = Callable[[int, int], None] | None

# Squares are kept in memory, so that no photo is decoded twice, up to this many bytes.
_KEPT = 2 << 30
_FIELDS = frozenset({"stem", "folder"})


@dataclass(frozen=True)
class Photo:
    """A photo. name: its path below the folder. size: (height, width). sha256: of its file."""

    name: str
    path: Path
    caption: str
    size: tuple[int, int]
    sha256: str


@dataclass(frozen=True)
class Square:
    """One picture to learn from: a square of a photo, perhaps mirrored."""

    photo: Photo
    crop: int
    mirrored: bool


@dataclass
class Squares:
    """Squares as (3, R, R) uint8 pictures, cut when they are asked for and kept.

    crops: how many are cut from each photo; a single one is its middle.
    """

    squares: Sequence[Square]
    resolution: int
    crops: int
    seed: int
    _kept: dict[int, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.squares)

    def picture(self, number: int) -> Tensor:
        """Return a square's (3, R, R) uint8 pixels."""
        import torch

        if number in self._kept:
            return self._kept[number]
        square = self.squares[number]
        pixels = cut_square(
            read_picture(square.photo.path, square.photo.name).pixels, self._place(square)
        )
        made = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
        if square.mirrored:
            made = made.flip(-1)
        if len(self.squares) * made.numel() <= _KEPT:
            self._kept[number] = made
        return made

    def captions(self) -> list[str]:
        """Return the squares' captions, in their order."""
        return [square.photo.caption for square in self.squares]

    def _place(self, square: Square) -> SquarePlace:
        if self.crops == 1:
            return SquarePlace(self.resolution, 0.5, 0.5)
        drawn = picture_seed(self.seed, square.photo.name, square.crop)
        return SquarePlace(self.resolution, (drawn >> 24) / 2**24, (drawn % 2**24) / 2**24)


@dataclass(frozen=True)
class SquarePlace:
    """Where a square is cut: its side, and how far down and right of what is free, in [0, 1]."""

    side: int
    down: float
    right: float


def cut_square(pixels: NDArray[np.uint8], place: SquarePlace) -> NDArray[np.uint8]:
    """Return a square of an (H, W, 3) picture whose short side is brought to the square's first."""
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = place.side / min(height, width)
    if scale != 1:
        height, width = (max(round(n * scale), place.side) for n in (height, width))
        image = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
        pixels = np.asarray(image)
    top = round(place.down * (height - place.side))
    left = round(place.right * (width - place.side))
    return np.array(pixels[top : top + place.side, left : left + place.side])


def read_photos(options: TrainOptions, watch: Watch = None) -> list[Photo]:
    """Return the folder's photos, every one decoded once, sorted by name; see `picture_files`.

    Raises:
        ConfigError: no folder, no photo in it, photos that cannot be read (the first is named),
            a caption that cannot be made.
    """
    root = options.photos
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; give the folder with photos by --photos")
    _check_template(options.captions[0])
    paths = picture_files(root)
    if not paths:
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise ConfigError(f"{root}: there is no photo in it ({kinds}); give a folder that has some")
    found: list[Photo] = []
    broken: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        for done, photo in enumerate(pool.map(lambda path: _look(path, options), paths), 1):
            found.append(photo) if isinstance(photo, Photo) else broken.append(photo)
            if watch:
                watch(done, len(paths))
    if broken and not options.skip_broken:
        more = f" (and {len(broken) - 1:,} more of {len(paths):,})" if len(broken) > 1 else ""
        raise ConfigError(f"{broken[0]}{more}; --skip-broken true leaves such photos out")
    if not found:
        raise ConfigError(f"{root}: not one of its {len(paths):,} photos can be read: {broken[0]}")
    return found


def _look(path: Path, options: TrainOptions) -> Photo | str:
    """Return a photo that can be read, or why it cannot."""
    name = path.relative_to(options.photos).as_posix()
    if not name.isprintable():  # as of a byte that is not UTF-8
        return f"{name!a}: its name has characters that no caption or log can have; rename it"
    try:
        picture = read_picture(path, name)
    except SampleError as error:
        return str(error)
    height, width = picture.pixels.shape[:2]
    return Photo(name, path, _caption(path, name, options), (height, width), picture.sha256)


def _caption(path: Path, name: str, options: TrainOptions) -> str:
    template, from_files = options.captions
    if from_files:
        file = path.with_suffix(".txt")
        try:
            return " ".join(file.read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError):
            fix = "write its caption there, or leave --caption-files out"
            raise ConfigError(
                f"{name}: there is no readable {file.name} next to it; {fix}"
            ) from None
    words = {"stem": path.stem, "folder": path.parent.name}
    try:
        return template.format(**{k: v.replace("_", " ") for k, v in words.items()})
    except (ValueError, LookupError) as error:  # of a format such as {stem:d}
        raise ConfigError(f"--caption {template!r}: {error}; write {{stem}} alone") from None


def _check_template(template: str) -> None:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ConfigError(f"--caption {template!r}: {error}") from None
    for name in sorted(names - _FIELDS):
        raise ConfigError(
            f"--caption {template!r}: no field {{{name}}}; there are {{stem}} {{folder}}"
        )


def split(photos: Sequence[Photo], options: TrainOptions) -> tuple[Squares, Squares]:
    """Return the squares to learn from and the middles of the photos that are held out.

    Which ones are held out is a function of the seed and their names.
    """
    drawn = sorted(photos, key=lambda photo: picture_seed(options.seed, photo.name))
    held = {photo.name for photo in drawn[: min(options.held_out, len(photos) // 5)]}
    mirrors = (False, True) if options.flip else (False,)
    learnt = [
        Square(photo, crop, mirrored)
        for photo in photos
        if photo.name not in held
        for crop in range(options.crops)
        for mirrored in mirrors
    ]
    unseen = [Square(photo, 0, mirrored=False) for photo in photos if photo.name in held]
    sizes = options.resolution, options.crops, options.seed
    return Squares(learnt, *sizes), Squares(unseen, options.resolution, 1, options.seed)


def fingerprint(photos: Sequence[Photo]) -> str:
    """Return the SHA-256 of what a run learns from: names, files' bytes and captions."""
    lines = (f"{photo.sha256}  {photo.name}\0{photo.caption}\n" for photo in photos)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
