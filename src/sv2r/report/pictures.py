"""Pictures that the page carries within itself: small ones, and the labels' contours."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sv2r.errors import SampleError
from sv2r.images.decode import read_picture
from sv2r.images.outlines import contour_paths
from sv2r.report.entries import ReportEntry
from sv2r.storage.source import published_file
from sv2r.types import Dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sv2r.images.outlines import LabelMap, Point

PREVIEW_SIDE = 512  # px of the longer side: enough to judge a boundary, small enough to carry many
_QUALITY = 80  # of JPEG: a fifth of WebP's time, files a third larger
# Contours of larger label maps follow every second pixel, or third ...: the page shows no more.
_CONTOUR_SIDE = 1024


@dataclass(frozen=True)
class Embedded:
    """What of one entry lies in the page. before, after: data URLs, None where there is no picture.

    contours: SVG path data by instance id, in units of `grid` = (height, width).
    missing: a line for each picture that should be there and cannot be read.
    """

    before: str | None = None
    after: str | None = None
    contours: Mapping[int, str] | None = None
    grid: tuple[float, float] = (1, 1)
    size: tuple[int, int] | None = None
    missing: tuple[str, ...] = ()


def embed(entry: ReportEntry, output: Path, dataset: Dataset | None, index: int | None) -> Embedded:
    """Return what of an entry is to lie in the page; what cannot be read is left out and named."""
    missing: list[str] = []
    record, before, size, labels = entry.record, None, None, None
    if dataset is not None and index is not None:
        try:
            sample = dataset.samples[index]
            before = read_picture(sample.image, sample.id).pixels
            labels = sample.load_instances().labels
        except SampleError as error:
            missing.append(str(error))
    after = None
    if record.output:
        try:
            after = read_picture(published_file(output, record.output), record.output).pixels
        except SampleError as error:
            missing.append(str(error))
    for pixels in (before, after):
        if pixels is not None:
            size = (pixels.shape[0], pixels.shape[1])
    step = 1 if labels is None else -(-max(labels.shape) // _CONTOUR_SIDE)
    return Embedded(
        None if before is None else data_url(before),
        None if after is None else data_url(after),
        None if labels is None else contours(labels[::step, ::step]),
        (1, 1) if labels is None else (labels.shape[0] / step, labels.shape[1] / step),
        size,
        tuple(missing),
    )


def contours(labels: LabelMap) -> dict[int, str]:
    """Return SVG path data around each instance, along the cracks between pixels."""
    return {
        instance: "".join(_path(path) for path in paths)
        for instance, paths in contour_paths(labels).items()
    }


def _path(corners: list[Point]) -> str:
    """Return one closed path: each step goes along a row or a column."""
    (x, y), *_ = corners
    steps = [
        f"h{right - left}" if right != left else f"v{below - above}"
        for (left, above), (right, below) in pairwise(corners)
    ]
    return f"M{x} {y}{''.join(steps)}z"


def data_url(pixels: NDArray[np.uint8]) -> str:
    """Return an (H, W, 3) picture as a JPEG within a URL, no side above PREVIEW_SIDE."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
