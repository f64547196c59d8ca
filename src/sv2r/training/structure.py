"""What must stay where it is: features of a denoiser's encoder, compared place by place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

# Places compared in each map of features, width of the compared vectors, and temperature.
_PLACES, _WIDTH, _TEMPERATURE = 128, 64, 0.07


def encoder_features(unet: Any, noisy: Tensor, time: Tensor, more: Mapping[str, Any]) -> list[Any]:
    """Return what a UNet's encoder makes of (B, C, h, w) latents: a map from each resolution.

    The same layers in the same order as its forward has them, without the decoder, which costs
    two thirds. more: encoder_hidden_states, and added_cond_kwargs where the UNet takes them.
    """
    noisy = noisy.to(unet.dtype)
    texts = more["encoder_hidden_states"].to(unet.dtype)
    embedded = unet.time_embedding(unet.get_time_embed(sample=noisy, timestep=time))
    added = unet.get_aug_embed(
        emb=embedded,
        encoder_hidden_states=texts,
        added_cond_kwargs=more.get("added_cond_kwargs", {}),
    )
    embedded = embedded if added is None else embedded + added
    hidden = unet.conv_in(noisy)
    found = [hidden]
    for block in unet.down_blocks:
        words = {"encoder_hidden_states": texts} if block_attends(block) else {}
        hidden, _ = block(hidden_states=hidden, temb=embedded, **words)
        found.append(hidden)
    return found


def block_attends(block: Any) -> bool:
    """Return whether a block of a UNet looks at the prompt."""
    return bool(getattr(block, "has_cross_attention", False))


def feature_channels(unet: Any) -> tuple[int, ...]:
    """Return the channels of each map that `encoder_features` returns."""
    widths = unet.config.block_out_channels
    return (int(widths[0]), *(int(width) for width in widths))


def make_projections(channels: Sequence[int]) -> Any:
    """Return small networks, one for each map of features, into the space of the comparison."""
    from torch import nn

    return nn.ModuleList(
        nn.Sequential(nn.Linear(count, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH))
        for count in channels
    )


def patch_contrast(
    projections: Any, source: Sequence[Tensor], made: Sequence[Tensor], generator: Any
) -> Tensor:
    """Return how badly places of a translation are told from other places of its source.

    T. Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020.
    source, made: maps (B, C, h, w) of features, in the same order as the projections.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    losses = []
    for project, before, after in zip(projections, source, made, strict=True):
        count = before.shape[-2] * before.shape[-1]
        places = torch.randperm(count, generator=generator)[:_PLACES].to(before.device)
        keys, queries = (
            normalize(project(part.float().flatten(2)[:, :, places].transpose(1, 2)), dim=-1)
            for part in (before, after)
        )
        likeness = queries @ keys.detach().transpose(1, 2) / _TEMPERATURE
        own = torch.arange(len(places), device=before.device).repeat(len(before))
        losses.append(cross_entropy(likeness.flatten(0, 1), own))
    total: Tensor = sum(losses[1:], losses[0])
    return total / len(losses)
