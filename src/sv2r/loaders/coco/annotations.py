"""The annotations of one picture, checked and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sv2r.errors import SampleError
from sv2r.images.rasterise import rasterise
from sv2r.loaders.coco.index import CocoId, as_key, find_key
from sv2r.loaders.coco.segmentation import MaskSize, Shape, rle_size, segmentation_shape
from sv2r.types import Box, Drawing, Instance, Instances, Told, Undrawn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGEST_ID = 2**31 - 1
# What an instance says in fields of its own.
_OWN = frozenset({"id", "image_id", "category_id", "segmentation", "iscrowd"})


def draw_annotations(
    annotations: Sequence[Mapping[str, Any]],
    size: MaskSize,
    categories: Mapping[CocoId, str],
    file: str = "",
) -> Instances:
    """Return the instances of one picture, to be drawn on (height, width) = size.

    Crowds lie at the bottom and small instances on top, so that each can be seen; what is hidden is
    kept as overlaps. An instance's id is its annotation's where all of the picture's are unique
    whole numbers from 1 to 2**31 - 1, else they count from 1 in the file's order. file: the name of
    the file that they are in.

    Raises:
        SampleError: an annotation that is wrong, by its id.
    """
    ids = label_ids(annotations)
    shapes: dict[int, Shape] = {}
    table: dict[int, Instance] = {}
    for number, (id_, annotation) in enumerate(zip(ids, annotations, strict=True), start=1):
        try:
            table[id_] = instance_of(id_, annotation, categories, file)
            shapes[id_] = _shape(annotation, size)
        except SampleError as error:
            own = repr(annotation["id"]) if "id" in annotation else f"{number} of the picture's"
            raise SampleError(f"annotation {own}: {error}") from error
    areas = {id_: shape.area for id_, shape in shapes.items()}

    def draw() -> tuple[NDArray[np.int32], dict[int, NDArray[np.int64]]]:
        order = sorted(shapes, key=lambda id_: (not table[id_].crowd, -areas[id_]))
        return rasterise(size, [shapes[id_].runs() for id_ in order], order)

    return Undrawn.of(table, Drawing(size, areas, draw))


def label_ids(annotations: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the label-map value of each annotation."""
    own = [annotation.get("id") for annotation in annotations]
    whole = [id_ for id_ in own if type(id_) is int and 1 <= id_ <= _LARGEST_ID]
    if len(set(whole)) == len(annotations):
        return whole
    return list(range(1, len(annotations) + 1))


def mask_size(annotations: Sequence[Mapping[str, Any]]) -> MaskSize | None:
    """Return (height, width) of the first mask that has its own, or None.

    Raises:
        SampleError: that size is none.
    """
    for annotation in annotations:
        segmentation = annotation.get("segmentation")
        if isinstance(segmentation, Mapping):
            return rle_size(segmentation)
    return None


def instance_of(
    id_: int, annotation: Mapping[str, Any], categories: Mapping[CocoId, str], file: str = ""
) -> Instance:
    """Return the instance that an annotation or segment describes.

    Raises:
        SampleError: its category is not known, or iscrowd is not a truth value.
    """
    key = find_key(as_key(annotation.get("category_id")), categories)
    if key is None:
        given = annotation.get("category_id")
        raise SampleError(f"category_id {given!r} is not in 'categories'; add it there")
    crowd = annotation.get("iscrowd")
    if crowd not in (None, 0, 1):
        raise SampleError(f"iscrowd is {crowd!r}; it must be 0 or 1")
    own = annotation.get("id")
    as_it_is = own is None or (type(own) is int and own == id_)
    source_id = None if as_it_is else str(own)
    told = _told(annotation, file)
    return Instance(id_, categories[key], bool(crowd), source_id, told, _extra(annotation, told))


def _extra(annotation: Mapping[str, Any], told: Told) -> dict[str, Any]:
    """Return what an annotation says that holds as long as its picture's geometry does."""
    left_out = set(_OWN)
    if told.box is None:
        left_out.add("bbox")
    if told.area is None:
        left_out.add("area")
    return {key: value for key, value in annotation.items() if key not in left_out}


def _told(annotation: Mapping[str, Any], file: str) -> Told:
    """Return what an annotation says besides its mask; what makes no sense is left out."""
    own, area = annotation.get("id"), annotation.get("area")
    box, polygons = annotation.get("bbox"), annotation.get("segmentation")
    return Told(
        # A panoptic segment, which has no image_id, shares its id with other pictures' segments.
        id=own if type(own) is int and "image_id" in annotation else None,
        area=area if isinstance(area, (int, float)) else None,
        box=_corners(box) if isinstance(box, list) else None,
        outline=_outline(polygons) if isinstance(polygons, list) else None,
        file=file,
    )


def _corners(box: list[Any]) -> Box | None:
    """Return left, top, right and bottom of COCO's [left, top, width, height]."""
    if len(box) != 4 or not all(map(_is_number, box)):
        return None
    left, top, width, height = box
    return left, top, left + width, top + height


def _outline(polygons: list[Any]) -> Box | None:
    """Return the box around all polygons that enclose an area, or around all boxes."""
    lists = [p for p in polygons if isinstance(p, list)]
    solid = [p for p in lists if len(p) >= 6]
    if lists and all(len(p) == 4 and all(map(_is_number, p)) for p in lists):
        solid = [[x, y, x + width, y + height] for x, y, width, height in lists]
    if not solid or not all(map(_is_number, (value for polygon in solid for value in polygon))):
        return None
    across, down = [p[::2] for p in solid], [p[1::2] for p in solid]
    left, top = (min(map(min, axis)) for axis in (across, down))
    right, bottom = (max(map(max, axis)) for axis in (across, down))
    return left, top, right, bottom


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _shape(annotation: Mapping[str, Any], size: MaskSize) -> Shape:
    segmentation = annotation.get("segmentation")
    if segmentation is None:
        boxed = "a box but no segmentation" if "bbox" in annotation else "no segmentation"
        raise SampleError(f"has {boxed}; export it with masks (polygons or RLE)")
    return segmentation_shape(segmentation, size)
