"""Toy models learn to make photos of renders in one evaluation, and jobs and diffusers use them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sv2r
from sv2r.errors import ConfigError
from sv2r.training.autoencoder import make_pixels
from sv2r.training.nearness import Nearness
from sv2r.training.outlines import outline_loss, survived
from sv2r.training.photos import SquarePlace, cut_square
from sv2r.training.renders import cut_labels
from tests import toys
from tests.toys import jobs, processes, trainings
from tests.toys.datasets import make_coco

PIXELS = {
    "resolution": 32,
    "pixels": True,
    "prediction": "sample",
    "unet_channels": (8, 16),
    "heads": 2,
    "text_width": 16,
    "steps": 2,
    "batch_size": 2,
    "device": "cpu",
    "held_out": 2,
}
STEPS = {"resolution": 32, "steps": 4, "device": "cpu", "save_every": 2, "warmup": 0, "seed": 5}


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty photos, lighter than any render."""
    folder = tmp_path_factory.mktemp("bright")
    for number in range(20):
        pixels = 255 * (0.7 + 0.3 * toys.picture(36, 40, 100 + number))
        Image.fromarray(pixels.byte().permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = tuple(f"{number}.png" for number in range(12))
    return make_coco(tmp_path_factory.mktemp("renders"), names, (36, 40))


@pytest.fixture(scope="module")
def base(bright: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("base") / "out"
    trainings.train("base", {**PIXELS, "photos": bright, "output": output})
    return output


@pytest.fixture
def bridge(bright: Path, renders: Path, base: Path, tmp_path: Path) -> Callable[..., Any]:
    def run(**options: Any) -> Any:
        values = {"photos": bright, "renders": renders, "model": str(base), **STEPS}
        return trainings.train("bridge", {**values, "output": tmp_path / "out", **options})

    return run


def test_latents_of_pixels_are_the_pixels() -> None:
    vae = make_pixels()
    pictures = torch.stack([2 * toys.picture(20, 28, seed) - 1 for seed in range(2)])
    posterior = vae.encode(pictures).latent_dist
    assert torch.allclose(posterior.sample()[:, :3], pictures, atol=1e-3)
    noise = torch.randn(2, 1, 20, 28)  # what a denoiser puts into the fourth counts for nothing
    again = vae.decode(torch.cat([posterior.mode()[:, :3], noise], 1)).sample
    assert torch.allclose(again, pictures, atol=2e-3)


def test_a_killed_bridge_ends_with_the_same_bytes(
    bridge: Callable[..., Any], bright: Path, renders: Path, base: Path, tmp_path: Path
) -> None:
    bridge(output=tmp_path / "never", validate_every=1)
    values = {"photos": bright, "renders": renders, "model": str(base), **STEPS}
    values |= {"output": tmp_path / "killed", "validate_every": 1}
    assert processes.run(trainings.train_and_die, "bridge", values, 4) == -9
    assert trainings.train("bridge", values).endings["bridge"].ran == 2
    assert trainings.weights(tmp_path / "killed") == trainings.weights(tmp_path / "never") != {}


@pytest.mark.parametrize("evaluations", [1, 2])
def test_diffusers_alone_makes_the_picture_of_a_job(
    evaluations: int, bridge: Callable[..., Any], renders: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    model = bridge(evaluations=evaluations, start=0.2).output
    how = {"strength": 1.0, "steps": evaluations, "guidance_scale": 1.0}
    real = tmp_path / "real"
    config = jobs.config_of(renders, real, model, limit=1, prompt={"template": ""})
    config["translator"] |= how
    assert sv2r.convert(config).done == 1
    (record,) = jobs.records_of(real).values()
    made = np.asarray(Image.open(real / record["output"]), int)
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(model)
    render = Image.open(renders / record["sample"]).convert("RGB")
    generator = torch.Generator().manual_seed(record["seed"])
    alone = pipe(
        prompt="",
        image=render,
        strength=1.0,
        num_inference_steps=evaluations,
        guidance_scale=1.0,
        generator=generator,
    ).images[0]
    assert np.abs(np.asarray(alone, int) - made).max() <= 1
    assert pipe.scheduler.config.num_train_timesteps == 200


@pytest.mark.parametrize("judge", ["patches", "denoiser"])
def test_a_lora_is_merged_into_a_model_of_any_size(
    judge: str, bridge: Callable[..., Any], toy_sd15: Path, toy_sdxl: Path
) -> None:
    from safetensors.torch import load_file

    model = toy_sdxl if judge == "denoiser" else toy_sd15
    made = bridge(model=str(model), rank=2, judge=judge, steps=2, start=0.5).output
    file = "unet/diffusion_pytorch_model.safetensors"
    before, after = load_file(model / file), load_file(made / file)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name].float(), after[name])}
    assert changed
    assert not any("norm" in name or name.endswith("bias") for name in changed)


@pytest.mark.parametrize("model", ["base", "toy_sdxl"])
def test_bfloat16_trains_pixels_and_latents(
    model: str, bridge: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    from safetensors.torch import load_file

    folder = str(request.getfixturevalue(model))
    trained = bridge(model=folder, precision="bfloat16", judge="denoiser", steps=2, start=0.2)
    file = "unet/diffusion_pytorch_model.safetensors"
    before, after = load_file(Path(folder) / file), load_file(trained.output / file)
    assert all(value.isfinite().all() for value in after.values())
    assert not torch.equal(before["conv_in.weight"].float(), after["conv_in.weight"].float())


def test_gradient_checkpointing_changes_nothing_but_memory(
    bridge: Callable[..., Any], toy_sd15: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    file = "unet/diffusion_pytorch_model.safetensors"
    plain, sliced = (
        load_file(
            bridge(
                model=str(toy_sd15),
                judge="denoiser",
                steps=2,
                output=tmp_path / name,
                gradient_checkpointing=name == "sliced",
            ).output
            / file
        )
        for name in ("plain", "sliced")
    )
    for name, value in plain.items():
        assert torch.allclose(value, sliced[name], atol=1e-4), name


def test_a_vision_backbone_can_judge(bridge: Callable[..., Any], tmp_path: Path) -> None:
    from transformers import ResNetBackbone, ResNetConfig

    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    config = ResNetConfig(**sizes, layer_type="basic", out_features=["stage1", "stage2"])
    ResNetBackbone(config).save_pretrained(tmp_path / "eyes")
    trained = bridge(judge=str(tmp_path / "eyes"), steps=2)
    assert trained.endings["bridge"].finished
    assert (trained.output / "model_index.json").is_file()


def test_a_bridge_learns_what_photos_have_and_renders_lack(
    bridge: Callable[..., Any], renders: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    def light(steps: int) -> float:
        more = {"learning_rate": 2e-3, "ema": 0.5, "labels": 0, "structure": 0.1, "start": 0.1}
        model = bridge(steps=steps, output=tmp_path / str(steps), **more).output
        pipe = StableDiffusionImg2ImgPipeline.from_pretrained(model)
        call = {"strength": 1.0, "num_inference_steps": 1, "guidance_scale": 1.0}
        picture = Image.open(renders / "3.png").convert("RGB")
        made = pipe("", image=picture, generator=torch.Generator().manual_seed(0), **call)
        return float(np.asarray(made.images[0]).mean())

    photos, render = 217, np.asarray(Image.open(renders / "3.png").convert("RGB")).mean()
    assert abs(light(60) - photos) < abs(render - photos) / 2


def test_photos_that_cannot_do_are_refused_before_a_step(
    bridge: Callable[..., Any], photos: Path, renders: Path, tmp_path: Path
) -> None:
    def refused(**options: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            bridge(**options)
        assert not list((tmp_path / "out").rglob("*.safetensors"))
        return str(caught.value)

    assert f"{photos}: has 10 photos; a bridge needs 16 at least" in refused(photos=photos)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(16):
        pixels = np.asarray(Image.open(renders / f"{number % 12}.png").convert("RGB"))
        Image.fromarray(pixels).save(many / f"{number}.png")
    (many / "0.png").write_bytes((renders / "3.png").read_bytes())
    assert "0.png is one of the renders of --renders" in refused(photos=many)
    assert "no such folder; give the dataset" in refused(renders=tmp_path / "none")
    assert "is neither patches nor denoiser" in refused(judge="eyes")


def test_another_family_is_refused(bridge: Callable[..., Any], tmp_path: Path) -> None:
    model = toys.save_sd3(tmp_path / "sd3")
    with pytest.raises(ConfigError, match="a bridge is trained from Stable Diffusion"):
        bridge(model=str(model))


def test_labels_are_cut_as_their_picture_is() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, (40, 60)).astype(np.int32)
    pixels = np.repeat(labels[..., None], 3, 2).astype(np.uint8)
    for place in (SquarePlace(40, 0.0, 0.3), SquarePlace(40, 1.0, 1.0)):
        assert (cut_labels(labels, place) == cut_square(pixels, place)[..., 0]).all()
    large = np.kron(labels, np.ones((4, 4), np.int32))
    assert (cut_labels(large, SquarePlace(40, 0.0, 0.0)) == labels[:, :40]).all()


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Return a (3, 64, 64) render in [-1, 1] with one bright square, and its labels."""
    labels = torch.zeros(64, 64, dtype=torch.int32)
    labels[20:44, 20:44] = 1
    return torch.where(labels > 0, 0.6, -0.4).expand(3, -1, -1).clone(), labels


def test_labels_that_no_longer_fit_cost_more() -> None:
    render, labels = scene()
    moved = render.roll(8, -1)
    kept, lost = (
        float(outline_loss(render[None], picture[None], labels[None]))
        for picture in (render, moved)
    )
    assert lost > kept + 0.3
    levels = [127.5 * (part + 1) for part in (render, moved)]
    assert [survived(levels[0], part, labels) for part in levels] == [[True], [False]]


def test_the_cost_of_labels_has_a_gradient_also_where_nothing_is_seen() -> None:
    render, labels = scene()
    for picture in (render.roll(3, -1), torch.zeros(3, 64, 64)):
        made = picture[None].clone().requires_grad_()
        outline_loss(render[None], made, labels[None]).backward()
        assert made.grad is not None
        assert torch.isfinite(made.grad).all()
        assert made.grad.abs().max() > 0
    nothing = torch.zeros_like(labels)
    assert float(outline_loss(render[None], render[None], nothing[None])) == 0


def test_nearness_goes_from_renders_to_photos() -> None:
    generator = torch.Generator().manual_seed(0)

    def pictures(level: float) -> torch.Tensor:
        return level + 0.1 * torch.randn(40, 3, 8, 8, generator=generator)

    nearness = Nearness(lambda some: some.flatten(1), pictures(0.2), pictures(0.8))
    shares = [nearness.share(pictures(level)) for level in (0.2, 0.5, 0.8)]
    assert shares[0] < 0.1 < shares[1] < 0.9 < shares[2]
