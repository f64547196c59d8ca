"""What can be done to a scene before it is photographed: damage to its labels, and what is none.

An edit is one frozen model; its `kind` says which, and `damage` whether labels can be wrong after
it. `read_edits` reads them from a file, `automatic` draws them, `editing` does them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field

from sv2r import ConfigError
from sv2r.plugin.options import Options, validate_options

# Changes whenever an edit, or what is drawn for a seed, comes to be another.
VERSION = 1
_LISTING = "the README of sv2r-tabletop"


class Edit(Options):
    """One change of a scene."""

    kind: str = Field(description="Which change.")
    damage: ClassVar[bool] = False


class OfInstance(Edit):
    """A change of one instance."""

    instance: int = Field(ge=1, le=255, description="Its number in the scene, from 1.")


class Damage(OfInstance):
    """A change after which labels of the scene before can be wrong."""

    damage: ClassVar[bool] = True


class Move(Damage):
    """Moved along what it stands on, with what rests on it."""

    kind: Literal["move"]
    pixels: float = Field(gt=0, le=2048, description="How far its middle goes in the picture.")
    direction: float = Field(0.0, description="Degrees in the picture: 0 right, 90 down.")


class Turn(Damage):
    """Turned about its middle."""

    kind: Literal["turn"]
    degrees: float = Field(ge=-180, le=180, description="By how much.")
    axis: Literal["table", "view"] = Field("table", description="About the vertical, or the view.")


class Scale(Damage):
    """Larger or smaller, its foot where it was."""

    kind: Literal["scale"]
    factor: float = Field(ge=0.2, le=4, description="How large it is after.")


class Remove(Damage):
    """Gone, with what rests on it."""

    kind: Literal["remove"]


class Add(Edit):
    """A thing that has no label, in front of an instance or somewhere free."""

    kind: Literal["add"]
    damage: ClassVar[bool] = True
    instance: int | None = Field(None, ge=1, le=255, description="What it stands in front of.")
    category: str | None = Field(None, description="Of the world's; drawn where none is given.")
    beside: float = Field(0.3, ge=-2, le=2, description="How far to the side, in half widths.")


class Swap(Damage):
    """A thing of another category, as large, in its place."""

    kind: Literal["swap"]
    category: str | None = Field(None, description="Which; the most alike where none is given.")


class Merge(Damage):
    """Grown into a neighbour and made of the same."""

    kind: Literal["merge"]
    into: int = Field(ge=1, le=255, description="The neighbour's number.")


class Duplicate(Damage):
    """There a second time, without a label."""

    kind: Literal["duplicate"]


class Part(Damage):
    """Without its handle, leg or neck."""

    kind: Literal["part"]


class Order(Damage):
    """In front of what it was behind, its outline in the picture as it was."""

    kind: Literal["order"]
    before: int = Field(ge=1, le=255, description="The number of what hid a part of it.")


class Half(Damage):
    """Cut off along a line in the picture."""

    kind: Literal["half"]
    share: float = Field(0.5, gt=0, lt=1, description="The part of it that goes.")
    direction: float = Field(0.0, description="Where that part is: 0 right, 90 below (degrees).")


class Texture(OfInstance):
    """Another material or pattern of its category."""

    kind: Literal["texture"]


class Print(OfInstance):
    """A print or stripes on it."""

    kind: Literal["print"]


class Colour(OfInstance):
    """Other tones."""

    kind: Literal["colour"]


class Lighting(Edit):
    """Another lamp and another room's light."""

    kind: Literal["light"]


class Exposure(Edit):
    """Brighter or darker."""

    kind: Literal["exposure"]
    stops: float = Field(ge=-4, le=4, description="Powers of two.")


class Focus(Edit):
    """A wider lens: what is away from the focus is blurred."""

    kind: Literal["focus"]
    aperture: float = Field(0.01, gt=0, le=0.1, description="Radius of the lens in metres.")
    instance: int | None = Field(None, ge=1, le=255, description="What is sharp.")


class Shadow(Edit):
    """No lamp and so no hard shadow, or the shadow of something outside of the picture."""

    kind: Literal["shadow"]
    how: Literal["gone", "new"] = Field("gone", description="Which of both.")


class Grain(Edit):
    """A noisy sensor."""

    kind: Literal["grain"]
    electrons: float = Field(200.0, ge=10, le=1e6, description="How many make white.")


class Background(Edit):
    """Other surfaces, walls and things around; what stands there stands where it stood."""

    kind: Literal["background"]


KINDS: Mapping[str, type[Edit]] = MappingProxyType(
    {
        "move": Move,
        "turn": Turn,
        "scale": Scale,
        "remove": Remove,
        "add": Add,
        "swap": Swap,
        "merge": Merge,
        "duplicate": Duplicate,
        "part": Part,
        "order": Order,
        "half": Half,
        "texture": Texture,
        "print": Print,
        "colour": Colour,
        "light": Lighting,
        "exposure": Exposure,
        "focus": Focus,
        "shadow": Shadow,
        "grain": Grain,
        "background": Background,
    }
)


class EditError(ConfigError):
    """An edit that a scene does not allow; the scenes after it go on."""


def read_edits(path: Path) -> str:
    """Return what a YAML or JSON file says, checked, as JSON that `edits_of` reads.

    The file has a list of edits for every scene, or a mapping from seeds to such lists.

    Raises:
        ConfigError: one line on the first thing that is wrong.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text in UTF-8"
        raise ConfigError(f"--edits {path}: {reason.lower()}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"--edits {path}: {' '.join(str(error).split())}") from error
    lists = found if isinstance(found, dict) else {"all": found}
    for seed, entries in lists.items():
        if not (seed == "all" or (isinstance(seed, int) and not isinstance(seed, bool))):
            raise ConfigError(f"--edits {path}: {seed!r} is no seed; write a whole number")
        where = f"--edits {path}: " + ("" if seed == "all" else f"seed {seed}, ")
        _require_list(entries, where)
        for number, entry in enumerate(entries, 1):
            _edit(entry, f"{where}edit {number}")
    return json.dumps({str(seed): entries for seed, entries in lists.items()}, sort_keys=True)


def edits_of(text: str, seed: int) -> list[Edit]:
    """Return the edits of a scene by what `read_edits` returned."""
    lists = json.loads(text)
    entries = lists.get(str(seed), lists.get("all", []))
    return [_edit(entry, f"edit {number}") for number, entry in enumerate(entries, 1)]


def _require_list(entries: object, where: str) -> None:
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ConfigError(f"{where}has no list of edits; write - {{kind: move, instance: 1, …}}")


def _edit(entry: object, where: str) -> Edit:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} is no mapping; write {{kind: remove, instance: 1}}")
    values: dict[str, Any] = {str(name): value for name, value in entry.items()}
    model = KINDS.get(str(values.get("kind")))
    if model is None:
        raise ConfigError(f"{where}: kind must be one of {', '.join(KINDS)}")
    return validate_options(model, values, where=where, listing=_LISTING)
