"""Checks one picture and its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sv2r.errors import SampleError
from sv2r.images.decode import Picture
from sv2r.lint.findings import Finding, FindingKind, LintOptions, Severity
from sv2r.lint.shapes import (
    InstancePair,
    InstanceShape,
    measure_shapes,
    share_of,
    sharing,
    touching,
)
from sv2r.types import Box, Dataset, Instance, Instances, Sample
from sv2r.worker.frames import UPRIGHT, name_sample, read_sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sv2r.checks.boundaries import Boundary

# A box whose sides are shorter says little: rounding alone moves half of it.
_SMALLEST_BOX = 8


@dataclass(frozen=True)
class SampleFacts:
    """A readable picture in numbers.

    place: see `place_of`. digest: of the file's bytes, 64 bits. size: (height, width).
    categories: instances of each.
    areas: px of each instance that is no crowd. ids: those that should be unique in their
    label file, with its name.
    touching: instances that touch another one of their category. seen: instances of which the
    picture shows the boundary, of those (judged) whose boundary was looked for.
    channels: what the renderer wrote next to the picture.
    """

    place: str
    digest: int
    size: tuple[int, int]
    categories: Mapping[str, int]
    areas: tuple[int, ...]
    ids: tuple[tuple[str, int], ...]
    touching: int
    seen: int
    judged: int
    channels: frozenset[str]


@dataclass(frozen=True)
class Looked:
    """What is to say of one sample. facts: None where it cannot be read."""

    sample: str
    findings: tuple[Finding, ...]
    facts: SampleFacts | None = None


def look(dataset: Dataset, options: LintOptions, index: int) -> Looked:
    """Return what is to say of the sample at an index."""
    id_ = dataset.ids[index]
    try:
        sample, picture, instances = read_sample(dataset, index)
    except SampleError as error:
        return Looked(id_, (Finding("unreadable", "error", id_, None, name_sample(id_, error)),))
    view = _View(id_, picture, instances, options)
    findings = tuple(view.findings())
    table = instances.table.values()
    return Looked(
        id_,
        findings,
        SampleFacts(
            place=place_of(sample),
            digest=int(picture.sha256[:16], 16),
            size=instances.size,
            categories=Counter(instance.category for instance in table),
            areas=tuple(view.shapes[one.id].area for one in table if not one.crowd),
            ids=tuple(_own_ids(table)),
            touching=len(touching(instances)),
            seen=sum(boundary.survival is not None for boundary in view.boundaries.values()),
            judged=len(view.boundaries),
            channels=frozenset(sample.channels),
        ),
    )


def _own_ids(table: Iterable[Instance]) -> Iterator[tuple[str, int]]:
    for one in table:
        if one.told and one.told.id is not None:
            yield one.told.file, one.told.id


class _View:
    """One readable sample and what can be found in it."""

    def __init__(
        self, sample: str, picture: Picture, instances: Instances, options: LintOptions
    ) -> None:
        self._sample = sample
        self._picture = picture
        self._instances = instances
        self._options = options
        self.shapes = measure_shapes(instances)
        looked_for = "unseen" not in options.ignore
        self.boundaries = self._boundaries(picture.pixels) if looked_for else {}

    def findings(self) -> Iterator[Finding]:
        """Yield all that is odd, whatever is to be ignored."""
        yield from self._of_orientation()
        if not self._instances.table:
            yield Finding("bare", "remark", self._sample, None, "has no instance")
        twins = set()
        for pair in sharing(self._instances):
            finding = self._shared(pair)
            if finding:
                yield finding
            if finding and finding.kind == "duplicate":
                twins |= {pair.lower, pair.upper}
        for id_, instance in self._instances.table.items():
            yield from self._of_mask(instance, self.shapes[id_])
            if not instance.crowd and id_ not in twins:
                yield from self._of_sight(instance, self.shapes[id_])

    def _of_orientation(self) -> Iterator[Finding]:
        """Yield that nobody can tell how the labels lie on a picture that viewers turn."""
        from sv2r.images.orientation import upright_fit

        orientation = self._picture.orientation
        if orientation == 1 or not self._instances.table:
            return
        fit = upright_fit(self._picture.pixels, self._instances.labels, orientation)
        if fit > 1 / UPRIGHT:
            what = (
                f"has EXIF orientation {orientation}, and its labels fit it as stored no better "
                f"than turned ({fit:.1f} times the contrast there); turn its pixels for good"
            )
            yield Finding("doubt", "error", self._sample, None, what)

    def _found(
        self, kind: FindingKind, severity: Severity, instance: Instance, what: str
    ) -> Finding:
        return Finding(kind, severity, self._sample, _name(instance), what)

    def _shared(self, pair: InstancePair) -> Finding | None:
        """Return what is to say of two instances that share pixels."""
        table = self._instances.table
        lower, upper = table[pair.lower], table[pair.upper]
        if lower.crowd or upper.crowd:
            return None
        areas = [self.shapes[id_].area for id_ in (pair.lower, pair.upper)]
        union = pair.pixels / (sum(areas) - pair.pixels)
        if union >= self._options.same:
            what = f"has the pixels of instance {_name(upper)} ({union:.0%} in common)"
            return self._found("duplicate", "error", lower, what)
        share = pair.pixels / min(areas)
        if share < self._options.max_overlap:
            return None
        smaller, larger = (lower, upper) if areas[0] <= areas[1] else (upper, lower)
        what = f"shares {share:.0%} of its pixels with instance {_name(larger)}"
        return self._found("overlap", "remark", smaller, what)

    def _of_mask(self, instance: Instance, shape: InstanceShape) -> Iterator[Finding]:
        """Yield what the mask itself, and what the dataset says of it, have against it."""
        outside = self._outside(instance)
        if outside:
            yield outside
        elif not shape.area:
            yield self._found("empty", "error", instance, "has no pixel")
        elif instance.told:
            yield from self._against_area(instance, shape)
            if instance.told.box and shape.box:
                yield from self._against_box(instance, instance.told.box, shape.box)

    def _outside(self, instance: Instance) -> Finding | None:
        """Return what is to say of an instance that reaches out of the picture."""
        told = instance.told
        extent = (told.outline or told.box) if told else None
        if extent is None:
            return None
        frame = self._frame()
        over = max(*(-x for x in extent[:2]), extent[2] - frame[2], extent[3] - frame[3])
        if over <= self._options.margin:
            return None
        left, top, right, bottom = extent
        where = f"x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f}"
        inside = share_of(extent, frame)
        size = f"picture of {frame[2]:.0f}×{frame[3]:.0f}"
        if not inside:
            what = f"lies outside of the {size} ({where})"
        else:
            what = f"reaches {over:.0f} px out of the {size} ({where})"
        severity: Severity = "error" if inside < self._options.min_share else "remark"
        return self._found("out-of-frame", severity, instance, what)

    def _against_area(self, instance: Instance, shape: InstanceShape) -> Iterator[Finding]:
        area = instance.told.area if instance.told else None
        if not area or shape.area >= self._options.min_share * area:
            return
        # Drawing a mask moves its edge by up to half a pixel, which is all there is of small ones.
        if area - shape.area > 4 * area**0.5:
            what = f"has {_pixels(shape.area)} where the dataset says {area:,.0f}"
            yield self._found("incomplete", "error", instance, what)

    def _against_box(self, instance: Instance, told: Box, own: Box) -> Iterator[Finding]:
        frame, margin = self._frame(), self._options.margin
        told = _cut(told, frame)
        if min(told[2] - told[0], told[3] - told[1]) < _SMALLEST_BOX:
            return
        wide = (told[0] - margin, told[1] - margin, told[2] + margin, told[3] + margin)
        if (inside := share_of(own, wide)) < self._options.min_share:
            what = f"has {inside:.0%} of its mask's box in the box that the dataset says"
            yield self._found("misplaced", "error", instance, what)
        elif (filled := share_of(told, own)) < self._options.min_share:
            what = f"has a mask that spans {filled:.0%} of the box that the dataset says"
            yield self._found("incomplete", "error", instance, what)

    def _of_sight(self, instance: Instance, shape: InstanceShape) -> Iterator[Finding]:
        """Yield what is to say of how an instance can be seen."""
        if shape.area and not shape.visible:
            what = f"is covered by others, all {_pixels(shape.area)}"
            yield self._found("hidden", "error", instance, what)
        elif 0 < shape.area < self._options.cell**2:
            cell = f"{self._options.cell}×{self._options.cell}"
            what = f"has {_pixels(shape.area)}, less than {cell}"
            yield self._found("tiny", "remark", instance, what)
        elif (boundary := self.boundaries.get(instance.id)) and boundary.survival is None:
            yield self._found("unseen", "remark", instance, self._why_unseen(boundary))

    def _why_unseen(self, boundary: Boundary) -> str:
        shown = f"{boundary.visible:.0%}"
        if boundary.visible >= self._options.min_visible:
            shown = f"less than {self._options.min_length:.0f} px"
        return f"stands out along {shown} of its boundary"

    def _boundaries(self, pixels: NDArray[np.uint8]) -> Mapping[int, Boundary]:
        """Return the boundaries as the survival check sees them, but of crowds and the tiny."""
        from sv2r.checks.boundaries import boundaries
        from sv2r.checks.edges import levels, smoothed

        table, least = self._instances.table, self._options.cell**2
        wanted = {i for i, one in table.items() if not one.crowd and self.shapes[i].area >= least}
        if not wanted:
            return {}
        image = smoothed(levels(pixels), 1.0)
        found = boundaries(
            image,
            image,
            self._instances.labels,
            min_length=self._options.min_length,
            min_visible=self._options.min_visible,
        )
        return {id_: boundary for id_, boundary in found.items() if id_ in wanted}

    def _frame(self) -> Box:
        height, width = self._instances.size
        return 0.0, 0.0, float(width), float(height)


def place_of(sample: Sample) -> str:
    """Return the path of a picture so that two that would be written to one file are equal."""
    return str(sample.image).casefold()


def _cut(box: Box, frame: Box) -> Box:
    left, top, right, bottom = box
    return max(left, frame[0]), max(top, frame[1]), min(right, frame[2]), min(bottom, frame[3])


def _pixels(count: int) -> str:
    return f"{count:,} pixel{'' if count == 1 else 's'}"


def _name(instance: Instance) -> str:
    """Return what the dataset itself calls an instance."""
    return instance.source_id or str(instance.id)
