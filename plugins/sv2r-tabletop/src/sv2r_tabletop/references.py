"""A folder of real photographs from which each picture's reference is drawn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from sv2r import ConfigError, Options, SampleError

if TYPE_CHECKING:
    from torch import Tensor


class PhotoOptions(Options):
    """What translators have in common that look at photographs."""

    photos: Path | None = Field(
        None,
        description="A folder of real photographs, with its subfolders; one is drawn for each "
        "picture by its seed.",
    )

    @field_validator("photos")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        # run.yaml keeps the options, and must mean the same folder wherever it is read.
        return value.expanduser().absolute() if value else None


@dataclass(frozen=True)
class References:
    """Photographs, every one of which could be read."""

    folder: Path
    paths: tuple[Path, ...]

    def draw(self, seed: int) -> int:
        """Return the number of the photograph that belongs to a picture's seed."""
        return random.Random(seed).randrange(len(self.paths))  # noqa: S311  # a draw, no secret

    def read(self, number: int) -> Tensor:
        """Return a photograph as (3, H, W) float32 in [0, 1].

        Raises:
            SampleError: it cannot be read.
        """
        import torch

        from sv2r.images.decode import read_picture

        path = self.paths[number]
        name = path.relative_to(self.folder).as_posix()
        pixels = torch.from_numpy(read_picture(path, name).pixels.copy())
        return pixels.permute(2, 0, 1).contiguous().float() / 255


def require_photos(options: PhotoOptions, sizes: Sequence[tuple[int, int]]) -> None:
    """Raise ConfigError unless the options name a folder that holds photographs."""
    find_photos(options)


def find_photos(options: PhotoOptions) -> References:
    """Return the photographs of the folder, by name; none is read yet.

    Raises:
        ConfigError: no folder is given, it is not there, or holds no photograph.
    """
    from sv2r.images.decode import PICTURE_SUFFIXES

    if options.photos is None:
        raise ConfigError("no photographs given; add --translator.photos FOLDER")
    root = options.photos
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; give one of photographs by --translator.photos")
    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    found = [path for path in found if path.is_file() and not _is_hidden(path, root)]
    if not found:
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise ConfigError(f"{root}: there is no photograph in it ({kinds}); give another folder")
    return References(root, tuple(found))


def open_photos(options: PhotoOptions) -> References:
    """Return the photographs of the folder, every one decoded once.

    Raises:
        ConfigError: as `find_photos`, or a photograph cannot be read.
    """
    references = find_photos(options)
    for number in range(len(references.paths)):
        try:
            references.read(number)
        except SampleError as error:
            # What SampleError says to do is meant for renders.
            what = str(error).partition(";")[0]
            raise ConfigError(f"{references.folder}: {what}; take it out of the folder") from error
    return references


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
