"""The contract of trainers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sv2r.plugin.specs import Runtime, TrainerSpec, Training
from sv2r.testing.contract import Given, built, check_options, subject_of
from sv2r.trainers.detections import require_detections

_SIDE, _PICTURES = 96, 4


def check_trainer(spec: TrainerSpec[Any], options: Given = None) -> None:
    """Raise ContractError unless a trainer learns from a small set, and gives COCO results.

    The set has four pictures of 96 px, each with a box and a can of 30 px. Give options with which
    that takes seconds.
    """
    check_options(spec)
    subject = subject_of(spec)
    trainer = built(spec, options, Runtime())
    with _small_set() as folder:
        before = {path: path.read_bytes() for path in folder.rglob("*.*")}
        for number in range(2):
            out = folder / f"out-{number}"
            out.mkdir()
            training = Training(folder, folder, ("box", "can"), 0, out, "cpu")
            with subject.managing_to("train and give COCO results"):
                require_detections(trainer.detect(training), folder)
        after = {path: path.read_bytes() for path in before}
    subject.must(before == after, "leave what it is given as it is", "it changed a file")


@contextmanager
def _small_set() -> Iterator[Path]:
    """Yield a COCO folder with a few pictures of coloured squares."""
    import numpy as np
    from PIL import Image
    from pycocotools import mask as rle

    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(1, _PICTURES + 1):
            pixels = np.full((_SIDE, _SIDE, 3), 90, np.uint8)
            for category, (top, left) in enumerate(((10, 8 + number), (50, 40 + number)), 1):
                mask = np.zeros((_SIDE, _SIDE), np.uint8)
                mask[top : top + 30, left : left + 30] = 1
                pixels[mask == 1] = (200, 60, 40) if category == 1 else (40, 90, 210)
                encoded = rle.encode(np.asfortranarray(mask))
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": category,
                        "segmentation": {
                            "size": encoded["size"],
                            "counts": encoded["counts"].decode(),
                        },
                        "bbox": [left, top, 30, 30],
                        "area": 900,
                        "iscrowd": 0,
                    }
                )
            Image.fromarray(pixels).save(folder / f"{number}.png")
            images.append(
                {"id": number, "file_name": f"{number}.png", "height": _SIDE, "width": _SIDE}
            )
        categories = [{"id": 1, "name": "box"}, {"id": 2, "name": "can"}]
        data = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "annotations.json").write_text(json.dumps(data))
        yield folder
