"""What a plugin brings: typed, frozen specs, one class per kind of component."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from sv2r.plugin.options import Options
from sv2r.types import (
    Batch,
    CheckResult,
    ControlMap,
    Dataset,
    Frame,
    Match,
    Published,
    Record,
    Refusal,
    Sample,
    Task,
)

if TYPE_CHECKING:
    from torch import Tensor

OptionsT = TypeVar("OptionsT", bound=Options)
ComponentT = TypeVar("ComponentT")


Phase = Literal["loading", "batch size", "drawing"]
"""What a job does at the moment: loads weights, looks for the batch size, draws pictures."""


def unseen(phase: Phase, detail: str, /) -> None:
    """Show nobody what a job does at the moment."""


@dataclass(frozen=True)
class Runtime:
    """What a component is built for.

    device: as torch spells it ("cpu", "cuda:0", "mps").
    dtype: "float32", "bfloat16" or "float16": what models run in.
    input: the dataset's root. output: the folder a job writes to; a component that only reads
        (``sv2r plugins show``, a test) may find Path() in both.
    auto_dtype: whether nobody asked for that dtype: a translator may take one that suits its model
        better.
    show: takes what is being done at the moment, for whoever watches the job: a phase, and what of
        it in a few words ("step 3 of 30").
    """

    device: str = "cpu"
    dtype: str = "float32"
    input: Path = Path()
    output: Path = Path()
    auto_dtype: bool = False
    show: Callable[[Phase, str], None] = field(default=unseen, compare=False)


Loader = Callable[[Path], Dataset]
Conditioner = Callable[[Frame], ControlMap]
Check = Callable[[Frame, "Tensor"], CheckResult]


class Translator(Protocol):
    """Makes the pictures. A plain function will do."""

    def __call__(self, batch: Batch, /) -> Sequence[Tensor | Refusal]:
        """Return one (3, H, W) uint8 tensor per frame, on any device, H and W the frame's own.

        A Refusal stands in place of a picture that must not be published.
        """


@runtime_checkable
class Describes(Protocol):
    """What a translator or conditioner may have as well: an account for the record."""

    def settings(self) -> Mapping[str, Any]:
        """Return what really ran (effective steps, model hash, dtype ...), as JSON values."""


@runtime_checkable
class Buckets(Protocol):
    """What a translator may have as well: which sizes can share a batch."""

    def bucket(self, height: int, width: int, /) -> Hashable:
        """Return a key; frames with equal keys go into one batch. Without it: equal sizes do."""


@runtime_checkable
class Compiles(Protocol):
    """What a translator may have besides: networks to compile, once the batch size is known."""

    def compile(self) -> None:
        """Compile from the next batch on, where the options ask for it; may be called again."""


class Writer(Protocol):
    """Puts pictures and labels in place."""

    def target(self, sample: Sample, variant: int, /) -> str:
        """Return the picture's path under the output folder, before anything is made."""

    def publish(self, sample: Sample, variant: int, image: Tensor, frame: Frame, /) -> Published:
        """Write one (3, H, W) uint8 picture, and the labels of this sample alone, atomically."""

    def finish(self, dataset: Dataset, records: Iterable[Record], /) -> Mapping[str, str]:
        """Write the labels of the whole dataset; return the SHA-256 of each file by its path."""


@runtime_checkable
class Claims(Protocol):
    """What a writer may have as well: the paths that one picture takes, its target among them."""

    def claims(self, sample: Sample, variant: int, /) -> Iterable[str]:
        """Return every path under the output that publishing writes, before anything is made."""


@runtime_checkable
class Prepares(Protocol):
    """What a writer may have beside: a look at the dataset before anything is made.

    Every process that publishes pictures calls it first.
    """

    def prepare(self, dataset: Dataset, /) -> Iterable[str]:
        """Return lines for the user: what goes along, and what cannot be held.

        Raises:
            ConfigError: this dataset cannot be written with these options.
        """


@runtime_checkable
class Mixes(Protocol):
    """What a writer may have besides: source pictures that go along, as SOURCE_VARIANT."""

    def mixes(self, sample: Sample, variants: int, /) -> bool:
        """Return whether a sample's own picture goes along with so many variants of each.

        Raises:
            ConfigError: there are not as many sources as the options ask for.
        """


class Worker(Protocol):
    """Makes pictures in this process, one batch after the other."""

    def run(self, tasks: Iterable[Task], /) -> Iterator[Record]:
        """Yield one record per task, in the order in which they end."""


class Work(Protocol):
    """A planned job as an executor sees it."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved config as plain data; `sv2r.worker.work.open_work` takes it elsewhere."""

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that the user asked for, at least one."""

    @property
    def batch_size(self) -> int | None:
        """Pictures per batch, or None: each worker finds out."""

    @property
    def model(self) -> str | None:
        """The model's hash in an earlier part of this job, or None."""

    @property
    def stop(self) -> Event:
        """Set once the user wants to stop: nothing new is to be begun."""

    def say(self, line: str, /) -> None:
        """Tell the user something in one line."""

    def show(self, phase: Phase, detail: str, /) -> None:
        """Show the user what is being done at the moment; see `Runtime.show`."""

    def sample_id(self, index: int, /) -> str:
        """Return the id of the sample at a position of the dataset."""

    def worker(self, device: str, /) -> Worker:
        """Return a worker on a device in this process; loads the models."""


class Executor(Protocol):
    """Runs a job's tasks somewhere."""

    def run(self, work: Work, tasks: Iterable[Task], /) -> Iterator[Record]:
        """Yield one record per task, in any order; the driver alone writes the journal.

        The tasks end early where the user interrupts the run: those begun are to be finished.
        """


@dataclass(frozen=True, kw_only=True)
class PluginSpec(Generic[OptionsT, ComponentT]):
    """What all kinds of component have in common.

    name: ``[a-z][a-z0-9-]*``. summary: one line for listings.
    options: a frozen pydantic model. build: makes the component; heavy imports stand inside it.
    """

    name: str
    summary: str
    options: type[OptionsT]
    build: Callable[[OptionsT, Runtime], ComponentT]


@dataclass(frozen=True, kw_only=True)
class LoaderSpec(PluginSpec[OptionsT, Loader]):
    """A dataset format, returned from `sv2r_loaders`.

    detect: says how sure it is that a folder is in this format, looking at little of it.
    """

    detect: Callable[[Path], Match]


def _nothing_against(options: Any, sample: Sample) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class ConditionerSpec(PluginSpec[OptionsT, Conditioner]):
    """A source of control maps, returned from `sv2r_conditioners`.

    produces: the control's name, what `ControlMap.name` will be.
    objection: why it cannot work on samples like this first one, or None; told before any model
        is loaded.
    """

    produces: str
    objection: Callable[[OptionsT, Sample], str | None] = _nothing_against


def _no_controls(options: Any) -> frozenset[str]:
    return frozenset()


def _no_objection(options: Any, sizes: Sequence[tuple[int, int]]) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class TranslatorSpec(PluginSpec[OptionsT, Translator]):
    """A way of making pictures, returned from `sv2r_translators`.

    controls: the names of the control maps that it needs with these options.
    preflight: raises ConfigError for options that cannot work on pictures of these sizes
        (height, width; those known before anything is read), before any weight is read.
    keeps: whether it leaves every picture as it is. A job without checks then draws nothing: it
        copies files.
    """

    controls: Callable[[OptionsT], frozenset[str]] = _no_controls
    preflight: Callable[[OptionsT, Sequence[tuple[int, int]]], None] = _no_objection
    keeps: bool = False


@dataclass(frozen=True, kw_only=True)
class CheckSpec(PluginSpec[OptionsT, Check]):
    """A look at the picture before it is published, returned from `sv2r_checks`."""


# A loader's name and its options.
Reads = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class WriterSpec(PluginSpec[OptionsT, Writer]):
    """A way of laying out the result, returned from `sv2r_writers`.

    variants: whether it can hold several pictures per source.
    rereads: whether a loader reads what it writes, by which a job and `sv2r verify` hold the
        result's labels against the input's. reads: that loader and its options, or what returns
        them for the writer's options; None: the one that read the input.
    keeps: whether `publish` takes None as its image: the frame's own picture, whose file is copied
        as it is where the format allows that.
    packs: whether pictures lie in shards, which `finish` makes of what `publish` has written: a
        target is SHARD/NAME then, and is there after `finish`.
    """

    variants: bool = False
    rereads: bool = False
    reads: Reads | Callable[[OptionsT], Reads] | None = None
    keeps: bool = False
    packs: bool = False

    def reader(self, options: OptionsT) -> Reads | None:
        """Return the loader that reads what is written with these options, and its own options."""
        return self.reads(options) if callable(self.reads) else self.reads


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec(PluginSpec[OptionsT, Executor]):
    """A place where workers run, returned from `sv2r_executors`."""


Detections = Sequence[Mapping[str, Any]]
"""COCO results: image_id, category_id, score, and segmentation as RLE, of each thing found."""


def _shown_to_nobody(step: int, steps: int, loss: float, /) -> None:
    return None


@dataclass(frozen=True)
class Training:
    """One training of a segmenter, and the pictures to try it on.

    train, test: folders with annotations.json (COCO, masks as RLE) and the pictures it names.
    categories: names, ids from 1. out: a folder for whatever is to be kept.
    show: takes the step, the number of steps, and the loss there.
    """

    train: Path
    test: Path
    categories: tuple[str, ...]
    seed: int
    out: Path
    device: str
    show: Callable[[int, int, float], None] = _shown_to_nobody


class Trainer(Protocol):
    """Trains a segmenter and says what it finds.

    The same training gives the same result, as far as the device allows: what is compared must
    differ in its pictures alone.
    """

    def detect(self, training: Training, /) -> Detections:
        """Return what a segmenter that was trained finds in the test pictures.

        Raises:
            ConfigError: it cannot be trained, or gave nothing that can be read.
        """


@dataclass(frozen=True, kw_only=True)
class TrainerSpec(PluginSpec[OptionsT, Trainer]):
    """A way of training a segmenter, returned from `sv2r_trainers`; `sv2r bench` uses it."""


AnySpec = PluginSpec[Any, Any]
