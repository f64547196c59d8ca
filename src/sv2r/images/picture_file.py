"""Opens picture files with Pillow: on bytes that may be anything, one clear line where it fails."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Literal

from sv2r.errors import SampleError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Format = Literal["PNG", "JPEG", "WebP", "TIFF", "BMP"]

SUFFIXES: Mapping[Format, tuple[str, ...]] = MappingProxyType(
    {
        "PNG": (".png",),
        "JPEG": (".jpg", ".jpeg"),
        "WebP": (".webp",),
        "TIFF": (".tif", ".tiff"),
        "BMP": (".bmp",),
    }
)

PICTURE_SUFFIXES = frozenset(suffix for several in SUFFIXES.values() for suffix in several)
"""What a picture's suffix can be, in lower case."""

ARRAY_SUFFIXES = frozenset({".npy", ".npz"})
"""What an array's suffix can be: next to one, a picture of the same name is its preview."""

LABEL_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp"}) | ARRAY_SUFFIXES
"""What a label picture's suffix can be, in lower case."""

LOSSY_SUFFIXES = PICTURE_SUFFIXES - LABEL_SUFFIXES
"""Formats that change values: label pictures in them are refused."""

MAX_PIXELS = 89_478_485
"""The largest picture that is read: what Pillow itself allows without a warning."""

MAX_BYTES = 1 << 30
"""The largest file that is read."""

_AGAIN = "render it again, then run the same command"

_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
)

# Where a file's mark begins, and what has it: pictures that are not read are named all the same.
_OTHERS = (
    (4, b"ftypavi", "an AVIF picture"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypheix", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftypmsf1", "a HEIF picture"),
    (4, b"ftyp", "a video"),
    (0, b"GIF8", "a GIF"),
    (0, b"\x76\x2f\x31\x01", "an EXR picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\x93NUMPY", "a numpy array"),
    (0, b"%PDF", "a PDF"),
    (0, b"version https://git-lfs", "the pointer of a file in Git LFS (git lfs pull fetches it)"),
)

# What Pillow says of a file that is whole, but of a kind that it does not read.
_UNSUPPORTED = ("cannot handle", "nsupported", "unknown pixel mode", "unknown data organization")


@dataclass(frozen=True)
class OpenPicture:
    """A picture file whose header has been read.

    size: (height, width) of the raw pixel grid.
    raw_mode: how Pillow spells the stored pixels ("RGB;16B"), which it forgets once they are read.
    """

    image: ImageFile
    format: Format
    size: tuple[int, int]
    raw_mode: str


def read_file(path: Path, name: str) -> bytes:
    """Return a regular file's bytes.

    Raises:
        SampleError: it is missing, no regular file, empty, larger than MAX_BYTES, or unreadable.
    """
    with opened(path, name) as stream:
        return stream.read()


@contextmanager
def opened(path: Path, name: str) -> Iterator[BinaryIO]:
    """Yield a regular file's bytes as a stream.

    Raises:
        SampleError: as `read_file`.
    """
    try:
        # Looked at before it is opened: opening a pipe would wait for its writer.
        _refuse_non_file(path, name)
        with path.open("rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise SampleError(f"{name}: is missing; put it there, then run the same command") from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SampleError(f"{name}: cannot be read ({reason.lower()})") from error


def _refuse_non_file(path: Path, name: str) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise SampleError(f"{name}: is a folder; put the file itself there")
    if not stat.S_ISREG(status.st_mode):
        raise SampleError(f"{name}: is not a regular file; put the file itself there")
    if not status.st_size:
        raise SampleError(f"{name}: is empty; {_AGAIN}")
    if status.st_size > MAX_BYTES:
        raise SampleError(
            f"{name}: {status.st_size:,} bytes are more than {MAX_BYTES:,}; cut it into tiles"
        )


def open_image(stream: BinaryIO, name: str, data: bytes | None = None) -> OpenPicture:
    """Return a picture with its header read and its pixels not yet.

    The content tells the format. Pillow's plugin is called directly: its own `Image.open` meets a
    picture that is too large with a process-wide warning and a broken one with "cannot identify".

    data: the whole file, where it is at hand: see `pillow_errors`.

    Raises:
        SampleError: no picture, a broken header, or more than MAX_PIXELS.
    """
    kind = _format_of(stream.read(32), name)
    stream.seek(0)
    _quiet()
    with pillow_errors(name, kind, data):
        image = _opener(kind)(stream)
        height, width = _raw_size(image)
        raw_mode = _raw_mode(image)
    if width < 1 or height < 1:
        raise SampleError(f"{name}: {width} x {height} pixels; {_AGAIN}")
    if width * height > MAX_PIXELS:
        raise SampleError(
            f"{name}: {width:,} x {height:,} pixels are more than {MAX_PIXELS:,}; cut it into tiles"
        )
    return OpenPicture(image, kind, (height, width), raw_mode)


def _format_of(head: bytes, name: str) -> Format:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    other = next((words for place, mark, words in _OTHERS if head[place:].startswith(mark)), "")
    if other:
        raise SampleError(f"{name}: {other}, which is not read; save it as PNG or TIFF")
    raise SampleError(f"{name}: not a picture; give PNG, JPEG, WebP, TIFF or BMP")


@cache
def _quiet() -> None:
    """Keep what libtiff and Pillow say of odd files off stderr: what matters is raised as well."""
    import ctypes
    import logging
    import warnings

    import PIL

    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    bundled = Path(PIL.__file__).parents[1] / "pillow.libs"
    for library in (*bundled.glob("libtiff*"), "libtiff.so.6", "libtiff.so.5"):
        with suppress(OSError, AttributeError):
            found = ctypes.CDLL(str(library))
            for setter in (found.TIFFSetWarningHandler, found.TIFFSetErrorHandler):
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                setter(None)
            return


def _opener(kind: Format) -> Callable[[BinaryIO], ImageFile]:
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    openers: dict[Format, Callable[[BinaryIO], ImageFile]] = {
        "PNG": PngImageFile,
        "JPEG": JpegImageFile,
        "WebP": WebPImageFile,
        "TIFF": TiffImageFile,
        "BMP": BmpImageFile,
    }
    return openers[kind]


def _raw_size(image: ImageFile) -> tuple[int, int]:
    """Return (height, width) as stored; Pillow tells a TIFF's size after turning it."""
    if tags := getattr(image, "tag_v2", None):
        return int(tags[257]), int(tags[256])
    return image.height, image.width


def _raw_mode(image: ImageFile) -> str:
    args = image.tile[0].args if image.tile else image.mode
    return str(args[0] if isinstance(args, tuple) else args)


def load_raw(source: OpenPicture, name: str) -> tuple[Image, int]:
    """Return the pixels as stored, and the orientation (1 to 8) that they were not turned by.

    Pillow turns a TIFF by its orientation while it loads: this turns it back.

    Raises:
        SampleError: an animation or several pages: which one the labels mean cannot be told; or
            Pillow has been told to let truncated files pass.
    """
    from PIL import ImageFile as Decoding

    image = source.image
    if Decoding.LOAD_TRUNCATED_IMAGES:
        raise SampleError(
            f"{name}: not read, since a plugin set Pillow's LOAD_TRUNCATED_IMAGES and truncated"
            " pictures would pass; disable that plugin"
        )
    if (frames := _pictures_in(source)) > 1:
        kind = "an animation" if source.format in ("PNG", "WebP") else "a file"
        raise SampleError(f"{name}: {kind} of {frames} pictures; save each in a file of its own")
    if source.format != "TIFF":
        image.load()
        return image, _orientation(image)
    orientation = _orientation(image)
    image.load()
    return _turned_back(image, orientation), orientation


def _pictures_in(source: OpenPicture) -> int:
    """Return how many pictures a file holds; a TIFF's overviews and masks are none."""
    image = source.image
    frames = int(getattr(image, "n_frames", 1))
    if source.format != "TIFF" or frames == 1:
        return frames
    own, height, width = 1, *source.size
    for number in range(1, frames):
        image.seek(number)
        tags = image.tag_v2  # type: ignore[attr-defined]  # a TIFF's, as the format says
        smaller = int(tags[257]) < height and int(tags[256]) < width
        own += not (smaller or int(tags.get(254, 0)) & 0b101)
    image.seek(0)
    return own


def _orientation(image: ImageFile) -> int:
    orientation = 1
    # Broken EXIF says nothing of the pixels, and its parser can fail in any way.
    with suppress(Exception):
        orientation = int(image.getexif().get(0x0112, 1))
    return orientation if 1 <= orientation <= 8 else 1


def _turned_back(image: Image, orientation: int) -> Image:
    from PIL.Image import Transpose

    back = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_90,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_270,
    }
    return image.transpose(back[orientation]) if orientation in back else image


@contextmanager
def pillow_errors(name: str, kind: Format, data: bytes | None = None) -> Iterator[None]:
    """Turn whatever Pillow raises for a broken file into one SampleError.

    data: the file, where it is at hand: it tells a truncated file from a damaged one.
    """
    try:
        yield
    except SampleError:
        raise
    except MemoryError as error:
        raise SampleError(f"{name}: too large for the memory; cut it into tiles") from error
    # Pillow's parsers meet hostile bytes with OSError, SyntaxError, ValueError, struct.error,
    # zlib.error, EOFError, KeyError, OverflowError, AssertionError and others: no list is complete.
    except Exception as error:
        raise SampleError(f"{name}: {_what_is_wrong(error, kind, data)}") from error


def _what_is_wrong(error: Exception, kind: Format, data: bytes | None) -> str:
    # A KeyError's text is the key alone.
    detail = "" if isinstance(error, LookupError) else " ".join(str(error).split())
    detail = detail or type(error).__name__
    if data is not None and (_ends_early(kind, data) or "truncated" in detail.lower()):
        return f"truncated after {len(data):,} bytes; {_AGAIN}"
    if any(words in detail for words in _UNSUPPORTED):
        return f"a {kind} that cannot be read ({detail}); save it as 8-bit PNG"
    return f"damaged {kind} ({detail}); {_AGAIN}"


def _ends_early(kind: Format, data: bytes) -> bool:
    """Return whether a file that could not be decoded ends before its format says it does."""
    if kind == "PNG":
        return b"IEND" not in data
    if kind == "JPEG":
        return b"\xff\xd9" not in data[-64:]
    if kind == "TIFF":
        order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
        directory = int.from_bytes(data[4:8], order)
        entries = int.from_bytes(data[directory : directory + 2], order)
        return directory + 2 + 12 * entries > len(data)
    start, extra = (4, 8) if kind == "WebP" else (2, 0)
    return int.from_bytes(data[start : start + 4], "little") + extra > len(data)
