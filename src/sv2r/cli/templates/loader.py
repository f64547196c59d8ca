"""Datasets in the format my-plugin: images/000.png with an id mask masks/000.png."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from sv2r import (
    Dataset,
    Field,
    Instance,
    Instances,
    Loader,
    LoaderSpec,
    Match,
    Options,
    Problem,
    Runtime,
    Sample,
    SampleError,
    hookimpl,
)


class MyPluginOptions(Options):
    """Options of the loader; each one needs a description."""

    category: str = Field("object", description="The category of every instance.")


def detect(root: Path) -> Match:
    """Return how sure it is that a folder is in this format; look at little of it."""
    # Look for something that no other format has: the surest match is taken.
    if (root / "images").is_dir() and (root / "masks").is_dir():
        return Match(0.2, "there are images/ and masks/")
    return Match(0.0, "there is no images/ with masks/ next to it")


def build(options: MyPluginOptions, runtime: Runtime) -> Loader:
    """Return the loader."""

    def load(root: Path) -> Dataset:
        samples, problems = [], []
        for image in sorted((root / "images").rglob("*.png")):
            name = image.relative_to(root / "images")
            mask = root / "masks" / name
            if mask.is_file():
                read = partial(read_instances, mask, options.category)
                samples.append(Sample(name.with_suffix("").as_posix(), image, read, None, (mask,)))
            else:
                problems.append(Problem(name.as_posix(), f"no masks/{name}; add it"))
        return Dataset(
            root=root,
            samples=samples,
            ids=[sample.id for sample in samples],
            categories=(options.category,),
            problems=tuple(problems),
        )

    return load


def read_instances(mask: Path, category: str) -> Instances:
    """Return the instances of a mask: each value above 0 is one."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(mask) as file:
            labels = np.array(file).astype(np.int32)
    except OSError as error:
        raise SampleError(f"{mask.name}: {error}; write it again as PNG") from error
    if labels.ndim != 2:
        raise SampleError(f"{mask.name}: has colours, not ids; write one channel of ids")
    ids = [int(value) for value in np.unique(labels) if value > 0]
    return Instances(labels, {id_: Instance(id_, category) for id_ in ids})


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the loader."""
    return [
        LoaderSpec(
            name="my-plugin",
            summary="PNG pictures with PNG id masks.",
            options=MyPluginOptions,
            build=build,
            detect=detect,
        )
    ]
