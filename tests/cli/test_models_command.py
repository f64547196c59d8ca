"""`sv2r models`, and models by their short names."""

from __future__ import annotations

import json


def test_a_model_goes_by_its_short_name_and_the_config_has_its_id(sv2r):
    _, out, _ = sv2r("config", "show", "--no-origins", "--model", "sd15")
    assert "  model: stable-diffusion-v1-5/stable-diffusion-v1-5\n" in out


def test_a_folder_of_that_name_comes_first(sv2r, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sd15").mkdir()
    _, out, _ = sv2r("config", "show", "--no-origins", "--model", "sd15")
    assert f"  model: {tmp_path / 'sd15'}\n" in out


def test_models_are_listed_with_what_is_in_the_cache(sv2r, tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    net = tmp_path / "models--lllyasviel--sd-controlnet-canny" / "snapshots" / "0"
    net.mkdir(parents=True)
    (net / "diffusion_pytorch_model.safetensors").touch()
    code, out, error = sv2r("models")
    assert (code, error) == (0, "")
    assert out.splitlines()[:3] == [
        "sd15         stable-diffusion-v1-5/stable-diffusion-v1-5",
        "             2.1 GB of weights · CreativeML OpenRAIL-M · --translator sdedit",
        "             --controlnet canny=lllyasviel/sd-controlnet-canny   (in the cache)",
    ]
    _, out, _ = sv2r("models", "--json")
    assert [one["cached"] for one in json.loads(out)] == [
        ["lllyasviel/sd-controlnet-canny"],
        [],
        [],
    ]


def test_every_control_net_is_for_a_conditioner_that_there_is():
    from sv2r.diffusion.named import named_models
    from sv2r.plugin.registry import load_registry

    conditioners = {entry.name for entry in load_registry().of_kind("conditioner")}
    assert {name for one in named_models() for name in one.controlnets} <= conditioners
