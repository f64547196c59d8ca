"""Rendered edits: photographs of scenes that were changed after their labels were made.

What `sv2r tabletop render --edits` writes: a source, its labels, a photograph of the scene after
the edits, and the truth of every instance, from the renderer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.lib.fitdata import Base
from benchmarks.lib.partial import LEAST_IOU, Changed
from benchmarks.lib.scenes import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.int32]

RUN_TOGETHER = 0.15  # share of an outline that is too much to lose
UNLABELLED = 255  # in a truth map: a thing that was added


@dataclass(frozen=True)
class Edited:
    """A source with its labels, and the photograph after the edits.

    before, after: label maps `scale` times as fine as the labels; 255 = a thing without a label.
    edits: as edits.json has them. instances: by number, the truth of each.
    """

    name: str
    world: str
    style: str
    split: str
    source: Picture
    photo: NDArray[np.uint8]
    before: Labels
    after: Labels
    scale: int
    edits: tuple[Mapping[str, Any], ...]
    instances: Mapping[int, Mapping[str, Any]]

    @property
    def kind(self) -> str:
        """Return the kinds of its edits that damage, "" where none does."""
        return "+".join(sorted({str(e["kind"]) for e in self.edits if e["damage"]}))

    @property
    def looks(self) -> str:
        """Return the kinds of its edits that do not."""
        return "+".join(sorted({str(e["kind"]) for e in self.edits if not e["damage"]}))

    def damaged_by(self, number: int) -> frozenset[str]:
        """Return the kinds of damaging edits that name an instance."""
        chosen = (self.edits[place] for place in self.instances[number]["edits"])
        return frozenset(str(edit["kind"]) for edit in chosen if edit["damage"])

    def base(self) -> Base:
        """Return it as a base to learn from: the photograph, and the render as it is.

        The photograph has its labels after the edits.
        """
        middle = slice(self.scale // 2, None, self.scale)
        now = self.after[middle, middle].copy()
        now[now == UNLABELLED] = 0
        gone = frozenset(n for n, one in self.instances.items() if one["iou"] == 0)
        hurt = frozenset(n for n in self.instances if self.hurt(n) or self.run_together(n))
        doubtful = frozenset(n for n in self.instances if self.doubtful(n) and n not in hurt)
        doubtful -= {n for n, one in self.instances.items() if one["iou"] < LEAST_IOU}
        changed = Changed(self.photo, now, gone, doubtful, hurt)
        fine = {"photo": (self.before, self.after, self.scale)}
        render = Changed(self.source.image, self.source.labels)
        return Base(self.name, self.source, {"photo": changed, "render": render}, fine)

    def as_source(self) -> Base:
        """Return a base whose source is the photograph, of what is seen in it."""
        now = self.base().pictures["photo"].after
        seen = Picture(f"{self.name}-photo", self.photo, now)
        return Base(seen.name, seen, {"": Changed(self.photo, now)}, {})

    def hurt(self, number: int) -> bool:
        """Return whether an instance is visibly without a part, however well its masks agree."""
        one = self.instances[number]
        kinds = self.damaged_by(number) & {"part", "half"}
        return bool(kinds) and (one["iou"] < 0.97 or one["outline_lost"] > 0.05)

    def run_together(self, number: int) -> bool:
        """Return whether a merge left an instance without much of its outline to a neighbour."""
        return any(
            _shared(self.after, number, other) >= RUN_TOGETHER
            for edit in self.edits
            if edit["kind"] == "merge" and edit.get("into")
            for pair in [(edit["instance"], edit["into"])]
            if number in pair
            for other in pair
            if other != number
        )

    def doubtful(self, number: int) -> bool:
        """Return whether an instance is run into its neighbour, whatever its masks say."""
        merges = [edit for edit in self.edits if edit["kind"] == "merge"]
        return any(number in (edit["instance"], edit.get("into")) for edit in merges)


def edited(folder: Path) -> Iterator[Edited]:
    """Yield the pictures of a finished set, in order."""
    photo = folder / "photo"
    told = json.loads((photo / "edits.json").read_text())
    for one in told["pictures"]:
        before = _map(photo / one["before"])
        scale = int(one["truth_scale"])
        middle = slice(scale // 2, None, scale)
        labels = before[middle, middle].copy()
        source = np.asarray(Image.open(photo / one["source"]).convert("RGB"))
        name = f"{told['world']}-{told['style']}-{one['image_id']}"
        yield Edited(
            name,
            told["world"],
            told["style"],
            one["split"],
            Picture(name, source, labels),
            np.asarray(Image.open(photo / one["file_name"]).convert("RGB")),
            before,
            _map(photo / one["after"]),
            scale,
            tuple(one["edits"]),
            {int(i["number"]): i for i in one["instances"]},
        )


def _shared(labels: Labels, one: int, other: int) -> float:
    """Return the share of an instance's outline that borders on another."""
    total = common = 0
    for near, far in (
        (labels[1:], labels[:-1]),
        (labels[:-1], labels[1:]),
        (labels[:, 1:], labels[:, :-1]),
        (labels[:, :-1], labels[:, 1:]),
    ):
        across = far[near == one]
        total += int((across != one).sum())
        common += int((across == other).sum())
    return common / max(total, 1)


def _map(path: Path) -> Labels:
    return np.asarray(Image.open(path)).astype(np.int32)
