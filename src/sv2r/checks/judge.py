"""Asks the user's own segmenter whether it still finds every instance where the label is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

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


class JudgeOptions(Options):
    """Options of the judge."""

    model: Checkpoint = Field(
        description="Instance- or universal-segmentation checkpoint of transformers (MaskFormer, "
        "Mask2Former, EoMT ...): a hub id or a folder, with safetensors."
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a hub id.")
    min_agreement: float = Field(
        0.5,
        ge=0,
        le=1,
        description="An instance is damaged where the segmenter's mask fits its label less than "
        "this share of how well it fits on the source.",
    )
    min_source: float = Field(
        0.5,
        gt=0,
        le=1,
        description="An instance is judged where the segmenter's mask on the source overlaps its "
        "label by this much (intersection over union).",
    )
    threshold: float = Field(
        0.5, ge=0, lt=1, description="Score from which the segmenter's masks count."
    )


def build(options: JudgeOptions, runtime: Runtime) -> Check:
    """Return the check, on the runtime's device, in float32.

    Raises:
        ConfigError: the checkpoint is missing, has no safetensors, or segments no instances.
    """
    runtime.show("loading", options.model)
    segmenter = Segmenter(options, runtime.device)

    def check(frame: Frame, picture: Tensor) -> CheckResult:
        """Return how well the segmenter's masks fit the labels of a (3, H, W) uint8 picture.

        Scores per instance: `source_iou`, the best overlap of any mask with the label on the
        source; where that is enough to judge by, `iou`, the same on the picture, and `agreement`,
        their ratio, at most 1.
        """
        labels = frame.instances.labels
        before = segmenter.overlaps((frame.image * 255).round().byte(), labels)
        after = segmenter.overlaps(picture.cpu(), labels)
        scores = {id_: _compare(iou, after[id_]) for id_, iou in before.items()}
        crowds = {id_ for id_, instance in frame.instances.table.items() if instance.crowd}
        judged = {i: s["agreement"] for i, s in scores.items() if "agreement" in s}
        lost = {
            id_: agreement
            for id_, agreement in sorted(judged.items(), key=lambda item: item[1])
            if agreement < options.min_agreement and id_ not in crowds
        }
        picture_scores = {"judged": float(len(judged)), "lost": float(len(lost))}
        reason = _reason(lost) if lost else None
        return CheckResult(reason, picture_scores, scores, frozenset(lost))

    def _compare(before: float, after: float) -> dict[str, float]:
        found = {"source_iou": round(before, 4)}
        if before < options.min_source:
            return found
        return found | {"iou": round(after, 4), "agreement": round(min(1.0, after / before), 4)}

    def _reason(lost: Mapping[int, float]) -> str:
        some = ", ".join(f"{id_} ({agreement:.2f})" for id_, agreement in list(lost.items())[:5])
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        what = "instance" if len(lost) == 1 else "instances"
        return f"the judge does not find {len(lost)} {what} again: {some}{more}"

    return check


class Segmenter:
    """A transformers checkpoint that segments instances."""

    def __init__(self, options: JudgeOptions, device: str) -> None:
        asked = f"--check.judge.model {options.model}"
        folder = checkpoint_folder(options.model, options.revision, "--check.judge.model")
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            with quiet():
                from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation

                processor = AutoImageProcessor.from_pretrained(folder, **local)
                model, told = AutoModelForUniversalSegmentation.from_pretrained(
                    folder, use_safetensors=True, output_loading_info=True, **local
                )
        except (OSError, ValueError, ImportError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"{asked}: {reason[:300]}") from error
        # transformers fills what a checkpoint lacks with noise.
        if told["missing_keys"]:
            missing = min(told["missing_keys"])
            raise ConfigError(f"{asked}: has no {missing}; choose a checkpoint that segments")
        if model.config.model_type == "oneformer":
            raise ConfigError(f"{asked}: a OneFormer wants a task in words; choose another model")
        self._processor, self._device = processor, device
        self._model = model.to(device).eval()
        self._threshold = options.threshold

    def overlaps(self, picture: Tensor, labels: NDArray[np.int32]) -> dict[int, float]:
        """Return for every id in the labels the best intersection over union with any mask."""
        import numpy as np

        ids, index = np.unique(labels, return_inverse=True)
        index = index.reshape(-1)
        areas = np.bincount(index, minlength=len(ids))
        best = np.zeros(len(ids))
        for mask in self._masks(picture):
            common = np.bincount(index[mask.reshape(-1)], minlength=len(ids))
            best = np.maximum(best, common / (areas + mask.sum() - common))
        return {int(id_): float(iou) for id_, iou in zip(ids, best, strict=True) if id_}

    def _masks(self, picture: Tensor) -> Iterator[NDArray[np.bool_]]:
        import torch
        from PIL import Image

        size = tuple(picture.shape[-2:])
        pixels = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
        inputs = self._processor(images=pixels, return_tensors="pt").to(self._device)
        wanted = {name: inputs[name] for name in ("pixel_values", "pixel_mask") if name in inputs}
        with torch.inference_mode():
            found = self._processor.post_process_instance_segmentation(
                self._model(**wanted), threshold=self._threshold, target_sizes=[size]
            )[0]
        segments = found["segmentation"].cpu().numpy()
        for segment in found["segments_info"]:
            yield segments == segment["id"]


@hookimpl
def sv2r_checks() -> Iterable[CheckSpec[JudgeOptions]]:
    """Return the judge."""
    return [
        CheckSpec(
            name="judge",
            summary="Whether a segmenter of yours still finds every instance.",
            options=JudgeOptions,
            build=build,
        )
    ]
