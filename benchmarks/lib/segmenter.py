"""A small Mask R-CNN, trained from scratch on small pictures in minutes of one core.

Its recipe is the same for every dataset it is trained on: equal steps, batches and rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pycocotools import mask as rle
from torch import Tensor, nn

from benchmarks.lib.tableworld import Labelled
from sv2r import ConfigError

if TYPE_CHECKING:
    from torchvision.models.detection import MaskRCNN

# Channels of the body's first stage, and of the feature pyramid.
WIDTH, PYRAMID = 16, 32
MAP_NAMES = ("0", "1", "2")


@dataclass(frozen=True)
class Recipe:
    """How it is trained. rate: the peak of a one-cycle schedule of AdamW."""

    steps: int = 1200
    # In 90 s of a core, 700 steps of four reached three times the AP of 260 steps of eight.
    batch: int = 4
    rate: float = 2e-3
    decay: float = 0.02
    # Raised whenever the network or the loop changes: trainings of other versions do not count.
    version: int = 1


def require() -> None:
    """Raise ConfigError where torchvision is missing."""
    if find_spec("torchvision") is None:
        raise ConfigError(
            "torchvision is not installed, and the segmenter needs it: "
            "uv sync --extra measure --package sv2r-tabletop, or leave the stage downstream out"
        )


def build(categories: int) -> MaskRCNN:
    """Return an untrained Mask R-CNN (He et al. 2017) for pictures of about 128 px.

    A narrow ResNet of one block a stage, with strides of 4, 8 and 16 into the feature pyramid;
    anchors of 10 to 80 px; few proposals, and one sample a bin in RoIAlign, whose backward pass
    would cost more than the convolutions.
    """
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    stages = {"layer2": "0", "layer3": "1", "layer4": "2"}
    widths = [WIDTH * 2, WIDTH * 4, WIDTH * 8]
    classes = categories + 1
    return MaskRCNN(
        BackboneWithFPN(_body(), stages, widths, PYRAMID, norm_layer=nn.BatchNorm2d),
        min_size=128,
        max_size=128,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
        rpn_anchor_generator=AnchorGenerator(((10,), (20,), (40,), (80,)), ((0.5, 1.0, 2.0),) * 4),
        rpn_pre_nms_top_n_train=200,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_train=100,
        rpn_post_nms_top_n_test=60,
        rpn_batch_size_per_image=64,
        box_roi_pool=MultiScaleRoIAlign(list(MAP_NAMES), 7, 1),
        box_head=TwoMLPHead(PYRAMID * 49, 128),
        box_predictor=FastRCNNPredictor(128, classes),
        box_batch_size_per_image=48,
        box_detections_per_img=30,
        mask_roi_pool=MultiScaleRoIAlign(list(MAP_NAMES), 14, 1),
        mask_head=MaskRCNNHeads(PYRAMID, (PYRAMID, PYRAMID), 1),
        mask_predictor=MaskRCNNPredictor(PYRAMID, PYRAMID, classes),
    )


def _body() -> nn.Module:
    """Return torchvision's ResNet, narrow, its stem halving the picture once and not twice."""
    from torchvision.models.resnet import BasicBlock, ResNet

    body: Any = ResNet(BasicBlock, [1, 1, 1, 1])
    body.inplanes = WIDTH
    body.conv1 = nn.Conv2d(3, WIDTH, 3, 2, 1, bias=False)
    body.bn1 = nn.BatchNorm2d(WIDTH)
    body.maxpool = nn.Identity()
    for stage in range(4):
        layer = body._make_layer(BasicBlock, WIDTH * 2**stage, 1, stride=2 if stage else 1)
        setattr(body, f"layer{stage + 1}", layer)
    narrow: nn.Module = body
    return narrow


def train(
    pictures: Sequence[Labelled], categories: int, recipe: Recipe, seed: int, device: str = "cpu"
) -> MaskRCNN:
    """Return a Mask R-CNN trained on labelled pictures, half of which are mirrored at each step.

    The same arguments give the same network on a CPU.
    """
    torch.manual_seed(seed)
    model = build(categories).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=recipe.steps, pct_start=0.15
    )
    examples = [example for picture in pictures if (example := _example(picture))]
    for batch in _batches(examples, recipe, torch.Generator().manual_seed(seed)):
        images = [image.to(device).float() / 255 for image, _ in batch]
        targets = [{k: v.to(device) for k, v in target.items()} for _, target in batch]
        loss = sum(model(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    return model.eval()


Example = tuple[Tensor, dict[str, Tensor]]


def _batches(
    examples: Sequence[Example], recipe: Recipe, generator: torch.Generator
) -> Iterator[list[Example]]:
    """Yield as many batches as the recipe has steps, over all examples again and again."""
    order: list[int] = []
    for _ in range(recipe.steps):
        while len(order) < recipe.batch:
            order += torch.randperm(len(examples), generator=generator).tolist()
        drawn, order = order[: recipe.batch], order[recipe.batch :]
        coins = torch.rand(recipe.batch, generator=generator) < 0.5
        yield [
            mirrored(*examples[number]) if coin else examples[number]
            for number, coin in zip(drawn, coins, strict=True)
        ]


def mirrored(image: Tensor, target: dict[str, Tensor]) -> Example:
    """Return an example with left and right exchanged."""
    left, top, right, bottom = target["boxes"].unbind(1)
    width = image.shape[-1]
    boxes = torch.stack([width - right, top, width - left, bottom], 1)
    return image.flip(-1), {**target, "boxes": boxes, "masks": target["masks"].flip(-1)}


def _example(picture: Labelled) -> Example | None:
    """Return (3, H, W) uint8 and torchvision's target, or None where nothing is to be learnt."""
    masks = picture.masks()
    # A box that is a line has no area, which torchvision refuses.
    kept = [n for n, entry in enumerate(picture.annotations) if min(entry["bbox"][2:]) >= 2]
    if not kept:
        return None
    boxes = torch.tensor([picture.annotations[n]["bbox"] for n in kept], dtype=torch.float32)
    boxes[:, 2:] += boxes[:, :2]
    target = {
        "boxes": boxes,
        "labels": torch.tensor([picture.annotations[n]["category_id"] for n in kept]),
        "masks": torch.from_numpy(masks[kept]),
    }
    return torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1), target


@torch.no_grad()
def detect(
    model: MaskRCNN, pictures: Sequence[Labelled], device: str = "cpu", batch: int = 16
) -> list[dict[str, Any]]:
    """Return what a network finds, as COCO results with RLE masks."""
    found = []
    for first in range(0, len(pictures), batch):
        some = pictures[first : first + batch]
        images = [torch.from_numpy(p.pixels.copy()).permute(2, 0, 1).to(device) / 255 for p in some]
        for picture, output in zip(some, model(images), strict=True):
            found += list(_results(picture.entry["id"], output))
    return found


def _results(image_id: int, output: dict[str, Tensor]) -> Iterator[dict[str, Any]]:
    masks = (output["masks"][:, 0] > 0.5).cpu().numpy().astype(np.uint8)
    for mask, label, score in zip(masks, output["labels"], output["scores"], strict=True):
        encoded = rle.encode(np.asfortranarray(mask))
        yield {
            "image_id": image_id,
            "category_id": int(label),
            "score": round(float(score), 5),
            "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode()},
        }
