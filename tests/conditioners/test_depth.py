from __future__ import annotations

import hashlib
import re
from types import MappingProxyType

import numpy as np
import pytest
import torch
from PIL import Image

from sv2r.conditioners.depth import DepthOptions, sv2r_conditioners
from sv2r.errors import ConfigError, SampleError
from sv2r.plugin.options import validate_options
from sv2r.plugin.specs import Runtime
from sv2r.testing import check_conditioner
from sv2r.testing import make_frame as textured_frame

(SPEC,) = sv2r_conditioners()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    from tests import toys

    return toys.save_depth(tmp_path_factory.mktemp("models") / "depth")


@pytest.fixture
def rendered(make_frame, tmp_path):
    def make(distances: np.ndarray, size: tuple[int, int] | None = None, suffix: str = ".npy"):
        """A frame whose renderer wrote these distances."""
        path = tmp_path / f"1_depth{suffix}"
        if suffix == ".npy":
            np.save(path, distances)
        else:
            Image.fromarray(distances).save(path)
        image = torch.zeros(3, *(size or distances.shape))
        return make_frame(image, channels=MappingProxyType({"depth": path}))

    return make


def build(tmp_path=None, **options):
    return SPEC.build(DepthOptions(**options), Runtime(input=tmp_path or Runtime().input))


def test_it_keeps_the_contract_with_a_checkpoint(checkpoint):
    check_conditioner(SPEC, {"model": str(checkpoint)})


def test_it_keeps_the_contract_with_a_renderers_depth(rendered):
    distances = np.random.default_rng(0).uniform(1, 9, (7, 9)).astype(np.float32)
    check_conditioner(SPEC, frames=[rendered(distances)])


def test_the_renderers_depth_is_near_is_bright(rendered):
    control = build()(rendered(np.array([[1.0, 2.0, 4.0, np.inf]])))
    assert control.name == "depth"
    assert control.image.dtype == torch.float32
    assert control.image.tolist() == [[[1, 0.5, 0.25, 0]]] * 3


def test_the_renderers_depth_comes_before_the_checkpoints(rendered, checkpoint):
    frame = rendered(np.array([[1.0, 2.0, 4.0, np.inf]]))
    assert torch.equal(build(model=str(checkpoint))(frame).image, build()(frame).image)


def test_an_8_bit_picture_of_depth_has_shades_unless_told(rendered):
    frame = rendered(np.array([[50, 100, 200]], np.uint8), suffix=".png")
    assert np.allclose(build()(frame).image[0], [[1, 2 / 3, 0]])
    assert np.allclose(build(kind="inverse")(frame).image[0], [[0, 1 / 3, 1]])
    assert np.allclose(build(kind="metric")(frame).image[0], [[1, 1 / 3, 0]])


def test_near_and_far_hold_for_every_picture(rendered):
    frame = rendered(np.array([[2.0, 8 / 3, 3.0]]))
    assert np.allclose(build(near=2, far=4)(frame).image[0], [[1, 0.5, 1 / 3]])


def test_a_checkpoints_estimate_is_its_inverse_depth_stretched(checkpoint):
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    frame = textured_frame(21, 34)
    picture = Image.fromarray((frame.image * 255).round().byte().permute(1, 2, 0).numpy())
    inputs = AutoImageProcessor.from_pretrained(checkpoint)(images=picture, return_tensors="pt")
    with torch.no_grad():
        estimate = AutoModelForDepthEstimation.from_pretrained(checkpoint)(**inputs).predicted_depth
    resized = torch.nn.functional.interpolate(estimate[None], (21, 34), mode="bicubic")[0, 0]
    expected = (resized - resized.min()) / (resized.max() - resized.min())
    assert resized.std() > 0
    control = build(model=str(checkpoint))(frame).image
    assert torch.allclose(control, expected.expand(3, -1, -1), atol=1e-5)


def test_a_checkpoint_of_distances_is_inverted(checkpoint):
    frame = textured_frame(21, 34)
    inverse = build(model=str(checkpoint))(frame).image[0].flatten()
    metric = build(model=str(checkpoint), output="metric")(frame).image[0].flatten()
    assert metric[inverse.argmin()] == 1
    assert metric[inverse.argmax()] == 0


@pytest.mark.parametrize("size", [(1, 5), (5, 1), (1, 1), (3, 4)])
def test_a_checkpoint_takes_tiny_pictures(make_frame, checkpoint, size):
    control = build(model=str(checkpoint))(make_frame(torch.rand(3, *size)))
    assert control.image.shape == (3, *size)


def test_the_record_tells_the_model_and_the_hash_of_its_weights(checkpoint):
    weights = (checkpoint / "model.safetensors").read_bytes()
    assert build(model=str(checkpoint)).settings() == {
        "renderer": "auto",
        "model": str(checkpoint),
        "revision": None,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "output": "inverse",
    }
    assert build(kind="linear").settings() == {"renderer": "linear"}


def test_a_sample_without_depth_is_told_both_fixes(make_frame):
    message = "a/1: has no depth; name the renderer's by --loader.depth, or a depth-estimation"
    with pytest.raises(
        SampleError, match=rf"^{message} checkpoint by --conditioner\.depth\.model$"
    ):
        build()(make_frame(torch.zeros(3, 4, 4)))


def test_depth_of_another_size_is_refused_by_its_path_in_the_dataset(rendered, tmp_path):
    frame = rendered(np.ones((4, 6)), size=(8, 12))
    message = "^1_depth.npy: depth is 6x4 but the picture is 12x8; render both at one size$"
    with pytest.raises(SampleError, match=message):
        build(tmp_path)(frame)


def test_a_checkpoint_of_pickles_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "dpt"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ConfigError, match=r"has no \.safetensors weights, and others can run code"):
        build(model=str(tmp_path))


def test_a_model_that_estimates_no_depth_is_refused(checkpoint, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    for name in ("model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    with pytest.raises(ConfigError, match=rf"^--conditioner\.depth\.model {tmp_path}: Unrecog"):
        build(model=str(tmp_path))


def test_a_checkpoint_without_a_head_is_refused(checkpoint, tmp_path):
    from safetensors.torch import load_file, save_file

    weights = load_file(checkpoint / "model.safetensors")
    backbone = {key: value for key, value in weights.items() if not key.startswith("head.")}
    assert len(backbone) < len(weights)
    save_file(backbone, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    with pytest.raises(ConfigError, match="has no depth head; choose"):
        build(model=str(tmp_path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"near": 1}, "near and far go together; give both or neither"),
        ({"near": 3, "far": 2}, "near 3 must be below far 2"),
        ({"near": 1, "far": 2, "kind": "inverse"}, "leave them out for kind inverse"),
        ({"revision": "main"}, "revision belongs to a model; give model as well"),
    ],
)
def test_options_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        validate_options(DepthOptions, values, where="--conditioner.depth")


@pytest.mark.parametrize(
    ("model", "message"),
    [("/nowhere/depth", "no such folder$"), ("a/b/c/d", "no such folder or file$")],
)
def test_a_model_that_is_not_there_is_named(model, message):
    with pytest.raises(ConfigError, match=rf"^--conditioner\.depth\.model {model}: {message}"):
        build(model=model)


def test_a_folder_has_no_revision(checkpoint):
    with pytest.raises(ConfigError, match="a folder has no revision; leave it out"):
        build(model=str(checkpoint), revision="main")
