"""The sections of a config and their options, each declared once."""

from __future__ import annotations

import glob
import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, ValidationInfo, field_serializer, field_validator

from sv2r.plugin.options import Folder, Options, Several, whole
from sv2r.plugin.registry import Kind
from sv2r.storage.paths import from_home, url_of
from sv2r.storage.regular import read_text
from sv2r.storage.source import as_source

Step = Literal["undo", "retry", "redo", "restore", "reject", "keep"]
LATENT_CELL = 8  # px: the side of a latent cell of the usual VAEs
# Fields that every sample has; attributes and `vary` names are added.
PROMPT_FIELDS = ("categories", "count")


# Far more pictures than any device makes at a time.
_LARGEST_BATCH = 4096


class PromptOptions(Options):
    """How a picture's prompt is made."""

    template: str = Field(
        "a photo of {categories}",
        description="The prompt. {categories}: what the labels show, most area first; {count}: how "
        "many instances; {NAME}: an attribute of the sample or one of the `vary` lists.",
    )
    negative: str = Field("", description="The negative prompt, a template like the prompt.")
    vary: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="NAME=a|b|c: {NAME} becomes one of these, drawn per picture and variant.",
    )
    words: Mapping[str, str] = Field(
        default_factory=dict,
        description="CATEGORY=WORDS: what a category is called in a prompt; empty leaves it out.",
    )
    unlabelled: str = Field(
        "a scene", description="What {categories} becomes where a picture has no labels."
    )

    @field_validator("vary", mode="before")
    @classmethod
    def _split_lists(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {k: tuple(v.split("|")) if isinstance(v, str) else v for k, v in value.items()}

    @field_validator("vary")
    @classmethod
    def _not_empty(cls, value: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        for name, choices in value.items():
            if not choices or not name.isidentifier() or name in PROMPT_FIELDS:
                raise ValueError(f"'{name}' needs a plain name of its own and at least one choice")
        return value

    @field_validator("template", "negative")
    @classmethod
    def _well_formed(cls, value: str) -> str:
        try:
            parts = list(string.Formatter().parse(value))
        except ValueError as error:
            raise ValueError(f"{str(error).lower()}; write {{{{ or }}}} for a brace") from None
        for _, field, spec, _ in parts:
            if field is not None and not field.isidentifier():
                raise ValueError(f"'{{{field}}}' is not a name; write {{{{ for a brace")
            if any(len(number) > _DIGITS for number in re.findall(r"\d+", spec or "")):
                raise ValueError(f"':{spec}' is wider than a prompt; write {{{field}}}")
            if spec and not _fits_text(spec):
                raise ValueError(f"':{spec}' is not a format for text; write {{{field}}}")
        return value


# Of a width or a precision in a prompt's field: text of 10 GB would fill the memory.
_DIGITS = 3


def _fits_text(spec: str) -> bool:
    """Return whether text can be formatted so: all that fills in a prompt is text."""
    try:
        format("", spec)
    except ValueError:
        return False
    return True


class DamageOptions(Options):
    """What happens to a picture that a check refuses; steps are tried in the order given here."""

    steps: tuple[Step, ...] = Field(
        ("undo", "retry", "redo", "restore", "reject"),
        description="Steps, with commas between. undo: move a picture back that is shifted as a "
        "whole; retry: another seed, then less strength and more control; redo: draw the damaged "
        "instances alone again, each in a crop with what stands around it; restore: put the "
        "source's pixels back where instances are damaged. What is damaged after these: reject "
        "publishes nothing, and is what happens where neither is named; keep publishes "
        "the best, with its scores.",
    )
    retries: int = Field(2, ge=0, le=20, description="How often a picture is tried again.")
    redo_strength: float = Field(
        0.7, gt=0, le=1, description="What strength is multiplied by where an instance is redone."
    )
    redo_control: float = Field(
        1.3, ge=1, le=4, description="What control scales are multiplied by there."
    )
    undo_from: float = Field(
        0.25, ge=0, description="Pixels: a smaller shift of the whole picture is left as it is."
    )
    undo_to: float = Field(
        8.0, gt=0, description="Pixels: a larger shift of the whole picture is not undone."
    )
    # Of 240 pictures by the bundled model, the one with most put back had 0.14; of 72 by networks
    # that had learnt nothing, 59 of the 62 that could be restored had more than 0.25.
    max_restored: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Largest share of a picture's labelled pixels that `restore` may put back; a "
        "picture that would need more is left as it was made, and damaged. 1: no limit.",
    )
    feather: int = Field(
        3,
        ge=0,
        le=32,
        description="Pixels over which restored instances blend into the background.",
    )

    @field_validator("steps", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        parts = [value] if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            return value
        words = tuple(word.strip() for part in parts for word in str(part).split(","))
        if wrong := [word for word in words if word not in get_args(Step)]:
            raise ValueError(f"must be some of {', '.join(get_args(Step))}, not {wrong[0]!r}")
        return words

    @field_validator("steps")
    @classmethod
    def _one_end(cls, value: tuple[Step, ...]) -> tuple[Step, ...]:
        if {"keep", "reject"} <= set(value):
            raise ValueError("must name one of reject and keep, not both")
        if not value:
            raise ValueError("must name at least one step; reject alone repairs nothing")
        return value

    @property
    def tries(self) -> int:
        """Return how often a picture is made at most."""
        return 1 + self.retries if "retry" in self.steps else 1

    @property
    def keeps(self) -> bool:
        """Return whether a picture that is still damaged after all steps is published."""
        return "keep" in self.steps


class SmallOptions(Options):
    """How objects that are too small for the model are handled."""

    cells: int = Field(
        0,
        ge=0,
        description="Instances smaller than this many latent cells "
        f"({LATENT_CELL}×{LATENT_CELL} px) are made again in an enlarged crop; 0: off.",
    )
    resolution: int = Field(
        512, ge=64, le=4096, description="Pixels: the side that a crop is enlarged to."
    )
    context: float = Field(
        4.0,
        ge=1,
        le=64,
        description="Smallest side of a crop, in multiples of the instance's side.",
    )
    enlarge: float = Field(8.0, gt=1, le=32, description="Largest enlargement of a crop.")
    feather: int = Field(
        3, ge=0, le=32, description="Pixels of background over which a pasted instance blends in."
    )


# Sections that hold one component, and those that hold several by name.
ONE: tuple[Kind, ...] = ("loader", "translator", "writer", "executor")
SEVERAL: Mapping[str, Kind] = {"conditioners": "conditioner", "checks": "check"}
# The checks that run by default.
CHECKS = ("sanity", "shift", "survival", "invention", "background")
# Sections that are not components.
PLAIN: Mapping[str, type[Options]] = {
    "prompt": PromptOptions,
    "damage": DamageOptions,
    "small": SmallOptions,
}


def _listed(file: str) -> list[str]:
    """Return the ids that a text file lists, as patterns that match these alone."""
    try:
        lines = read_text(from_home(Path(file))).splitlines()
    except OSError as error:
        raise ValueError(f"@{file}: {str(error.strerror).lower()}") from None
    except UnicodeDecodeError:
        raise ValueError(f"@{file}: not a text file; one id a line is read") from None
    found = [glob.escape(line) for line in lines if line.strip()]
    if not found:
        raise ValueError(f"@{file}: lists no id")
    return found


class JobOptions(Options):
    """The settings of a job itself, apart from its components."""

    input: Path = Field(
        description="The labelled dataset: a folder, or a zip or tar file that is read in place. "
        "A URL of either is read as well: s3://, gs://, az://, hf://, https://."
    )
    work: Folder | None = Field(
        None,
        description="The folder on this machine for the journal and a copy of what is made, where "
        "the output is a URL; by default one in the user's cache folder.",
    )
    output: Path = Field(description="The folder to write to, or its URL; not inside the input.")
    seed: int = Field(0, ge=0, description="The run's seed; each picture's own is derived from it.")
    variants: int = Field(1, ge=1, le=10_000, description="Pictures to make per source.")
    batch_size: int | Literal["auto"] = Field(
        "auto",
        description="Pictures per batch, 1 or more, or auto: what the device does fastest. Another "
        "batch size may change the last bits of a picture.",
    )
    device: Several = Field(
        ("auto",),
        description="Where models run (cpu, cuda:0, mps), or auto: a GPU if there is one. Several, "
        "as in cuda:0,cuda:1, get a worker process each.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="What models compute in; auto: on a GPU the half precision that suits the "
        "model (float16 for Stable Diffusion 1.x, 2.x and XL, else bfloat16), else float32.",
    )
    limit: int | None = Field(None, ge=1, description="Only the first LIMIT samples.")
    only: Several = Field(
        (),
        description="Only samples whose id matches a pattern such as 'train/*'; @FILE: "
        "those whose ids a text file lists, one a line.",
    )
    allow_unlabelled: bool = Field(
        False,
        description="Convert even if no instance, or few, have a pixel. Such pictures cannot be "
        "checked against their labels.",
    )
    readers: int = Field(
        2, ge=1, le=64, description="Threads that read pictures and make control maps."
    )
    writers: int = Field(
        2, ge=1, le=64, description="Threads that check, encode and write pictures."
    )

    keep_attempts: int = Field(
        100,
        ge=0,
        le=100_000,
        description="Keep up to so many pictures that were made and not published (rejected, made "
        "again, or repaired) in OUT/sv2r/attempts; the report shows them.",
    )

    @field_validator("batch_size", mode="before")
    @classmethod
    def _number_or_auto(cls, value: object) -> object:
        text = str(value)
        if text == "auto":
            return text
        if text.isdecimal() and len(text) <= 6 and 1 <= int(text) <= _LARGEST_BATCH:
            return int(text)
        raise ValueError(f"must be a number from 1 to {_LARGEST_BATCH}, or auto, not {text[:40]!r}")

    @field_validator("only")
    @classmethod
    def _from_lists(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # A run.yaml says which samples they were, whatever the file says later.
        lists = [_listed(one[1:]) if one.startswith("@") else [one] for one in value]
        return tuple(dict.fromkeys(one for names in lists for one in names))

    @field_validator("input", "output")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        # A run.yaml must mean the same folders wherever it is read.
        return whole(value)

    @field_validator("input")
    @classmethod
    def _readable(cls, value: Path) -> Path:
        return as_source(value)

    @field_validator("output")
    @classmethod
    def _writable(cls, value: Path, info: ValidationInfo) -> Path:
        if (url := url_of(value)) is None:
            return value
        from sv2r.storage.remote import WorkFolder, require_writable

        require_writable(url)
        return WorkFolder.of(url, info.data.get("work"))

    @field_serializer("output")
    def _as_given(self, value: Path) -> str:
        return getattr(value, "url", "") or str(value)
