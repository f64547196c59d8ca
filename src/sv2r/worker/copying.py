"""A worker that draws nothing: each picture goes to the writer as it was read, without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

from sv2r.config.sections import JobOptions
from sv2r.errors import StorageError
from sv2r.plugin.specs import Phase, unseen
from sv2r.types import Dataset, Frame, Published, Record, Task
from sv2r.worker.frames import ids_by_category, read_frame, stopped_by
from sv2r.worker.threads import work_ahead


class Copier:
    """A worker in this process.

    publish: see `keep_picture`. stop: once set, nothing new is begun. show: as in `Runtime`.
    batch_size: what a driver of several workers may set; there are no batches here.
    """

    batch_size = 1

    def __init__(
        self,
        dataset: Dataset,
        publish: Callable[..., Published],
        options: JobOptions,
        stop: Event,
        show: Callable[[Phase, str], None] = unseen,
    ) -> None:
        self._dataset = dataset
        self._publish = publish
        self._threads = options.readers + options.writers
        self._stop = stop
        self._show = show

    def run(self, tasks: Iterable[Task]) -> Iterator[Record]:
        """Yield one record per task, in the tasks' order."""
        self._show("drawing", "")  # from here on an interrupted job finishes what is begun
        with ThreadPoolExecutor(self._threads, "sv2r-copy") as pool:
            found = work_ahead(pool, self._copy, tasks, 2 * self._threads)
            yield from (record for record in found if record is not None)

    def _copy(self, task: Task) -> Record | None:
        return None if self._stop.is_set() else keep_picture(self._dataset, self._publish, task)


def keep_picture(dataset: Dataset, publish: Callable[..., Published], task: Task) -> Record:
    """Publish a source's own picture and return its record.

    publish: of a writer that keeps pictures; see `Writer`.

    Raises:
        StorageError: the output can take no more bytes.
    """
    record = Record(dataset.ids[task.index], task.variant, "failed")
    try:
        frame = read_frame(dataset, task.index)
        return _record_of(record, frame, publish(frame.sample, task.variant, None, frame))
    except (StorageError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plugin's bug fails its picture, not the job
        return stopped_by(error, record)


def _record_of(record: Record, frame: Frame, published: Published) -> Record:
    as_it_was = published.sha256 == frame.sha256
    return replace(
        record,
        status="done",
        normalised=() if as_it_was else frame.normalised,
        input_sha256=frame.sha256,
        output=published.path,
        output_sha256=published.sha256,
        labels=published.labels,
        label_iou=published.label_iou,
        instances=ids_by_category(frame.instances),
    )
