"""The trainer my-plugin: it learns where objects usually are, and looks at no picture."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sv2r import Field, Options, Runtime, TrainerSpec, Training, hookimpl


class MyPluginOptions(Options):
    """Options of the trainer."""

    score: float = Field(0.5, gt=0, le=1, description="How sure it is of what it finds.")


class MyPlugin:
    """Learns from `training.train` and says what it finds in `training.test`."""

    def __init__(self, options: MyPluginOptions, runtime: Runtime) -> None:
        self._score = options.score

    def detect(self, training: Training) -> list[dict[str, Any]]:
        """Return COCO results with RLE masks; what is random follows `training.seed`."""
        learnt = json.loads((training.train / "annotations.json").read_text())
        test = json.loads((training.test / "annotations.json").read_text())
        usual = {one["category_id"]: one["segmentation"] for one in learnt["annotations"]}
        return [
            {
                "image_id": image["id"],
                "category_id": category,
                "score": self._score,
                "segmentation": mask,
            }
            for image in test["images"]
            for category, mask in usual.items()
        ]


@hookimpl
def sv2r_trainers() -> Iterable[TrainerSpec[Any]]:
    """Return the trainer."""
    return [
        TrainerSpec(
            name="my-plugin",
            summary="Learns where objects usually are.",
            options=MyPluginOptions,
            build=MyPlugin,
        )
    ]
