"""A picture on its way through a worker: read, described, and put into a batch with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sv2r.config.resolve import Config
from sv2r.errors import SampleError
from sv2r.images.decode import Picture, read_picture
from sv2r.plugin.specs import Conditioner
from sv2r.types import (
    Batch,
    ControlMap,
    Dataset,
    Frame,
    Instances,
    ReadFrame,
    Record,
    Sample,
    Task,
)
from sv2r.worker.damage import Verdict
from sv2r.worker.parts import Parts
from sv2r.worker.prompts import Prompt, write_prompt
from sv2r.worker.seeds import picture_seed
from sv2r.worker.small import Crop, crop_frame

if TYPE_CHECKING:
    from torch import Tensor

# What a retry after the first multiplies strength and control scales by.
_GENTLER, _MORE_CONTROL = 0.8, 1.2


@dataclass(frozen=True)
class Candidate:
    """A picture that was made and what its record would be if it were the one to keep."""

    verdict: Verdict
    record: Record


@dataclass(frozen=True)
class Inset:
    """A picture whose small objects are still to be pasted in.

    whole, record: the picture's own. canvas: the picture so far, (3, H, W) uint8. crops: what is
    left to paste, the first of them under way.
    """

    whole: Piece
    record: Record
    canvas: Tensor
    crops: tuple[Crop, ...]


@dataclass(frozen=True)
class Piece:
    """One picture on its way: what the translator needs of it.

    attempt: how often it was made before. best: the least damaged of these.
    inset: where this is a crop of a picture alone, what it is to be pasted into.
    """

    task: Task
    frame: Frame
    controls: Mapping[str, Tensor]
    prompt: Prompt
    seed: int
    attempt: int = 0
    best: Candidate | None = None
    inset: Inset | None = None


def read_piece(config: Config, dataset: Dataset, parts: Parts, task: Task) -> Piece | Record:
    """Return a task's picture, labels, controls and prompt; or the record of why there are none."""
    id_ = dataset.ids[task.index]
    try:
        frame = read_frame(dataset, task.index)
        seed = picture_seed(config.job.seed, id_, task.variant)
        prompt = write_prompt(config.prompt, frame.sample, frame.instances, seed)
        maps = [_condition(name, make, frame) for name, make in parts.conditioners]
    except SampleError as error:
        return Record(id_, task.variant, "failed", error=named(id_, error))
    except Exception as error:  # a plugin's bug fails its sample, not the job
        return Record(id_, task.variant, "failed", error=unexpected(id_, error))
    return Piece(task, frame, {m.name: m.image for m in maps}, prompt, seed)


def read_frame(dataset: Dataset, index: int) -> Frame:
    """Return a sample that has been read; raises as `read_sample` does."""
    import torch

    sample, picture, instances = read_sample(dataset, index)
    picture.pixels.setflags(write=True)  # torch has no memory that is read-only
    pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)
    return ReadFrame.of(sample, pixels, instances, picture.normalised, picture.sha256)


def read_sample(dataset: Dataset, index: int) -> tuple[Sample, Picture, Instances]:
    """Return a sample, its picture and its labels, both read and held against each other.

    Raises:
        SampleError: one of them cannot be read, or they are of different size.
    """
    sample = dataset.samples[index]
    picture = read_picture(sample.image, sample.id)
    instances = sample.load_instances()
    height, width = picture.pixels.shape[:2]
    for what, size in (("labels", instances.size), ("label index", sample.size)):
        if size and size != (height, width):
            raise SampleError(
                f"{sample.id}: the picture is {width}×{height}, its {what} {size[1]}×{size[0]}; "
                "render both at one size"
            )
    return sample, picture, instances


def make_batch(pieces: Sequence[Piece], size: int) -> Batch:
    """Return a batch of exactly size frames: the last piece repeated fills it up."""
    full = [*pieces, *[pieces[-1]] * (size - len(pieces))]
    # The first retry has another seed alone; each further one is gentler and more controlled.
    gentler = max(0, pieces[0].attempt - 1)
    return Batch(
        strength_factor=_GENTLER**gentler,
        control_factor=_MORE_CONTROL**gentler,
        frames=tuple(p.frame for p in full),
        controls={name: tuple(p.controls[name] for p in full) for name in full[0].controls},
        prompts=tuple(p.prompt.text for p in full),
        negative_prompts=tuple(p.prompt.negative for p in full),
        seeds=tuple(p.seed for p in full),
    )


def crop_piece(config: Config, inset: Inset) -> Piece:
    """Return the piece that redraws the first of a picture's crops that are left.

    Its controls are those of the whole picture, enlarged with it; its prompt names what is in it.
    """
    whole, crop, resolution = inset.whole, inset.crops[0], config.small.resolution
    frame = crop_frame(whole.frame, crop, resolution)
    controls = {name: crop.enlarged(m, resolution) for name, m in whole.controls.items()}
    run_seed, id_, variant = config.job.seed, frame.sample.id, whole.task.variant
    # What `vary` draws hangs on the first seed: a crop must show the whole picture's weather.
    first = picture_seed(run_seed, id_, variant)
    prompt = write_prompt(config.prompt, frame.sample, frame.instances, first)
    seed = picture_seed(run_seed, f"{id_}#{crop.ids[0]}", variant, whole.attempt)
    return Piece(whole.task, frame, controls, prompt, seed, whole.attempt, inset=inset)


def _condition(name: str, make: Conditioner, frame: Frame) -> ControlMap:
    try:
        control = make(frame)
    except SampleError:
        raise
    except Exception as error:
        raise SampleError(unexpected(frame.sample.id, error, f"conditioner '{name}'")) from error
    if tuple(control.image.shape) != (3, *frame.size):
        shape = tuple(control.image.shape)
        raise SampleError(f"{frame.sample.id}: control '{control.name}' is {shape}, not (3, H, W)")
    return control


def named(id_: str, error: SampleError | str) -> str:
    """Return an error's line with the sample's id in it."""
    return str(error) if id_ in str(error) else f"{id_}: {error}"


def unexpected(id_: str, error: BaseException, who: str = "") -> str:
    """Return the line for an error that no one foresaw: a plugin's, most likely."""
    by = f"{who}: " if who else ""
    return f"{id_}: {by}{type(error).__name__}: {' '.join(str(error).split())}"
