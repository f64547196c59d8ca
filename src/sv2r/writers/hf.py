"""Exports any dataset for Hugging Face's datasets: Parquet shards with pictures, and a card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError, SampleError
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Writer, WriterSpec
from sv2r.storage.files import write_atomically
from sv2r.types import Dataset, Frame, Instances, Published, Record, Sample
from sv2r.writers.encoding import doubtful_ids, left_out, marks, publish_picture, told_of
from sv2r.writers.shards import Packed, ShardOptions, Shards, same_key
from sv2r.writers.splits import Mixing

if TYPE_CHECKING:
    from torch import Tensor

_CARD, _ABOUT = "README.md", "dataset.json"
# Rows that are read at once: no more than so many, or of so many bytes.
_ROWS, _BYTES = 256, 1 << 24
# Upper bounds of the numbers of pictures that the hub sorts datasets by.
_SIZES = {
    "n<1K": 1000,
    "1K<n<10K": 10_000,
    "10K<n<100K": 100_000,
    "100K<n<1M": 1_000_000,
    "1M<n<10M": 10_000_000,
    "10M<n<100M": 100_000_000,
}


class HfWriter(Mixing[ShardOptions]):
    """Writes data/SPLIT-00000.parquet …, README.md and dataset.json."""

    def __init__(self, options: ShardOptions, runtime: Runtime) -> None:
        self._options = options
        self._output = runtime.output
        self._shards = Shards(runtime.output, options, "data/{split}-{number:05}.parquet")
        self._numbers: dict[str, int] = {}

    def prepare(self, dataset: Dataset) -> Iterable[str]:
        """Yield what the export cannot hold; give each sample its shard."""
        self._numbers = {name: number for number, name in enumerate(dataset.categories)}
        self._shards.assign(dataset)
        yield from left_out(dataset, _ABOUT)

    def target(self, sample: Sample, variant: int) -> str:
        """Return data/SPLIT-00000.parquet/KEY.SUFFIX, with _v1, _v2 ... for further variants."""
        return self._shards.target(sample, variant)

    def claims(self, sample: Sample, variant: int) -> Iterable[str]:
        """Return where the picture and the rest of its row go."""
        return _names(self.target(sample, variant))

    def publish(
        self, sample: Sample, variant: int, image: Tensor | None, frame: Frame
    ) -> Published:
        """Write a row's two files where they lie until they are packed."""
        from dataclasses import replace

        target = self.target(sample, variant)
        row = _row(sample, variant, frame.instances, self._objects(sample.id, frame.instances))
        data = json.dumps(row, ensure_ascii=False).encode()
        write_atomically(self._shards.loose(_names(target)[1]), data, sync_folder=False)
        loose = self._shards.loose("")
        made = publish_picture(loose, target, image, frame, self._options, sync_folder=True)
        return replace(made, path=target)

    def _objects(self, name: str, instances: Instances) -> dict[str, list[Any]]:
        """Return a column for each thing that is told of the instances."""
        from sv2r.images.rle import encode_instances

        columns: dict[str, list[Any]] = {key: [] for key in _OBJECTS}
        for rle in encode_instances(instances):
            one = instances.table[rle.id]
            if one.category not in self._numbers:
                what = f"category {one.category} is not one of the dataset's"
                raise SampleError(f"{name}: {what}; list it there, so that it has a number")
            values = (
                *(one.id, list(map(float, rle.bbox)), self._numbers[one.category], rle.area),
                *(rle.counts, one.crowd, one.source_id or "", _text(one.extra)),
            )
            for key, value in zip(_OBJECTS, values, strict=True):
                columns[key].append(value)
        return columns

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Make the Parquet files of all that is done, the card and dataset.json."""
        counted = _Counted()
        written = self._shards.pack(dataset, counted.of(records), _names, self._write)
        splits = Counter(PurePosixPath(name).name.rpartition("-")[0] for name in written)
        pictures = Counter[str]()
        for name in written:
            pictures[PurePosixPath(name).name.rpartition("-")[0]] += _rows_in(self._output / name)
        card = _card(splits, pictures, counted)
        told = json.dumps(told_of(dataset), ensure_ascii=False, indent=1) + "\n"
        for place, text in ((_CARD, card), (_ABOUT, told)):
            written[place] = write_atomically(self._output / place, text.encode())
        return written

    def _write(self, path: Path, some: Iterator[tuple[Packed, list[bytes]]]) -> None:
        """Write a shard in groups of rows."""
        import pyarrow as pa
        from pyarrow import parquet

        schema = _schema(list(self._numbers))
        with parquet.ParquetWriter(path, schema, compression="snappy") as writer:
            for rows in _grouped(self._filled(one, *files) for one, files in some):
                writer.write_table(pa.Table.from_pylist(rows, schema))

    def _filled(self, one: Packed, picture: bytes, text: bytes) -> dict[str, Any]:
        """Return a whole row."""
        row: dict[str, Any] = json.loads(text)
        crowds = doubtful_ids(one.record, self._options.doubtful)
        objects = row["objects"]
        pairs = zip(objects["iscrowd"], objects["id"], strict=True)
        objects["iscrowd"] = [crowd or id_ in crowds for crowd, id_ in pairs]
        return {"image": {"bytes": picture, "path": one.names[0]}, **row}


class _Counted:
    """What goes by in records on the way to the shards."""

    def __init__(self) -> None:
        self.categories: Counter[str] = Counter()
        self.settings: Mapping[str, Any] = {}

    def of(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            if record.status == "done":
                self.categories.update({k: len(ids) for k, ids in record.instances.items()})
                self.settings = self.settings or record.settings
            yield record


def _names(target: str) -> tuple[str, str]:
    """Return the files of a row: the picture, the rest."""
    return target, same_key(target, ".json")


def _text(extra: Mapping[str, Any]) -> str:
    return json.dumps(dict(extra), ensure_ascii=False) if extra else ""


def _row(
    sample: Sample, variant: int, instances: Instances, objects: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a row but for its picture; pictures of one source share group_id."""
    height, width = instances.size
    return {
        "image_id": sample.id,
        "group_id": sample.id,
        "synthetic": False,
        **marks(variant),
        "width": width,
        "height": height,
        "objects": objects,
        "extra": _text(sample.extra),
    }


def _value(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "_type": "Value"}


# What is told of each instance, and how datasets calls its type; of category the names go in.
_OBJECTS: Mapping[str, Any] = {
    "id": _value("int64"),
    "bbox": {"feature": _value("float32"), "length": 4, "_type": "Sequence"},
    "category": {"_type": "ClassLabel"},
    "area": _value("int64"),
    "rle": _value("string"),
    "iscrowd": _value("bool"),
    "source_id": _value("string"),
    "extra": _value("string"),
}


def _features(names: list[str]) -> dict[str, Any]:
    """Return the features, as datasets reads them from a Parquet file's metadata."""
    own = {**_OBJECTS, "category": {"names": names, "_type": "ClassLabel"}}
    return {
        "image": {"_type": "Image"},
        "image_id": _value("string"),
        "group_id": _value("string"),
        "variant": _value("int32"),
        "synthetic": _value("bool"),
        "width": _value("int32"),
        "height": _value("int32"),
        "objects": {key: {"feature": one, "_type": "Sequence"} for key, one in own.items()},
        "extra": _value("string"),
    }


def _schema(names: list[str]) -> Any:
    import pyarrow as pa

    columns = {
        "id": pa.int64(),
        "bbox": pa.list_(pa.float32(), 4),
        "category": pa.int64(),
        "area": pa.int64(),
        "rle": pa.string(),
        "iscrowd": pa.bool_(),
        "source_id": pa.string(),
        "extra": pa.string(),
    }
    fields = {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "image_id": pa.string(),
        "group_id": pa.string(),
        "variant": pa.int32(),
        "synthetic": pa.bool_(),
        "width": pa.int32(),
        "height": pa.int32(),
        "objects": pa.struct({key: pa.list_(kind) for key, kind in columns.items()}),
        "extra": pa.string(),
    }
    told = json.dumps({"info": {"features": _features(names)}}, ensure_ascii=False)
    return pa.schema(fields, metadata={"huggingface": told})


def _grouped(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield rows in groups that are small enough to be read at once."""
    group, size = list[dict[str, Any]](), 0
    for row in rows:
        group.append(row)
        size += len(row["image"]["bytes"])
        if len(group) == _ROWS or size >= _BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _rows_in(path: Path) -> int:
    from pyarrow import parquet

    count: int = parquet.read_metadata(path).num_rows
    return count


def _card(splits: Iterable[str], pictures: Mapping[str, int], counted: _Counted) -> str:
    """Return the dataset's card: where its splits are, what is in them, and what made them."""
    from sv2r.storage.strict_yaml import write_yaml

    total = sum(pictures.values())
    size = next((name for name, most in _SIZES.items() if total < most), "n>100M")
    files = [{"split": name, "path": f"data/{name}-*.parquet"} for name in sorted(splits)]
    head = {
        "task_categories": ["image-segmentation", "object-detection"],
        "tags": ["synthetic", "instance-segmentation"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    rows = [f"| {name} | {pictures[name]:,} |" for name in sorted(pictures)]
    kinds = [f"| {_cell(name)} | {count:,} |" for name, count in sorted(counted.categories.items())]
    made = json.dumps(dict(counted.settings), ensure_ascii=False, indent=1, sort_keys=True)
    return "\n".join(
        [
            *("---", write_yaml(head).rstrip(), "---", ""),
            f"# {total:,} labelled pictures",
            "",
            "Written by sv2r. `objects.rle` holds each instance's mask as COCO's compressed",
            "run-length code, pixel by pixel; its size is the picture's. Pictures with one",
            "`group_id` come of one source: keep them in one split.",
            *("", "| split | pictures |", "| --- | ---: |", *rows),
            *("", "| category | instances |", "| --- | ---: |", *kinds),
            *(("", "What made the pictures:", "", "```json", made, "```") * bool(counted.settings)),
            "",
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def build(options: ShardOptions, runtime: Runtime) -> Writer:
    """Return the writer.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise ConfigError("the hf writer needs the pyarrow package; pip install sv2r[hf]")
    return HfWriter(options, runtime)


@hookimpl
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return the exporter for Hugging Face's datasets."""
    return [
        WriterSpec(
            name="hf",
            summary="Hugging Face datasets: Parquet shards and a card (needs sv2r[hf]).",
            options=ShardOptions,
            build=build,
            variants=True,
            rereads=True,
            keeps=True,
            packs=True,
            reads=("hf", {}),
        )
    ]
