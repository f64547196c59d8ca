"""What can be asked of a training: one model of options for each kind."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sv2r.hub import Checkpoint
from sv2r.plugin.options import Folder, Options

_UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(value: Any) -> Any:
    """Return the seconds that "90s", "45m" or "1.5h" stand for; a number is seconds."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([smh]?)", value.strip())
    if found is None:
        raise ValueError("must be a duration such as 90s, 45m or 1.5h")
    return float(found[1]) * _UNITS[found[2] or "s"]


Seconds = Annotated[float, BeforeValidator(seconds)]
Channels = tuple[Annotated[int, Field(ge=1)], ...]

# What a run may be continued with although it was begun otherwise: it changes no weight.
RESUMABLE = frozenset(
    {
        "output",
        "max_time",
        "save_every",
        "validate_every",
        "validation_strength",
        "tensorboard",
        "license",
        "weights",
    }
)


class TrainOptions(Options):
    """What every training takes."""

    photos: Folder = Field(description="The folder with real photos, read with its subfolders.")
    output: Folder = Field(description="The folder that the result and the run's state go to.")
    seed: int = Field(0, ge=0, lt=2**48, description="The same seed gives the same run.")
    resolution: int = Field(
        512, ge=8, le=4096, description="Side in pixels of the squares that photos are cut to."
    )
    crops: int = Field(
        1,
        ge=1,
        le=64,
        description="Squares cut from each photo: the middle, or several at random places.",
    )
    flip: bool = Field(True, description="Learn from each square's mirror image as well.")
    held_out: int = Field(
        8,
        ge=0,
        description="Photos never learnt from, which validation looks at; a fifth of all at most.",
    )
    skip_broken: bool = Field(
        False, description="Leave photos out that cannot be read; without it they stop the run."
    )
    steps: int = Field(2000, ge=1, description="Updates of the weights.")
    batch_size: int = Field(4, ge=1, description="Pictures of a step, on each device.")
    accumulate: int = Field(
        1, ge=1, description="Batches that make one update: larger batches in the same memory."
    )
    learning_rate: float = Field(1e-4, gt=0, description="AdamW's step size.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="The learning rate after its warm-up."
    )
    warmup: int = Field(100, ge=0, description="Steps in which the learning rate rises from 0.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decay of the weights.")
    max_gradient: float = Field(1.0, gt=0, description="Gradients of a larger norm are scaled.")
    optimizer: Literal["auto", "adamw", "adamw-fused", "adamw-8bit"] = Field(
        "auto",
        description="auto: AdamW, fused where torch has it; adamw-8bit: bitsandbytes, on CUDA.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="What networks compute in. auto: bfloat16 on a GPU, else float32."
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute parts twice and keep less: less memory, more time."
    )
    ema: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay of the running mean of the weights that is saved; 0: the last weights.",
    )
    validate_every: int = Field(
        500, ge=0, description="Steps between two looks at the photos held out; 0: at the end."
    )
    save_every: int = Field(
        500,
        ge=1,
        description="Steps between two saves of the state, from which a killed run continues.",
    )
    max_time: Seconds | None = Field(
        None,
        gt=0,
        description="Stop after this long (90s, 45m, 1.5h) with the result so far; the same "
        "command continues.",
    )
    tensorboard: bool = Field(
        False, description="Write curves for TensorBoard as well: pip install 'sv2r[tensorboard]'."
    )
    device: Literal["auto", "cpu"] = Field(
        "auto", description="auto: the GPU where there is one; accelerate launch gives several."
    )
    license: str = Field("", description="The result's licence, for its model card.")
    weights: Literal["float32", "float16"] = Field(
        "float32", description="What the result is saved in."
    )

    @property
    def captions(self) -> tuple[str, bool]:
        """Return the template of captions, and whether files next to the photos go before it."""
        return "", False


class DenoisingOptions(TrainOptions):
    """What a training takes that learns to take noise off captioned photos."""

    caption: str = Field(
        "",
        description="The caption of every photo; {stem} is the file's name, {folder} its folder's.",
    )
    caption_files: bool = Field(
        False, description="Take a photo's caption from the .txt file next to it."
    )
    caption_dropout: float = Field(
        0.1,
        ge=0,
        le=1,
        description="The share of captions that is left empty, which guidance needs.",
    )
    min_snr: float = Field(
        5.0,
        ge=0,
        description="Min-SNR weighting's gamma (Hang 2023); 0 turns it off. Not for flow models.",
    )
    validation_strength: float = Field(
        0.7, gt=0, le=1, description="Strength that validation translates those photos with."
    )

    @property
    def captions(self) -> tuple[str, bool]:
        """Return the template of captions, and whether files next to the photos go before it."""
        return self.caption, self.caption_files


class ModelOptions(TrainOptions):
    """What a training takes that starts from somebody's model."""

    model: Checkpoint = Field(
        description="The model to start from: a folder with a model_index.json, a .safetensors "
        "file, or a Hugging Face repository's id."
    )
    revision: str | None = Field(None, description="Branch, tag or commit of that repository.")
    variant: str | None = Field(None, description="Which of several sets of its weights to read.")


class LoraOptions(ModelOptions, DenoisingOptions):
    """Options of `sv2r train lora`."""

    rank: int = Field(16, ge=1, le=1024, description="Rank of the added matrices.")
    alpha: float | None = Field(
        None, gt=0, description="Their scale is alpha / rank.  Default: the rank."
    )
    targets: tuple[str, ...] = Field(
        ("to_q", "to_k", "to_v", "to_out.0"), description="Layers that get them, by name."
    )
    lora: Checkpoint | None = Field(
        None,
        description="LoRA weights to start from, a .safetensors file or folder; rank, alpha and "
        "targets are theirs.",
    )

    @model_validator(mode="after")
    def _lora_has_its_own(self) -> Self:
        for name in ("rank", "alpha", "targets"):
            if (
                self.lora is not None
                and getattr(self, name) != type(self).model_fields[name].default
            ):
                raise ValueError(f"--{name} is as --lora has it; leave one of the two out")
        return self


class ControlnetTraining(ModelOptions, DenoisingOptions):
    """Options of `sv2r train controlnet`."""

    conditioner: str = Field(
        "canny", description="What makes the control maps from the photos, by its name."
    )
    conditioner_options: dict[str, Any] = Field(
        default_factory=dict,
        description="That conditioner's options; --conditioner.NAME.OPTION is the same.",
    )
    controlnet: Checkpoint | None = Field(
        None, description="A ControlNet to start from.  Default: the model's own encoder."
    )
    learning_rate: float = Field(1e-5, gt=0, description="AdamW's step size.")
    embedding: Channels = Field(
        (),
        description="Channels of the layers that embed a control map.  Default: diffusers' own, "
        "or fewer for a small model.",
    )

    @model_validator(mode="after")
    def _controlnet_has_its_own(self) -> Self:
        if self.controlnet is not None and self.embedding:
            raise ValueError("--embedding is as --controlnet has it; leave one of the two out")
        return self


class BaseOptions(DenoisingOptions):
    """Options of `sv2r train base`: sizes for 128-pixel pictures on two CPU cores."""

    resolution: int = Field(
        128, ge=8, le=4096, description="Side in pixels of the squares that photos are cut to."
    )
    steps: int = Field(
        10_000, ge=0, description="Updates of the UNet's weights; 0: it stays as --unet has it."
    )
    batch_size: int = Field(8, ge=1, description="Pictures of the UNet's steps, on each device.")
    learning_rate: float = Field(5e-4, gt=0, description="AdamW's step size for the UNet.")
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="The learning rate after its warm-up."
    )
    pixels: bool = Field(
        False,
        description="Take a picture's pixels as its latents: no detail is lost, nothing of a VAE "
        "is learnt, and a step costs more.",
    )
    vae: Checkpoint | None = Field(
        None, description="A VAE to take as it is (a folder with config.json) and train none."
    )
    vae_steps: int = Field(
        3_000, ge=1, description="Updates of the VAE's weights, which come first."
    )
    vae_batch_size: int = Field(8, ge=1, description="Pictures of the VAE's steps, on each device.")
    vae_crop: int = Field(
        64, ge=8, description="Side in pixels of the pieces that the VAE learns from."
    )
    vae_learning_rate: float = Field(1e-3, gt=0, description="AdamW's step size for the VAE.")
    vae_channels: Channels = Field(
        (24, 48, 64),
        description="Channels at each resolution; each after the first halves it, so three give "
        "one latent for 4 pixels.",
    )
    vae_layers: int = Field(1, ge=1, description="Residual blocks at each resolution.")
    # 3 could not be told from a picture's, and fewer do not hold its colours.
    latent_channels: int = Field(4, ge=4, le=128, description="Channels of the latents.")
    kl: float = Field(1e-4, ge=0, description="Weight of the latents' KL divergence from noise.")
    sharpen_steps: int = Field(
        0,
        ge=0,
        description="Updates of the VAE's decoder against a judge of texture, after its others, or "
        "of --vae's: crisp pictures, and the same latents.",
    )
    sharpen_learning_rate: float = Field(
        2e-4, gt=0, description="AdamW's step size for decoder and judge."
    )
    adversarial: float = Field(
        0.8, gt=0, description="How much that judge's opinion counts next to the pixels' error."
    )
    sharpness: float = Field(
        0.5,
        gt=0,
        le=1,
        description="How far the decoder's weights go from those before towards those that the "
        "judge led to: 1 all the way, less for fewer edges that are too crisp.",
    )
    latent_noise: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of noise added to the latents that the decoder is "
        "sharpened with, so that it copes with a UNet's.",
    )
    unet: Checkpoint | None = Field(
        None,
        description="A UNet to start from (a folder with config.json), in place of random weights; "
        "its own sizes count. Give --vae, --seed and captions as they were.",
    )
    unet_channels: Channels = Field(
        (64, 96, 128), description="Channels at each resolution, from the latents' own down."
    )
    unet_layers: int = Field(1, ge=1, description="Residual blocks at each resolution.")
    attention: int = Field(
        1, ge=1, description="How many of the coarser resolutions have attention."
    )
    heads: int = Field(4, ge=1, description="Attention heads of a layer.")
    text_width: int = Field(64, ge=8, description="Width of the small text encoder.")
    prediction: Literal["epsilon", "v_prediction", "sample"] = Field(
        "v_prediction",
        description="What the UNet predicts: the noise, the velocity, or the picture itself (for a "
        "base of `sv2r train bridge`).",
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if not self.vae_channels or not self.unet_channels:
            raise ValueError("--vae-channels and --unet-channels need at least one number")
        if self.unet is not None and self.vae is None:
            raise ValueError(
                "--unet goes with the VAE that it was trained with; give --vae as well"
            )
        if not self.steps and self.unet is None:
            raise ValueError("--steps 0 leaves a UNet as it is; give one by --unet")
        if self.pixels and (self.vae is not None or self.sharpen_steps):
            raise ValueError("--pixels has no VAE to learn; leave --vae and --sharpen-steps out")
        if self.vae is None and not self.pixels:
            self.check_factor(2 ** (len(self.vae_channels) - 1))
        if not self.pixels and self.vae_crop > self.resolution:
            raise ValueError(
                f"--vae-crop {self.vae_crop} is more than --resolution {self.resolution}"
            )
        if self.text_width % 2:
            raise ValueError(f"--text-width {self.text_width} is odd; take an even one")
        for width in self.unet_channels:
            if width % self.heads:
                raise ValueError(
                    f"--unet-channels {width} is not a multiple of --heads {self.heads}"
                )
        return self

    def check_factor(self, factor: int) -> None:
        """Raise ValueError where pictures cannot be made of latents of factor pixels each."""
        cut = ("vae_crop",) if self.vae is None or self.sharpen_steps else ()
        for name in ("resolution", *cut):
            if getattr(self, name) % factor:
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option} {getattr(self, name)} is not a multiple of {factor}")


class BridgeOptions(ModelOptions):
    """Options of `sv2r train bridge`."""

    renders: Folder = Field(
        description="The dataset with renders, which convert would take as --input; their labels "
        "are what the translations are held to."
    )
    loader: str = Field("", description="The renders' format.  Default: it is found out.")
    caption: str = Field("", description="The prompt of every picture, also of later jobs.")
    held_out: int = Field(
        32,
        ge=0,
        description="Renders, and photos, never learnt from, which validation looks at; a fifth "
        "of all at most.",
    )
    evaluations: Literal[1, 2, 4] = Field(
        1, description="Evaluations of the denoiser that a picture takes."
    )
    start: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Where in the model's noise schedule the first one begins: the strength. Less "
        "keeps more of a render.",
    )
    rank: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Learn a LoRA of this rank, which is merged into the result, in place of all "
        "weights.  Default: 16 for denoisers of more than 100 million weights.",
    )
    judge: str = Field(
        "auto",
        description="Who tells translations from photos: patches (small networks of their own), "
        "denoiser (heads on the model's own features), or a vision backbone that transformers "
        "loads, by folder or id. auto: patches for denoisers of up to 100 million weights.",
    )
    realism: float = Field(1.0, gt=0, description="Weight of the judges' opinion.")
    structure: float = Field(
        1.0, ge=0, description="Weight of the comparison of features, place by place."
    )
    labels: float = Field(
        0.5, ge=0, description="Weight of the labels' survival along every outline; 0: no labels."
    )
    identity: float = Field(
        1.0,
        ge=0,
        description="Weight of the same comparison for photos, which should stay as they are.",
    )
    augment: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of pictures that judges see moved and with other light and colour; "
        "more for few photos.",
    )
    judge_smoothness: float = Field(
        10.0, ge=0, description="Weight of the judges' calm under slight noise (R1)."
    )
    learning_rate: float = Field(2e-4, gt=0, description="Adam's step size, of both sides.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decay of the weights.")
    max_gradient: float = Field(10.0, gt=0, description="Gradients of a larger norm are scaled.")
    batch_size: int = Field(2, ge=1, description="Renders, and photos, of a step on each device.")

    @property
    def captions(self) -> tuple[str, bool]:
        """Return the prompt, which photos and renders share."""
        return self.caption, False
