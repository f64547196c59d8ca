"""Judges: networks that say of a picture, place by place, how much of a photo it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# Channels of a patch judge's first layer, and how many layers halve the resolution.
_WIDTH, _LAYERS = 32, 3
# Side in pixels below which no judge looks at a smaller picture.
_SMALLEST = 32


def make_patch_judges(scales: int) -> Any:
    """Return a module that maps (B, 3, H, W) in [-1, 1] to a list of verdicts, one per scale.

    Each scale is half as large as the one before, and sees patches of about 46 of its own pixels:
    P. Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017;
    T.-C. Wang et al., High-Resolution Image Synthesis with Conditional GANs, CVPR 2018.
    """
    from torch import nn
    from torch.nn.functional import avg_pool2d

    class PatchJudges(nn.Module):
        """One judge per scale."""

        def __init__(self) -> None:
            super().__init__()
            self.judges = nn.ModuleList(_patch_judge() for _ in range(scales))

        def forward(self, pictures: Tensor) -> list[Tensor]:
            """Return (B, 1, h, w) verdicts by scale."""
            told = []
            for place, judge in enumerate(self.judges):
                if place:
                    pictures = avg_pool2d(pictures, 2)
                if place and min(pictures.shape[-2:]) < _SMALLEST:
                    break
                told.append(judge(pictures))
            return told

    return PatchJudges()


def _patch_judge() -> Any:
    from torch import nn

    layers: list[nn.Module] = [nn.Conv2d(3, _WIDTH, 4, 2, 1), nn.LeakyReLU(0.2)]
    width = _WIDTH
    for _ in range(_LAYERS - 1):
        layers += [
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.InstanceNorm2d(2 * width),
            nn.LeakyReLU(0.2),
        ]
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 1))


def make_feature_judges(features: Any, channels: tuple[int, ...]) -> Any:
    """Return a module of small heads on a frozen network's features, as `make_patch_judges`'.

    features: maps (B, 3, H, W) in [-1, 1] to maps (B, C, h, w); its weights are not learnt.
    channels: C of each. A. Sauer et al., Projected GANs Converge Faster, NeurIPS 2021.
    """
    from torch import nn

    class FeatureJudges(nn.Module):
        """One head per map of features."""

        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleList(_head(count) for count in channels)

        def forward(self, pictures: Tensor) -> list[Tensor]:
            """Return (B, 1, h, w) verdicts by map of features."""
            return [
                head(found.float())
                for head, found in zip(self.heads, features(pictures), strict=True)
            ]

    return FeatureJudges()


def _head(channels: int) -> Any:
    from torch import nn

    width = min(channels, 128)
    return nn.Sequential(
        nn.Conv2d(channels, width, 1),
        nn.GroupNorm(1, width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 3, 1, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 1, 1),
    )


def real_loss(told: list[Tensor]) -> Tensor:
    """Return how far verdicts are from "photo".

    Least squares: X. Mao et al., Least Squares Generative Adversarial Networks, ICCV 2017.
    """
    return _mean([(one - 1).square().mean() for one in told])


def made_loss(told: list[Tensor]) -> Tensor:
    """Return how far verdicts are from "no photo"."""
    return _mean([one.square().mean() for one in told])


def _mean(losses: list[Tensor]) -> Tensor:
    total: Tensor = sum(losses[1:], losses[0])
    return total / len(losses)


def smoothness(judge: Any, photos: Tensor, told: list[Tensor], noise: Tensor) -> Tensor:
    """Return how much verdicts on photos change under a little noise; times a weight, it is R1.

    The approximation of R1 (L. Mescheder et al., Which Training Methods for GANs do actually
    Converge?, ICML 2018) that needs no second derivative: S. Lin et al., Diffusion Adversarial
    Post-Training for One-Step Video Generation, ICML 2025. noise: as photos, its deviation small.
    """
    moved = judge(photos + noise)
    return _mean([(a - b).square().mean() for a, b in zip(told, moved, strict=True)])


def augmented(pictures: Tensor, chance: float, generator: Any) -> Tensor:
    """Return (B, 3, H, W) pictures, each moved and its light and colour changed with a chance.

    Differentiable, so that a judge never sees an unchanged set too often to know it by heart:
    S. Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, NeurIPS 2020.
    """
    import torch

    if not chance:
        return pictures
    return torch.stack([_changed(one, chance, generator) for one in pictures])


def _changed(picture: Tensor, chance: float, generator: Any) -> Tensor:
    import torch
    from torch.nn.functional import pad

    apply, contrast, light, colour, *moves = torch.rand(6, generator=generator).tolist()
    if apply >= chance:
        return picture
    mean = picture.mean()
    lit = (picture - mean) * (0.75 + contrast / 2) + mean + (light - 0.5) / 2
    grey = lit.mean(0, keepdim=True)
    coloured = grey + (lit - grey) * (0.5 + colour)
    sides = picture.shape[-2:]
    reaches = [side // 8 for side in sides]
    y, x = (int(move * (2 * reach + 1)) for move, reach in zip(moves, reaches, strict=True))
    around = (reaches[1], reaches[1], reaches[0], reaches[0])
    wide = pad(coloured[None], around, mode="reflect")[0]
    return wide[:, y : y + sides[0], x : x + sides[1]]
