"""The second opinion, with small promptable segmenters of random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sv2r.checks.second_opinion import Promptable, SecondOpinionOptions, build
from sv2r.errors import ConfigError
from sv2r.plugin.specs import Runtime


def _sam(folder):
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    vision = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
        "window_size": 4,
        "global_attn_indexes": [0],
        "output_channels": 16,
        "num_pos_feats": 8,
        "mlp_dim": 16,
    }
    prompt = {"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4}
    decoder = {
        "hidden_size": 16,
        "mlp_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
    }
    config = SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    processor = SamProcessor(
        SamImageProcessor(
            size={"longest_edge": 64},
            pad_size={"height": 64, "width": 64},
            mask_size={"longest_edge": 32},
            mask_pad_size={"height": 32, "width": 32},
        )
    )
    processor.save_pretrained(folder)
    SamModel(config).save_pretrained(folder)


def _sam2(folder):
    from transformers import Sam2Config, Sam2ImageProcessor, Sam2Model, Sam2Processor

    backbone = {
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [64, 64],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [2, 2],
        "model_type": "sam2_hiera_det_model",
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 16,
    }
    prompt = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
    decoder = {
        "hidden_size": 16,
        "mlp_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
    }
    config = Sam2Config(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    size = {"height": 64, "width": 64}
    Sam2Processor(Sam2ImageProcessor(size=size, mask_size=size)).save_pretrained(folder)
    Sam2Model(config).save_pretrained(folder)


@pytest.fixture(scope="module", params=[_sam, _sam2], ids=["sam", "sam2"])
def checkpoint(request, tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "promptable"
    request.param(folder)
    return folder


def _check(checkpoint, **options):
    return build(SecondOpinionOptions(model=str(checkpoint), **options), Runtime())


def test_the_same_picture_has_dropped_nothing(checkpoint, make_frame, scene, tensor):
    image, labels = scene()
    check = _check(checkpoint, min_source=1e-6)
    result = check(make_frame(image, labels), tensor(image))
    assert result.reason is None
    assert result.picture == {"judged": 3, "lost": 0}
    assert {scores["drop"] for scores in result.instances.values()} == {0}


@pytest.mark.parametrize("prompt", ["box", "point", "both"])
def test_prompts_in_one_call_or_in_many_give_the_same(checkpoint, scene, tensor, prompt):
    image, labels = scene()
    pair = tensor(image), tensor(255 - image)
    found = []
    for prompts in (64, 1):
        options = SecondOpinionOptions(model=str(checkpoint), prompt=prompt, prompts=prompts)
        found.append(Promptable(options, "cpu").overlaps(pair, labels, [1, 2, 3]))
    assert np.array(found[0]).shape == (3, 2)
    assert np.array(found[0]) == pytest.approx(np.array(found[1]), abs=0.02)


def test_what_drops_by_more_than_asked_is_damaged(
    checkpoint, make_frame, scene, tensor, monkeypatch
):
    fits = [(0.9, 0.2), (0.9, 0.8), (0.4, 0.0)]
    monkeypatch.setattr(Promptable, "overlaps", lambda *_: fits)
    image, labels = scene()
    result = _check(checkpoint)(make_frame(image, labels), tensor(image))
    assert result.damaged == {1}
    assert result.reason.endswith("finds 1 instance elsewhere or not at all: 1 (-0.70)")
    assert set(result.instances[3]) == {"source_iou"}
    crowd = _check(checkpoint)(make_frame(image, labels, crowds=(1,)), tensor(image))
    assert (crowd.reason, crowd.instances[1]["drop"]) == (None, 0.7)


def test_small_instances_are_not_asked_for(checkpoint, make_frame, scene, tensor):
    image, labels = scene()
    result = _check(checkpoint, min_area=1300)(make_frame(image, labels), tensor(image))
    assert set(result.instances) == {1, 3}


def test_a_checkpoint_that_takes_no_prompts_is_refused(tmp_path):
    from transformers import ViTConfig, ViTModel

    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    ViTModel(ViTConfig(**size, intermediate_size=8)).save_pretrained(tmp_path / "vit")
    with pytest.raises(ConfigError, match=r"--check.second-opinion.model .*vit: "):
        _check(tmp_path / "vit")
