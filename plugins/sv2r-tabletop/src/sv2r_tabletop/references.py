"""What the baselines have in common: a folder of photographs, one of which is drawn by the seed."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from sv2r import Options
from sv2r.images.references import References, find_photos
from sv2r.plugin.options import Folder

_OPTION = "--translator.photos"


class PhotoOptions(Options):
    """What translators have in common that look at photographs."""

    photos: Folder | None = Field(
        None,
        description="A folder of real photographs, with its subfolders; one is drawn for each "
        "picture by its seed.",
    )


def require_photos(options: PhotoOptions, sizes: Sequence[tuple[int, int]]) -> None:
    """Raise ConfigError unless the options name a folder that holds photographs."""
    find_photos(options.photos, _OPTION)


def open_photos(options: PhotoOptions) -> References:
    """Return the photographs of the folder, every one decoded once.

    Raises:
        ConfigError: there are none, or one cannot be read.
    """
    references = find_photos(options.photos, _OPTION)
    for number in range(len(references.paths)):
        references.levels(number)
    return references
