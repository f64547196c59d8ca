"""Masks of ids in exports: which value is which instance, and what a mask cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sv2r.errors import SampleError
from sv2r.types import Instances

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def visible_shares(instances: Instances) -> dict[int, float]:
    """Return, of instances that others cover in part, what a label map holds of each: its share."""
    if not instances.overlaps:
        return {}
    areas, hidden = instances.areas(), instances.overlaps
    return {id_: round(1 - len(hidden[id_]) / areas[id_], 4) for id_ in hidden if len(hidden[id_])}


def mask_values(instances: Instances, most: int, held: str) -> dict[int, int]:
    """Return each instance's value in a mask: its id where all are at most most, else 1 to n.

    Raises:
        SampleError: there are more than that. held: what holds so many.
    """
    if all(id_ <= most for id_ in instances.table):
        return {id_: id_ for id_ in instances.table}
    if len(instances.table) > most:
        count = len(instances.table)
        raise SampleError(
            f"{held} holds {most:,} instances of a picture, not {count:,}; choose --writer coco"
        )
    return {id_: value for value, id_ in enumerate(sorted(instances.table), 1)}


def renumbered(instances: Instances, values: Mapping[int, int]) -> NDArray[np.int32]:
    """Return the (H, W) label map with a value for each id; background stays 0."""
    import numpy as np

    if all(id_ == value for id_, value in values.items()):
        return instances.labels
    ids = np.array([0, *sorted(values)])
    targets = np.array([0, *(values[id_] for id_ in sorted(values))], np.int32)
    return targets[np.searchsorted(ids, instances.labels)]


def instance_rows(
    instances: Instances, values: Mapping[int, int], crowds: frozenset[int] = frozenset()
) -> list[dict[str, Any]]:
    """Return what there is to say of each value of a mask, as JSON values.

    hidden: pixels of the instance that others cover, which a mask of ids cannot show.
    crowds: the instances that are to be marked so, in addition to those that are.
    """
    return [
        {
            "value": values[i.id],
            "id": i.source_id or i.id,
            "category": i.category,
            "crowd": i.crowd or i.id in crowds,
            "hidden": len(instances.overlaps.get(i.id, ())),
            **({"extra": dict(i.extra)} if i.extra else {}),
        }
        for i in instances.table.values()
    ]
