"""Pictures that the page carries within itself: small ones, and the labels' contours."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sv2r.errors import SampleError, Sv2rError
from sv2r.images.decode import read_picture
from sv2r.images.outlines import contour_paths
from sv2r.output.journal import FOLDER
from sv2r.plugin.specs import Conditioner
from sv2r.report.entries import ReportEntry
from sv2r.storage.source import published_file
from sv2r.types import ControlMap, Dataset
from sv2r.worker.frames import read_frame

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

    controls: data URLs of the control maps, by the conditioners' names.
    contours: SVG path data by instance id, in units of `grid` = (height, width).
    missing: a line for each picture that should be there and cannot be read.
    """

    before: str | None = None
    after: str | None = None
    contours: Mapping[int, str] | None = None
    grid: tuple[float, float] = (1, 1)
    size: tuple[int, int] | None = None
    missing: tuple[str, ...] = ()
    controls: Mapping[str, str] = field(default_factory=dict)


def embed(
    entry: ReportEntry,
    output: Path,
    dataset: Dataset | None,
    index: int | None,
    makers: Sequence[tuple[str, Conditioner]] = (),
) -> Embedded:
    """Return what of an entry is to lie in the page; what cannot be read is left out and named.

    makers: what makes control maps, by name.
    """
    missing: list[str] = []
    before, size, labels = None, None, None
    controls: dict[str, str] = {}
    if dataset is not None and index is not None:
        try:
            sample = dataset.samples[index]
            before = read_picture(sample.image, sample.id).pixels
            labels = sample.load_instances().labels
            if makers:
                frame = read_frame(dataset, index)
                controls = {name: _control_url(make(frame)) for name, make in makers}
        except Sv2rError as error:  # a plugin's, perhaps, that makes no control map of it
            missing.append(str(error))
    after, name = None, _shown(entry)
    if name:
        try:
            after = read_picture(published_file(output, name), name).pixels
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
        controls,
    )


def _shown(entry: ReportEntry) -> str | None:
    """Return the path, under the output, of the picture that an entry shows as its result."""
    best = (url for attempt, url in entry.attempts if attempt.best)
    if entry.record.output or (url := next(best, None)) is None:
        return entry.record.output
    return f"{FOLDER}/{unquote(url)}"


def _control_url(control: ControlMap) -> str:
    return data_url((control.image.cpu() * 255).round().byte().permute(1, 2, 0).numpy())


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
