"""The writer my-plugin: pictures in pictures/, their label files in labels/."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sv2r import (
    Dataset,
    Frame,
    Options,
    Published,
    Record,
    Runtime,
    Sample,
    WriterSpec,
    copy_atomically,
    hookimpl,
    write_atomically,
)
from sv2r.images.encode import encode_picture

if TYPE_CHECKING:
    from torch import Tensor


class MyPluginOptions(Options):
    """Options of the writer: none yet."""


class MyPlugin:
    """Puts pictures and labels in place."""

    def __init__(self, options: MyPluginOptions, runtime: Runtime) -> None:
        self._output = runtime.output

    def target(self, sample: Sample, variant: int) -> str:
        """Return the picture's path under the output folder."""
        return f"pictures/{sample.id}.png"

    def publish(self, sample: Sample, variant: int, image: Tensor, frame: Frame) -> Published:
        """Write one (3, H, W) uint8 picture, and the label files of this sample alone."""
        labels = {f"labels/{sample.id}{file.suffix}": file for file in sample.annotation_files}
        for name, file in labels.items():
            copy_atomically(file, self._output / name)
        target = self.target(sample, variant)
        pixels = image.permute(1, 2, 0).contiguous().cpu().numpy()
        digest = write_atomically(self._output / target, encode_picture(pixels, ".png"))
        return Published(target, digest, labels=tuple(labels))

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Copy the label files of the whole dataset; return their SHA-256 by path."""
        files = dataset.annotation_files
        return {file.name: copy_atomically(file, self._output / file.name) for file in files}


@hookimpl
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return the writer."""
    return [
        WriterSpec(
            name="my-plugin",
            summary="Pictures and labels in two folders.",
            options=MyPluginOptions,
            build=MyPlugin,
        )
    ]
