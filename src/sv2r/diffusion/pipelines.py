"""Which diffusers pipeline makes pictures from pictures, and what its call takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from sv2r.diffusion.families import family_of
from sv2r.errors import ConfigError
from sv2r.hub import quiet
from sv2r.plugin.words import nearest


def pipeline_class(name: str) -> Any:
    """Return the diffusers pipeline of that name.

    Raises:
        ConfigError: diffusers has none; names the nearest.
    """
    import diffusers

    known = [each for each in dir(diffusers) if each.endswith("Pipeline")]
    if name not in known:
        # All names end alike, which would make any two of them near.
        near = nearest(name.removesuffix("Pipeline"), {each[:-8] for each in known})
        hint = f"; did you mean {near}Pipeline?" if near else ""
        raise ConfigError(f"diffusers {diffusers.__version__} has no pipeline {name}{hint}")
    with quiet():
        found = getattr(diffusers, name)
    # Where a package is missing, diffusers has a class of that name that can do nothing.
    missing = [backend for backend in getattr(found, "_backends", ()) if not _is_there(backend)]
    if missing:
        needs = " and ".join(missing)
        raise ConfigError(
            f"{name} needs {needs}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            f"pip install {' '.join(missing)}"
        )
    return found


def _is_there(backend: str) -> bool:
    from diffusers.utils.import_utils import BACKENDS_MAPPING

    return backend in BACKENDS_MAPPING and bool(BACKENDS_MAPPING[backend][0]())


def call_parameters(name: str) -> Mapping[str, Any]:
    """Return what a pipeline's call takes: {name: default}, or the empty marker for none."""
    parameters = inspect.signature(pipeline_class(name).__call__).parameters
    return {each: parameter.default for each, parameter in parameters.items() if each != "self"}


def image_to_image_class(name: str) -> str:
    """Return the pipeline that works at a strength, for a model that names that pipeline.

    Raises:
        ConfigError: there is none.
    """
    found = own_class(name)
    if "strength" not in call_parameters(found):
        raise ConfigError(
            f"a {name} makes no pictures from pictures at a strength; try --translator checkpoint"
        )
    return found


def own_class(name: str) -> str:
    """Return the pipeline that makes pictures from pictures, the model's own where it does that.

    Raises:
        ConfigError: there is none.
    """
    family = family_of(name)
    if family is not None:
        return family.image_to_image
    found = name if _from_picture(name) else _auto_class(name)
    if found is None or not _from_picture(found):
        raise ConfigError(f"a {name} makes no pictures from pictures")
    return found


def _from_picture(name: str) -> bool:
    """Return whether a pipeline's call takes the picture to change, and nothing sv2r has not.

    Raises:
        ConfigError: it takes a picture for something else.
    """
    takes = call_parameters(name)
    other = _other_use(name, takes)
    if other:
        raise ConfigError(f"a {name} {other}")
    return "image" in takes and not _MASKS & set(takes)


_MASKS = frozenset({"mask_image", "mask", "masks"})
# What a call takes that makes a video, or what a pipeline is made of that gives an embedding.
_VIDEO = frozenset({"num_frames", "frames", "fps", "last_image", "video"})
_EXAMPLE = frozenset({"image_embedder", "image_normalizer", "image_unet", "text_decoder"})
_DECODERS = frozenset({"vae", "vqvae", "movq", "unet"})


def _other_use(name: str, takes: Mapping[str, Any]) -> str:
    """Return what a pipeline does with `image` where that is not the picture to change, or ""."""
    parts = set(inspect.signature(pipeline_class(name).__init__).parameters)
    if "control_image" in takes or "controlnet" in parts:
        return (
            "has a ControlNet of its own; give the model without it, and the ControlNet to "
            "--translator controlnet"
        )
    if "image" not in takes or _MASKS & set(takes):
        return ""  # another class of the same model may do
    needs = [each for each, default in takes.items() if default is inspect.Parameter.empty]
    needs = [each for each in needs if each not in ("image", "prompt", "args", "kwargs")]
    uses = {
        "takes a picture as its adapter's control map": "adapter" in parts,
        "makes videos": bool(_VIDEO & set(takes)),
        "takes a picture as an example, not as the one to change": bool(
            parts & _EXAMPLE or not parts & _DECODERS or not {"prompt", "strength"} & set(takes)
        ),
        "enlarges pictures": "noise_level" in takes or "Upscale" in name,
        f"needs {', '.join(needs)} besides the picture": bool(needs),
    }
    return next((f"{use}; choose another model" for use, applies in uses.items() if applies), "")


def _auto_class(name: str) -> str | None:
    """Return the class that diffusers' AutoPipelineForImage2Image takes for that one."""
    pipeline_class(name)
    with quiet():
        from diffusers.pipelines import auto_pipeline

    mapping = auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING
    found = auto_pipeline._get_task_class(mapping, name, throw_error_if_not_exist=False)
    return found.__name__ if found is not None else None
