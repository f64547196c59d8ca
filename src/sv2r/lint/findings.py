"""What `sv2r lint` can find, and from where on it is worth telling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pydantic import Field, field_validator

from sv2r.plugin.options import Options
from sv2r.plugin.words import nearest

Severity = Literal["error", "remark"]
FindingKind = Literal[
    "doubt",
    "input",
    "unreadable",
    "unlabelled",
    "same-file",
    "shared-id",
    "empty",
    "out-of-frame",
    "incomplete",
    "misplaced",
    "hidden",
    "duplicate",
    "same-picture",
    "overlap",
    "unseen",
    "tiny",
    "bare",
    "unused",
    "unlisted",
]


@dataclass(frozen=True, slots=True)
class Sort:
    """What findings of one kind have in common. title: of all of them. fix: what helps."""

    title: str
    fix: str


# The worst first.
SORTS: Mapping[FindingKind, Sort] = MappingProxyType(
    {
        "doubt": Sort("labels that may mean something else", ""),
        "input": Sort("inputs that cannot become a sample", ""),
        "unreadable": Sort("pictures or labels that cannot be read", ""),
        "unlabelled": Sort(
            "nothing is labelled at all", "choose another --loader, or name its options"
        ),
        "same-file": Sort(
            "two entries for one file", "keep one of them, with the labels that are right"
        ),
        "shared-id": Sort(
            "annotation ids that are there twice", "number them anew: readers keep one of them"
        ),
        "empty": Sort("instances without a pixel", "export their masks again"),
        "out-of-frame": Sort(
            "instances that reach out of their picture", "cut them off at the frame"
        ),
        "incomplete": Sort("masks much smaller than area or box say", "export both again"),
        "misplaced": Sort("masks outside of their box", "export both again"),
        "hidden": Sort(
            "instances that others cover whole", "fine where they are hidden; else fix the masks"
        ),
        "duplicate": Sort("two instances with the same pixels", "keep the one that is right"),
        "same-picture": Sort(
            "pictures with the same bytes", "keep one of them, with the labels that are right"
        ),
        "overlap": Sort(
            "instances that share pixels", "give each pixel to one, unless both are meant"
        ),
        "unseen": Sort(
            "instances that stand out too little for the survival check",
            "more light, contrast or pixels would help; else nobody can tell whether they survive",
        ),
        "tiny": Sort(
            "instances smaller than a latent cell", "expect to lose them, or work at a larger size"
        ),
        "bare": Sort(
            "pictures without an instance", "fine where nothing is there; else labels are missing"
        ),
        "unused": Sort(
            "categories without an instance", "fine where a list is shared; else labels are missing"
        ),
        "unlisted": Sort(
            "pictures that no label file lists", "list them, or leave them: none is converted"
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is odd.

    severity: an error would fail the sample or teach a model something wrong, a remark is worth
    knowing. sample: the id of the picture it is in, or None where it is about the whole dataset.
    instance: the dataset's own id of the instance, or None where it is about the whole picture.
    what: is odd about it.
    """

    kind: FindingKind
    severity: Severity
    sample: str | None
    instance: str | None
    what: str

    @property
    def message(self) -> str:
        """Return one line that says where and what it is, and the fix."""
        instance = f"instance {self.instance}" if self.instance else ""
        place = " ".join(part for part in (self.sample or "", instance) if part)
        named = not place or place in self.what
        fix = SORTS[self.kind].fix
        return f"{'' if named else f'{place} '}{self.what}{f'; {fix}' if fix else ''}"


class LintOptions(Options):
    """From where on something is told."""

    cell: int = Field(
        8,
        ge=1,
        le=256,
        description="Side of a latent cell in pixels: an instance of less than its square is tiny.",
    )
    min_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="A mask that has less than this share of the area or box that the dataset "
        "says is incomplete.",
    )
    margin: float = Field(
        2.0, ge=0, description="Pixels that a box or polygon may reach out of its picture."
    )
    same: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Two instances whose intersection over union is this are one labelled twice.",
    )
    max_overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of an instance's pixels that may be another's as well.",
    )
    min_visible: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of its boundary that the picture must show of an instance; with less, "
        "the survival check has little to go by.",
    )
    min_length: float = Field(
        20.0,
        ge=1,
        description="Pixels of boundary that the picture must show of an instance, likewise.",
    )
    large: float = Field(
        1.5, gt=0, description="Megapixels: fit tile is advised for larger pictures."
    )
    small: int = Field(
        384,
        ge=1,
        description="Pixels: fit scale is advised for pictures whose shorter side is less.",
    )
    ignore: tuple[str, ...] = Field(
        (), description="A kind of finding to leave out, such as tiny: the table's second column."
    )

    @field_validator("ignore")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for kind in value:
            if kind not in SORTS:
                near = nearest(kind, SORTS)
                hint = f"did you mean {near}?" if near else f"there are: {', '.join(SORTS)}"
                raise ValueError(f"no kind of finding is '{kind}'; {hint}")
        return value
