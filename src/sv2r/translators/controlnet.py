"""Image-to-image that keeps to control maps: edges, depth, the lines between instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from sv2r.diffusion.options import DiffusionOptions
from sv2r.errors import ConfigError
from sv2r.hub import Checkpoint
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Translator, TranslatorSpec

if TYPE_CHECKING:
    from sv2r.diffusion.families import Family
    from sv2r.diffusion.open_model import Control
    from sv2r.diffusion.source import FoundModel

Share = Annotated[float, Field(ge=0, le=1)]
Scale = Annotated[float, Field(ge=0, le=10)]
_KINDS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}


class ControlnetOptions(DiffusionOptions):
    """Options of controlnet."""

    controlnet: dict[str, Checkpoint] = Field(
        default_factory=dict,
        description="The ControlNets, each by the name of the control map that feeds it, which a "
        "conditioner makes: canny=lllyasviel/sd-controlnet-canny, or a folder.",
    )
    controlnet_conditioning_scale: dict[str, Scale] = Field(
        default_factory=dict,
        description="How much each ControlNet counts, by name: canny=0.8. Default: 1.",
    )
    control_guidance_start: dict[str, Share] = Field(
        default_factory=dict,
        description="From which share of the steps each ControlNet counts, by name. Default: 0.",
    )
    control_guidance_end: dict[str, Share] = Field(
        default_factory=dict,
        description="Up to which share of the steps each ControlNet counts, by name. Default: 1.",
    )

    @model_validator(mode="after")
    def _names_known(self) -> Self:
        for option in (
            *("controlnet_conditioning_scale", "control_guidance_start"),
            "control_guidance_end",
        ):
            for name in getattr(self, option):
                # A preset may give scales for ControlNets that the user has yet to name.
                if self.controlnet and name not in self.controlnet:
                    known = ", ".join(self.controlnet)
                    raise ValueError(f"{option} names '{name}'; the ControlNets are: {known}")
        for name in self.controlnet:
            start = self.control_guidance_start.get(name, 0.0)
            end = self.control_guidance_end.get(name, 1.0)
            if start >= end:
                raise ValueError(f"control '{name}' ends at {end}, not after its start at {start}")
        return self


def controls(options: ControlnetOptions) -> frozenset[str]:
    """Return the names of the control maps that the ControlNets are fed with."""
    return frozenset(options.controlnet)


def preflight(options: ControlnetOptions, sizes: Sequence[tuple[int, int]]) -> None:
    """Raise ConfigError for what cannot work, before any weight is read."""
    _find(options, sizes)


def build(options: ControlnetOptions, runtime: Runtime) -> Translator:
    """Return the translator, its models loaded."""
    from sv2r.diffusion.open_model import open_latents

    base, family, nets = _find(options, ())
    return open_latents(options, runtime, base, family, nets)


def _find(
    options: ControlnetOptions, sizes: Sequence[tuple[int, int]]
) -> tuple[FoundModel, Family, tuple[Control, ...]]:
    """Return the model's source and family and its ControlNets, checked against one another."""
    from sv2r.diffusion.families import family_of
    from sv2r.diffusion.preflight import check_image_to_image

    if not options.controlnet:
        raise ConfigError(
            "no ControlNet given: --translator.controlnet takes NAME=MODEL, the name of a control "
            "map and a folder or Hugging Face repository id"
        )
    base, pipeline = check_image_to_image(options, sizes)
    family = family_of(pipeline)
    if family is None or family.controlnet is None:
        raise ConfigError(
            f"--translator.model {base.asked} is a {base.class_name}; controlnet takes Stable "
            f"Diffusion 1.x, 2.x and XL, sdedit others as well"
        )
    return base, family, tuple(_control(options, name, base) for name in options.controlnet)


def _control(options: ControlnetOptions, name: str, base: FoundModel) -> Control:
    from sv2r.diffusion.open_model import Control
    from sv2r.diffusion.source import find_network

    option = f"--translator.controlnet {name}"
    source = find_network(options.controlnet[name], option=option, variant=options.variant)
    if source.class_name != "ControlNetModel":
        raise ConfigError(f"{option}: {source.asked} is a {source.class_name}, not a ControlNet")
    theirs = source.index.get("cross_attention_dim")
    ours = base.configs.get("unet", {}).get("cross_attention_dim")
    if theirs != ours:
        raise ConfigError(
            f"{option}: {source.asked} is for {_kind(theirs)}, the model {base.asked} is "
            f"{_kind(ours)}; choose one made for it"
        )
    if options.fit == "tile" and source.index.get("global_pool_conditions"):
        raise ConfigError(f"{option}: {source.asked} looks at whole pictures; leave fit tile out")
    return Control(
        name,
        source,
        options.controlnet_conditioning_scale.get(name, 1.0),
        options.control_guidance_start.get(name, 0.0),
        options.control_guidance_end.get(name, 1.0),
    )


def _kind(cross_attention: object) -> str:
    name = _KINDS.get(cross_attention) if isinstance(cross_attention, int) else None
    return f"{name or 'a model'} (cross-attention {cross_attention})"


@hookimpl
def sv2r_translators() -> Iterable[TranslatorSpec[ControlnetOptions]]:
    """Return the translator that this module brings."""
    return [
        TranslatorSpec(
            name="controlnet",
            summary="Image-to-image that keeps to control maps, with one or several ControlNets.",
            options=ControlnetOptions,
            build=build,
            controls=controls,
            preflight=preflight,
        )
    ]
