"""The options that every diffusion translator has."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sv2r.diffusion.named import Model
from sv2r.hub import Checkpoint
from sv2r.plugin.options import Folder, Options


def weights_by_name(value: Any) -> Any:
    """Return {name: weight} of a mapping, of "path", of "path=0.8" or of a list of these."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        return value
    return dict(_named_weight(str(item)) for item in value)


def _named_weight(text: str) -> tuple[str, Any]:
    name, equals, weight = text.rpartition("=")
    # A path may have a "=" in it: runs/lr=0.1/lora.
    return (name, weight) if equals and "/" not in weight else (text, 1.0)


LoraWeights = Annotated[dict[Checkpoint, float], BeforeValidator(weights_by_name)]


class DiffusionOptions(Options):
    """Options of a translator that runs a diffusers pipeline."""

    model: Model | None = Field(
        None,
        description="The model: a folder with a model_index.json, one .safetensors file, the id of "
        "a Hugging Face repository such as stable-diffusion-v1-5/stable-diffusion-v1-5, or a short "
        "name such as sd15 (sv2r models lists them).",
    )
    revision: str | None = Field(
        None, description="Branch, tag or commit of the model's Hugging Face repository."
    )
    variant: str | None = Field(
        None, description="Which of several sets of weights to read: fp16 reads *.fp16.safetensors."
    )
    config: Checkpoint | None = Field(
        None,
        description="For a single .safetensors file: the folder or repository that has the "
        "configuration, tokenizer and scheduler that belong to it. Default: the repository that "
        "diffusers knows for this kind of file.",
    )
    strength: float = Field(
        0.5,
        gt=0,
        le=1,
        description="How much the picture may change: the share of the steps that is run. 0.3 "
        "keeps small things, 0.8 redraws most of them.",
    )
    steps: int = Field(
        30,
        ge=1,
        le=1000,
        description="Steps of the whole schedule; int(steps * strength) of them run.",
    )
    guidance_scale: float | None = Field(
        None,
        ge=0,
        description="How closely to follow the prompt; 1 or less turns guidance off. Default: the "
        "pipeline's own (7.5 for Stable Diffusion 1.5, 5 for XL, 7 for 3).",
    )
    scheduler: str | None = Field(
        None,
        description="The sampler: a diffusers class (UniPCMultistepScheduler) or ddim, ddpm, "
        "euler, euler-a, heun, dpm++-2m, dpm++-2m-karras, dpm++-2m-sde, unipc, lms, pndm, lcm. "
        "Default: the model's own.",
    )
    lora: LoraWeights = Field(
        default_factory=dict,
        description="LoRA weights to add: PATH or PATH=0.8 (a .safetensors file, a folder or a "
        "repository id), each with the weight it is added with.",
    )
    palette: Folder | None = Field(
        None,
        description="A folder of real photos, with its subfolders: each picture ends with the "
        "colours and the grain of one of them, drawn by its seed. Up to 256 of them are read.",
    )
    fit: Literal["native", "scale", "tile"] = Field(
        "native",
        description="How a picture meets the sizes that a model can take. native: at its own size, "
        "mirrored margins cut off again; scale: worked at another resolution and brought back to "
        "its exact size; tile: overlapping tiles blended at every step, for large pictures.",
    )
    resolution: int | None = Field(
        None,
        ge=8,
        le=16384,
        description="In pixels, with fit scale: the short side that the model works at; with fit "
        "tile: the side of a tile. Default: what the model was trained at.",
    )
    tile_overlap: float = Field(
        0.25,
        ge=0,
        le=0.9,
        description="With fit tile: how much neighbours overlap, of a tile's side.",
    )
    compile: bool = Field(
        False,
        description="Compile the networks with torch.compile: minutes at first for every size of "
        "picture, faster afterwards. Needs a C++ compiler.",
    )
    offload: Literal["none", "model", "sequential", "auto"] = Field(
        "none",
        description="Keep what is not running in the computer's memory: model (whole networks in "
        "turn), sequential (layer by layer, slow), auto (what the free GPU memory asks for; none "
        "on a CPU).",
    )
    vae_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="What the VAE computes in. auto: as the rest, but for a VAE that says it "
        "needs float32 (SDXL) bfloat16 where its result on the first batch is near float32's, "
        "else float32.",
    )
    safety_checker: bool = Field(
        False,
        description="Load the model's safety checker and reject the pictures that it flags.",
    )

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> Self:
        for name, fits in (("resolution", ("scale", "tile")), ("tile_overlap", ("tile",))):
            # A written-out default, as in a run.yaml, asks for nothing.
            if (
                getattr(self, name) != type(self).model_fields[name].default
                and self.fit not in fits
            ):
                fix = f"choose fit {' or '.join(fits)}"
                raise ValueError(f"{name} has no effect with fit {self.fit}; {fix}")
        return self
