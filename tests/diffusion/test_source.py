from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from sv2r.diffusion.loading import fetch
from sv2r.diffusion.source import find_network, find_pipeline
from sv2r.errors import ConfigError
from sv2r.plugin.specs import Runtime
from sv2r.translators import sdedit
from sv2r.weights import weights_sha256
from tests import toys


def cache(folder: Path, model: Path, name: str, revision: str = "main") -> Path:
    """Return a model's snapshot after putting it into a Hugging Face cache as a download does."""
    repository = folder / f"models--{name.replace('/', '--')}"
    commit = hashlib.sha1(revision.encode()).hexdigest()
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / revision).write_text(commit)
    blobs, snapshot = repository / "blobs", repository / "snapshots" / commit
    blobs.mkdir(exist_ok=True)
    for file in sorted(path for path in model.rglob("*") if path.is_file()):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blobs / digest)
        target = snapshot / file.relative_to(model)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(blobs / digest)
    return snapshot


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty Hugging Face cache, the hub itself out of reach."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_repository_in_the_cache_is_used_without_a_network(root: Path, hub: Path) -> None:
    snapshot = cache(hub, root / "sd15", "someone/toy")
    by_id = sdedit.build(sdedit.SdeditOptions(model="someone/toy", steps=4), Runtime())
    by_path = sdedit.build(sdedit.SdeditOptions(model=str(root / "sd15"), steps=4), Runtime())
    batch = toys.batch([(16, 24)])

    assert fetch(find_pipeline("someone/toy")).folder == snapshot
    assert torch.equal(by_id(batch)[0], by_path(batch)[0])
    assert by_id.settings()["model_sha256"] == by_path.settings()["model_sha256"]


def test_a_revision_in_the_cache_is_used(root: Path, hub: Path) -> None:
    cache(hub, root / "sdxl", "someone/toy")
    snapshot = cache(hub, root / "sd15", "someone/toy", revision="v2")
    assert fetch(find_pipeline("someone/toy", revision="v2")).folder == snapshot


def test_a_controlnet_in_the_cache_is_used(root: Path, hub: Path) -> None:
    snapshot = cache(hub, root / "canny", "someone/canny")
    source = fetch(find_network("someone/canny", option="--translator.controlnet canny"))
    assert source.folder == snapshot
    assert [file.name for file in source.weight_files()] == ["diffusion_pytorch_model.safetensors"]


def test_a_repository_out_of_reach(hub: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_pipeline("someone/else")
    assert str(caught.value) == (
        "--translator.model someone/else: no such folder here, and huggingface.co cannot be "
        "reached and the model is not in its cache; connect, or give a folder"
    )


def test_a_folder_has_no_revision(root: Path) -> None:
    with pytest.raises(ConfigError, match="a folder has no revision; leave it out"):
        find_pipeline(str(root / "sd15"), revision="main")


def test_a_config_without_a_single_file(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"config belongs to a single \.safetensors file only"):
        find_pipeline(str(root / "sd15"), config=str(root / "sd15"))


def test_a_single_file_s_kind_is_known_by_its_tensors(tmp_path: Path, hub: Path) -> None:
    file, config = toys.save_sd15_file(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find_pipeline(str(file))
    assert "its configuration is stable-diffusion-v1-5/stable-diffusion-v1-5's" in str(caught.value)
    assert str(caught.value).endswith("connect, or give a folder")

    cache(hub, config, "stable-diffusion-v1-5/stable-diffusion-v1-5")
    assert find_pipeline(str(file)).class_name == "StableDiffusionPipeline"


def test_a_file_that_is_no_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="not a safetensors file"):
        find_pipeline(str(file))


def test_the_hash_of_one_file_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"abc")
    assert weights_sha256([tmp_path / "a.safetensors"], tmp_path) == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_the_hash_of_several_files_is_that_of_sha256sum_s_list(root: Path) -> None:
    source = find_pipeline(str(root / "sdxl"))
    names = [file.relative_to(source.folder).as_posix() for file in source.weight_files()]
    listed = subprocess.run(
        ["sha256sum", *names], cwd=source.folder, capture_output=True, check=True
    ).stdout

    assert names == [
        "text_encoder/model.safetensors",
        "text_encoder_2/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    digest = weights_sha256(source.weight_files(), source.folder)
    assert digest == hashlib.sha256(listed).hexdigest()


def test_other_weights_have_another_hash(root: Path, tmp_path: Path) -> None:
    model = toys.save_sd15(tmp_path / "sd15", seed=1)
    hashes = {
        weights_sha256(source.weight_files(), source.folder)
        for source in (find_pipeline(str(model)), find_pipeline(str(root / "sd15")))
    }
    assert len(hashes) == 2


def test_a_variant_is_read_and_hashed_alone(root: Path, tmp_path: Path) -> None:
    import diffusers

    pipe: Any = diffusers.StableDiffusionPipeline.from_pretrained(root / "sd15")
    pipe.save_pretrained(tmp_path)
    pipe.to(torch.float16).save_pretrained(tmp_path, variant="fp16")
    whole = find_pipeline(str(tmp_path))
    half = find_pipeline(str(tmp_path), variant="fp16")

    assert {file.name for file in half.weight_files()} == {
        "model.fp16.safetensors",
        "diffusion_pytorch_model.fp16.safetensors",
    }
    assert not set(whole.weight_files()) & set(half.weight_files())
    options = sdedit.SdeditOptions(model=str(tmp_path), variant="fp16", steps=4)
    assert sdedit.build(options, Runtime()).settings()["variant"] == "fp16"
