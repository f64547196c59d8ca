"""The labelled objects of one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Told:
    """What a dataset says of an instance besides its mask, where it says so; for `sv2r lint` alone.

    id: a number that no other instance of the same label file should have. file: that file's name.
    area: in pixels. box: (left, top, right, bottom) in pixels.
    outline: the box of its polygons, in pixels, before they are cut off at the frame.
    """

    id: int | None = None
    area: float | None = None
    box: Box | None = None
    outline: Box | None = None
    file: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """One labelled object.

    id: its value in the label map, 1 to 2**31 - 1. The dataset's own id wherever that fits.
    category: the category's name, as the dataset spells it.
    crowd: whether it stands for several objects (COCO's ``iscrowd``).
    source_id: the dataset's own id where that could not be the label-map value, else None.
    told: what the dataset says of its mask. extra: all that it says besides (keypoints,
        attributes, a score ...), which holds as long as the picture's geometry does.
    """

    id: int
    category: str
    crowd: bool = False
    source_id: str | None = None
    told: Told | None = field(default=None, compare=False, repr=False)
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, compare=False, repr=False)


@dataclass(frozen=True)
class Instances:
    """The instances of one picture.

    labels: (H, W) int32, 0 = background, otherwise an ``Instance.id``. Made read-only.
    table: every instance by its id; an instance whose pixels are all hidden by others is in it too.
    overlaps: for instances that others cover in part, the flat (row-major) pixel indices that are
        theirs as well although ``labels`` shows another id there.
    """

    labels: NDArray[np.int32]
    table: Mapping[int, Instance]
    overlaps: Mapping[int, NDArray[np.int64]] = field(default_factory=lambda: _NOTHING)

    def __post_init__(self) -> None:
        self.labels.setflags(write=False)
        for pixels in self.overlaps.values():
            pixels.setflags(write=False)

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) of the label map, in pixels."""
        height, width = self.labels.shape
        return height, width

    def mask(self, instance_id: int) -> NDArray[np.bool_]:
        """Return the (H, W) mask of one instance, pixels that another one covers included."""
        mask: NDArray[np.bool_] = self.labels == instance_id
        if instance_id in self.overlaps:
            mask.reshape(-1)[self.overlaps[instance_id]] = True
        return mask

    def areas(self) -> dict[int, int]:
        """Return the area in pixels of each instance in the table, hidden pixels included."""
        import numpy as np

        # Counted by runs of equal labels, which are far fewer than pixels.
        flat = self.labels.reshape(-1)
        changes = np.ones(flat.size, bool)
        np.not_equal(flat[1:], flat[:-1], out=changes[1:])
        starts = np.flatnonzero(changes)
        ids, run = np.unique(flat[starts], return_inverse=True)
        counts = np.bincount(run, np.diff(starts, append=flat.size)).astype(np.int64)
        visible = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        return {id_: visible.get(id_, 0) + len(self.overlaps.get(id_, ())) for id_ in self.table}


@dataclass(frozen=True, slots=True)
class Drawing:
    """How instances are drawn: all that could be wrong with them has been found already.

    size: (height, width) in pixels. areas: in pixels by id, hidden pixels included.
    draw: returns `Instances.labels` and `Instances.overlaps`.
    """

    size: tuple[int, int]
    areas: Mapping[int, int]
    draw: Callable[[], tuple[NDArray[np.int32], Mapping[int, NDArray[np.int64]]]]


class Undrawn(Instances):
    """Instances that are drawn when their pixels are first asked for, which not every job does."""

    _drawing: Drawing | None = None

    @classmethod
    def of(cls, table: Mapping[int, Instance], drawing: Drawing) -> Undrawn:
        """Return the instances of a table, to be drawn later."""
        undrawn = cls.__new__(cls)
        undrawn.__dict__.update(table=table, _drawing=drawing)
        return undrawn

    @cached_property
    def _drawn(self) -> Instances:
        if self._drawing is None:  # `dataclasses.replace` gave labels and overlaps
            raise AttributeError("labels")
        labels, overlaps = self._drawing.draw()
        return Instances(labels, self.table, overlaps)

    # Fields of a dataclass are no attributes of its class: these fill them in.
    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Return the (H, W) label map."""
        return self._drawn.labels

    @cached_property
    def overlaps(self) -> Mapping[int, NDArray[np.int64]]:
        """Return the hidden pixels by id."""
        return self._drawn.overlaps

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        return super().size if self._drawing is None else self._drawing.size

    def areas(self) -> dict[int, int]:
        """Return the area in pixels of each instance in the table, hidden pixels included."""
        return super().areas() if self._drawing is None else dict(self._drawing.areas)
