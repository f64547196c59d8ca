"""Makes pictures in one process: read ahead, translate batch by batch, check and write behind.

    tasks ─► readers (threads) ─► buckets ─► translator ─► writers (threads) ─► records

Nothing flows back: a batch that did not fit and a picture that is tried again are new entries in
the worker's own queue.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError, SampleError
from sv2r.images.decode import read_picture
from sv2r.job.config import Config
from sv2r.job.prompts import Prompt, write_prompt
from sv2r.job.seeds import picture_seed
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Buckets, Check, Conditioner, Describes, Runtime, Translator, Writer
from sv2r.types import Batch, ControlMap, Dataset, Frame, Record, Refusal, Task

if TYPE_CHECKING:
    from torch import Tensor

# Partly filled buckets may hold this many batches before the oldest is filled up and run.
_OPEN_BATCHES = 4


@dataclass(frozen=True)
class Piece:
    """One picture on its way: what the translator needs of it."""

    task: Task
    frame: Frame
    controls: Mapping[str, Tensor]
    prompt: Prompt
    seed: int


@dataclass(frozen=True)
class Parts:
    """The components of a job, built for one device."""

    conditioners: tuple[tuple[str, Conditioner], ...]
    translator: Translator
    checks: tuple[tuple[str, Check], ...]
    writer: Writer


def build_parts(registry: Registry, config: Config, runtime: Runtime) -> Parts:
    """Return the job's components, models loaded.

    Raises:
        ConfigError: a component cannot be built: names it and its distribution.
    """

    def build(kind: str, name: str, options: Any) -> Any:
        entry = registry.entry(kind, name)
        try:
            return entry.value.build(options, runtime)
        except (ConfigError, MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:
            if _is_out_of_memory(error):
                mend = "choose a smaller model, --translator.offload, or another --device"
                raise ConfigError(
                    f"{kind} '{name}': out of memory on {runtime.device}; {mend}"
                ) from error
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(
                f"{kind} '{name}' from plugin {entry.owner} failed: {what}"
            ) from error

    return Parts(
        tuple((c.name, build("conditioner", c.name, c.options)) for c in config.conditioners),
        build("translator", config.translator.name, config.translator.options),
        tuple((c.name, build("check", c.name, c.options)) for c in config.checks),
        build("writer", config.writer.name, config.writer.options),
    )


class LocalWorker:
    """A worker in this process.

    batch_size: pictures per batch, or None: found out with the first picture.
    stop: once set, what is not yet in a batch is left undone.
    say: takes one line for the user ("out of memory ...").
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        parts: Parts,
        *,
        batch_size: int | None,
        stop: Event,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._dataset = dataset
        self._parts = parts
        self._batch_size = batch_size or 1
        self._stop = stop
        self._say = say
        self._buckets: dict[Hashable, deque[Piece]] = {}
        self._behind: deque[Future[Record]] = deque()

    def run(self, tasks: Iterable[Task]) -> Iterator[Record]:
        """Yield one record per task, in the order in which they end."""
        job = self._config.job
        with (
            ThreadPoolExecutor(job.readers, "sv2r-read") as readers,
            ThreadPoolExecutor(job.writers, "sv2r-write") as writers,
        ):
            depth = self._batch_size + 2 * job.readers
            for piece in _ahead(readers, self._read, tasks, depth):
                if isinstance(piece, Record):
                    yield piece
                elif not self._stop.is_set():
                    yield from self._add(piece, writers)
            while self._buckets and not self._stop.is_set():
                self._run_batch(self._take(next(iter(self._buckets))), writers)
            yield from self._collect(0)

    def _read(self, task: Task) -> Piece | Record:
        """Return a task's picture, labels, controls and prompt; or why there are none."""
        id_ = self._dataset.ids[task.index]
        try:
            frame = read_frame(self._dataset, task.index)
            seed = picture_seed(self._config.job.seed, id_, task.variant)
            prompt = write_prompt(self._config.prompt, frame.sample, frame.instances, seed)
            maps = [_condition(make, frame) for _, make in self._parts.conditioners]
        except SampleError as error:
            return Record(id_, task.variant, "failed", error=_named(id_, error))
        except Exception as error:  # a plugin's bug fails its sample, not the job
            return Record(id_, task.variant, "failed", error=_unexpected(id_, error))
        return Piece(task, frame, {m.name: m.image for m in maps}, prompt, seed)

    def _add(self, piece: Piece, writers: ThreadPoolExecutor) -> Iterator[Record]:
        """Put a picture into its bucket; run a full bucket, or the oldest when many wait."""
        key = self._bucket_of(piece)
        self._buckets.setdefault(key, deque()).append(piece)
        waiting = sum(map(len, self._buckets.values()))
        if len(self._buckets[key]) >= self._batch_size:
            self._run_batch(self._take(key), writers)
        elif waiting >= _OPEN_BATCHES * self._batch_size:
            self._run_batch(self._take(next(iter(self._buckets))), writers)
        yield from self._collect(2 * self._batch_size + 2 * self._config.job.writers)

    def _bucket_of(self, piece: Piece) -> Hashable:
        translator = self._parts.translator
        size = piece.frame.size
        return translator.bucket(*size) if isinstance(translator, Buckets) else size

    def _take(self, key: Hashable) -> list[Piece]:
        """Return up to a batch of a bucket's pictures, out of it."""
        bucket = self._buckets[key]
        taken = [bucket.popleft() for _ in range(min(self._batch_size, len(bucket)))]
        if not bucket:
            del self._buckets[key]
        return taken

    def _run_batch(self, pieces: list[Piece], writers: ThreadPoolExecutor) -> None:
        """Translate pictures of one bucket and hand them to the writers."""
        start = time.monotonic()
        try:
            images = self._translate(pieces)
        except Exception as error:  # whatever a translator raises, its pictures fail
            if _is_out_of_memory(error) and self._batch_size > 1:
                self._halve(pieces)
                return
            images = [Refusal(_unexpected(p.frame.sample.id, error), failed=True) for p in pieces]
        settings = self._settings()
        seconds = (time.monotonic() - start) / len(pieces)
        for piece, image in zip(pieces, images, strict=True):
            record = _record_of(piece, settings, seconds)
            self._behind.append(writers.submit(self._publish, piece, image, record))

    def _translate(self, pieces: list[Piece]) -> list[Tensor | Refusal]:
        """Return the pictures of a batch that is filled up to the fixed size."""
        images = list(self._parts.translator(make_batch(pieces, self._batch_size)))
        if len(images) != self._batch_size:
            raise SampleError(
                f"the translator returned {len(images)} of {self._batch_size} pictures"
            )
        return images[: len(pieces)]

    def _halve(self, pieces: list[Piece]) -> None:
        """Go on with half the batch size; the pictures that did not fit come first."""
        self._batch_size //= 2
        _free_memory()
        key = self._bucket_of(pieces[0])
        waiting = self._buckets.pop(key, ())
        self._buckets = {key: deque([*pieces, *waiting]), **self._buckets}
        self._say(f"out of memory: going on with batches of {self._batch_size}, nothing is lost")

    def _settings(self) -> Mapping[str, Any]:
        translator = self._parts.translator
        own = translator.settings() if isinstance(translator, Describes) else {}
        parts: Sequence[tuple[str, object]] = self._parts.conditioners
        controls = {name: c.settings() for name, c in parts if isinstance(c, Describes)}
        return {
            **own,
            "batch_size": self._batch_size,
            **({"conditioners": controls} if controls else {}),
        }

    def _publish(self, piece: Piece, image: Tensor | Refusal, record: Record) -> Record:
        """Return a task's record once its picture is checked and in place."""
        frame, sample = piece.frame, piece.frame.sample
        if isinstance(image, Refusal):
            return replace(
                record, status="failed" if image.failed else "rejected", error=image.reason
            )
        try:
            _require_shape(image, frame)
            results = {name: check(frame, image) for name, check in self._parts.checks}
            record = replace(record, scores=_scores(results))
            reasons = [f"{name}: {r.reason}" for name, r in results.items() if r.reason]
            if reasons:
                return replace(
                    record, status="rejected", error=f"{sample.id}: {'; '.join(reasons)}"
                )
            published = self._parts.writer.publish(sample, piece.task.variant, image, frame)
        except SampleError as error:
            return replace(record, status="failed", error=_named(sample.id, error))
        return replace(record, output=published.path, output_sha256=published.sha256)

    def _collect(self, limit: int) -> Iterator[Record]:
        """Yield finished records in order until at most limit pictures are being written."""
        while len(self._behind) > limit or (self._behind and self._behind[0].done()):
            yield self._behind.popleft().result()


def read_frame(dataset: Dataset, index: int) -> Frame:
    """Return a sample's picture and labels, both read and held against each other.

    Raises:
        SampleError: one of them cannot be read, or they are of different size.
    """
    import torch

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
    image = torch.tensor(picture.pixels).permute(2, 0, 1).float().div_(255)
    return Frame(sample, image, instances, picture.normalised, picture.sha256)


def make_batch(pieces: Sequence[Piece], size: int) -> Batch:
    """Return a batch of exactly size frames: the last piece repeated fills it up."""
    full = [*pieces, *[pieces[-1]] * (size - len(pieces))]
    return Batch(
        frames=tuple(p.frame for p in full),
        controls={name: tuple(p.controls[name] for p in full) for name in full[0].controls},
        prompts=tuple(p.prompt.text for p in full),
        negative_prompts=tuple(p.prompt.negative for p in full),
        seeds=tuple(p.seed for p in full),
    )


def _ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[Task], Piece | Record],
    tasks: Iterable[Task],
    depth: int,
) -> Iterator[Piece | Record]:
    """Yield work(task) in the tasks' order, at most depth of them begun ahead."""
    source = iter(tasks)
    begun = deque(pool.submit(work, task) for task in islice(source, depth))
    try:
        while begun:
            yield begun.popleft().result()
            begun.extend(pool.submit(work, task) for task in islice(source, 1))
    finally:
        for future in begun:
            future.cancel()


def _condition(make: Conditioner, frame: Frame) -> ControlMap:
    control = make(frame)
    if tuple(control.image.shape) != (3, *frame.size):
        shape = tuple(control.image.shape)
        raise SampleError(f"{frame.sample.id}: control '{control.name}' is {shape}, not (3, H, W)")
    return control


def _record_of(piece: Piece, settings: Mapping[str, Any], seconds: float) -> Record:
    return Record(
        sample=piece.frame.sample.id,
        variant=piece.task.variant,
        status="done",
        seed=piece.seed,
        prompt=piece.prompt.text,
        drawn=piece.prompt.drawn,
        normalised=piece.frame.normalised,
        settings=settings,
        input_sha256=piece.frame.sha256,
        seconds=round(seconds, 6),
    )


def _require_shape(image: Tensor, frame: Frame) -> None:
    """Raise SampleError where a translator broke the first rule: the size, exactly."""
    import torch

    if image.dtype != torch.uint8 or tuple(image.shape) != (3, *frame.size):
        got, size = f"{tuple(image.shape)} {image.dtype}", (3, *frame.size)
        raise SampleError(f"{frame.sample.id}: the translator returned {got}, not {size} uint8")


def _scores(results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "picture": dict(result.picture),
            "instances": {str(id_): dict(scores) for id_, scores in result.instances.items()},
        }
        for name, result in results.items()
        if result.picture or result.instances
    }


def _named(id_: str, error: SampleError) -> str:
    return str(error) if id_ in str(error) else f"{id_}: {error}"


def _unexpected(id_: str, error: BaseException) -> str:
    return f"{id_}: {type(error).__name__}: {' '.join(str(error).split())}"


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, (torch.OutOfMemoryError, MemoryError))


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        with suppress(RuntimeError):
            torch.cuda.empty_cache()
