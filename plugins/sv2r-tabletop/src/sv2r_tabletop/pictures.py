"""One seed's files: pictures, depth, labels, and what edits did to the labels."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sv2r_tabletop.files import to_json, write

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sv2r_tabletop.edits import Edit
    from sv2r_tabletop.render import Truth
    from sv2r_tabletop.scene import Scene
    from sv2r_tabletop.settings import Settings
    from sv2r_tabletop.stage import Stage

STATE = ".tabletop"


@dataclass(frozen=True)
class Task:
    """A seed, and the datasets that get a picture of it: they share one scene and one truth."""

    seed: int
    targets: tuple[tuple[Path, Settings], ...]


def files_of(root: Path, seed: int, settings: Settings) -> dict[str, Path]:
    """Return where a seed's files go, by what they are, in the order of writing."""
    suffix = ".jpg" if settings.domain == "photo" else ".png"
    name = f"{seed:06d}"
    files = {"picture": root / "images" / (name + suffix), "depth": root / "depth" / f"{name}.png"}
    if settings.edits:
        files |= {k: root / "truth" / f"{name}-{k}.png" for k in ("before", "after")}
    return {**files, "part": root / STATE / f"{name}.json"}


def render_task(task: Task) -> int:
    """Render one seed into its datasets and return it.

    Raises:
        EditError: its scene does not allow an edit.
    """
    from sv2r_tabletop.labels import annotate, depth_png, image_entry
    from sv2r_tabletop.render import render_truth
    from sv2r_tabletop.worlds import WORLDS

    first = task.targets[0][1]
    scene, size = WORLDS[first.world].draw_scene(task.seed), first.size_of(task.seed)
    truth = render_truth(scene, size)
    annotations, depth = annotate(scene, truth), depth_png(truth)
    for root, settings in task.targets:
        files = files_of(root, task.seed, settings)
        entry = image_entry(scene, files["picture"].relative_to(root).as_posix(), size)
        part = {"image": entry, "annotations": annotations}
        if settings.edits:
            pixels, part["edits"] = _edited(scene, truth, size, settings, files)
        else:
            pixels = _picture(scene, size, settings)
        write(files["picture"], pixels)
        write(files["depth"], depth)
        write(files["part"], to_json(part))
    return task.seed


def _picture(scene: Scene, size: int, settings: Settings) -> bytes:
    """Return a picture's file."""
    from sv2r_tabletop.camera import photograph
    from sv2r_tabletop.render import render_photo
    from sv2r_tabletop.styles import render_source

    if settings.domain == "photo":
        return photograph(render_photo(scene, size, settings.spp_of(scene.seed)), scene)
    return _png(render_source(scene, size, settings.style))


def _edited(
    scene: Scene, truth: Truth, size: int, settings: Settings, files: Mapping[str, Path]
) -> tuple[bytes, dict[str, Any]]:
    """Return the photograph of a scene after edits, and its entry of edits.json; write its maps."""
    from sv2r_tabletop.camera import photograph
    from sv2r_tabletop.outcome import compare, fineness, numbered
    from sv2r_tabletop.render import render_labels, render_photo

    edits, stage = _edits(scene, truth, size, settings)
    after, numbers = stage.finished()
    scale = fineness(size)
    was = render_labels(scene, size * scale)
    is_now = was if _stands(scene, after) else render_labels(after, size * scale)
    maps = (numbered(was, range(1, len(scene.objects) + 1)), numbered(is_now, numbers))
    for name, labels in zip(("before", "after"), maps, strict=True):
        write(files[name], _png(labels))
    picture = photograph(
        render_photo(after, size, settings.spp_of(scene.seed)), after, stage.finish
    )
    shared = {name: f"truth/{files[name].name}" for name in ("before", "after")}
    return picture, {**shared, "truth_scale": scale, **compare(scene, stage, edits, maps, scale)}


def _stands(scene: Scene, after: Scene) -> bool:
    """Return whether all that is in a scene is where it was and as it was, looks apart."""
    was, is_now = ((*one.objects, *one.panels) for one in (scene, after))
    return len(was) == len(is_now) and all(a is b for a, b in zip(was, is_now, strict=True))


def _edits(scene: Scene, truth: Truth, size: int, settings: Settings) -> tuple[list[Edit], Stage]:
    """Return a scene's edits, and the scene after them."""
    import numpy as np

    from sv2r_tabletop.automatic import draw_edits
    from sv2r_tabletop.editing import apply
    from sv2r_tabletop.edits import edits_of
    from sv2r_tabletop.settings import AUTO

    if settings.edits == AUTO:
        visible = [int(number) for number in np.unique(truth.labels) if number]
        edits = draw_edits(scene, visible, size)
    else:
        edits = edits_of(settings.edits, scene.seed)
    return edits, apply(scene, edits, size)


def _png(pixels: NDArray[Any]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
