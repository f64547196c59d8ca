"""PNG files at the pace of a dataset job: one row filter in numpy, DEFLATE by isal.

Pillow spends most of a save in zlib at level 6 and in trying all five row filters on every row.
Here one filter is applied to the whole picture by a few 8-bit numpy passes, and Intel's ISA-L
deflates it. `benchmarks/codec.py` measures both. Filters and chunks: W3C, PNG Specification (Third
Edition), sections 5 and 9.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

# Writers take their options' defaults from here when a command lists them: numpy and isal are
# imported by the functions that compute.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Bytes: TypeAlias = "NDArray[np.uint8]"
RowFilter = Literal["none", "sub", "up", "average", "paeth", "adaptive"]

# On photographs choosing per row saves 0.2 % over Paeth everywhere and takes nearly twice as long.
FILTER: RowFilter = "paeth"
LEVEL = 2

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3
# A block of rows whose intermediates stay in the second-level cache.
_BLOCK_BYTES = 1 << 17


def encode_png(
    pixels: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    level: int = LEVEL,
    row_filter: RowFilter = FILTER,
) -> bytes:
    """Return a PNG file that decodes to exactly these pixels.

    Args:
        pixels: (H, W) grey or (H, W, 3) RGB, uint8 or uint16.
        level: isal's DEFLATE level, 0 (fastest) to 3.
        row_filter: "adaptive" tries all five on each row and keeps the one with the smallest sum
            of absolute differences (the specification's own heuristic).

    Raises:
        ValueError: pixels of another shape or type, or no such level or filter.
    """
    import numpy as np

    shaped = pixels.ndim in (2, 3) and pixels.shape[2:] in ((), (3,)) and pixels.size > 0
    if pixels.dtype not in (np.uint8, np.uint16) or not shaped:
        raise ValueError(f"no PNG for pixels of shape {pixels.shape}, type {pixels.dtype}")
    height, width = pixels.shape[:2]
    pixel_bytes = pixels[:1, :1].nbytes
    big_endian = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(">"))
    rows = big_endian.view(np.uint8).reshape(height, width * pixel_bytes)
    return png_file(
        filter_rows(rows, pixel_bytes, row_filter),
        size=(height, width),
        bit_depth=8 * pixels.itemsize,
        colour_type=_GREY if pixels.ndim == 2 else _RGB,
        level=level,
    )


def encode_palette_png(
    indices: NDArray[np.uint8], colours: Sequence[int], *, level: int = LEVEL
) -> bytes:
    """Return a PNG file of (H, W) indices into up to 256 colours, r << 16 | g << 8 | b.

    Raises:
        ValueError: an index has no colour.
    """
    import numpy as np

    highest = int(np.max(indices))
    if indices.dtype != np.uint8 or highest >= len(colours):
        raise ValueError(f"no colour for index {highest}")
    palette = b"".join(colour.to_bytes(3) for colour in colours)
    rows = np.ascontiguousarray(indices)
    return png_file(
        filter_rows(rows, 1, "none"),
        size=(rows.shape[0], rows.shape[1]),
        bit_depth=8,
        colour_type=_PALETTE,
        level=level,
        chunks=[chunk(b"PLTE", palette)],
    )


def filter_rows(rows: Bytes, pixel_bytes: int, row_filter: RowFilter = FILTER) -> Bytes:
    """Return filtered rows, (H, N + 1) uint8: each row behind the number of its filter.

    Args:
        rows: (H, N) uint8, a picture's samples as PNG stores them (16 bits: high byte first).
        pixel_bytes: how many bytes back the pixel to the left stands.
        row_filter: see `encode_png`.
    """
    import numpy as np

    height, length = rows.shape
    bordered = np.zeros((height + 1, length + pixel_bytes), np.uint8)
    bordered[1:, pixel_bytes:] = rows
    filtered = np.empty((height, length + 1), np.uint8)
    step = max(1, _BLOCK_BYTES // length)
    for top in range(0, height, step):
        block = bordered[top : top + step + 1]
        _filter_block(block, pixel_bytes, row_filter, filtered[top : top + step])
    return filtered


def png_file(
    filtered: Bytes,
    *,
    size: tuple[int, int],
    bit_depth: int,
    colour_type: int,
    level: int = LEVEL,
    chunks: Iterable[bytes] = (),
) -> bytes:
    """Return a PNG file around filtered rows.

    Args:
        filtered: what `filter_rows` returned.
        size: (height, width) in pixels.
        bit_depth: 1, 2, 4, 8 or 16.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA.
        level: isal's DEFLATE level, 0 to 3.
        chunks: made by `chunk`, to stand before the pixels (a palette, a resolution).
    """
    from isal import isal_zlib

    height, width = size
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    body = isal_zlib.compress(filtered, level)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", body), chunk(b"IEND", b""))
    return b"".join((_SIGNATURE, *parts))


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one PNG chunk: length, kind, data and their CRC-32."""
    from isal import isal_zlib

    checksum = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)))


def _filter_block(block: Bytes, pixel_bytes: int, row_filter: RowFilter, out: Bytes) -> None:
    """Write the filtered rows of a block that has one row above and one pixel to the left."""
    import numpy as np

    current = block[1:, pixel_bytes:]
    neighbours = block[1:, :-pixel_bytes], block[:-1, pixel_bytes:], block[:-1, :-pixel_bytes]
    if row_filter != "adaptive":
        number, predict = _FILTERS[row_filter]
        out[:, 0] = number
        np.subtract(current, predict(*neighbours), out=out[:, 1:])
        return
    least = np.full(len(out), np.iinfo(np.int64).max)
    for number, predict in _FILTERS.values():
        difference = current - predict(*neighbours)
        cost = np.minimum(difference, -difference).sum(axis=1, dtype=np.int64)
        better = cost < least
        least[better] = cost[better]
        out[better, 0] = number
        out[better, 1:] = difference[better]


def _none(left: Bytes, above: Bytes, corner: Bytes) -> Bytes:
    return left * 0


def _sub(left: Bytes, above: Bytes, corner: Bytes) -> Bytes:
    return left


def _up(left: Bytes, above: Bytes, corner: Bytes) -> Bytes:
    return above


def _average(left: Bytes, above: Bytes, corner: Bytes) -> Bytes:
    """Return floor((left + above) / 2), which 8 bits hold when the shared bits stand apart."""
    average: Bytes = (left & above) + ((left ^ above) >> 1)
    return average


def _paeth(left: Bytes, above: Bytes, corner: Bytes) -> Bytes:
    """Return the neighbour nearest to left + above - corner, in 8-bit arithmetic.

    Let low and high be the smaller and the larger of left and above. A corner between them is
    itself nearest, unless one of them is at least twice as far from it as the other: then the far
    one is. A corner at or beyond one of them is the limit of that: the other one is nearest.
    """
    import numpy as np

    high, low = np.maximum(left, above), np.minimum(left, above)
    to_high = high - np.minimum(high, corner)
    to_low = np.maximum(low, corner) - low
    farther = np.maximum(to_low, to_high)
    take_low = (farther - to_high >= to_high).view(np.uint8)
    take_high = (farther - to_low >= to_low).view(np.uint8)
    # Arithmetic modulo 256 selects; np.where on bytes takes ten times as long.
    nearest: Bytes = corner + (high - corner) * take_high
    nearest += (low - nearest) * take_low
    return nearest


_FILTERS: dict[str, tuple[int, Callable[[Bytes, Bytes, Bytes], Bytes]]] = {
    "none": (0, _none),
    "sub": (1, _sub),
    "up": (2, _up),
    "average": (3, _average),
    "paeth": (4, _paeth),
}
