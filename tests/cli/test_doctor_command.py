"""`sv2r doctor`: what this machine has."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version

import pytest
import torch


@pytest.fixture(autouse=True)
def _own_caches(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_json_has_versions_devices_plugins_and_caches(sv2r, tmp_path):
    (tmp_path / "hub" / "models--x").mkdir(parents=True)
    (tmp_path / "hub" / "models--x" / "weights").write_bytes(bytes(1000))
    code, out, error = sv2r("doctor", "--json")
    found = json.loads(out)
    assert (code, error) == (0, "")
    assert found["python"].startswith(platform.python_version())
    for name in ("sv2r", "torch", "diffusers", "transformers", "pycocotools", "isal"):
        assert found["versions"][name] == version(name)
    cpu = found["devices"][-1]
    assert (cpu["name"], cpu["dtype"]) == ("cpu", "float32")
    assert cpu["what"].startswith(f"{os.cpu_count()} cores")
    assert {"coco", "cityscapes", "folder"} <= set(found["plugins"]["working"]["loader"])
    assert "default" in found["plugins"]["working"]["preset"]
    assert found["plugins"]["failed"] == []
    hub = found["caches"][0]
    assert (hub["what"], hub["path"], hub["bytes"]) == ("hub", str(tmp_path / "hub"), 1000)
    assert all(cache["free_bytes"] > 0 for cache in found["caches"])


def test_people_read_the_same_in_lines(sv2r):
    code, out, _ = sv2r("doctor")
    assert code == 0
    lines = out.splitlines()
    assert f"torch         {version('torch')}" in lines
    assert any(line.startswith("device      cpu: ") for line in lines)
    assert any(line.startswith("compiler    ") for line in lines)
    (latents,) = (line for line in lines if line.endswith(": by the path 'latents'"))
    assert latents.startswith("models      stable-diffusion, stable-diffusion-xl, ")
    assert "models      all others: by the path 'pipeline'" in lines
    assert any(line.startswith("loaders ") and "cityscapes" in line for line in lines)
    assert any(line.startswith("cache       hub: ") for line in lines)


def test_a_broken_plugin_is_named_and_the_exit_code_is_1(sv2r, tmp_path, monkeypatch):
    info = tmp_path / "site" / "sv2r_haze-0.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sv2r-haze\nVersion: 0.2\n")
    (info / "entry_points.txt").write_text("[sv2r]\nhaze = sv2r_haze\n")
    (tmp_path / "site" / "sv2r_haze.py").write_text("import haze_net\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    line = (
        "plugin 'haze' (sv2r-haze 0.2) disabled: import failed: "
        "ModuleNotFoundError: No module named 'haze_net'"
    )
    code, out, _ = sv2r("doctor")
    assert (code, f"warning     {line}" in out.splitlines()) == (1, True)
    code, out, _ = sv2r("doctor", "--json")
    assert (code, json.loads(out)["plugins"]["failed"]) == (1, [line])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_trial_without_a_gpu_is_refused_in_one_line(sv2r):
    code, out, error = sv2r("doctor", "--gpu")
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert f"--gpu: torch {torch.__version__} (built for CUDA" in error
