"""What a renderer wrote next to a picture (depth, normals), found by a pattern."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from string import Formatter

from sv2r.errors import ConfigError, SampleError
from sv2r.storage.paths import inside

FIELDS = ("stem", "name", "parent")


def channel_pattern(pattern: str) -> str:
    """Return the pattern if it is one; made for pydantic's ``AfterValidator`` on an option.

    A pattern is a path that starts in the picture's own folder: ``{stem}_depth.png``,
    ``../depth/{stem}.exr``, ``../../depth/{parent}/{stem}.npy``. For ``train/0001.png``,
    ``{stem}`` is ``0001``, ``{name}`` is ``0001.png`` and ``{parent}`` is ``train``: the folder's
    own name, without those above it. Where the loader knows a pattern of pictures' names, such as
    ``rgb_{stem}.png``, ``{stem}`` is what stands for it there.

    Raises:
        ValueError: it is absolute, or a field in it is none of these three.
    """
    if pattern.startswith(("/", "\\")):
        raise ValueError("the pattern starts in the picture's folder; leave the first / out")
    try:
        fields = [field for _, field, _, _ in Formatter().parse(pattern) if field is not None]
        pattern.format(**dict.fromkeys(FIELDS, ""))
    except (ValueError, KeyError, IndexError, AttributeError):
        raise ValueError("the fields of a pattern are {stem}, {name} and {parent}") from None
    if not set(fields) <= set(FIELDS):
        raise ValueError("the fields of a pattern are {stem}, {name} and {parent}")
    return pattern


def find_channels(
    root: Path, image: Path, patterns: Mapping[str, str], stem: str | None = None
) -> Mapping[str, Path]:
    """Return the files that exist next to a picture, by channel name.

    image: the picture, inside root. patterns: channel name to a `channel_pattern`; one that is
    empty is left out, and so is a channel whose file this picture does not have. stem: what {stem}
    is; the picture's own by default.

    Raises:
        SampleError: the file lies outside of root, by ".." or through a link.
    """
    found = {}
    for channel, pattern in patterns.items():
        if pattern:
            relative = _relative(root, image, pattern, stem)
            if (root / relative).is_file():
                found[channel] = inside(root, relative)
    return found


def require_channels(
    root: Path,
    images: Iterable[Path],
    patterns: Mapping[str, str],
    stems: Callable[[Path], str | None] = lambda _: None,
) -> None:
    """Check that each pattern finds a file for at least one of the first pictures.

    stems: what {stem} is for a picture, as `find_channels` takes it.

    Raises:
        ConfigError: it finds none, or leads out of root: names where it looked.
    """
    looked = list(images)
    for channel, pattern in patterns.items():
        if not pattern or not looked:
            continue
        try:
            one = {channel: pattern}
            if not any(find_channels(root, image, one, stems(image)) for image in looked):
                first = _relative(root, looked[0], pattern, stems(looked[0]))
                raise ConfigError(
                    f"--loader.{channel} '{pattern}' finds nothing for the first {len(looked)} "
                    f"pictures; it looked for {first}: fix the pattern or leave it out"
                )
        except SampleError as error:
            raise ConfigError(f"--loader.{channel} '{pattern}': {error}") from error


def _relative(root: Path, image: Path, pattern: str, stem: str | None) -> str:
    """Return where a pattern points, relative to root, with ".." worked out."""
    folder = PurePosixPath(image.parent.relative_to(root).as_posix())
    pattern = pattern.replace("\\", "/")
    parts = {"stem": stem or image.stem, "name": image.name, "parent": image.parent.name}
    filled = pattern.format(**parts)
    relative = os.path.normpath(folder / filled)
    if relative.split("/", maxsplit=1)[0] == "..":
        raise SampleError(f"{relative}: lies outside of the input folder; put the files inside it")
    return relative
