"""Opens a model to train with: its parts on the CPU; refuses one that does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sv2r.diffusion.families import Family, family_of, latent_factor
from sv2r.diffusion.loading import fetch, load_network, load_pipeline
from sv2r.diffusion.lora import find_lora
from sv2r.diffusion.options import DiffusionOptions
from sv2r.diffusion.pipelines import pipeline_class
from sv2r.diffusion.preflight import require_core
from sv2r.diffusion.source import FoundModel, find_network, find_pipeline
from sv2r.errors import ConfigError
from sv2r.training.options import ControlnetTraining, LoraOptions, ModelOptions
from sv2r.weights import weights_sha256


def find_trained_model(options: ModelOptions) -> tuple[FoundModel, Family]:
    """Return where the model is and its family; no weight is read.

    Raises:
        ConfigError: there is no such model, it is of a family that cannot be trained so, or the
            resolution is none that it can take.
    """
    source = find_pipeline(
        options.model, revision=options.revision, variant=options.variant, option="--model"
    )
    family = family_of(source.class_name)
    if family is None:
        raise ConfigError(
            f"--model {source.asked} is a {source.class_name}; sv2r train takes Stable Diffusion "
            f"1.x, 2.x, XL and 3, and Flux"
        )
    require_core(source, family.image_to_image)
    if isinstance(options, ControlnetTraining):
        _check_controlnet(options, source, family)
    multiple = family.multiple(source.configs)
    if options.resolution % multiple:
        raise ConfigError(
            f"--resolution {options.resolution}: {source.asked} takes multiples of {multiple}"
        )
    return source, family


def _check_controlnet(options: ControlnetTraining, source: FoundModel, family: Family) -> None:
    if family.controlnet is None:
        raise ConfigError(
            f"--model {source.asked} is a {source.class_name}; ControlNets are trained for Stable "
            f"Diffusion 1.x, 2.x and XL"
        )
    # Each layer of the embedding but the first halves a map, down to the latents.
    factor = latent_factor(source.configs)
    layers = factor.bit_length()
    if options.embedding and len(options.embedding) != layers:
        raise ConfigError(
            f"--embedding has {len(options.embedding)} numbers; the model {source.asked}, with one "
            f"latent for {factor} pixels, takes {layers}"
        )
    if options.controlnet is None:
        return
    net = find_network(options.controlnet, option="--controlnet")
    if net.class_name != "ControlNetModel":
        raise ConfigError(f"--controlnet {net.asked} is a {net.class_name}, not a ControlNet")
    unet = source.configs.get("unet", {})
    for name in ("in_channels", "cross_attention_dim", "block_out_channels", "layers_per_block"):
        if net.index.get(name) != unet.get(name):
            raise ConfigError(
                f"--controlnet {net.asked} does not fit the model {source.asked}: {name} is "
                f"{net.index.get(name)}, not {unet.get(name)}"
            )
    widths = net.index.get("conditioning_embedding_out_channels") or (0,) * 4  # as diffusers has it
    if len(widths) != layers:
        raise ConfigError(
            f"--controlnet {net.asked} does not fit the model {source.asked}: it is for one latent "
            f"for {2 ** (len(widths) - 1)} pixels, not {factor}"
        )


def started_from(
    *sources: FoundModel, lora: str | None = None, **networks: str | None
) -> dict[str, str]:
    """Return the SHA-256 of the weights that a run starts from, by the option that names them.

    networks: single ones, by option. What is in a repository is fetched first.

    Raises:
        ConfigError: there is no such network or LoRA.
    """
    found = [find_network(net, option=f"--{name}") for name, net in networks.items() if net]
    told = {
        source.option: weights_sha256(source.weight_files(), source.folder)
        for source in map(fetch, (*sources, *found))
    }
    if lora is not None:
        file = _lora_file(lora)
        told["--lora"] = weights_sha256([file], file.parent)
    return {option: f"SHA-256 {digest[:12]}…" for option, digest in told.items()}


def load_model(source: FoundModel, family: Family, dtype: Any, *, exact_vae: bool = False) -> Any:
    """Return the family's image-to-image pipeline on the CPU, all of it frozen.

    exact_vae: whether the VAE stays in float32.
    """
    pipe = load_pipeline(
        fetch(source),
        family.image_to_image,
        DiffusionOptions.model_validate({}),
        dtype,
        exact_vae=exact_vae,
    )
    for part in pipe.components.values():
        if hasattr(part, "requires_grad_"):
            part.requires_grad_(requires_grad=False)
    return pipe


def add_lora(pipe: Any, family: Family, options: LoraOptions) -> Any:
    """Return the pipeline's core with a LoRA in float32 that learns; E. Hu et al., ICLR 2022.

    Raises:
        ConfigError: the weights to start from do not fit, or no layer has such a name.
    """
    import torch
    from diffusers.training_utils import cast_training_params
    from peft import LoraConfig

    core = getattr(pipe, family.core)
    if options.lora is not None:
        _start_from(pipe, core, options.lora)
    else:
        config = LoraConfig(
            r=options.rank,
            lora_alpha=options.alpha or options.rank,
            init_lora_weights="gaussian",
            target_modules=list(options.targets),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            try:
                core.add_adapter(config)
            except ValueError as error:
                what = " ".join(str(error).split())[:200]
                raise ConfigError(f"--targets {', '.join(options.targets)}: {what}") from None
    for name, parameter in core.named_parameters():
        parameter.requires_grad_("lora_" in name)
    cast_training_params(core, torch.float32)
    return core


def _lora_file(lora: str) -> Path:
    file = find_lora(lora, "--lora")
    if file is None:
        raise ConfigError(f"--lora {lora}: no such .safetensors file, and no folder that has one")
    return file


def _start_from(pipe: Any, core: Any, lora: str) -> None:
    """Add LoRA weights from a file, whole or not at all."""
    from safetensors import SafetensorError, safe_open

    file = _lora_file(lora)
    try:
        with safe_open(file, "pt") as tensors:
            theirs = sum(1 for key in tensors.keys() if "alpha" not in key)  # noqa: SIM118
        pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name="default")
    except (ValueError, KeyError, RuntimeError, SafetensorError, OSError) as error:
        what = " ".join(str(error).split())[:200]
        raise ConfigError(f"--lora {lora} does not fit the model: {what}") from None
    ours = sum("lora_" in name for name, _ in core.named_parameters())
    if ours != theirs:
        raise ConfigError(
            f"--lora {lora} does not fit the model: {theirs} weights, {ours} places for them"
        )


def lora_weights(core: Any) -> dict[str, Any]:
    """Return a LoRA's weights by peft's names, each layer's scale multiplied in.

    A reader that is told no scale takes 1, so that is what it must be.
    """
    from peft.utils import get_peft_model_state_dict

    scales = {n: m.scaling["default"] for n, m in core.named_modules() if hasattr(m, "scaling")}
    found = get_peft_model_state_dict(core)
    return {
        name: value * scales[name.partition(".lora_B")[0]] if ".lora_B" in name else value
        for name, value in found.items()
    }


def make_controlnet(pipe: Any, source: FoundModel, options: ControlnetTraining) -> Any:
    """Return a ControlNet in float32 that learns: a copy of the UNet's encoder whose last layers
    are zero at first, or the one to start from.

    L. Zhang et al., Adding Conditional Control to Text-to-Image Diffusion Models, ICCV 2023.
    """  # noqa: D205
    import torch
    from diffusers import ControlNetModel

    if options.controlnet is not None:
        found = find_network(options.controlnet, option="--controlnet")
        net = load_network(fetch(found), "ControlNetModel", torch.float32)
    else:
        embedding = options.embedding or _embedding(pipe, latent_factor(source.configs))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            net = ControlNetModel.from_unet(
                pipe.unet, conditioning_embedding_out_channels=embedding
            )
    return net.to(torch.float32).requires_grad_(requires_grad=True)


def _embedding(pipe: Any, factor: int) -> tuple[int, ...]:
    """Return channels for the layers from a map's pixels to latents: each but the first halves."""
    first = pipe.unet.config.block_out_channels[0]
    widths = (16, 32, 96, 256) if first >= 256 else (8, 16, 32, 64)
    halvings = factor.bit_length() - 1
    return (*widths, *[widths[-1]] * halvings)[: halvings + 1]


def sibling(pipe: Any, class_name: str, **more: Any) -> Any:
    """Return a pipeline of another class with the same components and some more."""
    import inspect

    made = pipeline_class(class_name)
    takes = inspect.signature(made.__init__).parameters
    kept = {name: value for name, value in pipe.components.items() if name in takes}
    kept |= {"requires_safety_checker": False} if "requires_safety_checker" in takes else {}
    pipeline = made(**kept, **more)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
