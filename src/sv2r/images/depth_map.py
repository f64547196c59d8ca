"""Reads a renderer's depth (a grey picture, OpenEXR or .npy) and shades it, near = bright."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sv2r.errors import SampleError
from sv2r.images import picture_file
from sv2r.storage.source import on_disk

if TYPE_CHECKING:
    from sv2r.types.dataset import Reading

Values = NDArray[Any]
DepthKind = Literal["auto", "metric", "linear", "inverse"]

_STRAY = 0.001

# What renderers write where a ray hits nothing, besides infinity and NaN: Blender's 1e10, the
# largest float32 (both above any distance), the largest half.
_BEYOND = 1e9
_LARGEST_HALF = 65504

_DEPTH_PARTS = ("Z", "V", "Y", "R", "X", "DEPTH")
_PLAIN_NAMES = ("Z", "DEPTH", "V", "Y")
_SAVE = "save distances as 16-bit grey PNG, EXR or .npy"


@dataclass(frozen=True)
class DepthMap:
    """A renderer's depth as its file has it.

    values: (H, W) float32, in the file's own unit. Read-only.
    nothing: (H, W), True where the file says that nothing was hit: infinity, NaN, 1e9 and more, the
        largest half (65504), and in 16-bit integers the largest one.
    shades: whether these are 8-bit shades, too coarse to be distances.
    """

    values: NDArray[np.float32]
    nothing: NDArray[np.bool_]
    shades: bool

    def __post_init__(self) -> None:
        self.values.setflags(write=False)
        self.nothing.setflags(write=False)


def read_depth(path: Path, name: str, reading: Reading | None = None) -> DepthMap:
    """Return the depth in a file; its suffix tells EXR and .npy, all else is read as a picture.

    Of an EXR the only channel is taken, else one that is called depth, else Z, V or Y, else red
    where green and blue equal it. EXR needs the ``exr`` extra.

    Args:
        path: the file.
        name: how an error calls it.
        reading: the sample's own way to read it, see `Sample.readings`.

    Raises:
        SampleError: missing, damaged, not one channel, empty, not of numbers.
    """
    readers = {".exr": _read_exr, ".npy": _read_npy}
    read = reading or readers.get(path.suffix.lower(), _read_picture)
    stored = read(path, name)
    if stored.ndim != 2 or not stored.size:
        raise SampleError(f"{name}: its shape is {stored.shape}, not (height, width); {_SAVE}")
    if stored.dtype.kind not in "fiu":
        raise SampleError(f"{name}: holds {stored.dtype} values, not numbers; {_SAVE}")
    with np.errstate(over="ignore"):
        values = stored.astype(np.float32)
    shades, integers = stored.dtype == np.uint8, stored.dtype.kind in "iu"
    largest = np.iinfo(np.uint16).max if integers else _LARGEST_HALF
    # NaN compares false: not below is what it is.
    nothing = ~(np.abs(values) < _BEYOND) | (values == largest)
    return DepthMap(values, nothing, shades)


def shade(
    depth: DepthMap, name: str, *, kind: DepthKind = "auto", ends: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """Return depth as (H, W) in [0, 1], near = 1; where nothing was hit it is 0.

    Args:
        depth: what `read_depth` returned.
        name: how an error calls it.
        kind: "metric" distances, 0 for no data, are inverted; "linear" shades, which have no true
            zero, are turned round; "inverse" depth is taken as it is. "auto" is linear for 8-bit
            shades, else metric.
        ends: the (near, far) distances that become 1 and 0. Without them, those of the picture
            itself: see `bulk`.

    Raises:
        SampleError: a distance is negative.
    """
    if kind == "auto":
        kind = "linear" if depth.shades else "metric"
    # Among inverse depths the largest integer is not a mark of "nothing" but the nearest point.
    nothing = ~np.isfinite(depth.values) if kind == "inverse" else depth.nothing
    if kind == "metric":
        nearness = _inverted(np.where(nothing, 0, depth.values), name)
    else:
        nearness = _with_floor(depth.values if kind == "inverse" else -depth.values, nothing)
    low, high = bulk(nearness)
    if ends is not None:
        near, far = ends
        low, high = (1 / far, 1 / near) if kind == "metric" else (-far, -near)
    shaded = stretched(nearness, low, high)
    shaded[nothing] = 0
    return shaded


def stretched(nearness: Values, low: float, high: float) -> NDArray[np.float32]:
    """Return values between low and high over [0, 1], those beyond cut off; 0 where they meet."""
    if not low < high:
        return np.zeros(nearness.shape, np.float32)
    scaled = (nearness.astype(np.float64) - low) / (high - low)
    shaded: NDArray[np.float32] = scaled.clip(0, 1).astype(np.float32)
    return shaded


def bulk(values: Values) -> tuple[float, float]:
    """Return the smallest and largest value once the 0.1 % on either side are left out."""
    strays = int(_STRAY * values.size)
    ordered = np.partition(values.ravel(), (strays, values.size - 1 - strays))
    return float(ordered[strays]), float(ordered[values.size - 1 - strays])


def _read_picture(path: Path, name: str) -> Values:
    """Return the samples of a grey picture; RGB passes where its channels are equal."""
    with picture_file.opened(path, name) as stream:
        source = picture_file.open_image(stream, name)
        with picture_file.pillow_errors(name, source.format):
            image, _ = picture_file.load_raw(source, name)
            mode, samples = image.mode, np.asarray(image)
    if mode in ("RGB", "RGBA", "LA") and not source.raw_mode.endswith("16B"):
        colours = 1 if mode == "LA" else 3
        samples = _one_of_equal([samples[..., channel] for channel in range(colours)], name)
    elif mode not in ("L", "F", "I") and not mode.startswith("I;16"):
        raise SampleError(f"{name}: a {mode} picture, not one grey channel; {_SAVE}")
    return samples


def _one_of_equal(channels: Sequence[Values], name: str) -> Values:
    first, *others = channels
    if not all(np.array_equal(first, other, equal_nan=first.dtype.kind == "f") for other in others):
        raise SampleError(f"{name}: a colour picture, whose channels differ; {_SAVE}")
    return first


def _read_npy(path: Path, name: str) -> Values:
    with picture_file.opened(path, name), _damage(name, "NumPy array"), on_disk(path) as file:
        # Mapped: a header that promises more than the file holds is met before memory is taken, and
        # pickled objects are refused.
        stored: Values = np.lib.format.open_memmap(file, mode="r")
        if stored.ndim == 3 and stored.shape[2] == 1:
            stored = stored[..., 0]
        return np.array(stored)


def _read_exr(path: Path, name: str) -> Values:
    try:
        import OpenEXR
    except ImportError as error:
        fix = "pip install sv2r[exr]"
        raise SampleError(f"{name}: reading EXR needs the OpenEXR package; {fix}") from error

    with picture_file.opened(path, name), _damage(name, "EXR"), on_disk(path) as file:
        headers = OpenEXR.File(str(file), header_only=True).parts
        pixels = sum(part.width() * part.height() for part in headers)
        if pixels > picture_file.MAX_PIXELS:
            raise ValueError(f"{pixels:,} pixels are more than {picture_file.MAX_PIXELS:,}")
        parts = OpenEXR.File(str(file), separate_channels=True).parts
        # OpenEXR leaves out what it cannot decode, and says so on stderr alone.
        if len(parts) != len(headers):
            raise ValueError("its pixels are truncated or damaged")
        channels = {
            f"{part.name()}.{key}" if len(parts) > 1 else key: channel.pixels
            for part in parts
            for key, channel in part.channels.items()
        }
        return _depth_channel(channels, name)


def _depth_channel(channels: Mapping[str, Values], name: str) -> Values:
    """Return the channel with the depth among those of an EXR, told by their names."""
    if len(channels) == 1:
        return next(iter(channels.values()))
    split = {key: key.upper().split(".") for key in channels}
    named = [key for key, parts in split.items() if any("DEPTH" in part for part in parts[:-1])]
    for last in _DEPTH_PARTS:
        for key in named:
            if split[key][-1] == last:
                return channels[key]
    for plain in _PLAIN_NAMES:
        for key, parts in split.items():
            if parts == [plain]:
                return channels[key]
    if {"R", "G", "B"} <= set(channels):
        return _one_of_equal([channels[key] for key in "RGB"], name)
    raise SampleError(
        f"{name}: none of its channels {', '.join(sorted(channels))} is called depth, Z, V or Y;"
        " write the renderer's depth pass alone"
    )


@contextmanager
def _damage(name: str, kind: str) -> Iterator[None]:
    """Turn what a reader raises for a broken file into one SampleError."""
    try:
        yield
    except SampleError:
        raise
    except (OSError, ValueError, RuntimeError, MemoryError, TypeError, EOFError) as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        fix = "render it again, then run the same command"
        raise SampleError(f"{name}: cannot be read as {kind} ({detail}); {fix}") from error


def _inverted(distances: Values, name: str) -> NDArray[np.float64]:
    """Return 1 / distance, 0 where a distance is 0: what renderers and cameras write for none."""
    if (distances < 0).any():
        raise SampleError(
            f"{name}: holds negative distances; write them as positive ones, or say what they are"
            " by --conditioner.depth.kind"
        )
    inverse = np.zeros(distances.shape)
    np.divide(1, distances, out=inverse, where=distances > 0, dtype=np.float64)
    return inverse


def _with_floor(nearness: Values, nothing: NDArray[np.bool_]) -> Values:
    """Return nearness with its own smallest value, 0 where it has none, where nothing was hit."""
    known = nearness[~nothing]
    return np.where(nothing, known.min() if known.size else 0, nearness)
