"""The input's tree again: the same names and formats, labels byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from sv2r.errors import SampleError
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Writer, WriterSpec
from sv2r.storage.paths import relative_name, safe_relative
from sv2r.types import Dataset, Frame, Published, Record, Sample
from sv2r.writers.encoding import (
    EncodingOptions,
    OutputFormat,
    in_format,
    picture_path,
    publish_picture,
)
from sv2r.writers.labels import copy_labels, rewrite_file_names

if TYPE_CHECKING:
    from torch import Tensor


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

    def publish(self, sample: Sample, variant: int, image: Tensor, frame: Frame) -> Published:
        """Copy the sample's own labels, then put the picture in place."""
        copied = {self._place(f): f for f in (*sample.annotation_files, *sample.channels.values())}
        for place, file in copied.items():
            copy_labels(file, self._output / place)
        target = self.target(sample, variant)
        published = publish_picture(self._output, target, image, self._options)
        return replace(published, labels=tuple(copied))

    def claims(self, sample: Sample, variant: int) -> Iterable[str]:
        """Return where the picture and its own labels go."""
        return [self.target(sample, variant), *map(self._place, sample.annotation_files)]

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Copy the whole dataset's labels; return the SHA-256 of each copy by its place."""
        verified = {}
        renames = self._options.format != "same"
        made = _made(dataset, records) if renames else {}
        for file in dataset.annotation_files:
            place = self._place(file)
            if renames and file.suffix.lower() == ".json":
                target = self._output / place
                verified[place] = rewrite_file_names(file, target, made, self._renamed)
            else:
                verified[place] = copy_labels(file, self._output / place)
        return verified

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


def _made(dataset: Dataset, records: Iterable[Record]) -> dict[str, bool]:
    """Return for each sample's id, and its picture's own name, whether there is a picture now.

    A name that several pictures share counts as made where all of them are.
    """
    done = {record.sample for record in records if record.status == "done"}
    made: dict[str, bool] = {}
    for sample in dataset.samples:
        for name in {sample.id, sample.image.name}:
            made[name] = made.get(name, True) and sample.id in done
    return {**made, **{id_: id_ in done for id_ in dataset.ids}}


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
        )
    ]
