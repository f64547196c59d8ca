"""Makes pictures in one process: read ahead, translate batch by batch, check and write behind.

    tasks ─► readers (threads) ─► buckets ─► translator ─► writers (threads) ─► records

Nothing flows back: a batch that did not fit and a picture that is tried again are new entries in
the worker's own buckets.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Any

from sv2r.config.resolve import Config
from sv2r.errors import ConfigError, SampleError
from sv2r.plugin.specs import Buckets, Describes
from sv2r.types import Dataset, Record, Refusal, Task
from sv2r.worker.batch_size import SIZES, pick_batch_size
from sv2r.worker.out_of_memory import is_out_of_memory
from sv2r.worker.parts import Parts
from sv2r.worker.pieces import Piece, make_batch, read_piece, unexpected
from sv2r.worker.settling import Settler, record_of
from sv2r.worker.threads import share_cores

if TYPE_CHECKING:
    from torch import Tensor

# A batch size is tried only where the job has this many times as many pictures.
_TRIAL_SHARE = 32
# What is read ahead for while the batch size is not known yet.
_ASSUMED_BATCH = 8
# Partly filled buckets may hold this many batches before the oldest is filled up and run.
_OPEN_BATCHES = 4


class LocalWorker:
    """A worker in this process.

    device: what the parts were built for.
    batch_size: pictures per batch, or None: found out with the first picture.
    pictures: how many the whole job has.
    stop: once set, what is not yet in a batch is left undone.
    say: takes one line for the user ("out of memory ...").
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        parts: Parts,
        *,
        device: str,
        batch_size: int | None,
        pictures: int,
        stop: Event,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._dataset = dataset
        self._parts = parts
        self._device = device
        self._pictures = pictures
        self.batch_size = batch_size or 0  # 0 until it is found out
        self._settler = Settler(config, parts)
        self._made = False
        self._stop = stop
        self._say = say
        self._buckets: dict[Hashable, deque[Piece]] = {}
        self._behind: deque[Future[Record | Piece]] = deque()

    def run(self, tasks: Iterable[Task]) -> Iterator[Record]:
        """Yield one record per task, in the order in which they end."""
        job = self._config.job
        with (
            share_cores(job.readers + job.writers) as few_cores,
            ThreadPoolExecutor(job.readers, "sv2r-read", few_cores) as readers,
            ThreadPoolExecutor(job.writers, "sv2r-write", few_cores) as writers,
        ):
            depth = (self.batch_size or _ASSUMED_BATCH) + 2 * job.readers
            read = partial(read_piece, self._config, self._dataset, self._parts)
            for piece in _ahead(readers, read, tasks, depth):
                if isinstance(piece, Record):
                    yield piece
                elif not self._stop.is_set():
                    yield from self._add(piece, writers)
            while (self._buckets or self._behind) and not self._stop.is_set():
                if self._buckets:
                    self._run_batch(self._take(next(iter(self._buckets))), writers)
                # Where none is left, what comes back to be tried again fills buckets anew.
                yield from self._collect(self._depth() if self._buckets else 0)
            yield from self._collect(0)

    def _add(self, piece: Piece, writers: ThreadPoolExecutor) -> Iterator[Record]:
        """Put a picture into its bucket; run a full bucket, or the oldest when many wait."""
        self.batch_size = self.batch_size or self._find_batch_size(piece)
        self._put(piece)
        while (key := self._ready()) is not None:
            self._run_batch(self._take(key), writers)
        yield from self._collect(self._depth())

    def _depth(self) -> int:
        """Return how many pictures may wait to be written."""
        return 2 * self.batch_size + 2 * self._config.job.writers

    def _put(self, piece: Piece) -> None:
        self._buckets.setdefault(self._bucket_of(piece), deque()).append(piece)

    def _ready(self) -> Hashable | None:
        """Return the key of a full bucket, or of the oldest where many pictures wait, or None."""
        waiting = 0
        for key, bucket in self._buckets.items():
            waiting += len(bucket)
            if len(bucket) >= self.batch_size:
                return key
        return next(iter(self._buckets)) if waiting >= _OPEN_BATCHES * self.batch_size else None

    def _bucket_of(self, piece: Piece) -> Hashable:
        translator = self._parts.translator
        size = piece.frame.size
        own = translator.bucket(*size) if isinstance(translator, Buckets) else size
        return own, piece.attempt

    def _take(self, key: Hashable) -> list[Piece]:
        """Return up to a batch of a bucket's pictures, out of it."""
        bucket = self._buckets[key]
        taken = [bucket.popleft() for _ in range(min(self.batch_size, len(bucket)))]
        if not bucket:
            del self._buckets[key]
        return taken

    def _run_batch(self, pieces: list[Piece], writers: ThreadPoolExecutor) -> None:
        """Translate pictures of one bucket and hand them to the writers."""
        start = time.monotonic()
        try:
            images = self._translate(pieces)
        except Exception as error:  # whatever a translator raises, its pictures fail
            if is_out_of_memory(error) and self._fits_less(pieces):
                return
            who = f"translator '{self._config.translator.name}'"
            ids = [piece.frame.sample.id for piece in pieces]
            images = [Refusal(unexpected(id_, error, who), failed=True) for id_ in ids]
        self._made = True
        settings = self._settings()
        seconds = (time.monotonic() - start) / len(pieces)
        for piece, image in zip(pieces, images, strict=True):
            record = record_of(piece, settings, seconds)
            self._behind.append(writers.submit(self._settler.settle, piece, image, record))

    def _find_batch_size(self, piece: Piece) -> int:
        """Return the batch size that makes pictures like this one fastest.

        Raises:
            ConfigError: not even one picture fits in memory.
        """
        # Trying a size costs two batches of it: a job of few pictures is done sooner without.
        sizes = [size for size in SIZES if size * _TRIAL_SHARE <= self._pictures] or [1]
        if sizes == [1]:
            return 1
        make = partial(make_batch, [piece])
        try:
            return pick_batch_size(make, self._parts.translator, self._device, sizes)
        except Exception as error:
            if is_out_of_memory(error):
                raise _does_not_fit(piece) from error
            return 1  # whatever else is wrong will be told of each picture by itself

    def _translate(self, pieces: list[Piece]) -> list[Tensor | Refusal]:
        """Return the pictures of a batch that is filled up to the fixed size."""
        images = list(self._parts.translator(make_batch(pieces, self.batch_size)))
        if len(images) != self.batch_size:
            raise SampleError(
                f"the translator returned {len(images)} of {self.batch_size} pictures"
            )
        return images[: len(pieces)]

    def _fits_less(self, pieces: list[Piece]) -> bool:
        """Go on with half the batch size, the pictures that did not fit first, where that can be.

        Raises:
            ConfigError: not even the first picture fits by itself.
        """
        if self.batch_size == 1:
            if self._made:
                return False
            raise _does_not_fit(pieces[0])
        self.batch_size //= 2
        _free_memory()
        key = self._bucket_of(pieces[0])
        waiting = self._buckets.pop(key, ())
        self._buckets = {key: deque([*pieces, *waiting]), **self._buckets}
        self._say(f"out of memory: going on with batches of {self.batch_size}, nothing is lost")
        return True

    def _settings(self) -> Mapping[str, Any]:
        translator = self._parts.translator
        own = translator.settings() if isinstance(translator, Describes) else {}
        parts: Sequence[tuple[str, object]] = self._parts.conditioners
        controls = {name: c.settings() for name, c in parts if isinstance(c, Describes)}
        return {
            **own,
            "batch_size": self.batch_size,
            **({"conditioners": controls} if controls else {}),
        }

    def _collect(self, limit: int) -> Iterator[Record]:
        """Yield finished records in order until at most limit pictures are being written.

        A picture that is to be tried again goes into its bucket instead.
        """
        while len(self._behind) > limit or (self._behind and self._behind[0].done()):
            ended = self._behind.popleft().result()
            if isinstance(ended, Record):
                yield ended
            else:
                self._put(ended)


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


def _does_not_fit(piece: Piece) -> ConfigError:
    height, width = piece.frame.size
    mend = "choose --translator.fit tile, --translator.offload, or another --device"
    return ConfigError(f"not even one picture of {width}×{height} fits in memory; {mend}")


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        with suppress(RuntimeError):
            torch.cuda.empty_cache()
