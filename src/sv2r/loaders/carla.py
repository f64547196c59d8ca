"""CARLA's instance segmentation camera next to its RGB camera.

A pixel of the instance camera holds the tag of its class in red and the object's id in green and
blue (id = G + 256 * B), from CARLA 0.9.12 on. Stuff (road, sky) carries ids too: only the tags of
things become instances. The tags changed in 0.9.14
(``LibCarla/source/carla/image/CityScapesPalette.h``, and the documentation of the sensors).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sv2r.errors import ConfigError, SampleError
from sv2r.images.picture_file import PICTURE_SUFFIXES
from sv2r.loaders.lazy import LazySamples
from sv2r.loaders.tree import Tree, read_tree, split_name
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options, Several
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

Version = Literal["0.9.12", "0.9.14"]

TAGS: Mapping[Version, tuple[str, ...]] = MappingProxyType(
    {
        "0.9.12": (
            *("unlabeled", "building", "fence", "other", "pedestrian", "pole", "road line", "road"),
            *("sidewalk", "vegetation", "vehicle", "wall", "traffic sign", "sky", "ground"),
            *("bridge", "rail track", "guard rail", "traffic light", "static", "dynamic", "water"),
            "terrain",
        ),
        "0.9.14": (
            *("unlabeled", "road", "sidewalk", "building", "wall", "fence", "pole"),
            *("traffic light", "traffic sign", "vegetation", "terrain", "sky", "pedestrian"),
            *("rider", "car", "truck", "bus", "train", "motorcycle", "bicycle", "static"),
            *("dynamic", "other", "water", "road line", "ground", "bridge", "rail track"),
            "guard rail",
        ),
    }
)
"""What each tag means, from 0 on."""

THINGS = frozenset(
    {
        *("pedestrian", "vehicle", "traffic sign", "traffic light", "rider", "car", "truck"),
        *("bus", "train", "motorcycle", "bicycle", "pole"),
    }
)
"""Classes whose ids stand for single objects."""

_WORDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "instance": frozenset({"instance", "instances", "inst", "iseg"}),
        "rgb": frozenset({"rgb", "img", "image", "images"}),
        "depth": frozenset({"depth"}),
    }
)
_BREAK = re.compile(r"([/_.\- ]|(?<=[a-z])(?=\d))")
_LOOKED_AT = 8
# What the lowest quarter of a driving picture shows, and the share of it that is no accident.
_GROUND = frozenset({"road", "sidewalk", "road line", "ground", "terrain"})
_CLEAR = 0.3


class CarlaOptions(Options):
    """Options of the CARLA loader."""

    version: Literal["auto", "0.9.12", "0.9.14"] = Field(
        "auto",
        description="What tags mean: those of CARLA 0.9.12 and 0.9.13, or from 0.9.14 on; auto "
        "looks at the tags of a few frames and says what it took, and why.",
    )
    things: Several = Field(
        (),
        description="Classes whose ids are instances, in place of the usual ones (pedestrian, "
        "rider, vehicles, traffic sign, traffic light, pole).",
    )


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame's pictures, relative to the root; depth is "" where it has none."""

    image: str
    instances: str
    depth: str = ""


def load(options: CarlaOptions, root: Path) -> Dataset:
    """Return the dataset; a few instance pictures are read for the version of the tags.

    Raises:
        ConfigError: there is no pair of pictures, or a class has no tag.
    """
    tree = read_tree(root)
    shots, problems = _shots(tree)
    if not shots:
        raise ConfigError(f"{root}: {_NO_PAIR}")
    version, why = _version(options, root, shots)
    names = TAGS[version]
    things = frozenset(options.things) or THINGS & set(names)
    if unknown := sorted(things - set(names)):
        raise ConfigError(
            f"--loader.things {unknown[0]}: CARLA {version} has no such class; there are "
            f"{', '.join(sorted(set(names)))}"
        )
    tags = {tag: name for tag, name in enumerate(names) if name in things}
    return Dataset(
        root=root,
        samples=LazySamples(shots, partial(_sample, root, tags)),
        ids=[shot.image for shot in shots],
        categories=tuple(tags.values()),
        problems=(*tree.problems, *problems),
        category_ids={name: tag for tag, name in tags.items()},
        notes=(f"tags are those of CARLA {version} ({why}); things: {', '.join(tags.values())}",),
    )


def load_instances(path: Path, name: str, tags: Mapping[int, str]) -> Instances:
    """Return the instances of an instance camera's picture, by tag and id.

    Raises:
        SampleError: it cannot be read, or is no colour picture.
    """
    import numpy as np

    from sv2r.images.label_image import read_label_image

    image = read_label_image(path, name)
    if image.kind != "colour":
        raise SampleError(f"{name}: is no RGB picture; save the instance camera's raw image as PNG")
    seen, places = np.unique(image.values, return_inverse=True)
    numbers = np.zeros(len(seen), np.int32)
    table = {}
    for place, value in enumerate(seen.tolist()):
        tag, green, blue = value >> 16, value >> 8 & 255, value & 255
        # Without an object's id, all that has the tag would be one instance.
        if tag in tags and (green or blue):
            # The tag in the highest byte: two objects of other classes may share an id.
            number = tag << 16 | blue << 8 | green
            numbers[place] = number
            table[number] = Instance(number, tags[tag], source_id=str(green + 256 * blue))
    return Instances(numbers[places].reshape(image.values.shape), table)


def _shots(tree: Tree) -> tuple[list[Shot], list[Problem]]:
    """Return the frames with both pictures, and instance pictures that have no RGB picture."""
    found: dict[str, dict[str, str]] = {}
    for name in tree.files:
        if split_name(name)[2].lower() not in PICTURE_SUFFIXES:
            continue
        kind, key = _kind(name)
        if kind:
            found.setdefault(key, {}).setdefault(kind, name)
    shots, problems = [], []
    for kinds in found.values():
        if "instance" not in kinds:
            continue
        if "rgb" in kinds:
            shots.append(Shot(kinds["rgb"], kinds["instance"], kinds.get("depth", "")))
        else:
            name = kinds["instance"]
            message = f"{name}: there is no RGB picture of this frame; render it, or remove this"
            problems.append(Problem(name, message))
    return sorted(shots, key=lambda shot: shot.image), problems


def _kind(name: str) -> tuple[str, str]:
    """Return what a picture is by a word in its path, and its path without that word."""
    stem = name.rpartition(".")[0]
    parts = _BREAK.split(stem)
    for kind, words in _WORDS.items():
        for place in reversed(range(len(parts))):
            if parts[place].lower() in words:
                return kind, "".join((*parts[:place], "*", *parts[place + 1 :]))
    return "", ""


def _version(options: CarlaOptions, root: Path, shots: list[Shot]) -> tuple[Version, str]:
    """Return the version of the tags, and what told it."""
    if options.version != "auto":
        return options.version, "as asked"
    everywhere, low = Counter[int](), Counter[int]()
    for tags in _tags(root, shots):
        everywhere.update(tags.ravel().tolist())
        low.update(tags[-max(1, len(tags) // 4) :].ravel().tolist())
    last = len(TAGS["0.9.12"]) - 1
    if above := sorted(tag for tag in everywhere if tag > last):
        return "0.9.14", f"tag {above[0]} is in use"
    shares = {version: _ground_share(low, names) for version, names in TAGS.items()}
    best = max(shares, key=lambda version: shares[version])
    told = f"{shares[best]:.0%} of what is low in the first frames would be road or ground"
    sure = shares[best] >= _CLEAR and shares[best] > 2 * min(shares.values())
    doubt = "" if sure else "; that is no proof: look at a label, and give --loader.version"
    return best, told + doubt


def _ground_share(low: Mapping[int, int], names: tuple[str, ...]) -> float:
    """Return how much of the lowest quarter of pictures is what lies there, under these tags."""
    ground = sum(low.get(tag, 0) for tag, name in enumerate(names) if name in _GROUND)
    return ground / max(sum(low.values()), 1)


def _tags(root: Path, shots: list[Shot]) -> Iterator[Any]:
    """Yield (H, W) tags of a few instance pictures; one that cannot be read is left for later."""
    from sv2r.images.label_image import read_label_image

    for shot in shots[:_LOOKED_AT]:
        try:
            image = read_label_image(inside(root, shot.instances), shot.instances)
        except SampleError:
            continue
        if image.kind == "colour":
            yield image.values >> 16


def _sample(root: Path, tags: Mapping[int, str], shot: Shot) -> Sample:
    path = inside(root, shot.instances)
    return Sample(
        id=shot.image,
        image=inside(root, shot.image),
        load_instances=partial(load_instances, path, shot.instances, tags),
        annotation_files=(path,),
        channels={"depth": inside(root, shot.depth)} if shot.depth else {},
        readings={"depth": read_carla_depth} if shot.depth else {},
    )


def read_carla_depth(path: Path, name: str) -> NDArray[Any]:
    """Return a depth camera's distances in metres, (H, W) float64; infinity at its far end, 1 km.

    Its raw picture holds a distance in three bytes: R + 256 G + 65536 B of 2^24 - 1 are 1,000 m.
    A grey picture, as CARLA's converters to depth write it, is shades, returned as they are.

    Raises:
        SampleError: it cannot be read exactly.
    """
    import numpy as np

    from sv2r.images.label_image import read_label_image

    image = read_label_image(path, name)
    if image.kind != "colour":
        return image.values
    red, green, blue = image.values >> 16, image.values >> 8 & 255, image.values & 255
    if (red == green).all() and (green == blue).all():
        return red.astype(np.uint8)
    steps = red + 256 * green + 65536 * blue
    return np.where(steps < 2**24 - 1, steps * (1000 / (2**24 - 1)), np.inf)


_NO_PAIR = "no picture of an instance camera with an RGB picture (a name with 'instance' and 'rgb')"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder holds CARLA's cameras: by names and a picture's tags."""
    try:
        tree = read_tree(root)
    except ConfigError as error:
        return Match(0.0, str(error))
    shots, _ = _shots(tree)
    if not shots:
        return Match(0.0, _NO_PAIR)
    tags = sorted({tag for some in _tags(root, shots[:1]) for tag in set(some.ravel().tolist())})
    most = len(TAGS["0.9.14"]) - 1
    if not tags or tags[-1] > most or len(tags) < 3:
        return Match(0.0, f"{shots[0].instances}: red is not a tag of CARLA's (0 to {most})")
    return Match(0.92, f"{shots[0].instances} has {len(tags)} of CARLA's tags in red")


def build(options: CarlaOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the CARLA loader."""
    return [
        LoaderSpec(
            name="carla",
            summary="CARLA's instance camera (tag in red, id in green and blue) next to RGB.",
            options=CarlaOptions,
            build=build,
            detect=detect,
        )
    ]
