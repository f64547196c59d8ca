"""JSON files of a dataset, of which only what a loader needs is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from sv2r.errors import SampleError
from sv2r.images.picture_file import read_file

ShapeT = TypeVar("ShapeT")


def read_json(path: Path, name: str, shape: type[ShapeT]) -> ShapeT:
    """Return a JSON file's content as that type (a msgspec Struct, dict ...); other keys are left.

    name: how an error calls the file.

    Raises:
        SampleError: it is missing, not JSON, or of another shape.
    """
    import msgspec

    data = read_file(path, name)
    try:
        return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise SampleError(f"{name}: is not what it should be ({detail}); write it again") from None
