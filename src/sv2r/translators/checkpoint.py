"""The user's own checkpoint: any image-to-image pipeline that diffusers can name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from sv2r.diffusion.options import DiffusionOptions
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Translator, TranslatorSpec

if TYPE_CHECKING:
    from sv2r.diffusion.source import FoundModel


class CheckpointOptions(DiffusionOptions):
    """Options of checkpoint."""

    pipeline: str | None = Field(
        None,
        description="The diffusers pipeline class to run the model with. Default: the one that its "
        "model_index.json names, or that diffusers knows for it from picture to picture.",
    )
    image_guidance_scale: float | None = Field(
        None,
        ge=0,
        description="How closely an editing model (InstructPix2Pix) keeps to the picture. Default: "
        "the pipeline's own.",
    )


def preflight(options: CheckpointOptions, sizes: Sequence[tuple[int, int]]) -> None:
    """Raise ConfigError for what cannot work, before any weight is read."""
    _find(options, sizes)


def build(options: CheckpointOptions, runtime: Runtime) -> Translator:
    """Return the translator, its model loaded: by latents where the family allows it."""
    from sv2r.diffusion.families import family_of
    from sv2r.diffusion.open_model import open_latents, open_pipeline

    source, pipeline = _find(options, ())
    family = family_of(pipeline)
    if family is not None:
        return open_latents(options, runtime, source, family)
    more = {"image_guidance_scale": options.image_guidance_scale}
    given = {name: value for name, value in more.items() if value is not None}
    return open_pipeline(options, runtime, source, pipeline, given)


def _find(options: CheckpointOptions, sizes: Sequence[tuple[int, int]]) -> tuple[FoundModel, str]:
    """Return the model's source and the pipeline class that runs it, checked."""
    from sv2r.diffusion.families import family_of
    from sv2r.diffusion.pipelines import call_parameters, own_class
    from sv2r.diffusion.preflight import (
        check_diffusion_options,
        check_model,
        find_model,
        refuse_unused,
    )

    source = find_model(options)
    pipeline = own_class(options.pipeline or source.class_name)
    takes = call_parameters(pipeline)
    check_diffusion_options(options, takes_strength="strength" in takes)
    family = family_of(pipeline)
    refuse_unused(options, pipeline, takes, ("image_guidance_scale",), tiles=family is not None)
    check_model(options, source, pipeline, sizes)
    return source, pipeline


@hookimpl
def sv2r_translators() -> Iterable[TranslatorSpec[CheckpointOptions]]:
    """Return the translator that this module brings."""
    return [
        TranslatorSpec(
            name="checkpoint",
            summary="Your own checkpoint: any image-to-image pipeline that diffusers can name.",
            options=CheckpointOptions,
            build=build,
            preflight=preflight,
        )
    ]
