"""Mask R-CNN (He et al. 2017) by torchvision: a small one for a CPU, and the usual one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from pycocotools import mask as rle
from torch import Tensor, nn

from sv2r.errors import ConfigError
from sv2r.images.decode import read_picture
from sv2r.plugin.specs import Detections, Training
from sv2r.trainers.maskrcnn import MaskRcnnOptions

if TYPE_CHECKING:
    from torchvision.models.detection import MaskRCNN

# Channels of the small network's first stage, and of its feature pyramid.
WIDTH, PYRAMID = 16, 32
MAP_NAMES = ("0", "1", "2")
_DECAY = 0.02
_BATCH = 16  # pictures that are looked at together after the training
_KEPT_BYTES = 2_000_000_000

Taught = tuple[Tensor, dict[str, Tensor]]
"""A picture, (3, H, W) uint8, and torchvision's target."""


class MaskRcnnTrainer:
    """Trains from scratch, or from weights that were given."""

    def __init__(self, options: MaskRcnnOptions) -> None:
        self._options = options

    def detect(self, training: Training) -> Detections:
        """Train, and return what is found in the test pictures."""
        options = self._options
        examples = _Examples(training.train)
        if not len(examples):
            raise ConfigError(f"{training.train}: has no instance of 2 pixels a side to learn from")
        torch.manual_seed(training.seed)
        model = self._network(len(training.categories)).to(training.device)
        recipe = Recipe(options.steps, options.batch_size, options.learning_rate)
        fit(model, examples, recipe, training.seed, training.device, training.show)
        tests = _listed(training.test)
        found: list[dict[str, Any]] = []
        for first in range(0, len(tests), _BATCH):
            some = tests[first : first + _BATCH]
            pictures = [_picture(path) for _, path, _ in some]
            found += find_in(model, pictures, [id_ for id_, _, _ in some], training.device)
        return found

    def _network(self, categories: int) -> MaskRCNN:
        options = self._options
        if options.network == "small":
            model = small_network(categories, options.size)
        else:
            from torchvision.models.detection import maskrcnn_resnet50_fpn

            model = maskrcnn_resnet50_fpn(
                weights=None,
                weights_backbone=None,
                num_classes=categories + 1,
                min_size=options.size,
                max_size=2 * options.size,
            )
        if options.weights is not None:
            _take(model, options.weights)
        return model


def _take(model: nn.Module, file: Path) -> None:
    """Load the weights of a file that have the network's names and shapes.

    Raises:
        ConfigError: it cannot be read, or none has.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        given = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"--trainer.weights {file}: {error}") from None
    own = model.state_dict()
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise ConfigError(
            f"--trainer.weights {file}: no weight is named and shaped as the network's"
        )
    model.load_state_dict(fitting, strict=False)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. rate: the peak of a one-cycle schedule of AdamW."""

    steps: int = 1200
    # In 90 s of a core, 700 steps of four reached three times the AP of 260 steps of eight.
    batch: int = 4
    rate: float = 2e-3


def small_network(categories: int, size: int = 128) -> MaskRCNN:
    """Return an untrained Mask R-CNN for pictures of about 128 px.

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
        min_size=size,
        max_size=size if size == 128 else 2 * size,
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


def fit(
    model: MaskRCNN,
    examples: Sequence[Taught],
    recipe: Recipe,
    seed: int,
    device: str,
    show: Callable[[int, int, float], None] = lambda *_: None,
) -> None:
    """Train a network on examples, half of which are mirrored at each step.

    The same arguments give the same network on a CPU.

    Raises:
        ConfigError: the loss is no number any more.
    """
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=recipe.steps, pct_start=0.15
    )
    batches = _batches(examples, recipe, torch.Generator().manual_seed(seed))
    for step, batch in enumerate(batches, 1):
        images = [image.to(device).float() / 255 for image, _ in batch]
        targets = [{k: v.to(device) for k, v in target.items()} for _, target in batch]
        loss = sum(model(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == recipe.steps:
            value = float(loss.detach())
            if not math.isfinite(value):
                fix = "give a smaller --trainer.learning_rate"
                raise ConfigError(f"the loss is {value} at step {step}; {fix}")
            show(step, recipe.steps, value)
    model.eval()


def _batches(
    examples: Sequence[Taught], recipe: Recipe, generator: torch.Generator
) -> Iterator[list[Taught]]:
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


def mirrored(image: Tensor, target: dict[str, Tensor]) -> Taught:
    """Return an example with left and right exchanged."""
    left, top, right, bottom = target["boxes"].unbind(1)
    width = image.shape[-1]
    boxes = torch.stack([width - right, top, width - left, bottom], 1)
    return image.flip(-1), {**target, "boxes": boxes, "masks": target["masks"].flip(-1)}


_Listed = tuple[int, Path, list[dict[str, Any]]]
"""A picture's id, its file and its annotations."""


def _listed(folder: Path) -> list[_Listed]:
    """Return what a COCO folder lists, in its order."""
    data = json.loads((folder / "annotations.json").read_text())
    found: dict[int, list[dict[str, Any]]] = {one["id"]: [] for one in data["images"]}
    for entry in data["annotations"]:
        found[entry["image_id"]].append(entry)
    return [(one["id"], folder / one["file_name"], found[one["id"]]) for one in data["images"]]


def _picture(path: Path) -> Tensor:
    return torch.from_numpy(read_picture(path, path.name).pixels.copy()).permute(2, 0, 1)


class _Examples(Sequence[Taught]):
    """The pictures of a COCO folder that have something to learn; as many as fit stay in memory."""

    def __init__(self, folder: Path) -> None:
        self._listed = [one for one in _listed(folder) if learnable(one[2])]
        self._kept: dict[int, Taught] = {}
        self._left = _KEPT_BYTES

    def __len__(self) -> int:
        return len(self._listed)

    @overload
    def __getitem__(self, place: int) -> Taught: ...
    @overload
    def __getitem__(self, place: slice) -> list[Taught]: ...
    def __getitem__(self, place: int | slice) -> Taught | list[Taught]:
        if isinstance(place, slice):
            return [self[one] for one in range(len(self))[place]]
        if place not in self._kept:
            _, path, entries = self._listed[place]
            example = make_example(_picture(path), entries)
            self._left -= example[0].nbytes + example[1]["masks"].nbytes
            if self._left < 0:
                return example
            self._kept[place] = example
        return self._kept[place]


def learnable(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the annotations that a network can learn from.

    A box that is a line has no area, which torchvision refuses; crowds are no single objects.
    """
    return [e for e in entries if min(e["bbox"][2:]) >= 2 and not e.get("iscrowd")]


def make_example(image: Tensor, entries: Sequence[dict[str, Any]]) -> Taught:
    """Return an example of COCO annotations, some of which are learnable."""
    kept = learnable(entries)
    boxes = torch.tensor([entry["bbox"] for entry in kept], dtype=torch.float32)
    boxes[:, 2:] += boxes[:, :2]
    masks = np.stack([rle.decode(entry["segmentation"]) for entry in kept])
    target = {
        "boxes": boxes,
        "labels": torch.tensor([entry["category_id"] for entry in kept]),
        "masks": torch.from_numpy(masks),
    }
    return image, target


@torch.no_grad()
def find_in(
    model: MaskRCNN, pictures: Sequence[Tensor], ids: Sequence[int], device: str
) -> list[dict[str, Any]]:
    """Return what a network finds in (3, H, W) uint8 pictures, as COCO results with RLE masks."""
    images = [one.to(device) / 255 for one in pictures]
    return [
        result
        for number, output in zip(ids, model(images), strict=True)
        for result in _results(number, output)
    ]


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
