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
        near = nearest(name, known)
        hint = f"; did you mean {near}?" if near else ""
        raise ConfigError(f"diffusers {diffusers.__version__} has no pipeline {name}{hint}")
    with quiet():
        return getattr(diffusers, name)


def call_parameters(name: str) -> Mapping[str, Any]:
    """Return what a pipeline's call takes: {name: default}, or the empty marker for none."""
    parameters = inspect.signature(pipeline_class(name).__call__).parameters
    return {each: parameter.default for each, parameter in parameters.items() if each != "self"}


def image_to_image_class(name: str) -> str:
    """Return the pipeline that works at a strength, for a model that names that pipeline.

    Raises:
        ConfigError: there is none.
    """
    family = family_of(name)
    if family is not None:
        return family.image_to_image
    found = name if _from_picture(name) else _auto_class(name)
    if found is None or not _from_picture(found) or "strength" not in call_parameters(found):
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
    """Return whether a pipeline's call takes a picture and nothing else that sv2r has not.

    Raises:
        ConfigError: it takes a control image as well.
    """
    takes = call_parameters(name)
    if "control_image" in takes:
        raise ConfigError(
            f"a {name} has a ControlNet of its own; give the model without it, and the ControlNet "
            f"to --translator controlnet"
        )
    return "image" in takes and not {"mask_image", "mask", "last_image", "num_frames"} & set(takes)


def _auto_class(name: str) -> str | None:
    """Return the class that diffusers' AutoPipelineForImage2Image takes for that one."""
    pipeline_class(name)
    with quiet():
        from diffusers.pipelines import auto_pipeline

    mapping = auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING
    found = auto_pipeline._get_task_class(mapping, name, throw_error_if_not_exist=False)
    return found.__name__ if found is not None else None
