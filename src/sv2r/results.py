"""A finished run from Python: its pictures with their labels and scores, also as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from sv2r.errors import ConfigError
from sv2r.output.finished import Finished, open_dataset, open_finished
from sv2r.plugin.registry import load_registry
from sv2r.storage.source import published_file
from sv2r.types import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sv2r.types import Dataset, Instances, Sample


@dataclass(frozen=True)
class Translated:
    """One picture that is done.

    path: the published picture. record: what ran, and its scores. sample: the render and its
    labels, which the picture shares.
    """

    path: Path
    record: Record
    sample: Sample

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Return the picture, (H, W, 3) RGB."""
        from sv2r.images.decode import read_picture

        return read_picture(self.path, self.record.sample).pixels

    @property
    def source(self) -> NDArray[np.uint8]:
        """Return the render that it was made from, (H, W, 3) RGB."""
        from sv2r.images.decode import read_picture

        return read_picture(self.sample.image, self.record.sample).pixels

    @property
    def instances(self) -> Instances:
        """Return the labels: `.labels` is (H, W) int32, 0 for background.

        Raises:
            SampleError: the label files are gone or cannot be read.
        """
        return self.sample.load_instances()


class Results(Sequence[Translated]):
    """The pictures of a run that are done, in the order of samples.jsonl.

    finished: the output. source: where the input is now, by default where run.yaml says.
    """

    def __init__(self, finished: Finished, source: Path | None = None) -> None:
        self._finished, self._source = finished, source
        self._done = [one for one in finished.records() if one.status == "done" and one.output]

    def __len__(self) -> int:
        """Return how many pictures are done."""
        return len(self._done)

    @overload
    def __getitem__(self, place: int) -> Translated: ...
    @overload
    def __getitem__(self, place: slice) -> list[Translated]: ...
    def __getitem__(self, place: int | slice) -> Translated | list[Translated]:
        """Return the picture at a place, or those of a slice.

        Raises:
            ConfigError: the input is not there, or no longer has such a picture.
        """
        if isinstance(place, slice):
            return [self._result(record) for record in self._done[place]]
        return self._result(self._done[place])

    def records(self) -> Iterator[Record]:
        """Yield all records, rejected and failed ones too."""
        return self._finished.records()

    def frame(self) -> Any:
        """Return the records as a pandas DataFrame: a row each, a column for each check's score.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            pandas: Any = import_module("pandas")
        except ModuleNotFoundError:
            raise ConfigError("records as a table need pandas: pip install pandas") from None
        return pandas.DataFrame([_row(record) for record in self.records()])

    def tensors(self) -> TensorResults:
        """Return a torch Dataset of pictures and targets, as torchvision's detectors take them."""
        return TensorResults(self)

    @cached_property
    def dataset(self) -> Dataset:
        """Return the input, opened as the run opened it."""
        return open_dataset(self._finished, load_registry(), self._source)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {id_: place for place, id_ in enumerate(self.dataset.ids)}

    def _result(self, record: Record) -> Translated:
        if record.sample not in self._places:
            raise ConfigError(
                f"{self.dataset.root}: has no {record.sample} any more; say where the run's input "
                f"is with source="
            )
        sample = self.dataset.samples[self._places[record.sample]]
        path = published_file(self._finished.output, str(record.output))
        return Translated(path, record, sample)


class TensorResults:
    """A map-style torch Dataset: `(picture, target)` for each picture.

    picture: (3, H, W) uint8. target: `boxes` (N, 4) float32, left, top, right, bottom in pixels,
    the last two just outside; `labels` (N,) int64, the category's place in the dataset's list, from
    1; `masks` (N, H, W) bool; `iscrowd` (N,) int64; `image_id`, the place. Instances without a
    visible pixel are left out.
    """

    def __init__(self, results: Results) -> None:
        self._results = results

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self._results)

    def __getitem__(self, place: int) -> tuple[Tensor, dict[str, Any]]:
        """Return a picture and its target."""
        import numpy as np
        import torch

        result = self._results[place]
        found = result.instances
        masks = {one: found.mask(one) for one in found.table}
        shown = [one for one, mask in masks.items() if mask.any()]
        numbers = {name: n for n, name in enumerate(self._results.dataset.categories, start=1)}
        target = {
            "boxes": torch.tensor([_box(masks[one]) for one in shown]).reshape(-1, 4).float(),
            "labels": torch.tensor([numbers[found.table[one].category] for one in shown]).long(),
            "masks": torch.from_numpy(
                np.array([masks[one] for one in shown], bool).reshape(-1, *found.size)
            ),
            "iscrowd": torch.tensor([found.table[one].crowd for one in shown]).long(),
            "image_id": place,
        }
        picture = torch.from_numpy(np.ascontiguousarray(result.pixels.transpose(2, 0, 1)))
        return picture, target


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom), the last two just outside."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def open_results(output: str | Path, *, source: str | Path | None = None) -> Results:
    """Return the pictures, labels and scores of a finished run; `sv2r.open`.

    output: the folder that --output named. source: where the input is now, if it has moved.

    Raises:
        ConfigError: the folder is no output of sv2r.
    """
    return Results(open_finished(Path(output)), None if source is None else Path(source))


def _row(record: Record) -> dict[str, Any]:
    """Return a record as a table has it: scores of the picture, and the lowest of its instances."""
    names = ("sample", "variant", "status", "seed", "prompt", "output", "rendered", "error")
    row = {name: getattr(record, name) for name in names}
    for check, told in record.scores.items():
        for name, value in told.get("picture", {}).items():
            row[f"{check}.{name}"] = value
        own = [one[check] for one in told.get("instances", {}).values() if check in one]
        if own:
            row.setdefault(f"{check}.lowest", min(own))
    row["instances"] = sum(map(len, record.instances.values()))
    return row
