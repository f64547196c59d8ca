"""The annotations of one picture, checked and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sv2r.errors import SampleError
from sv2r.images.rasterise import rasterise
from sv2r.loaders.coco_index import Key, as_key
from sv2r.loaders.coco_masks import Size, rle_size, segmentation_runs
from sv2r.types import Instance, Instances

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST_ID = 2**31 - 1


def draw_annotations(
    annotations: Sequence[Mapping[str, Any]], size: Size, categories: Mapping[Key, str]
) -> Instances:
    """Return the instances of one picture, drawn on (height, width) = size.

    Crowds lie at the bottom and small instances on top, so that each can be seen; what is hidden is
    kept as overlaps. An instance's id is its annotation's where all of the picture's are unique
    whole numbers from 1 to 2**31 - 1, else they count from 1 in the file's order.

    Raises:
        SampleError: an annotation that is wrong, by its id.
    """
    ids = label_ids(annotations)
    shapes: list[NDArray[np.int64]] = []
    table: dict[int, Instance] = {}
    for number, (id_, annotation) in enumerate(zip(ids, annotations, strict=True), start=1):
        try:
            table[id_] = instance_of(id_, annotation, categories)
            shapes.append(_runs(annotation, size))
        except SampleError as error:
            own = repr(annotation["id"]) if "id" in annotation else f"{number} of the picture's"
            raise SampleError(f"annotation {own}: {error}") from error
    areas = [int(np.sum(shape[:, 1] - shape[:, 0])) for shape in shapes]
    order = sorted(range(len(ids)), key=lambda i: (not table[ids[i]].crowd, -areas[i]))
    labels, overlaps = rasterise(size, [shapes[i] for i in order], [ids[i] for i in order])
    return Instances(labels, table, overlaps)


def label_ids(annotations: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the label-map value of each annotation."""
    own = [annotation.get("id") for annotation in annotations]
    whole = [id_ for id_ in own if type(id_) is int and 1 <= id_ <= _LARGEST_ID]
    if len(set(whole)) == len(annotations):
        return whole
    return list(range(1, len(annotations) + 1))


def mask_size(annotations: Sequence[Mapping[str, Any]]) -> Size | None:
    """Return (height, width) of the first mask that has its own, or None.

    Raises:
        SampleError: that size is none.
    """
    for annotation in annotations:
        segmentation = annotation.get("segmentation")
        if isinstance(segmentation, Mapping):
            return rle_size(segmentation)
    return None


def instance_of(id_: int, annotation: Mapping[str, Any], categories: Mapping[Key, str]) -> Instance:
    """Return the instance that an annotation or segment describes.

    Raises:
        SampleError: its category is not known, or iscrowd is no truth value.
    """
    key = as_key(annotation.get("category_id"))
    if key is None or key not in categories:
        given = annotation.get("category_id")
        raise SampleError(f"category_id {given!r} is not in 'categories'; add it there")
    crowd = annotation.get("iscrowd")
    if crowd not in (None, 0, 1):
        raise SampleError(f"iscrowd is {crowd!r}; it must be 0 or 1")
    own = annotation.get("id")
    as_it_is = own is None or (type(own) is int and own == id_)
    return Instance(id_, categories[key], bool(crowd), None if as_it_is else str(own))


def _runs(annotation: Mapping[str, Any], size: Size) -> NDArray[np.int64]:
    segmentation = annotation.get("segmentation")
    if segmentation is None:
        boxed = "a box but no segmentation" if "bbox" in annotation else "no segmentation"
        raise SampleError(f"has {boxed}; export masks, or drop the annotation")
    return segmentation_runs(segmentation, size)
