"""Reads and writes label pictures by their raw values: no palette, colour or scale is applied."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sv2r.errors import SampleError
from sv2r.images.picture_file import (
    MAX_PIXELS,
    OpenPicture,
    load_raw,
    open_image,
    opened,
    pillow_errors,
    read_file,
)
from sv2r.images.png import encode_png
from sv2r.storage.source import on_disk

if TYPE_CHECKING:
    from PIL.Image import Image

LabelKind = Literal["ids", "palette", "colour"]

# What people call the array of ids among others, the likelier first; its bytes at most.
_CALLED = ("instances", "instance_ids", "ids", "mask", "masks", "labels", "label", "segmentation")
_LARGEST_ARRAY = 9 * MAX_PIXELS

_AS_PNG = "save it as 8- or 16-bit grey, palette or 8-bit RGB PNG, or as .npy"


@dataclass(frozen=True)
class LabelImage:
    """A label picture's raw values.

    values: (H, W), any integer dtype. Read-only.
    kind: "ids" (grey, .npy), "palette" (the values are indices) or "colour" (the values are
        ``r << 16 | g << 8 | b``; alpha says nothing).
    bits: how many of them the file has per value (1 to 64; 8 per channel where colour).
    alpha: whether the values are those of the alpha channel, in a file of one colour.
    """

    values: NDArray[Any]
    kind: LabelKind
    bits: int
    alpha: bool = False

    def __post_init__(self) -> None:
        self.values.setflags(write=False)


def read_label_image(path: Path, name: str) -> LabelImage:
    """Return the raw values of a PNG, TIFF, BMP or ``.npy`` file, on its raw pixel grid.

    Args:
        path: the file; a suffix of ``.npy`` or ``.npz`` makes it numpy's, else its content tells.
            Of arrays in an ``.npz`` the only one is taken, or the one that is called a mask. One of
            three dimensions, 0 and 1 alone, has a channel for each id, first or last: the shorter
            of the two axes; channel 0 is id 1.
        name: how an error calls the file.

    Raises:
        SampleError: missing, truncated, damaged, lossy (JPEG, WebP), or its values cannot be read
            exactly (float, 16-bit colour ...).
    """
    if path.suffix.lower() in (".npy", ".npz"):
        return _read_array(path, name)
    data = read_file(path, name)
    source = open_image(io.BytesIO(data), name, data)
    _refuse_inexact(source, name)
    with pillow_errors(name, source.format, data):
        image, _ = load_raw(source, name)
        if (alpha := _drawn_in_alpha(image)) is not None:
            return LabelImage(alpha, "ids", 8, alpha=True)
        return _raw_values(image, source, data, name)


def encode_label_png(labels: NDArray[Any]) -> bytes:
    """Return a 16-bit grey PNG of an (H, W) label map, pixel-exact.

    Raises:
        SampleError: a value below 0 or above 65,535.
    """
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > 0xFFFF:
        raise SampleError(
            f"label {low if low < 0 else high} does not fit a 16-bit PNG (0 to 65,535);"
            " number the instances of a picture from 1"
        )
    return encode_png(labels.astype(np.uint16))


def _read_array(path: Path, name: str) -> LabelImage:
    with opened(path, name):
        pass
    with on_disk(path) as file:
        return _from_array(_array(file, name), name)


def _array(path: Path, name: str) -> Any:
    """Return the array of an .npy, mapped, or the one of an .npz that is meant.

    Raises:
        SampleError: it is damaged, unpacks to more than a picture, or nobody can tell which is it.
    """
    try:
        if path.suffix.lower() == ".npz":
            return _unpacked(path, name)
        # Mapped, so that a header's promise of a huge array allocates nothing.
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except SampleError:
        raise
    # numpy parses the header as Python: ValueError, SyntaxError, TokenError and others.
    except Exception as error:
        detail = " ".join(str(error).split())
        raise SampleError(
            f"{name}: damaged {path.suffix.lower()} ({detail}); save it again"
        ) from error


def _unpacked(path: Path, name: str) -> Any:
    with zipfile.ZipFile(path) as packed:
        sizes = {info.filename.removesuffix(".npy"): info.file_size for info in packed.infolist()}
    meant = list(sizes) if len(sizes) == 1 else [key for key in _CALLED if key in sizes][:1]
    if not meant:
        there = ", ".join(sorted(sizes)[:8]) or "no array"
        raise SampleError(f"{name}: holds {there}; save one array, or call it mask")
    if sizes[meant[0]] > _LARGEST_ARRAY:
        raise SampleError(f"{name}: {meant[0]} unpacks to {sizes[meant[0]]:,} bytes; cut it up")
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[meant[0]]


def _has_channels(array: Any) -> bool:
    """Return whether an array may have a channel for each of several ids."""
    deep = isinstance(array, np.ndarray) and array.ndim == 3 and array.size
    return bool(deep) and array.dtype.kind in "iub" and min(array.shape[::2]) > 1


def _of_channels(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the ids of an array that has a channel for each of them.

    Raises:
        SampleError: it holds more than 0 and 1, or two of them in one pixel.
    """
    channels = array if array.shape[0] <= array.shape[2] else np.moveaxis(array, 2, 0)
    if array.size > _LARGEST_ARRAY or not ((array == 0) | (array == 1)).all():
        raise SampleError(f"{name}: its shape is {array.shape}; save one (height, width) array")
    taken: NDArray[np.int64] = channels.sum(0, dtype=np.int64)
    if bool((taken > 1).any()):
        raise SampleError(
            f"{name}: {int((taken > 1).sum()):,} pixels are in several channels; "
            "save one (height, width) array of ids, or a file per instance"
        )
    ids = np.argmax(channels, 0).astype(np.int32)
    return np.where(taken > 0, ids + 1, 0).astype(np.int32)


def _from_array(array: Any, name: str) -> LabelImage:
    if _has_channels(array):
        array = _of_channels(array, name)
    if not isinstance(array, np.ndarray) or array.ndim != 2 or not array.size:
        shape = getattr(array, "shape", "an archive")
        raise SampleError(f"{name}: its shape is {shape}; save one (height, width) array")
    if array.dtype.kind not in "iub":
        raise SampleError(f"{name}: its values are {array.dtype}; save integers")
    if array.size > MAX_PIXELS:
        raise SampleError(f"{name}: {array.shape} is more than {MAX_PIXELS:,} pixels; cut it up")
    bits = 1 if array.dtype.kind == "b" else 8 * array.itemsize
    native = np.uint8 if array.dtype.kind == "b" else array.dtype.newbyteorder("=")
    return LabelImage(np.array(array, native, order="C"), "ids", bits)


def _refuse_inexact(source: OpenPicture, name: str) -> None:
    """Refuse what Pillow does not hand over value for value."""
    raw, tags = source.raw_mode, getattr(source.image, "tag_v2", {})
    if source.format in ("JPEG", "WebP"):
        raise SampleError(
            f"{name}: labels in {source.format}, which changes values; write them as PNG"
        )
    if tags.get(262) == 0:
        raise SampleError(f"{name}: a TIFF whose 0 is white reads either way; {_AS_PNG}")
    if ";16" in raw and not raw.startswith("I;16"):
        raise SampleError(f"{name}: 16-bit colour labels lose their low bytes; {_AS_PNG}")
    # Pillow forgets to swap the bytes of these (seen in 13.0) and would return other numbers.
    if tags and raw in ("I;32BS", "I;16BS") and source.image.tile[0].codec_name == "libtiff":
        raise SampleError(f"{name}: a compressed big-endian TIFF of signed values; {_AS_PNG}")


def _raw_values(image: Image, source: OpenPicture, data: bytes, name: str) -> LabelImage:
    mode = image.mode
    if mode in ("RGB", "RGBA", "RGBX"):
        return LabelImage(_packed(np.asarray(image)), "colour", 8)
    if mode in ("P", "PA"):
        indices = np.asarray(image)
        return LabelImage(np.array(indices if mode == "P" else indices[..., 0]), "palette", 8)
    if mode in ("L", "LA"):
        grey = np.asarray(image)
        bits = _stored_bits(source, data)
        # Pillow stretches 2- and 4-bit grey over 0 to 255.
        stretch = 255 // ((1 << bits) - 1)
        return LabelImage((grey if mode == "L" else grey[..., 0]) // stretch, "ids", bits)
    if mode == "1":
        return LabelImage(np.asarray(image).astype(np.uint8), "ids", 1)
    if mode.startswith("I;16"):
        return LabelImage(np.asarray(image).astype(np.uint16), "ids", 16)
    if mode == "I":
        unsigned = source.raw_mode == "I;32N"
        values = np.array(image, np.int32).view(np.uint32 if unsigned else np.int32)
        return LabelImage(values, "ids", 16 if ";16" in source.raw_mode else 32)
    words = {"F": "float"}.get(mode, mode)
    raise SampleError(f"{name}: {words} pixels cannot be labels; {_AS_PNG}")


def _drawn_in_alpha(image: Image) -> NDArray[np.uint8] | None:
    """Return the alpha channel where it differs and the colour is the same everywhere, or None."""
    if image.mode not in ("RGBA", "LA", "PA"):
        return None
    channels = np.asarray(image)
    same = bool((channels[..., :-1] == channels[0, 0, :-1]).all())
    alpha = channels[..., -1]
    return np.array(alpha) if same and alpha.min() != alpha.max() else None


def _packed(colours: NDArray[np.uint8]) -> NDArray[np.int32]:
    packed = colours[..., 0].astype(np.int32)
    for channel in (1, 2):
        packed <<= 8
        packed |= colours[..., channel]
    return packed


def _stored_bits(source: OpenPicture, data: bytes) -> int:
    if source.format == "PNG":
        return min(data[24], 8)
    tags = getattr(source.image, "tag_v2", {})
    return min(int(tags.get(258, (8,))[0]), 8)
