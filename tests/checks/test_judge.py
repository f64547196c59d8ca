"""The judge, with a MaskFormer that has learned for a few seconds to find a bright square."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate

from sv2r.checks.judge import JudgeOptions, build
from sv2r.errors import ConfigError
from sv2r.plugin.specs import Runtime

DARK, BRIGHT = 60, 220


def square(y: int, x: int, *, seen: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A picture (64, 64, 3) with a bright square, and its labels."""
    image, labels = np.full((64, 64, 3), DARK, np.uint8), np.zeros((64, 64), np.int32)
    labels[y : y + 24, x : x + 24] = 7
    if seen:
        image[labels == 7] = BRIGHT
    return image, labels


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    from transformers import (
        DetrConfig,
        MaskFormerConfig,
        MaskFormerForInstanceSegmentation,
        MaskFormerImageProcessor,
        SwinConfig,
    )

    torch.manual_seed(0)
    stages = [f"stage{n}" for n in range(1, 5)]
    backbone = SwinConfig(
        image_size=32,
        embed_dim=16,
        depths=[1] * 4,
        num_heads=[1] * 4,
        window_size=2,
        out_features=stages,
    )
    decoder = DetrConfig(
        d_model=32,
        decoder_layers=1,
        encoder_layers=1,
        decoder_attention_heads=2,
        encoder_attention_heads=2,
        decoder_ffn_dim=32,
        encoder_ffn_dim=32,
        num_queries=1,
        dropout=0.0,
    )
    config = MaskFormerConfig(
        backbone_config=backbone,
        fpn_feature_size=32,
        mask_feature_size=32,
        decoder_config=decoder,
        num_labels=1,
    )
    model = MaskFormerForInstanceSegmentation(config)
    processor = MaskFormerImageProcessor(
        do_resize=False, image_mean=[0.5] * 3, image_std=[0.25] * 3, num_labels=1
    )
    learn(model, processor)
    folder = tmp_path_factory.mktemp("models") / "segmenter"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def learn(model, processor) -> None:
    """Teach the one query to find the square, where there is one."""
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    rng = np.random.default_rng(0)
    for _ in range(100):
        seen = [True, True, True, False]
        scenes = [square(*rng.integers(0, 40, 2), seen=one) for one in seen]
        pixels = processor(images=[image for image, _ in scenes], return_tensors="pt").pixel_values
        found = model(pixel_values=pixels)
        mask = interpolate(found.masks_queries_logits, (64, 64), mode="bilinear")[:3, 0]
        wanted = torch.stack([torch.from_numpy(labels == 7).float() for _, labels in scenes[:3]])
        classes = torch.ones(len(scenes), 1, dtype=torch.long)  # 1 is not an object
        classes[:3, 0] = 0
        named = cross_entropy(found.class_queries_logits.transpose(1, 2), classes)
        loss = 5 * binary_cross_entropy_with_logits(mask, wanted) + named
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.fixture(scope="module")
def judge(segmenter):
    return build(JudgeOptions(model=str(segmenter)), Runtime())


def test_an_instance_that_is_where_it_was_is_found_again(judge, make_frame, tensor):
    image, labels = square(10, 20)
    result = judge(make_frame(image, labels), tensor(image))
    assert result.reason is None
    assert result.instances[7]["source_iou"] > 0.5
    assert result.instances[7]["agreement"] == 1.0
    assert dict(result.picture) == {"judged": 1.0, "lost": 0.0}


def test_an_instance_that_is_gone_is_named_and_damaged(judge, make_frame, tensor):
    image, labels = square(10, 20)
    result = judge(make_frame(image, labels), tensor(square(10, 20, seen=False)[0]))
    assert result.reason == "the judge does not find 1 instance again: 7 (0.00)"
    assert result.damaged == {7}


def test_an_instance_that_moved_agrees_less(judge, make_frame, tensor):
    image, labels = square(10, 4)
    result = judge(make_frame(image, labels), tensor(square(10, 34)[0]))
    assert result.instances[7]["agreement"] < 0.2
    assert result.damaged == {7}


def test_a_crowd_is_scored_and_never_refused(judge, make_frame, tensor):
    image, labels = square(10, 20)
    gone = tensor(square(10, 20, seen=False)[0])
    result = judge(make_frame(image, labels, crowds=(7,)), gone)
    assert (result.reason, result.damaged) == (None, frozenset())
    assert result.instances[7]["agreement"] == 0.0


def test_what_the_segmenter_does_not_find_on_the_source_is_not_judged(judge, make_frame, tensor):
    image, labels = square(10, 20, seen=False)
    result = judge(make_frame(image, labels), tensor(image))
    assert result.reason is None
    assert set(result.instances[7]) == {"source_iou"}
    assert dict(result.picture) == {"judged": 0.0, "lost": 0.0}


def test_no_weights_are_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"^--check\.judge\.model .*empty: [^\n]*$"):
        build(JudgeOptions(model=str(tmp_path / "empty")), Runtime())


def test_a_checkpoint_that_segments_nothing_is_refused(segmenter, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(segmenter, tmp_path / "half")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "class_predictor" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"has no class_predictor\.\w+; choose a checkpoint"):
        build(JudgeOptions(model=str(folder)), Runtime())


def test_pickled_weights_are_refused(segmenter, tmp_path):
    import shutil

    folder = shutil.copytree(segmenter, tmp_path / "pickle")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"^--check\.judge\.model [^\n]*safetensors"):
        build(JudgeOptions(model=str(folder)), Runtime())
