"""PNG as sv2r writes and reads it, against Pillow's default and OpenCV's.

    uv run --with opencv-python-headless python -m benchmarks.codec [--json FILE]

Pictures: one made here to be like a photograph (shapes, coloured noise, sensor noise; always the
same), and real photographs where a folder of them is named or sample data is at hand.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.lib.photograph import Pixels, made_photograph
from benchmarks.lib.table import Row, median_seconds, parser, report
from sv2r.images.decode import read_picture
from sv2r.images.encode import encode_picture

Encode = Callable[[Pixels], bytes]

_SIZES = (512, 1024)
_AT_MOST = 12
_SAMPLE_DATA = Path(__file__).parents[2] / "shared" / "data" / "palletjack_synthetic_and_real"


def main() -> None:
    """Measure, print the table and write the JSON."""
    arguments = parser("PNG against Pillow and OpenCV.")
    arguments.add_argument(
        "--photos", type=Path, default=_SAMPLE_DATA, help="a folder of photographs (searched deep)"
    )
    options = arguments.parse_args()
    opencv = opencv_encoder()
    rows = []
    for size in _SIZES:
        rows += measured(f"{size}x{size} made", [made_photograph(size)], opencv)
        if photos := cropped_photographs(options.photos, size):
            rows += measured(f"{size}x{size} {len(photos)} photos", photos, opencv)
    report(rows, options.json)


def measured(name: str, pictures: Sequence[Pixels], opencv: Encode | None) -> list[Row]:
    """Return the rows for a set of pictures: mean times and mean sizes."""
    ours, pillow = encode_ours(pictures[0]), encode_pillow(pictures[0])
    must_equal(ours, pictures[0])
    must_equal(pillow, pictures[0])
    milliseconds = mean_encode(encode_ours, pictures)
    kilobytes = mean_size(encode_ours, pictures)
    rivals = {"Pillow": encode_pillow, **({"OpenCV": opencv} if opencv else {})}
    rows = []
    for rival, encode in rivals.items():
        title = f"{name}: PNG encode against {rival}"
        rows.append(Row.against(title, milliseconds, "ms", mean_encode(encode, pictures)))
        size = mean_size(encode, pictures)
        rows.append(Row.against(f"{name}: file size against {rival}", kilobytes, "kB", size))
    rows.append(Row.against(f"{name}: read_picture against Pillow", *decode_times(pictures)))
    return rows


def encode_ours(pixels: Pixels) -> bytes:
    """Return the PNG that sv2r writes by default."""
    return encode_picture(pixels, ".png")


def encode_pillow(pixels: Pixels) -> bytes:
    """Return the PNG that Pillow writes by default."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def decode_pillow(file: Path) -> Pixels:
    """Return the pixels as Pillow decodes them."""
    with Image.open(file) as image:
        return np.asarray(image)


def opencv_encoder() -> Encode | None:
    """Return OpenCV's default PNG encoder, or None, said on stderr, where it is not installed."""
    try:
        cv2 = import_module("cv2")
    except ImportError as error:
        print(f"OpenCV is left out: {error}; add --with opencv-python-headless", file=sys.stderr)
        return None

    def encode(pixels: Pixels) -> bytes:
        _, file = cv2.imencode(".png", pixels)
        return bytes(file)

    return encode


def must_equal(file: bytes, pixels: Pixels) -> None:
    """Stop where a file does not decode to its picture: its speed would mean nothing."""
    with Image.open(io.BytesIO(file)) as image:
        if not np.array_equal(np.asarray(image), pixels):
            sys.exit("a PNG did not decode to the picture that it was made of")


def mean_encode(encode: Encode, pictures: Sequence[Pixels]) -> float:
    """Return the mean over the pictures of the median time to encode one, in milliseconds."""
    return 1000 * float(np.mean([median_seconds(partial(encode, pixels)) for pixels in pictures]))


def mean_size(encode: Encode, pictures: Sequence[Pixels]) -> float:
    """Return the mean size of a file, in kilobytes."""
    return float(np.mean([len(encode(picture)) for picture in pictures])) / 1000


def decode_times(pictures: Sequence[Pixels]) -> tuple[float, str, float]:
    """Return (ms that sv2r takes for its own file, "ms", ms that Pillow takes for Pillow's)."""
    ours, pillow = [], []
    with tempfile.TemporaryDirectory() as folder:
        for pixels in pictures:
            mine, theirs = Path(folder) / "mine.png", Path(folder) / "theirs.png"
            mine.write_bytes(encode_ours(pixels))
            theirs.write_bytes(encode_pillow(pixels))
            ours.append(median_seconds(partial(read_picture, mine, mine.name)))
            pillow.append(median_seconds(partial(decode_pillow, theirs)))
    return 1000 * float(np.mean(ours)), "ms", 1000 * float(np.mean(pillow))


def cropped_photographs(folder: Path, size: int) -> list[Pixels]:
    """Return some photographs' middle squares at this size; none where the folder is not there."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    pictures = []
    for file in files[:: max(1, len(files) // _AT_MOST)][:_AT_MOST]:
        with Image.open(file) as image:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.convert("RGB").crop((left, top, left + side, top + side))
        pictures.append(np.asarray(square.resize((size, size), Image.Resampling.LANCZOS)))
    return pictures


if __name__ == "__main__":
    main()
