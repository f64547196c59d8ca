"""Asks a promptable segmenter for every instance by its label, on the source and on the picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sv2r.errors import ConfigError
from sv2r.hub import Checkpoint, checkpoint_folder, quiet
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Check, CheckSpec, Runtime
from sv2r.types import CheckResult, Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_OPTION = "--check.second-opinion.model"


class SecondOpinionOptions(Options):
    """Options of the second opinion."""

    model: Checkpoint = Field(
        description="Promptable segmentation checkpoint of transformers (SAM, SAM-HQ, SAM 2, the "
        "tracker of SAM 3, EdgeTAM): a hub id or a folder, with safetensors."
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a hub id.")
    prompt: Literal["box", "point", "both"] = Field(
        "box",
        description="What of the label the segmenter is given: its box, a point in it, or both.",
    )
    max_drop: float = Field(
        0.25,
        ge=0,
        le=1,
        description="An instance is damaged where the mask on the picture overlaps its label by "
        "this much less than the mask on the source (intersection over union).",
    )
    min_source: float = Field(
        0.6,
        gt=0,
        le=1,
        description="An instance is judged where the mask on the source overlaps its label by this "
        "much.",
    )
    min_area: int = Field(
        64, ge=1, description="Pixels: an instance that shows fewer is not asked for."
    )
    prompts: int = Field(
        64, ge=1, le=4096, description="Instances asked for in one call; more take more memory."
    )


def build(options: SecondOpinionOptions, runtime: Runtime) -> Check:
    """Return the check, on the runtime's device, in float32.

    Raises:
        ConfigError: the checkpoint is missing, has no safetensors, or takes no prompts.
    """
    runtime.show("loading", options.model)
    segmenter = Promptable(options, runtime.device)

    def check(frame: Frame, picture: Tensor) -> CheckResult:
        """Return by how much the segmenter's masks fit the labels less on a (3, H, W) picture.

        Scores per instance: `source_iou`, of the label with the mask on the source; where that is
        enough to judge by, `iou`, the same on the picture, and `drop`, 0 or more. A crowd is scored
        but never damaged.
        """
        labels = frame.instances.labels
        ids = _large_enough(labels, options.min_area)
        pair = ((frame.image * 255).round().byte().cpu(), picture.cpu())
        scores = {
            id_: _compare(before, after)
            for id_, (before, after) in zip(ids, segmenter.overlaps(pair, labels, ids), strict=True)
        }
        drops = {id_: found["drop"] for id_, found in scores.items() if "drop" in found}
        crowds = {id_ for id_, instance in frame.instances.table.items() if instance.crowd}
        worst = sorted(drops.items(), key=lambda item: -item[1])
        lost = {i: drop for i, drop in worst if drop > options.max_drop and i not in crowds}
        return CheckResult(
            _reason(lost) if lost else None,
            {"judged": float(len(drops)), "lost": float(len(lost))},
            scores,
            frozenset(lost),
            merit=-sum(drops.values()) / len(drops) if drops else None,
        )

    def _compare(before: float, after: float) -> dict[str, float]:
        found = {"source_iou": round(before, 4)}
        if before < options.min_source:
            return found
        return found | {"iou": round(after, 4), "drop": round(max(0.0, before - after), 4)}

    return check


def _large_enough(labels: NDArray[np.int32], least: int) -> list[int]:
    import numpy as np

    ids, counts = np.unique(labels, return_counts=True)
    return [int(id_) for id_, count in zip(ids, counts, strict=True) if id_ and count >= least]


def _reason(lost: Mapping[int, float]) -> str:
    some = ", ".join(f"{id_} (-{drop:.2f})" for id_, drop in list(lost.items())[:5])
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    what = "instance" if len(lost) == 1 else "instances"
    return f"the second opinion finds {len(lost)} {what} elsewhere or not at all: {some}{more}"


class Promptable:
    """A transformers checkpoint that segments what it is prompted with."""

    def __init__(self, options: SecondOpinionOptions, device: str) -> None:
        asked = f"{_OPTION} {options.model}"
        folder = checkpoint_folder(options.model, options.revision, _OPTION)
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            with quiet():
                from transformers import AutoModelForMaskGeneration, AutoProcessor

                processor = AutoProcessor.from_pretrained(folder, **local)
                model, told = AutoModelForMaskGeneration.from_pretrained(
                    folder, use_safetensors=True, output_loading_info=True, **local
                )
        except (OSError, ValueError, ImportError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"{asked}: {reason[:300]}") from error
        # transformers fills what a checkpoint lacks with noise.
        if told["missing_keys"]:
            missing = min(told["missing_keys"])
            raise ConfigError(f"{asked}: has no {missing}; choose a checkpoint that takes prompts")
        self._processor, self._device = processor, device
        self._model = model.to(device).eval()
        self._options = options

    def overlaps(
        self, pictures: Sequence[Tensor], labels: NDArray[np.int32], ids: Sequence[int]
    ) -> list[tuple[float, ...]]:
        """Return for every id how well the best mask fits its label, on each of the pictures.

        pictures: (3, H, W) uint8, of one size. They go through the model together.
        """
        found: list[tuple[float, ...]] = []
        for start in range(0, len(ids), self._options.prompts):
            found += self._some(pictures, labels, ids[start : start + self._options.prompts])
        return found

    def _some(
        self, pictures: Sequence[Tensor], labels: NDArray[np.int32], ids: Sequence[int]
    ) -> list[tuple[float, ...]]:
        import torch

        wanted = [labels == id_ for id_ in ids]
        images = [picture.permute(1, 2, 0).contiguous().numpy() for picture in pictures]
        prompts = self._prompts(wanted, len(images))
        inputs = self._processor(images=images, return_tensors="pt", **prompts).to(self._device)
        sizes = {
            name: inputs.pop(name).cpu()
            for name in ("original_sizes", "reshaped_input_sizes")
            if name in inputs
        }
        with torch.inference_mode():
            masks = self._model(**inputs, multimask_output=True).pred_masks.cpu()
        masks = self._processor.post_process_masks(masks, **sizes)
        fits = [
            [_best_overlap(mask, own) for mask, own in zip(part, wanted, strict=True)]
            for part in masks
        ]
        return list(zip(*fits, strict=True))

    def _prompts(self, wanted: Sequence[NDArray[np.bool_]], count: int) -> dict[str, Any]:
        """Return what the processor takes: the same prompts for each of the pictures."""
        given: dict[str, Any] = {}
        if self._options.prompt != "point":
            given["input_boxes"] = [[_box(mask) for mask in wanted]] * count
        if self._options.prompt != "box":
            given["input_points"] = [[[_point(mask)] for mask in wanted]] * count
            given["input_labels"] = [[[1] for _ in wanted]] * count
        return given


def _box(mask: NDArray[np.bool_]) -> list[float]:
    """Return the left, top, right and bottom edge of a mask's box."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return [float(at) for at in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)]


def _point(mask: NDArray[np.bool_]) -> list[float]:
    """Return (x, y) of the pixel of a mask that is nearest to its middle."""
    rows, columns = mask.nonzero()
    far = (rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2
    nearest = int(far.argmin())
    return [float(columns[nearest]), float(rows[nearest])]


def _best_overlap(masks: Tensor, own: NDArray[np.bool_]) -> float:
    """Return the best intersection over union of (n, H, W) masks with a label's."""
    import torch

    label, found = torch.from_numpy(own), masks.bool()
    common, union = (found & label).sum((1, 2)), (found | label).sum((1, 2))
    return float((common / union).max())


@hookimpl
def sv2r_checks() -> Iterable[CheckSpec[SecondOpinionOptions]]:
    """Return the second opinion."""
    return [
        CheckSpec(
            name="second-opinion",
            summary="Whether a promptable segmenter (SAM) finds every instance as in the source.",
            options=SecondOpinionOptions,
            build=build,
        )
    ]
