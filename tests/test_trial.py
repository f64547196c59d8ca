"""What `sv2r doctor --gpu` tries, on the CPU with toy networks."""

from __future__ import annotations

import pytest

from sv2r.trial import Shapes, TrialResult, try_device

TOY = Shapes(
    unet={
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
        "layers_per_block": 1,
    },
    vae={
        "block_out_channels": (8, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 4,
        "latent_channels": 4,
    },
    side=64,
    batch=2,
)


@pytest.fixture(scope="module")
def found() -> dict[str, TrialResult]:
    return {finding.what: finding for finding in try_device("cpu", "bfloat16", TOY)}


def test_everything_is_tried_in_order(found: dict[str, TrialResult]) -> None:
    tried = ["rounding", "convolutions", "attention", "pace", "checks", "copies"]
    assert list(found) == tried
    # Which kernel convolves is a question to a GPU: a CPU may have none of its own for bfloat16.
    assert all(finding.works for what, finding in found.items() if what != "convolutions"), found


def test_half_precision_is_a_little_off_and_float32_is_not(found: dict[str, TrialResult]) -> None:
    assert 1e-4 < found["rounding"].figures["share"] < 0.05
    first = next(iter(try_device("cpu", "float32", TOY)))
    assert first.figures == {"dtype": "float32", "share": 0.0}


def test_what_fails_is_a_finding_and_the_rest_is_tried() -> None:
    misfit = Shapes(unet=TOY.unet, vae={**TOY.vae, "latent_channels": 8}, side=64, batch=2)

    found = {finding.what: finding for finding in try_device("cpu", "float32", misfit)}

    assert not found["pace"].works
    assert found["pace"].says.startswith("RuntimeError: ")
    assert found["copies"].works
