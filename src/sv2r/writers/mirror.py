"""The input's tree again: the same names and formats, labels byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from sv2r.errors import ConfigError, SampleError
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Writer, WriterSpec
from sv2r.storage.files import in_bytes, write_atomically
from sv2r.storage.others import OWN, Others, find_others
from sv2r.storage.paths import relative_name, safe_relative, shard_of
from sv2r.types import Dataset, Frame, Published, Record, Sample
from sv2r.writers.encoding import (
    EncodingOptions,
    OutputFormat,
    in_format,
    picture_path,
    publish_picture,
)
from sv2r.writers.labels import copy_labels

if TYPE_CHECKING:
    from torch import Tensor


# Files that may name pictures.
_TEXTS = (".json", ".jsonl", ".txt", ".csv", ".xml", ".yaml", ".yml")


def _inside_the_output(place: str) -> str:
    """Return a place for label files; made for pydantic, which tells the ValueError.

    Raises:
        ValueError: it is absolute or climbs out of the output.
    """
    try:
        return str(safe_relative(place))
    except SampleError:
        raise ValueError(
            f"'{place}' does not lie inside of the output; name a folder in it"
        ) from None


class MirrorOptions(EncodingOptions):
    """Options of the mirror writer."""

    format: OutputFormat = Field(
        "same",
        description="The pictures' format; another one than the input's changes their names, and "
        "the file_name entries of COCO files with them.",
    )
    others: Literal["copy", "leave"] = Field(
        "copy",
        description="Files of the input that the loader does not know (cameras, other passes, "
        "pictures that no label file lists): copied as they are, or left behind.",
    )
    relocate: Mapping[str, Annotated[str, AfterValidator(_inside_the_output)]] = Field(
        default_factory=dict,
        description="FOLDER=PLACE: label files in FOLDER go to PLACE under the output. Needed for "
        "labels that lie outside of the input folder.",
    )


class Mirror:
    """Writes pictures under their own relative paths and copies the labels."""

    def __init__(self, options: MirrorOptions, runtime: Runtime) -> None:
        self._options = options
        self._input = runtime.input
        self._output = runtime.output

    def target(self, sample: Sample, variant: int) -> str:
        """Return the picture's own path, its suffix changed where another format was asked for."""
        own = relative_name(sample.image, self._input) or picture_path(sample)
        return own if self._options.format == "same" else str(self._renamed(PurePosixPath(own)))

    def publish(
        self, sample: Sample, variant: int, image: Tensor | None, frame: Frame
    ) -> Published:
        """Copy the sample's own labels, then put the picture in place."""
        copied = {self._place(f): f for f in (*sample.annotation_files, *sample.channels.values())}
        for place, file in copied.items():
            copy_labels(file, self._output / place)
        target = self.target(sample, variant)
        published = publish_picture(self._output, target, image, frame, self._options)
        return replace(published, labels=tuple(copied))

    def claims(self, sample: Sample, variant: int) -> Iterable[str]:
        """Return where the picture and its own labels go."""
        return [self.target(sample, variant), *map(self._place, sample.annotation_files)]

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Copy the whole dataset's labels; return the SHA-256 of each copy by its place."""
        verified = {}
        made = {r.sample: r.output for r in records if r.status == "done" and r.output}
        known = set(dataset.ids)
        names = {id_: path for id_, path in made.items() if path != id_ and id_ in known}
        for file in dataset.annotation_files:
            place = self._place(file)
            if self._options.format != "same" and dataset.renamed:
                changed = dataset.renamed(file, names)
                verified[place] = write_atomically(self._output / place, changed)
            else:
                verified[place] = copy_labels(file, self._output / place)
        return {**self._carried(dataset, {path.casefold() for path in made.values()}), **verified}

    def _carried(self, dataset: Dataset, pictures: set[str]) -> dict[str, str]:
        """Copy what the loader does not know; a picture that was made keeps its place."""
        if self._options.others == "leave":
            return {}
        files = [name for name in find_others(dataset).files if name.casefold() not in pictures]
        return {name: copy_labels(dataset.root / name, self._output / name) for name in files}

    def prepare(self, dataset: Dataset) -> Iterable[str]:
        """Yield what goes along beside pictures and labels, and what is left.

        Raises:
            ConfigError: pictures would get other names than the label files have for them.
        """
        if shard := _shard_in(dataset):
            fix = "choose --writer webdataset, hf or coco"
            raise ConfigError(f"{shard}: pictures lie in it, and mirror makes no shards; {fix}")
        renames = self._options.format != "same"
        if renames and dataset.annotation_files and not dataset.renamed:
            first = dataset.annotation_files[0].name
            fix = "leave --writer.format out, or choose --writer coco"
            raise ConfigError(f"{first}: its names of pictures cannot be changed; {fix}")
        for place in map(self._place, dataset.annotation_files):
            if PurePosixPath(place).parts[0].casefold() == OWN:
                fix = f"rename it, or take --writer.relocate {OWN}=labels"
                raise ConfigError(
                    f"{place}: the folder {OWN} in the output is the job's own; {fix}"
                )
        others = find_others(dataset)
        taken = self._taken(dataset, others) if renames else ()
        if carried := tuple(name for name in others.files if name not in taken):
            size = sum((dataset.root / name).stat().st_size for name in taken)
            yield from self._told(replace(others, files=carried, size=others.size - size), renames)
        for reason, count in others.left.items():
            yield f"left behind: {reason} ({count:,})"
        if taken and self._options.others == "copy":
            why = "in whose places pictures are written"
            yield f"left behind: files {why}, such as {min(taken)} ({len(taken):,})"

    def _taken(self, dataset: Dataset, others: Others) -> frozenset[str]:
        """Return the other files whose places pictures take under their new names."""
        asked = {name.casefold(): name for name in others.files}
        made = (str(self._renamed(PurePosixPath(id_))).casefold() for id_ in dataset.ids)
        return frozenset(asked[place] for place in made if place in asked)

    def _told(self, others: Others, renames: bool) -> Iterator[str]:
        several = f"file{'' if len(others.files) == 1 else 's'}"
        size = in_bytes(others.size)
        what = f"{len(others.files):,} {several} that the loader does not know ({size})"
        example = f"such as {others.files[0]}"
        if self._options.others == "leave":
            yield f"leaves {what} behind, {example}"
            return
        yield f"carries {what} along as they are, {example}; --writer.others leave turns it off"
        texts = [name for name in others.files if name.lower().endswith(_TEXTS)]
        if renames and texts:
            told = f"{len(texts):,} of them may name pictures by their old suffix"
            yield f"{told}, which no one changes there: {texts[0]}"

    def _renamed(self, path: PurePosixPath) -> PurePosixPath:
        return in_format(path, self._options.format)

    def _place(self, file: Path) -> str:
        """Return where a label file goes, relative to the output."""
        for folder, place in self._options.relocate.items():
            base = self._input / folder
            if file.is_relative_to(base):
                return str(PurePosixPath(place) / file.relative_to(base).as_posix())
        inside = relative_name(file, self._input)
        if inside is None:
            fix = f"say where it goes with --writer.relocate {file.parent}=masks"
            raise SampleError(f"{file}: lies outside of the input folder; {fix}")
        return inside


def _shard_in(dataset: Dataset) -> str | None:
    """Return the shard that the first picture lies in."""
    return shard_of(dataset.ids[0]) if len(dataset.ids) else None


def build(options: MirrorOptions, runtime: Runtime) -> Writer:
    """Return the writer."""
    return Mirror(options, runtime)


@hookimpl
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return the writer that changes nothing but pixels."""
    return [
        WriterSpec(
            name="mirror",
            summary="The input's tree: same names and formats, labels byte for byte.",
            options=MirrorOptions,
            build=build,
            rereads=True,
            keeps=True,
        )
    ]
