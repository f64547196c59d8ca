"""The names that the original Stable Diffusion code gives to the weights of toy checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def unet(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the UNet's weights under the names of the original Stable Diffusion code."""
    from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING

    layers = DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"]
    names = {key: layers.get(key) or _unet_name(key) for key in state}
    return {f"model.diffusion_model.{names[key]}": value for key, value in state.items()}


def _unet_name(key: str, layers: int = 1) -> str:
    part, *rest = key.split(".")
    if part == "mid_block":
        kind, number, *tail = rest
        place = f"middle_block.{1 if kind == 'attentions' else 2 * int(number)}"
    else:
        block, kind, number, *tail = rest
        side = "input_blocks" if part == "down_blocks" else "output_blocks"
        first = int(block) * (layers + 1) + (part == "down_blocks")
        place = f"{side}.{first + int(number)}.{1 if kind == 'attentions' else 0}"
        if kind == "downsamplers":
            return f"{side}.{first + layers}.0.op.{tail[-1]}"
        if kind == "upsamplers":  # after the attention where the block has one
            return f"{side}.{first + layers}.{2 if block == '0' else 1}.conv.{tail[-1]}"
    return f"{place}.{_resnet_name('.'.join(tail)) if kind == 'resnets' else '.'.join(tail)}"


def _resnet_name(tail: str) -> str:
    names = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0"}
    names |= {"conv2": "out_layers.3", "time_emb_proj": "emb_layers.1"}
    layer, leaf = tail.split(".")
    return f"{(names | {'conv_shortcut': 'skip_connection'})[layer]}.{leaf}"


def vae(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the VAE's weights under the names of the original Stable Diffusion code."""
    from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING

    layers = DIFFUSERS_TO_LDM_MAPPING["vae"]
    names = {key: layers.get(key) or _vae_name(key) for key in state}
    return {
        f"first_stage_model.{name}": state[key][:, :, None, None]
        if ".attn_1." in name and state[key].ndim == 2
        else state[key]
        for key, name in names.items()
    }


def _vae_name(key: str, blocks: int = 2) -> str:
    side, part, *rest = key.split(".")
    if part == "mid_block":
        kind, number, *tail = rest
        if kind == "resnets":
            return f"{side}.mid.block_{int(number) + 1}.{'.'.join(tail)}"
        short = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}
        return f"{side}.mid.attn_1.{short[tail[0]]}.{tail[-1]}"
    block, kind, number, *tail = rest
    place = f"{side}.down.{block}" if side == "encoder" else f"{side}.up.{blocks - 1 - int(block)}"
    if kind != "resnets":
        return f"{place}.{'downsample' if side == 'encoder' else 'upsample'}.{'.'.join(tail)}"
    leaf = ".".join(tail).replace("conv_shortcut", "nin_shortcut")
    return f"{place}.block.{number}.{leaf}"


def clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the text encoder's weights under the names of the original Stable Diffusion code."""
    return {
        f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}": value
        for key, value in state.items()
        if "position_ids" not in key
    }
