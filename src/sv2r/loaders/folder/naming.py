"""How the names of a picture and of its mask go together."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cached_property

from sv2r.images.picture_file import LABEL_SUFFIXES, LOSSY_SUFFIXES, PICTURE_SUFFIXES

MASK_SUFFIXES = LABEL_SUFFIXES | LOSSY_SUFFIXES
"""Lossy masks are found as well, so that they are refused by name and not as missing."""


@dataclass(frozen=True)
class Pattern:
    """A file name with ``{stem}`` in it or not, with a suffix or with any.

    text: "{stem}_mask.png", "{stem}" (any suffix) or "rgb.png" (one file per folder).
    suffixes: what its suffix can be where the text has none of them.
    """

    text: str
    suffixes: frozenset[str]

    @cached_property
    def suffix(self) -> str:
        """Return the suffix that the text ends with, in lower case, or ""."""
        return next((s for s in self.suffixes if self.text.lower().endswith(s)), "")

    @cached_property
    def _stem(self) -> re.Pattern[str]:
        text = self.text[: len(self.text) - len(self.suffix)]
        return re.compile(re.escape(text).replace(r"\{stem\}", "(?P<stem>.+)"))

    def stem_of(self, stem: str, suffix: str) -> str | None:
        """Return what stands for {stem} in a file's name ("" without one), or None."""
        if not self.takes(suffix):
            return None
        found = self._stem.fullmatch(stem)
        return None if found is None else found.groupdict().get("stem", "")

    def takes(self, suffix: str) -> bool:
        """Return whether a file's suffix is one of the pattern's."""
        return suffix.lower() == self.suffix if self.suffix else suffix.lower() in self.suffixes

    def filled(self, stem: str) -> str:
        """Return the name, without its suffix, of the file that a stem stands for."""
        return self.text[: len(self.text) - len(self.suffix)].replace("{stem}", stem)


@dataclass(frozen=True)
class Naming:
    """A pattern for pictures, one for their masks, and one for the JSON that names a mask's values.

    mask: None where there is one file per instance. names: the JSON's file name, or "".
    """

    image: Pattern
    mask: Pattern | None
    names: str = ""

    def words(self) -> str:
        """Return the naming as a user reads it."""
        if self.mask is None:
            return f"{self.image.text} with {self.image.text}_<category>_<n>"
        return f"{self.image.text} with {self.mask.text}"


def image_pattern(text: str) -> Pattern:
    """Return a pattern for pictures."""
    return Pattern(text, PICTURE_SUFFIXES)


def mask_pattern(text: str) -> Pattern:
    """Return a pattern for masks."""
    return Pattern(text, MASK_SUFFIXES)


def per_instance(image: str = "{stem}") -> Naming:
    """Return the naming of one file per instance: ``<image>_<category>_<n>.png``."""
    return Naming(image_pattern(image), None)


# NVIDIA Omniverse Replicator's BasicWriter, as its documentation names the files.
_OMNIVERSE = (
    ("instance_segmentation_{stem}", "instance_segmentation_semantics_mapping_{stem}.json"),
    ("semantic_segmentation_{stem}", "semantic_segmentation_labels_{stem}.json"),
)
# First what tells instances apart for certain.
_MASK_WORDS = (
    *("instance", "instances", "inst", "instanceIds", "instance_id", "instance_segmentation"),
    *("mask", "masks", "seg", "segmentation", "label", "labels", "annotation", "id", "ids"),
)
# What renderers write beside a picture, as the last or first word of a file's name.
PASS_WORDS = (
    *("depth", "distance", "disparity", "normal", "normals", "flow", "motion", "albedo", "diffuse"),
    *("specular", "ao", "uv", "position", "xyz", "nocs", "emission", "shading", "segmentation"),
    *("seg", "mask", "masks", "label", "labels", "labelids", "instance", "instances", "semantic"),
    *("instanceids", "color_mask", "preview", "heatmap", "cs", "is", "vis", "viz", "overlay"),
    *("visualization", "visualisation", "amodal"),
)
_PASS = re.compile(
    rf"(?:(?P<before>.+)[_.-](?:{'|'.join(PASS_WORDS)})|(?:{'|'.join(PASS_WORDS)})[_.-](?P<after>.+))",
    re.IGNORECASE,
)


def is_pass_of(stem: str) -> str | None:
    """Return the stem of the picture that a file is another pass of by its name, or None."""
    found = _PASS.fullmatch(stem)
    return None if found is None else found["before"] or found["after"]


_IMAGE_WORDS = ("rgb", "img", "image", "color", "colour", "render")


def _usual() -> tuple[Naming, ...]:
    pairs = [("{stem}", "{stem}", "")]
    pairs += [("rgb_{stem}", mask, names) for mask, names in _OMNIVERSE]
    for word, separator in itertools.product(_MASK_WORDS, "_-."):
        pairs.append(("{stem}", f"{{stem}}{separator}{word}", ""))
        pairs += [
            (f"{{stem}}{separator}{image}", f"{{stem}}{separator}{word}", "")
            for image in _IMAGE_WORDS
        ]
        if separator != ".":
            starts = [f"{image}{separator}{{stem}}" for image in _IMAGE_WORDS]
            pairs += [(start, f"{word}{separator}{{stem}}", "") for start in ("{stem}", *starts)]
    return tuple(Naming(image_pattern(i), mask_pattern(m), names) for i, m, names in pairs)


APART = _usual()
"""The namings that are tried where masks have a folder of their own, the likelier first."""

BESIDE = (
    *(naming for naming in APART if naming.words() != "{stem} with {stem}"),
    *(
        Naming(image_pattern(image), mask_pattern(mask))
        for mask, image in itertools.product(_MASK_WORDS, _IMAGE_WORDS)
    ),
    Naming(image_pattern("{stem}"), mask_pattern("{stem}.npy")),
    Naming(image_pattern("{stem}"), mask_pattern("{stem}.npz")),
    Naming(Pattern("{stem}", LOSSY_SUFFIXES), Pattern("{stem}", LABEL_SUFFIXES)),
)
"""The namings that are tried where masks lie next to the pictures: none makes a file both."""
