"""Depth as a control map, near = bright: the renderer's own, or estimated by a checkpoint.

Depth ControlNets are trained on what MiDaS and DPT estimate: inverse depth up to scale and shift,
stretched over [0, 1] in each picture (R. Ranftl et al., Towards Robust Monocular Depth Estimation,
IEEE TPAMI 44(3), 2022). A renderer's distances are brought to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from sv2r.errors import ConfigError, SampleError
from sv2r.hub import Checkpoint, checkpoint_folder, quiet
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Conditioner, ConditionerSpec, Runtime
from sv2r.types import ControlMap, Frame, Sample
from sv2r.weights import weight_files, weights_sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_METRIC_MODELS = frozenset({"zoedepth", "depth_pro", "glpn", "chmv2", "tipsv2_dpt"})
_INVERSE_MODELS = frozenset({"dpt", "depth_anything", "prompt_depth_anything"})


class DepthOptions(Options):
    """Where depth comes from and how its numbers grow."""

    model: Checkpoint | None = Field(
        None,
        description="Depth-estimation checkpoint (hub id or folder, safetensors) for samples that"
        " have no depth of the renderer's.",
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a hub id.")
    output: Literal["auto", "inverse", "metric"] = Field(
        "auto",
        description="What the checkpoint estimates: inverse depth (MiDaS, Depth Anything) or"
        " distances (ZoeDepth); auto goes by its config.",
    )
    kind: Literal["auto", "metric", "linear", "inverse"] = Field(
        "auto",
        description="What the renderer wrote: distances (0 is no data), shades that grow evenly"
        " with distance, or near = large; auto takes 8-bit files as shades, others as distances.",
    )
    near: float | None = Field(
        None,
        gt=0,
        description="What is white, in the renderer's unit; without it each picture's own.",
    )
    far: float | None = Field(
        None, gt=0, description="What is black, in the renderer's unit; goes with near."
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.near is None) != (self.far is None):
            raise ValueError("near and far go together; give both or neither")
        if self.near is not None and self.kind == "inverse":
            raise ValueError("near and far are distances; leave them out for kind inverse")
        if self.near is not None and self.far is not None and self.near >= self.far:
            raise ValueError(f"near {self.near:g} must be below far {self.far:g}")
        if self.revision is not None and self.model is None:
            raise ValueError("revision belongs to a model; give model as well")
        return self


def build(options: DepthOptions, runtime: Runtime) -> Conditioner:
    """Return what makes a frame's depth map; loads the checkpoint where one is given.

    Raises:
        ConfigError: the checkpoint is missing, has no safetensors, or estimates no depth.
    """
    if options.model:
        runtime.show("loading", options.model)
    estimator = Estimator(options, runtime.device) if options.model else None
    return Depth(options, runtime, estimator)


class Depth:
    """Makes depth maps."""

    def __init__(
        self, options: DepthOptions, runtime: Runtime, estimator: Estimator | None
    ) -> None:
        self._options = options
        self._root = runtime.input
        self._estimator = estimator

    def __call__(self, frame: Frame) -> ControlMap:
        """Return depth as a (3, H, W) map: 1 near, 0 far; all 0 where everything is equally far.

        Raises:
            SampleError: there is neither a renderer's depth nor a checkpoint, the depth's file
                cannot be read, or its size is not the picture's.
        """
        import torch

        path = frame.sample.channels.get("depth")
        if path is not None:
            depth = self._rendered(path, frame)
        elif self._estimator is not None:
            depth = self._estimator(frame)
        else:
            raise SampleError(_without_depth(frame.sample))
        return ControlMap("depth", torch.from_numpy(depth).expand(3, -1, -1))

    def settings(self) -> Mapping[str, Any]:
        """Return where depth comes from."""
        rendered = {"renderer": self._options.kind}
        return rendered if self._estimator is None else {**rendered, **self._estimator.settings()}

    def _rendered(self, path: Path, frame: Frame) -> NDArray[np.float32]:
        from sv2r.images.depth_map import read_depth, shade

        inside = path.is_relative_to(self._root)
        name = str(path.relative_to(self._root)) if inside else path.name
        depth = read_depth(path, name, frame.sample.readings.get("depth"))
        if depth.values.shape != frame.size:
            (rows, columns), (height, width) = depth.values.shape, frame.size
            raise SampleError(
                f"{name}: depth is {columns}x{rows} but the picture is {width}x{height};"
                " render both at one size"
            )
        options = self._options
        ends = None if options.near is None or options.far is None else (options.near, options.far)
        return shade(depth, name, kind=options.kind, ends=ends)


class Estimator:
    """Estimates depth by a transformers checkpoint, in float32."""

    def __init__(self, options: DepthOptions, device: str) -> None:
        self._asked = f"--conditioner.depth.model {options.model}"
        self._options = options
        self._device = device
        folder = checkpoint_folder(
            str(options.model), options.revision, "--conditioner.depth.model"
        )
        self._sha256 = weights_sha256(weight_files(folder), folder)
        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            with quiet():
                from transformers import AutoImageProcessor, AutoModelForDepthEstimation

                self._processor = AutoImageProcessor.from_pretrained(folder, **local)
                model, told = AutoModelForDepthEstimation.from_pretrained(
                    folder, use_safetensors=True, output_loading_info=True, **local
                )
        except (OSError, ValueError, ImportError) as error:
            raise ConfigError(f"{self._asked}: {_first_line(error)}") from error
        # transformers would fill a missing head with noise. Layers inside that a checkpoint leaves
        # out can be ones that are never used (MiDaS's first fusion layer).
        if any(key.partition(".")[0].endswith("head") for key in told["missing_keys"]):
            raise ConfigError(f"{self._asked}: has no depth head; choose a depth-estimation model")
        self._metric = _is_metric(model.config, options.output, self._asked)
        self._model = model.to(device).eval()

    def __call__(self, frame: Frame) -> NDArray[np.float32]:
        """Return the estimate as (H, W) in [0, 1], near = 1.

        Inverse depth is stretched from its smallest to its largest value, as it was in training.

        Raises:
            SampleError: the checkpoint's processor does not take this size, or NaN came out.
        """
        import numpy as np
        import torch

        from sv2r.images.depth_map import bulk, stretched

        with torch.inference_mode():
            inputs = self._prepared(frame).to(self._device)
            results = self._processor.post_process_depth_estimation(
                self._model(**inputs), [frame.size]
            )
        estimate = results[0]["predicted_depth"].float().cpu().numpy().reshape(frame.size)
        if not np.isfinite(estimate).all():
            raise SampleError(f"{frame.sample.id}: {self._asked} estimates no finite depth for it")
        if not self._metric:
            return stretched(estimate, float(estimate.min()), float(estimate.max()))
        # A stray distance near 0 must not take the whole range for itself.
        nearness = 1 / estimate.clip(np.finfo(np.float32).tiny).astype(np.float64)
        return stretched(nearness, *bulk(nearness))

    def settings(self) -> Mapping[str, Any]:
        """Return what estimates depth where the renderer has none."""
        return {
            "model": self._options.model,
            "revision": self._options.revision,
            "sha256": self._sha256,
            "output": "metric" if self._metric else "inverse",
        }

    def _prepared(self, frame: Frame) -> Any:
        from PIL import Image

        pixels = frame.pixels.permute(1, 2, 0).contiguous().numpy()
        try:
            return self._processor(images=Image.fromarray(pixels), return_tensors="pt")
        except (ValueError, RuntimeError, ZeroDivisionError) as error:
            height, width = frame.size
            raise SampleError(
                f"{frame.sample.id}: {self._asked} takes no picture of {width}x{height}"
                f" ({_first_line(error)})"
            ) from error


def _is_metric(config: Any, output: str, asked: str) -> bool:
    declared = getattr(config, "depth_estimation_type", None)
    if output != "auto":
        return output == "metric"
    if declared in ("metric", "relative"):
        return bool(declared == "metric")
    if config.model_type in _METRIC_MODELS | _INVERSE_MODELS:
        return config.model_type in _METRIC_MODELS
    raise ConfigError(
        f"{asked}: a {config.model_type} model does not say what it estimates;"
        " give --conditioner.depth.output inverse or metric"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _without_depth(sample: Sample) -> str:
    return (
        f"{sample.id}: has no depth; name the renderer's by --loader.depth, or a depth-estimation "
        "checkpoint by --conditioner.depth.model"
    )


def objection(options: DepthOptions, sample: Sample) -> str | None:
    """Return why there is no depth for samples like this, or None."""
    there = options.model is not None or "depth" in sample.channels
    return None if there else _without_depth(sample)


@hookimpl
def sv2r_conditioners() -> Iterable[ConditionerSpec[DepthOptions]]:
    """Return the conditioner."""
    return [
        ConditionerSpec(
            name="depth",
            summary="Depth, near = bright: the renderer's own, or a checkpoint's estimate.",
            options=DepthOptions,
            build=build,
            produces="depth",
            objection=objection,
        )
    ]
