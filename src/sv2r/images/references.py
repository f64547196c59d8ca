"""A folder of real photographs from which each picture's reference is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sv2r.errors import ConfigError, SampleError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class References:
    """Photographs of a folder, by name."""

    folder: Path
    paths: tuple[Path, ...]

    def draw(self, seed: int) -> int:
        """Return the number of the photograph that belongs to a picture's seed."""
        return random.Random(seed).randrange(len(self.paths))  # noqa: S311  # a draw, no secret

    def some(self, most: int) -> References:
        """Return no more than so many of them, evenly spread by name."""
        step = max(1, len(self.paths) / most)
        count = min(most, len(self.paths))
        return References(self.folder, tuple(self.paths[int(n * step)] for n in range(count)))

    def read(self, number: int) -> Tensor:
        """Return a photograph as (3, H, W) float32 in [0, 1]; raises as `levels` does."""
        return self.levels(number).contiguous().float() / 255

    def levels(self, number: int) -> Tensor:
        """Return a photograph as (3, H, W) uint8.

        Raises:
            ConfigError: it cannot be read.
        """
        import torch

        from sv2r.images.decode import read_picture

        path = self.paths[number]
        try:
            picture = read_picture(path, path.relative_to(self.folder).as_posix())
        except SampleError as error:
            # What SampleError says to do is meant for renders.
            what = str(error).partition(";")[0]
            raise ConfigError(f"{self.folder}: {what}; take it out of the folder") from error
        picture.pixels.setflags(write=True)  # torch has no memory that is read-only
        return torch.from_numpy(picture.pixels).permute(2, 0, 1)

    def each(self, look: Callable[[Tensor], T]) -> Iterator[T]:
        """Yield what is made of each photograph's levels, in order.

        Several are read at a time, and none is kept: they may be large.
        """
        with ThreadPoolExecutor(4) as pool:
            yield from pool.map(lambda number: look(self.levels(number)), range(len(self.paths)))


def find_photos(root: Path | None, option: str) -> References:
    """Return the photographs of a folder and its subfolders, by name; none is read yet.

    option: what names the folder on the command line.

    Raises:
        ConfigError: no folder is given, it is not there, or holds no photograph.
    """
    from sv2r.images.decode import PICTURE_SUFFIXES

    if root is None:
        raise ConfigError(f"no photographs given; add {option} FOLDER")
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; give one of photographs by {option}")
    found = picture_files(root)
    if not found:
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise ConfigError(f"{root}: there is no photograph in it ({kinds}); give another folder")
    return References(root, tuple(found))


def picture_files(root: Path) -> list[Path]:
    """Return the pictures of a folder and its subfolders by name, without hidden ones.

    Of a dataset's folder, one with annotations.json and images/, only those in images/: its depth
    maps and masks are no photographs.
    """
    from sv2r.images.decode import PICTURE_SUFFIXES

    datasets = {
        file.parent for file in root.rglob("annotations.json") if (file.parent / "images").is_dir()
    }

    def is_meant(path: Path) -> bool:
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        places = [path.relative_to(folder) for folder in path.parents if folder in datasets]
        return not hidden and all(place.parts[0] == "images" for place in places)

    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    return [path for path in found if is_meant(path) and path.is_file()]
