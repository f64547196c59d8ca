"""What flows through sv2r: frozen data, arrays in it read-only.

Nothing here imports numpy or torch when it is loaded, so that a command which computes nothing
stays light.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Status = Literal["done", "rejected", "failed"]

_NOTHING: Mapping[Any, Any] = MappingProxyType({})

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Told:
    """What a dataset says of an instance beside its mask, where it says so; for `sv2r lint` alone.

    id: a number that no other instance of the whole dataset should have.
    area: in pixels. box: (left, top, right, bottom) in pixels.
    outline: the box of its polygons, in pixels, before they are cut off at the frame.
    """

    id: int | None = None
    area: float | None = None
    box: Box | None = None
    outline: Box | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """One labelled object.

    id: its value in the label map, 1 to 2**31 - 1. The dataset's own id wherever that fits.
    category: the category's name, as the dataset spells it.
    crowd: whether it stands for several objects (COCO's ``iscrowd``).
    source_id: the dataset's own id where that could not be the label-map value, else None.
    told: what the dataset says of it besides.
    """

    id: int
    category: str
    crowd: bool = False
    source_id: str | None = None
    told: Told | None = field(default=None, compare=False, repr=False)


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


@dataclass(frozen=True)
class Sample:
    """One picture of a dataset and what is known of it before it is read.

    id: unique in the dataset, stable from run to run, a safe relative POSIX path.
    image: the picture.
    load_instances: reads and validates the labels; raises SampleError.
    size: (height, width) that the labels are drawn on, or None where only the labels tell.
    annotation_files: label files of this sample alone (a mask), all inside the dataset's root.
    channels: what the renderer wrote beside RGB, by name ("depth", "normals").
    attributes: weather, camera, sequence ...: words that a prompt template can use.
    """

    id: str
    image: Path
    load_instances: Callable[[], Instances]
    size: tuple[int, int] | None = None
    annotation_files: tuple[Path, ...] = ()
    channels: Mapping[str, Path] = field(default_factory=lambda: _NOTHING)
    attributes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class Problem:
    """An input that cannot become a sample (a mask without a picture, a path that leaves the root).

    id: names it, relative to the dataset's root. message: one line with the mend.
    It counts as a failed input of every job over the dataset.
    """

    id: str
    message: str


@dataclass(frozen=True)
class Dataset:
    """A labelled dataset on disk.

    root: the folder that every path in it lies in.
    samples: in a stable order; may be lazy (a Sample is made when it is asked for).
    ids: the samples' ids in the same order, without making the samples.
    categories: category names, in the dataset's order.
    annotation_files: label files of the dataset as a whole (a COCO JSON), inside the root.
    problems: inputs that could not become samples.
    category_ids: the dataset's own number of a category, where it has one.
    notes: what the loader decided and why, one line each, for the user.
    """

    root: Path
    samples: Sequence[Sample]
    ids: Sequence[str]
    categories: tuple[str, ...] = ()
    annotation_files: tuple[Path, ...] = ()
    problems: tuple[Problem, ...] = ()
    category_ids: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """How sure a loader is that a folder is in its format.

    confidence: 0 (no) to 1 (certain). reason: one line, also where the answer is no.
    """

    confidence: float
    reason: str


@dataclass(frozen=True)
class Frame:
    """A sample that has been read.

    image: (3, H, W) float32 in [0, 1], sRGB, on the CPU.
    instances: drawn on the same H and W.
    normalised: what was done to the file's pixels to get there ("alpha dropped", ...).
    sha256: of the picture file's bytes, as hexadecimal digits.
    """

    sample: Sample
    image: Tensor
    instances: Instances
    normalised: tuple[str, ...] = ()
    sha256: str = ""

    @cached_property
    def pixels(self) -> Tensor:
        """Return the image as (3, H, W) uint8, of any memory layout; not to be written to."""
        import torch

        return (self.image * 255).round().to(torch.uint8)

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        return self.image.shape[-2], self.image.shape[-1]


class ReadFrame(Frame):
    """A frame as it came from its file, in uint8; it becomes float32 when that is first asked for.

    A float32 picture is four times as large, and what copies, crops or sends pixels needs none.
    """

    @classmethod
    def of(
        cls,
        sample: Sample,
        pixels: Tensor,
        instances: Instances,
        normalised: tuple[str, ...],
        sha256: str,
    ) -> ReadFrame:
        """Return the frame of (3, H, W) uint8 pixels; the other arguments are `Frame`'s."""
        frame = cls.__new__(cls)
        known = {"sample": sample, "pixels": pixels, "instances": instances}
        frame.__dict__.update(known, normalised=normalised, sha256=sha256)
        return frame

    @cached_property
    def image(self) -> Tensor:  # a field of Frame's, filled in later
        """Return the pixels as (3, H, W) float32 in [0, 1]."""
        import numpy as np
        import torch

        planes = self.pixels.numpy()
        return torch.from_numpy(np.divide(planes, np.float32(255), dtype=np.float32, order="C"))

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]


@dataclass(frozen=True)
class ControlMap:
    """What a conditioner found in a frame: (3, H, W) float32 in [0, 1], the frame's H and W."""

    name: str
    image: Tensor


@dataclass(frozen=True)
class Batch:
    """What a translator gets: always the same number of pictures, the last batch filled up.

    frames: all of one bucket (one size, unless the translator says which sizes go together).
    controls: by control name, one (3, H, W) tensor in [0, 1] per frame, in the frames' order.
    prompts, negative_prompts, seeds: one per frame. A seed is 0 to 2**48 - 1.
    strength_factor: what to multiply the strength by: below 1 where pictures are tried again.
    control_factor: what to multiply control scales by: above 1 where pictures are tried again.
    """

    frames: tuple[Frame, ...]
    controls: Mapping[str, tuple[Tensor, ...]]
    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    strength_factor: float = 1.0
    control_factor: float = 1.0

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a translator may return in place of a picture that must not be published.

    reason: one line. failed: whether it is an error to mend rather than a verdict on the picture.
    """

    reason: str
    failed: bool = False


@dataclass(frozen=True)
class CheckResult:
    """What a check says of one picture.

    reason: None where the picture passes, else one line: why it must not be published.
    picture: scores of the whole picture, by name.
    instances: scores by instance id, then by name.
    damaged: the instances that do not fit their labels any more, where that is the reason.
    displacement: (down, right) in pixels, by which the picture has moved as a whole; None where
        that was not measured.
    reach: pixels around a damaged instance, by its id, that its damage goes into; left out where
        that was not measured.
    merit: how well the picture does by this check, in any unit, more is better: what two pictures
        of one frame are compared by. None where nothing was measured.
    """

    reason: str | None = None
    picture: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    instances: Mapping[int, Mapping[str, float]] = field(default_factory=lambda: _NOTHING)
    damaged: frozenset[int] = frozenset()
    displacement: tuple[float, float] | None = None
    reach: Mapping[int, float] = field(default_factory=lambda: _NOTHING)
    merit: float | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A file in place: its path under the output folder and the SHA-256 of its bytes.

    labels: where label files of its sample were copied with it, and found equal byte for byte.
    """

    path: str
    sha256: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """One picture to make: the sample's position in the dataset, and which variant of it."""

    index: int
    variant: int = 0


@dataclass(frozen=True)
class Record:
    """One line of the journal: what became of one task, and what really ran.

    sample: the sample's id. variant: 0 to variants - 1, or below 0 for a `Problem`.
    seed: what ``torch.Generator().manual_seed`` takes to make the picture again.
    drawn: what ``vary`` chose. normalised: see Frame.
    settings: the translator's own account of what ran (effective steps, model hash, dtype ...).
    small: the instances that had a pass of their own in an enlarged crop.
    repairs: what was done about damage, one line each ("retry 1: ...", "restore: instance 17").
    instances: the ids of what its labels hold, by category. labels: see Published.
    scores: check name -> {"picture": {...}, "instances": {"17": {...}}}.
    seconds: wall time of the batch divided by its pictures; kept in the journal alone.
    """

    sample: str
    variant: int
    status: Status
    seed: int | None = None
    prompt: str | None = None
    drawn: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    normalised: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    small: Sequence[int] = ()
    repairs: tuple[str, ...] = ()
    scores: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    input_sha256: str | None = None
    output: str | None = None
    output_sha256: str | None = None
    instances: Mapping[str, Sequence[int]] = field(default_factory=lambda: _NOTHING)
    labels: Sequence[str] = ()
    seconds: float | None = None
    error: str | None = None
