"""Image-to-image by noise: SDEdit with any checkpoint that diffusers has such a pipeline for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sv2r.diffusion.options import DiffusionOptions
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Translator, TranslatorSpec


class SdeditOptions(DiffusionOptions):
    """Options of sdedit."""


def build(options: SdeditOptions, runtime: Runtime) -> Translator:
    """Return the translator, its model loaded."""
    from sv2r.diffusion.families import family_of
    from sv2r.diffusion.open_model import open_latents, open_pipeline
    from sv2r.diffusion.preflight import check_image_to_image

    source, pipeline = check_image_to_image(options, ())
    family = family_of(pipeline)
    if family is None:
        return open_pipeline(options, runtime, source, pipeline, {})
    return open_latents(options, runtime, source, family)


def preflight(options: SdeditOptions, sizes: Sequence[tuple[int, int]]) -> None:
    """Raise ConfigError for what cannot work, before any weight is read."""
    from sv2r.diffusion.preflight import check_image_to_image

    check_image_to_image(options, sizes)


@hookimpl
def sv2r_translators() -> Iterable[TranslatorSpec[SdeditOptions]]:
    """Return the translator that this module brings."""
    return [
        TranslatorSpec(
            name="sdedit",
            summary="Add noise to a picture and take it off again under a prompt (SDEdit).",
            options=SdeditOptions,
            build=build,
            preflight=preflight,
        )
    ]
