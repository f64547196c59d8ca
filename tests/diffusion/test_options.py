"""Options of diffusion translators as they are written."""

from __future__ import annotations

from typing import Any

import pytest

from sv2r.diffusion.options import weights_by_name


@pytest.mark.parametrize(
    ("value", "weights"),
    [
        ("runs/lr=0.1/lora", {"runs/lr=0.1/lora": 1.0}),
        (["runs/lr=0.1/lora=0.5", "b"], {"runs/lr=0.1/lora": "0.5", "b": 1.0}),
        ("file.safetensors=0.8", {"file.safetensors": "0.8"}),
    ],
)
def test_a_path_with_an_equals_sign_in_it_is_one_path(value: Any, weights: Any) -> None:
    assert weights_by_name(value) == weights
