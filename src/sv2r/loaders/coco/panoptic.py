"""COCO panoptic: one PNG per picture whose colours are segment ids, and a list of the segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from sv2r.errors import SampleError
from sv2r.images.label_image import read_label_image
from sv2r.loaders.coco.annotations import instance_of
from sv2r.loaders.coco.index import CocoId, as_key, find_key
from sv2r.storage.paths import inside
from sv2r.types import Instance, Instances

if TYPE_CHECKING:
    from numpy.typing import NDArray


def panoptic_file(root: Path, json_name: str, annotations: Sequence[Mapping[str, Any]]) -> Path:
    """Return the PNG of a picture: in the folder named as the JSON file is, or next to the file.

    Raises:
        SampleError: not one annotation, or one that names no PNG inside root.
    """
    if len(annotations) != 1:
        raise SampleError(f"{len(annotations)} panoptic annotations; a picture has one")
    given = annotations[0].get("file_name")
    if not isinstance(given, str):
        raise SampleError(f"file_name of the annotation is {given!r}; name the panoptic PNG")
    json_file = PurePosixPath(json_name)
    places = [json_file.with_suffix(""), json_file.parent, PurePosixPath()]
    paths = [inside(root, (place / given).as_posix()) for place in places]
    return next((path for path in paths if path.is_file()), paths[0])


def draw_panoptic(
    annotation: Mapping[str, Any],
    path: Path,
    name: str,
    categories: Mapping[CocoId, str],
    stuff: frozenset[CocoId],
) -> Instances:
    """Return the things of one picture; stuff (sky, road) has no instances and is background.

    path: the PNG. name: how errors call it. stuff: categories whose "isthing" is 0.

    Raises:
        SampleError: the PNG cannot be read, or it and the list of segments do not agree.
    """
    values = _segment_ids(path, name)
    table: dict[int, Instance] = {}
    known = {0}
    for segment in _segments(annotation):
        id_ = segment.get("id")
        if type(id_) is not int or not 0 < id_ < 2**24 or id_ in known:
            raise SampleError(f"segment id {id_!r}: it must be a colour's number, each only once")
        known.add(id_)
        try:
            instance = instance_of(id_, segment, categories)
        except SampleError as error:
            raise SampleError(f"segment {id_}: {error}") from error
        if find_key(as_key(segment.get("category_id")), categories) not in stuff:
            table[id_] = instance
    drawn = np.unique(values)
    strangers = sorted(set(drawn.tolist()) - known)
    if strangers:
        raise SampleError(f"{name}: segment {strangers[0]} is not in segments_info; add it there")
    things = np.isin(drawn, list(table))
    return Instances(np.where(things, drawn, 0)[np.searchsorted(drawn, values)], table)


def _segments(annotation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    segments = annotation.get("segments_info")
    if not isinstance(segments, list) or not all(isinstance(s, Mapping) for s in segments):
        raise SampleError("segments_info is not a list of segments")
    return segments


def _segment_ids(path: Path, name: str) -> NDArray[np.int32]:
    """Return red + 256 green + 65536 blue of each pixel, as panopticapi's ``rgb2id`` does."""
    image = read_label_image(path, name)
    if image.kind != "colour":
        raise SampleError(f"{name}: is no RGB picture, in whose colours segment ids are written")
    packed: NDArray[np.int32] = image.values.astype(np.int32)
    return (packed >> 16) | (packed & 0xFF00) | ((packed & 0xFF) << 16)
