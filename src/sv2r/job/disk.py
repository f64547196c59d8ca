"""What the pictures of a job will take on the disk, guessed before one is made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from statistics import fmean

from sv2r.errors import SampleError
from sv2r.images.decode import picture_size
from sv2r.job.open import OpenJob
from sv2r.job.plan import Plan

# Bytes that a pixel of a photograph takes, by the file's suffix: medians of 725 photographs and
# masks of ten cameras and generators, written by `encode_picture` (PNG: 1.3 to 1.8 for most).
_BYTES: Mapping[str, float] = {
    ".png": 1.6,
    ".jpg": 0.42,
    ".jpeg": 0.42,
    ".webp": 1.2,
    ".tif": 1.7,
    ".tiff": 1.7,
    ".bmp": 3.0,
}
_LOOKED_AT = 64  # pictures whose size is read


def guess_bytes(job: OpenJob, plan: Plan) -> int:
    """Return about how many bytes the planned pictures will take; 0 where none can be read."""
    sizes = list(_sizes(job, plan))
    return round(fmean(sizes) * len(plan.tasks)) if sizes else 0


def _sizes(job: OpenJob, plan: Plan) -> Iterator[float]:
    """Yield the guessed bytes of some pictures, evenly spread over the plan."""
    step = max(1, len(plan.tasks) // _LOOKED_AT)
    for task in plan.tasks[::step]:
        with suppress(SampleError):  # it fails by itself, with its reason, when it is read
            sample = job.dataset.samples[task.index]
            height, width = sample.size or picture_size(sample.image, sample.id)
            target = PurePosixPath(job.writer.target(sample, task.variant))
            yield height * width * _BYTES.get(target.suffix.lower(), _BYTES[".png"])


def free_bytes(output: Path) -> int:
    """Return how many bytes are free where an output lies, or will lie."""
    return shutil.disk_usage(next(p for p in (output, *output.parents) if p.exists())).free
