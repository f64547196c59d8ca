"""Makes damage that a diffusion model draws, with known truth, for `benchmarks.fit` to learn from.

    uv run python -m benchmarks.diffused --model FOLDER --renders FOLDER --work FOLDER [--limit N]

FOLDER of the model: one of several steps with a ControlNet `controlnet-flat` below it. The sets
that survival learnt from were made by the model that came with sv2r-tabletop up to commit 9209193.
A render is damaged (`lib/partial.py`), then translated: what was cut away of it, the model cannot
know, and draws something of its own there. Of the instances that were not cut something may be lost
as well, from a strength of 0.3 on: of those nothing is said. Photographs are translated too, with
so little strength that everything stays where it was. FOLDER of renders: as for `benchmarks.fit`.
What was made is kept in the folder of work; a run that was stopped goes on.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from benchmarks.lib.edited import Edited, edited
from benchmarks.lib.fitdata import Base
from benchmarks.lib.partial import CHANGES, Changed
from benchmarks.lib.scenes import Picture
from benchmarks.lib.table import parser
from benchmarks.lib.translated import BUNDLED
from sv2r import convert
from sv2r.config.layers import Layer, read_layers
from sv2r.config.resolve import resolve
from sv2r.plugin.registry import load_registry

JUDGED = Path(__file__).with_name("lib") / "diffused.json"
if TYPE_CHECKING:
    from numpy.typing import NDArray

PHOTOS = BUNDLED / "photo" / "images"
SOUND_UP_TO = 0.3  # strength that leaves everything where it was
KINDS: tuple[str, ...] = (
    "thin part gone",
    "half of an instance erased",
    "erased",
    "something stands in front",
    "displaced",
    "merged",
    "instance in the background's colours",
)
LARGE = 150  # px of an instance that slight translation leaves as it is
MOST = 3  # instances that are damaged in a render


@dataclass(frozen=True)
class Way:
    """How a set is made: of photographs or renders, damaged first or not, and translated how."""

    name: str
    strength: float
    palette: bool
    photographs: bool = False
    damaged: bool = True


WAYS = (
    Way("whole", 0.4, palette=True, damaged=False),
    Way("cut", 0.4, palette=True),
    Way("slight", 0.25, palette=True),
    Way("photographs", 0.25, palette=False, photographs=True, damaged=False),
    Way("strong", 0.5, palette=False),
)


def main() -> None:
    """Make every set that is missing."""
    command = parser(__doc__ or "")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--renders", type=Path, required=True)
    command.add_argument("--work", type=Path, required=True)
    command.add_argument("--limit", type=int, default=120, help="pictures of each set, at most")
    asked = command.parse_args()
    torch.set_num_threads(1)
    for way in WAYS:
        for folder in sorted(
            path.parent.parent for path in asked.renders.rglob("photo/edits.json")
        ):
            scenes = list(edited(folder))
            if scenes[0].split in {"edits-train", "edits-tune"}:
                work = asked.work / f"{folder.name}-{way.name}"
                make(scenes[: asked.limit], folder, way, work, asked.model)


def make(scenes: list[Edited], renders: Path, way: Way, folder: Path, model: Path) -> None:
    """Write a set: what is translated, its truth, and what became of it."""
    begun = folder / "input"
    for place, scene in enumerate(scenes):
        changed = _changed(scene, scenes[place - 1], way)
        stem = scene.name.rpartition("-")[2]
        file = begun / "images" / f"{int(stem):06d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(changed.image).save(file)
        _keep(folder / "truth" / f"{int(stem):06d}.npz", changed)
    whole = json.loads((renders / "synthetic" / "annotations.json").read_text())
    kept = {int(scene.name.rpartition("-")[2]) for scene in scenes}
    whole["images"] = [one for one in whole["images"] if one["id"] in kept]
    whole["annotations"] = [one for one in whole["annotations"] if one["image_id"] in kept]
    (begun / "annotations.json").write_text(json.dumps(whole))
    _translate(begun, folder / "real", way, model)


def _changed(scene: Edited, other: Edited, way: Way) -> Changed:
    """Return what is translated, with its labels and of which instances nothing can be said."""
    if way.photographs:
        return scene.base().pictures["photo"]
    picture = scene.source
    rng = np.random.default_rng(zlib.crc32(f"{way.name} {scene.name}".encode()))
    now = Changed(picture.image, picture.labels)
    about: set[int] = set()
    for _ in range(int(rng.integers(1, MOST + 1)) if way.damaged else 0):
        begun = Picture(scene.name, now.image, now.after)
        made = CHANGES[str(rng.choice(KINDS))](rng, begun, other.source)
        if made is not None:
            about |= {made.about} if made.about else set()
            gone, doubtful = made.gone | now.gone, made.doubtful | now.doubtful
            now = Changed(made.image, made.after, gone, doubtful, made.hurt | now.hurt)
    if way.strength <= SOUND_UP_TO:
        return now
    still = {i for i in np.unique(picture.labels).tolist() if i and _same(picture, now, i)}
    unsaid = frozenset(still - now.gone - now.hurt)
    return Changed(now.image, now.after, now.gone, now.doubtful | unsaid, now.hurt)


def _same(picture: Picture, now: Changed, one: int) -> bool:
    """Return whether an instance still has so much of its mask that it may count as sound."""
    before, after = picture.labels == one, now.after == one
    return bool((before & after).sum() >= 0.9 * (before | after).sum())


def _robust(mask: NDArray[np.bool_]) -> bool:
    """Return whether an instance is large and has no thin part: no handle that a VAE may blur."""
    from scipy.ndimage import binary_opening

    kept = binary_opening(mask, np.ones((3, 3)), iterations=2)
    return bool(mask.sum() >= LARGE and kept.sum() >= 0.95 * mask.sum())


def _keep(path: Path, changed: Changed) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {name: sorted(getattr(changed, name)) for name in ("gone", "doubtful", "hurt")}
    lists = {name: np.array(ids, np.int64) for name, ids in named.items()}
    np.savez_compressed(path, allow_pickle=False, after=changed.after, **lists)


def _translate(begun: Path, output: Path, way: Way, model: Path) -> None:
    registry = load_registry()
    own: dict[str, Any] = {
        "input": begun,
        "output": output,
        "device": ["cpu"],
        "loader": {"name": "coco"},
        "conditioners": {"flat": {"noise": 0.07}},
        "prompt": {"template": ""},
        "checks": {"sanity": {}},
        "damage": {"steps": ["keep"]},
        "translator": {
            "name": "controlnet",
            "model": str(model),
            "controlnet": {"flat": str(model / "controlnet-flat")},
            "strength": way.strength,
            "steps": 20,
            "guidance_scale": 1.0,
            **({"palette": str(PHOTOS)} if way.palette else {}),
        },
    }
    layers = [*read_layers(registry), Layer("diffused", own)]
    summary = convert(resolve(registry, layers), registry=registry)
    print(f"{output}: {summary.done} done, {summary.seconds:.0f} s", flush=True)


@cache
def _judged() -> dict[str, dict[str, dict[str, list[int]]]]:
    """Return what was seen by eye: by set and picture, the instances that are hurt or doubtful."""
    told: dict[str, dict[str, dict[str, list[int]]]] = json.loads(JUDGED.read_text())
    return told


def diffused(folder: Path, scenes: list[Edited]) -> Iterator[tuple[str, Base]]:
    """Yield the bases of a set that was made of scenes, with their names."""
    by_stem = {f"{int(scene.name.rpartition('-')[2]):06d}": scene for scene in scenes}
    judged = _judged().get(folder.name, {})
    for file in sorted((folder / "real" / "images").glob("*.png")):
        scene = by_stem[file.stem]
        with np.load(folder / "truth" / f"{file.stem}.npz", allow_pickle=False) as kept:
            after = kept["after"].astype(np.int32)
            gone, doubtful, hurt = (
                frozenset(kept[name].tolist()) for name in ("gone", "doubtful", "hurt")
            )
        if file.stem in judged:
            hurt, doubtful = (frozenset(judged[file.stem][key]) for key in ("hurt", "doubtful"))
        else:
            doubtful |= {i for i in np.unique(after).tolist() if i and not _robust(after == i)}
        picture = np.asarray(Image.open(file).convert("RGB"))
        changed = Changed(picture, after, gone, doubtful - gone, hurt)
        name = f"{folder.name}-{file.stem}"
        yield name, Base(name, scene.source, {"diffused": changed}, {})


if __name__ == "__main__":
    main()
