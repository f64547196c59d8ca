"""Runs pictures' lives in one process: starts them ahead, draws in batches, continues them after.

    tasks ─► lives begin (reading threads) ─► buckets of draws ─► translator
                 records ◄─ lives go on (writing threads) ◄─ what was made ─┘

It knows nothing of what a life does between two draws. One that wants another draw, after a batch
that did not fit or for a second try, goes into a bucket again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from sv2r.config.sections import JobOptions
from sv2r.devices import free_memory, is_out_of_memory
from sv2r.errors import ConfigError, SampleError
from sv2r.plugin.specs import Phase
from sv2r.types import Batch, Record, Refusal, Task
from sv2r.worker.batch_size import BATCH_SIZES, pick_batch_size
from sv2r.worker.life import Draw, Life, Made
from sv2r.worker.parts import Parts
from sv2r.worker.threads import share_cores, work_ahead

if TYPE_CHECKING:
    from torch import Tensor

# A batch size is tried only where the job has this many times as many pictures.
_TRIAL_SHARE = 32
# What is read ahead for while the batch size is not known yet.
_ASSUMED_BATCH = 8
# Partly filled buckets may hold this many batches before the oldest is filled up and run.
_OPEN_BATCHES = 4


@dataclass(frozen=True)
class _Waiting:
    """A life that is waiting for its draw."""

    life: Life
    draw: Draw


class Batcher:
    """A worker in this process.

    begin: starts a task's life. parts: what it draws with. device: what they were built for.
    batch_size: pictures per batch, or None: found out with the first picture.
    pictures: how many the whole job has.
    stop: once set, what is not yet in a batch is left undone.
    say: takes one line for the user ("out of memory ..."). show: takes what is being done at the
    moment.
    """

    def __init__(
        self,
        begin: Callable[[Task], Life],
        parts: Parts,
        options: JobOptions,
        *,
        device: str,
        batch_size: int | None,
        pictures: int,
        stop: Event,
        say: Callable[[str], None],
        show: Callable[[Phase, str], None],
    ) -> None:
        self._begin = begin
        self._parts = parts
        self._options = options
        self._device = device
        self._pictures = pictures
        self.batch_size = batch_size or 0  # 0 until it is found out
        self._made = False
        self._stop = stop
        self._say = say
        self._show = show
        self._buckets: dict[Hashable, deque[_Waiting]] = {}
        self._behind: deque[Future[_Waiting | Record]] = deque()

    def run(self, tasks: Iterable[Task]) -> Iterator[Record]:
        """Yield one record per task, in the order in which they end."""
        readers, writers = self._options.readers, self._options.writers
        with (
            share_cores(readers + writers) as few_cores,
            ThreadPoolExecutor(readers, "sv2r-read", few_cores) as reading,
            ThreadPoolExecutor(writers, "sv2r-write", few_cores) as writing,
        ):
            depth = (self.batch_size or _ASSUMED_BATCH) + 2 * readers
            for begun in work_ahead(reading, lambda task: _go_on(self._begin(task)), tasks, depth):
                if isinstance(begun, Record):
                    yield begun
                elif not self._stop.is_set():
                    yield from self._add(begun, writing)
            while (self._buckets or self._behind) and not self._stop.is_set():
                if self._buckets:
                    self._run_batch(self._take(next(iter(self._buckets))), writing)
                # Where none is left, what comes back for another draw fills buckets anew.
                yield from self._collect(self._depth() if self._buckets else 0)
            yield from self._collect(0)

    def _add(self, one: _Waiting, writing: ThreadPoolExecutor) -> Iterator[Record]:
        """Put a draw into its bucket; run a full bucket, or the oldest when many wait."""
        if not self.batch_size:
            self.batch_size = self._find_batch_size(one.draw)
        self._parts.compile()
        self._put(one)
        while (key := self._ready()) is not None:
            self._run_batch(self._take(key), writing)
        yield from self._collect(self._depth())

    def _depth(self) -> int:
        """Return how many pictures may wait to be written."""
        return 2 * self.batch_size + 2 * self._options.writers

    def _put(self, one: _Waiting) -> None:
        self._buckets.setdefault(self._bucket_of(one.draw), deque()).append(one)

    def _ready(self) -> Hashable | None:
        """Return the key of a full bucket, or of the oldest where many draws wait, or None."""
        waiting = 0
        for key, bucket in self._buckets.items():
            waiting += len(bucket)
            if len(bucket) >= self.batch_size:
                return key
        return next(iter(self._buckets)) if waiting >= _OPEN_BATCHES * self.batch_size else None

    def _bucket_of(self, draw: Draw) -> Hashable:
        """Return the key of the draws that one batch can hold together with this one."""
        return self._parts.bucket(*draw.frame.size), draw.strength_factor, draw.control_factor

    def _take(self, key: Hashable) -> list[_Waiting]:
        """Return up to a batch of a bucket's draws, out of it."""
        bucket = self._buckets[key]
        taken = [bucket.popleft() for _ in range(min(self.batch_size, len(bucket)))]
        if not bucket:
            del self._buckets[key]
        return taken

    def _run_batch(self, batch: list[_Waiting], writing: ThreadPoolExecutor) -> None:
        """Draw what the lives of one bucket are waiting for, and continue them."""
        start = time.monotonic()
        self._show("drawing", f"{len(batch)} at a time" if len(batch) > 1 else "one at a time")
        images = self._images(batch)
        if images is None:
            free_memory()  # not sooner: an error's frames hold the batch
            return
        self._made = True
        settings = {**self._parts.settings(), "batch_size": self.batch_size}
        seconds = (time.monotonic() - start) / len(batch)
        for one, image in zip(batch, images, strict=True):
            made = Made(image, settings, seconds)
            self._behind.append(writing.submit(_go_on, one.life, made))

    def _images(self, batch: list[_Waiting]) -> Sequence[Tensor | Refusal] | None:
        """Return what came of a batch's draws; None where it did not fit in memory.

        Raises:
            ConfigError: not even the first picture fits by itself.
        """
        try:
            return self._translate([one.draw for one in batch])
        except Exception as error:  # whatever a translator raises, its pictures fail
            if is_out_of_memory(error) and self._fits_less(batch):
                return None
            return [Refusal(str(error), failed=True)] * len(batch)

    def _translate(self, draws: Sequence[Draw]) -> list[Tensor | Refusal]:
        """Return what the translator makes of a batch that is filled up to the fixed size."""
        images = list(self._parts.translate(batch_of_draws(draws, self.batch_size)))
        if len(images) != self.batch_size:
            what = f"the translator returned {len(images)} of {self.batch_size} pictures"
            raise SampleError(what)
        return [_sized(image, draw) for image, draw in zip(images, draws, strict=False)]

    def _find_batch_size(self, draw: Draw) -> int:
        """Return the batch size that makes pictures like this one fastest.

        Raises:
            ConfigError: not even one picture fits in memory.
        """
        # Trying a size costs two batches of it: a job of few pictures is done sooner without.
        sizes = [size for size in BATCH_SIZES if size * _TRIAL_SHARE <= self._pictures] or [1]
        if sizes == [1]:
            return 1

        def make(size: int) -> Batch:
            self._show("batch size", f"trying {size} at a time")
            return batch_of_draws([draw], size)

        try:
            return pick_batch_size(make, self._parts.translate, self._device, sizes)
        except Exception as error:
            if is_out_of_memory(error):
                raise _does_not_fit(draw) from error
            return 1  # whatever else is wrong will be told of each picture by itself

    def _fits_less(self, batch: list[_Waiting]) -> bool:
        """Go on with half the batch size, the draws that did not fit first, where that can be.

        Raises:
            ConfigError: not even the first picture fits by itself.
        """
        if self.batch_size == 1:
            if self._made:
                return False
            raise _does_not_fit(batch[0].draw)
        self.batch_size //= 2
        key = self._bucket_of(batch[0].draw)
        waiting = self._buckets.pop(key, ())
        self._buckets = {key: deque([*batch, *waiting]), **self._buckets}
        self._say(f"out of memory: continuing with batches of {self.batch_size}, nothing is lost")
        return True

    def _collect(self, limit: int) -> Iterator[Record]:
        """Yield finished records in order until at most limit lives are running.

        A life that wants another draw goes into its bucket instead.
        """
        while len(self._behind) > limit or (self._behind and self._behind[0].done()):
            ended = self._behind.popleft().result()
            if isinstance(ended, Record):
                yield ended
            else:
                self._put(ended)


def _go_on(life: Life, made: Made | None = None) -> _Waiting | Record:
    """Return a life at its next draw, or the record it ended with."""
    try:
        return _Waiting(life, next(life) if made is None else life.send(made))
    except StopIteration as end:
        record: Record = end.value
        return record


def batch_of_draws(draws: Sequence[Draw], size: int) -> Batch:
    """Return a batch of exactly size pictures: the last draw repeated fills it up."""
    full = [*draws, *[draws[-1]] * (size - len(draws))]
    return Batch(
        frames=tuple(draw.frame for draw in full),
        controls={name: tuple(d.controls[name] for d in full) for name in full[0].controls},
        prompts=tuple(draw.prompt.text for draw in full),
        negative_prompts=tuple(draw.prompt.negative for draw in full),
        seeds=tuple(draw.seed for draw in full),
        strength_factor=full[0].strength_factor,
        control_factor=full[0].control_factor,
    )


def _sized(image: Tensor | Refusal, draw: Draw) -> Tensor | Refusal:
    """Return an image, or a refusal where the translator broke the first rule: size, exactly."""
    import torch

    size = (3, *draw.frame.size)
    if isinstance(image, Refusal) or (image.dtype == torch.uint8 and tuple(image.shape) == size):
        return image
    got = f"{tuple(image.shape)} {image.dtype}"
    return Refusal(f"the translator returned {got}, not {size} uint8", failed=True)


def _does_not_fit(draw: Draw) -> ConfigError:
    height, width = draw.frame.size
    fix = "choose --translator.fit tile, --translator.offload, or another --device"
    return ConfigError(f"not even one picture of {width}×{height} fits in memory; {fix}")
