"""The contracts themselves: each promise, broken by a small component, is found and named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ConfigDict, Field, model_validator

from sv2r.errors import ConfigError
from sv2r.plugin.options import Options
from sv2r.plugin.specs import (
    CheckSpec,
    ConditionerSpec,
    ExecutorSpec,
    LoaderSpec,
    Runtime,
    TranslatorSpec,
    WriterSpec,
)
from sv2r.storage.files import write_atomically
from sv2r.testing import (
    ContractError,
    check_check,
    check_conditioner,
    check_executor,
    check_loader,
    check_options,
    check_plugin,
    check_translator,
    check_writer,
    make_batch,
    make_dataset,
    make_frame,
)
from sv2r.types import (
    Batch,
    CheckResult,
    ControlMap,
    Dataset,
    Frame,
    Instance,
    Instances,
    Match,
    Published,
    Record,
    Refusal,
    Sample,
)


class NoOptions(Options):
    """None."""


def _broken(check: Callable[[], None]) -> str:
    with pytest.raises(ContractError) as caught:
        check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- makers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(101, 75), (7, 9), (1, 3), (64, 64)])
def test_a_made_frame_has_the_size_and_the_instances_that_were_asked_for(
    size: tuple[int, int],
) -> None:
    frame = make_frame(*size, instances=3)
    assert frame.image.shape == (3, *size)
    assert frame.image.dtype == torch.float32
    assert frame.instances.size == frame.size == size
    assert sorted(np.unique(frame.instances.labels)) in ([0, 1, 2, 3], [1, 2, 3])
    assert set(frame.instances.table) == {1, 2, 3}


def test_a_made_frame_is_made_of_8_bit_levels_and_the_same_for_the_same_seed() -> None:
    frame, again, other = make_frame(20, 30, 1), make_frame(20, 30, 1), make_frame(20, 30, 2)
    levels = frame.image * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert torch.equal(frame.image, again.image)
    assert not torch.equal(frame.image, other.image)


def test_neighbouring_instances_of_a_made_frame_touch() -> None:
    labels = make_frame(40, 60, instances=2).instances.labels
    assert ((labels[:, :-1] == 1) & (labels[:, 1:] == 2)).any()


def test_a_frame_without_room_for_its_instances_is_refused() -> None:
    with pytest.raises(ValueError, match="no room for 5 instances in 9x4; make it wider"):
        make_frame(9, 4, instances=5)


def test_a_made_batch_has_controls_prompts_and_seeds_for_each_frame() -> None:
    batch = make_batch([make_frame(7, 9), make_frame(7, 9, 1)], ["canny"], prompt="a street")
    assert [tuple(m.shape) for m in batch.controls["canny"]] == [(3, 7, 9), (3, 7, 9)]
    assert batch.prompts == ("a street", "a street")
    assert batch.seeds == (1, 2)


def test_a_made_dataset_lies_on_disk_as_it_says(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    assert list(dataset.ids) == ["day/000", "day/001", "day/002"]
    for sample, instances in zip(dataset.samples, (3, 2, 0), strict=True):
        with Image.open(sample.image) as picture:
            assert (picture.height, picture.width) == sample.size
        with Image.open(sample.annotation_files[0]) as mask:
            assert mask.mode == "I;16"
            assert (np.array(mask) == sample.load_instances().labels).all()
        assert len(sample.load_instances().table) == instances
    assert dataset.annotation_files[0].is_file()


# --- options ------------------------------------------------------------------------------------


class Undescribed(Options):
    gain: float = 1.0


class Thawed(Options):
    model_config = ConfigDict(frozen=False)


class Lenient(Options):
    model_config = ConfigDict(extra="ignore")


class WrongDefault(Options):
    gain: float = Field(0.0, gt=0, description="Gain.")


class WrongDefaultBesideRequired(Options):
    model: str = Field(description="The model.")
    gain: float = Field(0.0, gt=0, description="Gain.")


class Forgetful(Options):
    words: tuple[Any, ...] = Field(((1, 2),), description="Lost in YAML: a list comes back.")


class Explicit(Options):
    fit: str = Field("native", description="Fit.")
    tile: int = Field(64, description="Tile.")

    @model_validator(mode="after")
    def _tile_has_an_effect(self) -> Explicit:
        if "tile" in self.model_fields_set and self.fit == "native":
            raise ValueError("tile has no effect")
        return self


DEFAULTS = "check 'mine' must accept its own defaults, as run.yaml writes them out"


def _check_spec(**fields: Any) -> CheckSpec[Any]:
    given = {"name": "mine", "summary": "s", "options": NoOptions, "build": _passing, **fields}
    return CheckSpec(**given)


def _passing(options: Any, runtime: Runtime) -> Callable[[Frame, torch.Tensor], CheckResult]:
    return lambda frame, picture: CheckResult()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "Mine"}, "check 'Mine' must be named [a-z][a-z0-9-]*: the name is 'Mine'"),
        ({"summary": ""}, "check 'mine' must have a summary of one line: the summary is ''"),
        (
            {"options": Undescribed},
            "check 'mine' must describe every option: 'gain' has no description",
        ),
        ({"options": Thawed}, "check 'mine' must have frozen options: model_config thaws them"),
        ({"options": Lenient}, "check 'mine' must refuse unknown options: extra is 'ignore'"),
        (
            {"options": WrongDefault},
            f"{DEFAULTS}: gain: Input should be greater than 0",
        ),
        (
            {"options": WrongDefaultBesideRequired},
            f"{DEFAULTS}: gain: Input should be greater than 0",
        ),
        ({"options": Explicit}, f"{DEFAULTS}: together: tile has no effect"),
    ],
)
def test_options_that_break_a_promise_are_found(fields: dict[str, Any], message: str) -> None:
    assert _broken(lambda: check_options(_check_spec(**fields))) == message


def test_options_that_do_not_come_back_from_yaml_are_found() -> None:
    message = _broken(lambda: check_options(_check_spec(options=Forgetful)))
    assert message.startswith("check 'mine' must have options that come back from run.yaml")


# --- conditioners -------------------------------------------------------------------------------

Image3 = Callable[[Frame], torch.Tensor]


def _conditioner(image: Image3, produces: str = "mine") -> ConditionerSpec[Any]:
    return ConditionerSpec(
        name="mine",
        summary="s",
        options=NoOptions,
        build=lambda options, runtime: lambda frame: ControlMap("mine", image(frame)),
        produces=produces,
    )


def _dirty(frame: Frame) -> torch.Tensor:
    return frame.image.mul_(0.5)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            lambda frame: frame.image[:1],
            "must keep the frame's height and width: (1, 101, 75), not (3, 101, 75)",
        ),
        (
            lambda frame: frame.image[:, :96, :72],
            "must keep the frame's height and width: (3, 96, 72), not (3, 101, 75)",
        ),
        (lambda frame: frame.image.double(), "must return torch.float32: torch.float64"),
        (lambda frame: frame.image.numpy(), "must return tensors: a ndarray"),
        (lambda frame: frame.image * 0 + 1.5, "must stay in [0, 1]: 1.5 to 1.5"),
        (lambda frame: frame.image / frame.image.max(), "must stay in [0, 1]: nan to nan"),
        (
            lambda frame: torch.rand_like(frame.image),
            "must give the same map twice: picture 1 of 1 differs in 22725 of 22725 values",
        ),
        (_dirty, "must leave the frame as it was: picture 1 of 1 differs"),
        (
            lambda frame: frame.image[9],
            "must condition a 101x75 frame: IndexError: index 9 is out of bounds for dimension 0",
        ),
    ],
)
def test_a_conditioner_that_breaks_a_promise_is_found(image: Image3, message: str) -> None:
    told = _broken(lambda: check_conditioner(_conditioner(image)))
    assert told.startswith(f"conditioner 'mine' {message}")


def test_a_conditioner_that_uses_one_buffer_for_all_maps_is_found() -> None:
    buffers: dict[Any, torch.Tensor] = {}

    def image(frame: Frame) -> torch.Tensor:
        return buffers.setdefault(frame.size, torch.zeros(3, *frame.size)).copy_(frame.image)

    told = _broken(lambda: check_conditioner(_conditioner(image)))
    assert told.startswith("conditioner 'mine' must leave an earlier map as it was")


def test_a_map_of_another_name_than_the_spec_says_is_found() -> None:
    spec = _conditioner(lambda frame: frame.image.clone(), produces="edges")
    assert _broken(lambda: check_conditioner(spec)) == (
        "conditioner 'mine' must name its map 'edges' as the spec does: 'mine'"
    )


def test_a_conditioner_that_keeps_its_promises_passes() -> None:
    check_conditioner(_conditioner(lambda frame: 1 - frame.image))


def test_a_conditioner_is_tried_on_the_frames_that_are_given() -> None:
    seen: list[str] = []

    def image(frame: Frame) -> torch.Tensor:
        seen.append(frame.sample.id)
        return frame.image.clone()

    check_conditioner(_conditioner(image), frames=[make_frame(5, 6, seed=9)])
    assert set(seen) == {"frame-9"}


# --- translators --------------------------------------------------------------------------------

Translate = Callable[[Batch], Sequence[Any]]


def _bytes(image: torch.Tensor) -> torch.Tensor:
    return (image * 255).round().to(torch.uint8)


def _noise(seed: int, frame: Frame) -> torch.Tensor:
    drawn = torch.rand(frame.image.shape, generator=torch.Generator().manual_seed(seed))
    return _bytes((frame.image + drawn) / 2)


def _honest(batch: Batch) -> list[torch.Tensor]:
    return [_noise(seed, frame) for seed, frame in zip(batch.seeds, batch.frames, strict=True)]


def _translator(translate: Translate, **fields: Any) -> TranslatorSpec[Any]:
    return TranslatorSpec(
        name="mine",
        summary="s",
        options=NoOptions,
        build=lambda options, runtime: translate,
        **fields,
    )


def _one_seed(batch: Batch) -> list[torch.Tensor]:
    return [_noise(batch.seeds[0], frame) for frame in batch.frames]


def _batch_mean(batch: Batch) -> list[torch.Tensor]:
    mean = torch.stack([frame.image for frame in batch.frames]).mean()
    return [_bytes((frame.image - mean).clamp(0, 1)) for frame in batch.frames]


@pytest.mark.parametrize(
    ("translate", "message"),
    [
        (
            lambda batch: [_bytes(frame.image)[:, :96, :72] for frame in batch.frames],
            "must keep the frame's height and width: (3, 96, 72), not (3, 101, 75)",
        ),
        (
            lambda batch: [frame.image for frame in batch.frames],
            "must return torch.uint8: torch.float32",
        ),
        (
            lambda batch: _honest(batch)[:2],
            "must return one picture per frame: 2 for 3 frames",
        ),
        (
            lambda batch: [_bytes(torch.rand_like(frame.image)) for frame in batch.frames],
            "must give the same picture for the same seed: picture 1 of 3 differs",
        ),
        (_one_seed, "must give the same picture at another place in the batch"),
        (_batch_mean, "must give the same picture whatever its neighbours are"),
        (
            lambda batch: [_bytes(frame.image.mul_(0.5)) for frame in batch.frames],
            "must leave the frames as they were: picture 1 of 3 differs",
        ),
        (
            lambda batch: [Refusal("too dark") for _ in batch.frames],
            "must translate a plain frame: too dark",
        ),
        (
            lambda batch: [torch.zeros(1)[4] for _ in batch.frames],
            "must translate 3 frames of 101x75: IndexError",
        ),
    ],
)
def test_a_translator_that_breaks_a_promise_is_found(translate: Translate, message: str) -> None:
    told = _broken(lambda: check_translator(_translator(translate)))
    assert told.startswith(f"translator 'mine' {message}")


def test_a_translator_that_draws_weights_when_it_is_built_is_found() -> None:
    def build(options: Any, runtime: Runtime) -> Translate:
        weight = float(torch.rand(()))
        return lambda batch: [_bytes(frame.image * weight) for frame in batch.frames]

    spec = replace(_translator(_honest), build=build)
    told = _broken(lambda: check_translator(spec))
    assert "must give the same picture for the same seed when it is built anew" in told


def test_a_translator_that_uses_one_buffer_for_all_batches_is_found() -> None:
    buffer = torch.zeros(3, 3, 101, 75, dtype=torch.uint8)

    def translate(batch: Batch) -> list[torch.Tensor]:
        return list(buffer.copy_(torch.stack(_honest(batch))))

    spec = _translator(translate)
    told = _broken(lambda: check_translator(spec, sizes=[(101, 75)]))
    assert told.startswith("translator 'mine' must leave the pictures of an earlier batch")


def test_a_control_that_is_written_to_is_found() -> None:
    def translate(batch: Batch) -> list[torch.Tensor]:
        batch.controls["edges"][0].zero_()
        return _honest(batch)

    spec = _translator(translate, controls=lambda options: frozenset({"edges"}))
    told = _broken(lambda: check_translator(spec))
    assert told.startswith("translator 'mine' must leave the control 'edges' as it was")


def test_a_translator_that_keeps_its_promises_passes_and_leaves_the_global_seed_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check_translator(_translator(_honest, controls=lambda options: frozenset({"edges"})))
    assert torch.equal(torch.rand(3), expected)


def test_sizes_that_a_translator_refuses_beforehand_are_left_out_unless_it_refuses_all() -> None:
    def preflight(options: Any, sizes: Sequence[tuple[int, int]]) -> None:
        if min(min(size) for size in sizes) < 8:
            raise ConfigError("pictures under 8 pixels are too small")

    spec = _translator(_honest, preflight=preflight)
    check_translator(spec)
    assert _broken(lambda: check_translator(spec, sizes=[(7, 9)])) == (
        "translator 'mine' must accept one of the sizes [(7, 9)]: "
        "preflight refuses each: pictures under 8 pixels are too small"
    )


def test_a_record_that_json_cannot_hold_is_found() -> None:
    class Describing:
        def __call__(self, batch: Batch) -> list[torch.Tensor]:
            return _honest(batch)

        def settings(self) -> Mapping[str, Any]:
            return {"scale": torch.tensor(1.0)}

    told = _broken(lambda: check_translator(_translator(Describing())))
    assert told.startswith("translator 'mine' must return settings() as JSON values")


def test_buckets_that_differ_for_one_size_are_found() -> None:
    class Random:
        def __call__(self, batch: Batch) -> list[torch.Tensor]:
            return _honest(batch)

        def bucket(self, height: int, width: int) -> object:
            return object()

    told = _broken(lambda: check_translator(_translator(Random())))
    assert told.startswith("translator 'mine' must return equal, hashable keys for equal sizes")


# --- checks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            lambda frame, picture: CheckResult("too dark"),
            "must pass a picture that equals its source: 101x75, 3 instances: 'too dark'",
        ),
        (
            lambda frame, picture: CheckResult(instances={7: {"iou": 1.0}}),
            "must score instances of the frame alone: ids [7]",
        ),
        (
            lambda frame, picture: CheckResult(picture={"std": float("nan")}),
            "must give finite numbers as scores: std is nan",
        ),
        (
            lambda frame, picture: CheckResult(picture={"r": float(torch.rand(()))}),
            "must say the same twice",
        ),
        (lambda frame, picture: True, "must return a CheckResult: a bool"),
        (
            lambda frame, picture: CheckResult(picture={"x": float(picture.zero_().sum())}),
            "must leave the picture as it was",
        ),
    ],
)
def test_a_check_that_breaks_a_promise_is_found(check: Any, message: str) -> None:
    spec = _check_spec(build=lambda options, runtime: check)
    assert _broken(lambda: check_check(spec)).startswith(f"check 'mine' {message}")


def test_a_check_that_keeps_its_promises_passes() -> None:
    check_check(_check_spec())


# --- loaders ------------------------------------------------------------------------------------

Change = Callable[[Dataset], Dataset]


def _loader(change: Change, **fields: Any) -> LoaderSpec[Any]:
    def detect(root: Path) -> Match:
        found = (root / "masks").is_dir()
        return Match(0.9 if found else 0, "there is masks/" if found else "no masks/")

    def build(options: Any, runtime: Runtime) -> Callable[[Path], Dataset]:
        return lambda root: change(make_dataset(root))

    given = {"detect": detect, "build": build, **fields}
    return LoaderSpec(name="mine", summary="s", options=NoOptions, **given)


def _with_sample(**fields: Any) -> Change:
    def change(dataset: Dataset) -> Dataset:
        samples = [replace(dataset.samples[0], **fields), *dataset.samples[1:]]
        return replace(dataset, samples=samples, ids=[sample.id for sample in samples])

    return change


def _labelled(labels: Any, table: Mapping[int, Instance]) -> Callable[[], Instances]:
    return lambda: Instances(np.array(labels), table)


GRID = "must draw labels on the picture's grid: day/000: labels (5, 41)"
ONES = np.ones((33, 41), np.int32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _with_sample(id="../000"),
            "must give safe relative paths: ../000: the path climbs out by '..'",
        ),
        (_with_sample(id="day/001"), "must give unique ids: 1 double"),
        (
            lambda dataset: replace(dataset, ids=["a", "b", "c"]),
            "must list ids as its samples have them",
        ),
        (lambda dataset: replace(dataset, samples=[], ids=[]), "must find samples: none in"),
        (
            lambda dataset: replace(dataset, root=dataset.root / "images"),
            "must return the root it was given",
        ),
        (
            lambda dataset: replace(dataset, annotation_files=(Path("/etc/hostname"),)),
            "must stay inside the dataset's root: /etc/hostname",
        ),
        (
            _with_sample(annotation_files=(Path("gone.png"),)),
            "must stay inside the dataset's root: gone.png",
        ),
        (
            _with_sample(load_instances=_labelled(ONES, {})),
            "must list every label in the table: day/000: ids [1]",
        ),
        (
            _with_sample(load_instances=_labelled(ONES.astype(np.int64), {})),
            "must give int32 labels: int64",
        ),
        (
            _with_sample(load_instances=_labelled(ONES, {1: Instance(2, "box")})),
            "must list instances by their id: 1: Instance(id=2",
        ),
        (
            _with_sample(load_instances=_labelled(ONES, {1: Instance(1, "cat")})),
            "must list every category: day/000: 'cat'",
        ),
        (
            _with_sample(load_instances=_labelled(ONES[:5], {1: Instance(1, "box")})),
            f"{GRID}, the sample's size (33, 41)",
        ),
        (
            _with_sample(size=None, load_instances=_labelled(ONES[:5], {1: Instance(1, "box")})),
            f"{GRID}, its picture (33, 41)",
        ),
    ],
)
def test_a_loader_that_breaks_a_promise_is_found(
    change: Change, message: str, tmp_path: Path
) -> None:
    make_dataset(tmp_path)
    told = _broken(lambda: check_loader(_loader(change), tmp_path))
    assert told.startswith(f"loader 'mine' {message}")


def test_a_loader_that_keeps_its_promises_passes(tmp_path: Path) -> None:
    make_dataset(tmp_path)
    check_loader(_loader(lambda dataset: dataset), tmp_path)


def test_a_loader_that_gives_other_ids_the_second_time_is_found(tmp_path: Path) -> None:
    make_dataset(tmp_path)

    def change(dataset: Dataset) -> Dataset:
        return _with_sample(id=os.urandom(8).hex())(dataset)

    told = _broken(lambda: check_loader(_loader(change), tmp_path))
    assert told.startswith("loader 'mine' must give the same ids twice")


def test_a_loader_that_writes_into_its_input_is_found(tmp_path: Path) -> None:
    make_dataset(tmp_path)

    def change(dataset: Dataset) -> Dataset:
        (dataset.root / "cache").write_text("index")
        return dataset

    told = _broken(lambda: check_loader(_loader(change), tmp_path))
    assert told == "loader 'mine' must leave its input as it was: a file changed"


@pytest.mark.parametrize(
    ("match", "message"),
    [
        (Match(1.5, "sure"), "must detect with a Match of confidence 0 to 1"),
        (Match(0.5, ""), "must give its reason in one line: ''"),
        (
            Match(0.5, "anything will do"),
            "must detect its own format: 0.5 for the dataset, 0.5 for an empty folder",
        ),
    ],
)
def test_a_detection_that_says_too_little_is_found(
    match: Match, message: str, tmp_path: Path
) -> None:
    make_dataset(tmp_path)
    spec = _loader(lambda dataset: dataset, detect=lambda root: match)
    assert _broken(lambda: check_loader(spec, tmp_path)).startswith(f"loader 'mine' {message}")


# --- writers ------------------------------------------------------------------------------------


class PlainWriter:
    """Keeps all promises; the broken ones below change one method each."""

    def __init__(self, output: Path, root: Path) -> None:
        self.output = output
        self.root = root

    def target(self, sample: Sample, variant: int) -> str:
        return f"{sample.id}.png"

    def publish(self, sample: Sample, variant: int, image: torch.Tensor, frame: Frame) -> Published:
        path = self.output / self.target(sample, variant)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return Published(self.target(sample, variant), digest)

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        listing = "\n".join(f"{record.sample} {record.output}" for record in records)
        write_atomically(self.output / "list.txt", listing.encode())
        return {"list.txt": hashlib.sha256(listing.encode()).hexdigest()}


class Escaping(PlainWriter):
    def target(self, sample: Sample, variant: int) -> str:
        return f"../{sample.id}.png"


class OneName(PlainWriter):
    def target(self, sample: Sample, variant: int) -> str:
        return "picture.png" if sample.id == "day/000" else "Picture.png"


class Elsewhere(PlainWriter):
    def publish(self, *args: Any) -> Published:
        return replace(super().publish(*args), path="day/elsewhere.png")


class WrongHash(PlainWriter):
    def publish(self, *args: Any) -> Published:
        return replace(super().publish(*args), sha256="0" * 64)


class Shrinking(PlainWriter):
    def publish(self, sample: Sample, variant: int, image: torch.Tensor, frame: Frame) -> Published:
        return super().publish(sample, variant, image[:, :16, :16], frame)


class Brightening(PlainWriter):
    def publish(self, sample: Sample, variant: int, image: torch.Tensor, frame: Frame) -> Published:
        return super().publish(sample, variant, image | 1, frame)


class LeavingTemporary(PlainWriter):
    def finish(self, *args: Any) -> Mapping[str, str]:
        (self.output / ".sv2r-tmp-x").write_text("half")
        return super().finish(*args)


class Random(PlainWriter):
    def finish(self, *args: Any) -> Mapping[str, str]:
        told = super().finish(*args)
        (self.output / "day" / "info.txt").write_text(os.urandom(8).hex())
        return told


class Appending(PlainWriter):
    def publish(self, sample: Sample, variant: int, image: torch.Tensor, frame: Frame) -> Published:
        with (self.output / "log.txt").open("a") as log:
            log.write(f"{sample.id}\n")
        return super().publish(sample, variant, image, frame)


class Greedy(PlainWriter):
    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        kept = list(records)
        for record in kept:
            (self.output / str(record.output)).stat()
        return super().finish(dataset, kept)


class Touching(PlainWriter):
    def publish(self, *args: Any) -> Published:
        (self.root / "seen.txt").write_text("seen")
        return super().publish(*args)


class Silent(PlainWriter):
    def finish(self, *args: Any) -> Mapping[str, str]:
        super().finish(*args)
        return {"files": 3}  # type: ignore[dict-item]


class Counting(PlainWriter):
    def publish(self, *args: Any) -> Published:
        return replace(super().publish(*args), labels=1)


class Inventing(PlainWriter):
    def publish(self, *args: Any) -> Published:
        return replace(super().publish(*args), labels=("day/000.json",))


class Grabbing(PlainWriter):
    def claims(self, sample: Sample, variant: int) -> Iterable[str]:
        return ["day/other.png"]


class Littering(PlainWriter):
    def publish(self, *args: Any) -> Published:
        (self.output.parent / "log").write_text("published")
        return super().publish(*args)


def _writer(kind: type[PlainWriter]) -> WriterSpec[Any]:
    return WriterSpec(
        name="mine",
        summary="s",
        options=NoOptions,
        build=lambda options, runtime: kind(runtime.output, runtime.input),
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Escaping, "must give safe relative paths: ../day/000.png"),
        (OneName, "must give distinct targets: 3 pictures, 1 targets"),
        (Elsewhere, "must publish at its target: day/elsewhere.png, not day/000.png"),
        (WrongHash, "must tell the hash of the published bytes: another for day/000.png"),
        (
            Shrinking,
            "must keep the frame's height and width: day/000.png is 16x16",
        ),
        (Brightening, "must keep every pixel of a PNG: day/000.png"),
        (LeavingTemporary, "must leave no temporary file: ['.sv2r-tmp-x']"),
        (Random, "must write the same bytes when a run is resumed: day/info.txt"),
        (Appending, "must write the same bytes when a run is resumed: log.txt"),
        (Greedy, "must finish: FileNotFoundError"),
        (Touching, "must leave its input as it was: a file changed"),
        (
            Silent,
            "must return the SHA-256 of each label file by its path under the output: {'files': 3}",
        ),
        (Counting, "must name the label files that it copied, as a tuple of paths under the out"),
        (Inventing, "must name the label files that it copied, as a tuple of paths under the out"),
        (Grabbing, "must claim every path that it publishes: not day/000.png"),
        (Littering, "must write inside its output alone: it made {'log'}"),
    ],
)
def test_a_writer_that_breaks_a_promise_is_found(kind: type[PlainWriter], message: str) -> None:
    told = _broken(lambda: check_writer(_writer(kind)))
    assert told.startswith(f"writer 'mine' {message}")


def test_a_writer_that_keeps_its_promises_passes() -> None:
    check_writer(_writer(PlainWriter))


def test_a_writer_of_variants_must_tell_them_apart() -> None:
    spec = replace(_writer(PlainWriter), variants=True)
    told = _broken(lambda: check_writer(spec))
    assert told == "writer 'mine' must give distinct targets: 6 pictures, 3 targets"


# --- executors ----------------------------------------------------------------------------------

Run = Callable[[Any, Iterable[Any]], Iterator[Any]]


def _executor(run: Run) -> ExecutorSpec[Any]:
    class Running:
        def run(self, work: Any, tasks: Iterable[Any]) -> Iterator[Any]:
            return run(work, tasks)

    return ExecutorSpec(
        name="mine", summary="s", options=NoOptions, build=lambda options, runtime: Running()
    )


def _all(work: Any, tasks: Iterable[Any]) -> Iterator[Any]:
    return iter(work.worker(work.devices[0]).run(tasks))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            lambda work, tasks: iter(list(_all(work, tasks))[1:]),
            "must yield one record per task: 4 records of 4 pictures for 5 tasks",
        ),
        (
            lambda work, tasks: (r for record in _all(work, tasks) for r in (record, record)),
            "must yield one record per task: 10 records of 5 pictures for 5 tasks",
        ),
        (lambda work, tasks: iter([1]), "must yield nothing for no tasks: 1 records"),
        (lambda work, tasks: iter(list(tasks)), "must yield Records: [Task(index=0"),
        (lambda work, tasks: iter([tasks[0]]), "must run a job of no tasks: TypeError"),  # type: ignore[index]
    ],
)
def test_an_executor_that_breaks_a_promise_is_found(run: Run, message: str) -> None:
    told = _broken(lambda: check_executor(_executor(run)))
    assert told.startswith(f"executor 'mine' {message}")


def test_an_executor_that_keeps_its_promises_passes() -> None:
    check_executor(_executor(lambda work, tasks: iter(list(_all(work, tasks))[::-1])))


# --- plugins ------------------------------------------------------------------------------------


def test_a_plugin_that_is_not_installed_is_told() -> None:
    told = _broken(lambda: check_plugin("nothing-like-it"))
    assert told.startswith("no plugin 'nothing-like-it' is installed; there are: ")


def test_a_component_that_needs_options_for_its_test_says_so() -> None:
    class Needy(Options):
        model: str = Field(description="The model.")

    spec = replace(_check_spec(), options=Needy)
    assert _broken(lambda: check_check(spec)) == (
        "check 'mine' needs other options for its test: options.model is missing: the model"
    )
    check_check(spec, {"model": "toy"})
    check_check(spec, Needy(model="toy"))
