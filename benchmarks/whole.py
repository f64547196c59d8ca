"""What the checks of whole pictures say of true photographs, new looks and known damage.

    uv run python -m benchmarks.whole --pairs FOLDER [FOLDER ...] [--generated N] [--json FILE]

Each folder is one of `sv2r tabletop render --domain both`, or of `--edits auto`; one that is still
being rendered counts as far as it is. `shift`: what is claimed where nothing has moved, and found
where the same pictures have. `invention` and `background`: what is refused that is sound, and AUC
and recall at the defaults of what is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.lib.benign import BENIGN, UNSEEN_BENIGN
from benchmarks.lib.damage import Damaged, invented
from benchmarks.lib.pairs import Pair, read_pairs
from benchmarks.lib.pixels import sample, smooth
from benchmarks.lib.scenes import Picture, generated, outline, pattern, surface, to_uint8
from benchmarks.lib.table import Row, parser, report
from sv2r.checks.background import BackgroundOptions
from sv2r.checks.edges import levels, smoothed
from sv2r.checks.ground import ground
from sv2r.checks.invention import InventionOptions
from sv2r.checks.motion import motion
from sv2r.checks.structure import structure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sv2r.checks.motion import Motion

    Pixels = NDArray[np.uint8]
    Labels = NDArray[np.int32]

UNDONE_FROM = 0.25  # px: damage.undo_from
MOST_INVENTION = float(InventionOptions.model_fields["max_invention"].default)
LEAST_BACKGROUND = float(BackgroundOptions.model_fields["min_background"].default)


def main() -> None:
    """Print the rows; write them where asked."""
    command = parser(__doc__ or "")
    command.add_argument("--pairs", type=Path, nargs="+", required=True, metavar="FOLDER")
    command.add_argument("--generated", type=int, default=75, help="scenes drawn here")
    command.add_argument("--limit", type=int, default=1_000, help="pairs of each folder, at most")
    arguments = command.parse_args()
    torch.set_num_threads(1)
    pairs = [
        pair for folder in arguments.pairs for pair in islice(read_pairs(folder), arguments.limit)
    ]
    scenes = [generated(seed, (256, 256)) for seed in range(3000, 3000 + arguments.generated)]
    rows = []
    for made in (background_rows(pairs), invention_rows(pairs, scenes), shift_rows(pairs, scenes)):
        for row in made:
            print(f"{row.name}: {row.value:.3f} {row.unit}", flush=True)
            rows.append(row)
    report(rows, arguments.json)


# What has moved.


def shift_rows(pairs: Sequence[Pair], scenes: Sequence[Picture]) -> Iterator[Row]:
    """Yield how often a displacement is claimed that is none, and found that is one."""
    groups = {
        "photographs": [(pair.source, pair.photo, pair.labels) for pair in pairs],
        "new looks and grounds": list(looks(scenes)),
    }
    rng = np.random.default_rng(1)
    for name, cases in groups.items():
        still = [_motion(*case) for case in cases]
        wrong = [found for found in still if found and found.sure and found.shift > UNDONE_FROM]
        yield Row(f"shift, {name}: claimed though none, of {len(cases)}", len(wrong), "pictures")
        yield from _found_rows(name, cases, rng)


def _found_rows(
    name: str, cases: Sequence[tuple[Pixels, Pixels, Labels]], rng: np.random.Generator
) -> Iterator[Row]:
    """Yield what is found where each picture is moved by 1 to 16 px."""
    errors, sizes = [], []
    for source, picture, labels in cases:
        distance, angle = float(np.exp(rng.uniform(0, np.log(16)))), rng.uniform(0, 2 * np.pi)
        down, right = distance * np.sin(angle), distance * np.cos(angle)
        moved = sample(picture, *(np.full(labels.shape, by) for by in (down, right)))
        found = _motion(source, to_uint8(moved), labels)
        sure = found is not None and found.sure > 0
        sizes.append((distance, sure))
        if found is not None and sure:
            errors.append(float(np.hypot(found.dy - down, found.dx - right)))
    for least in (1.0, 3.0):
        share = np.mean([sure for distance, sure in sizes if distance >= least])
        yield Row(f"shift, {name}: found, {least:g} to 16 px", float(share), "")
    for percentile in (50, 95):
        value = float(np.percentile(errors, percentile))
        yield Row(f"shift, {name}: error, percentile {percentile}", value, "px")


def _motion(source: Pixels, picture: Pixels, labels: Labels) -> Motion | None:
    before, after = (smoothed(levels(image), 1.0) for image in (source, picture))
    return motion(before, after, labels)


def looks(scenes: Sequence[Picture]) -> Iterator[tuple[Pixels, Pixels, Labels]]:
    """Yield drawn scenes with another ground, and with that under three harmless changes."""
    for index, scene in enumerate(scenes):
        rng = np.random.default_rng([5, index])
        grounded = Picture(scene.name, another_ground(rng, scene), scene.labels)
        yield scene.image, grounded.image, scene.labels
        yield scene.image, BENIGN["repaint"](rng, scene, scene.image), scene.labels
        for name in ("texture", "relighting"):
            yield scene.image, BENIGN[name](rng, grounded, scene.image), scene.labels


def another_ground(rng: np.random.Generator, picture: Picture) -> Pixels:
    """Return the picture with a strong new texture, half the time another colour, on its ground."""
    height, width = picture.labels.shape
    grain = (pattern(rng, height, width) * rng.uniform(20, 70))[..., None]
    new = picture.image + grain * rng.uniform(0.6, 1.4, 3)
    if rng.random() < 0.5:
        new = surface(rng, height, width, rng.uniform(20, 235, 3)) + grain
    return to_uint8(np.where((picture.labels == 0)[..., None], new, picture.image))


# What is new.


def invention_rows(pairs: Sequence[Pair], scenes: Sequence[Picture]) -> Iterator[Row]:
    """Yield what is refused that is sound, and AUC and recall of objects that were put in."""
    sound: dict[str, list[float]] = {}
    hurt: dict[str, list[float]] = {}

    def add(group: dict[str, list[float]], name: str, source: Picture, picture: Pixels) -> None:
        found = structure(levels(source.image), levels(picture), source.labels)
        group.setdefault(name, []).append(found.invention)

    for index, pair in enumerate(pairs):
        rng, render = np.random.default_rng([9, index]), pair.rendered
        if pair.added:
            add(hurt, "rendered in a photograph", render, pair.photo)
        else:
            add(sound, "photographs", render, pair.photo)
            add(sound, "shadow on a photograph", render, shadowed(rng, pair.photographed))
        add(sound, "highlights inside labels", render, highlighted(rng, render))
        add(sound, "texture inside labels", render, printed(rng, render))
        add(sound, "another ground", render, another_ground(rng, render))
        guest = pairs[index - 1].photographed
        for name, base in (("photograph", pair.photographed), ("render", render)):
            if made := _with_object(rng, base, guest):
                add(hurt, f"pasted into a {name}", render, made.image)
    for index, scene in enumerate(scenes):
        rng, other = np.random.default_rng([8, index]), scenes[index - 1]
        changes = {**BENIGN, **UNSEEN_BENIGN}
        change = changes[sorted(changes)[index % len(changes)]]
        add(sound, "harmless changes", scene, change(rng, scene, other.image))
        if made := _with_object(rng, scene, other):
            blank = Picture("", made.image, np.zeros_like(scene.labels))
            add(hurt, "pasted, under a harmless change", scene, change(rng, blank, other.image))
    yield from _told_apart("invention", sound, hurt, MOST_INVENTION)


def _with_object(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with an object too many, None where a few tries give no clear one."""
    made = (invented(rng, picture, guest) for _ in range(8))
    return next((one for one in made if one is not None), None)


def shadowed(rng: np.random.Generator, picture: Picture) -> Pixels:
    """Return the picture with a shadow that takes 30 to 60 % of the light, hard or soft."""
    height, width = picture.labels.shape
    middle = rng.uniform(0.1, 0.9, 2) * (height, width)
    shape = outline(rng, height, width, middle, rng.uniform(0.05, 0.25) * height)
    shade = smooth(shape[..., None].astype(np.float32), float(rng.choice([0.7, 1.5, 4])))
    return to_uint8(picture.image * (1 - shade * rng.uniform(0.3, 0.6)))


def highlighted(rng: np.random.Generator, picture: Picture) -> Pixels:
    """Return the picture with a bright spot on every instance."""
    image = picture.image.astype(np.float32)
    for one in np.unique(picture.labels[picture.labels > 0]):
        mask = picture.labels == one
        at = np.argwhere(mask)
        middle, size = at[rng.integers(len(at))].astype(float), np.sqrt(len(at) / 3)
        height, width = mask.shape
        spot = outline(rng, height, width, middle, float(rng.uniform(0.15, 0.5) * size)) & mask
        alpha = smooth(spot[..., None].astype(np.float32), 0.8) * rng.uniform(0.5, 1)
        image += alpha * (rng.uniform(200, 255) - image)
    return to_uint8(image)


def printed(rng: np.random.Generator, picture: Picture) -> Pixels:
    """Return the picture with another colour and a strong texture on every instance."""
    image = picture.image.astype(np.float32)
    height, width = picture.labels.shape
    for one in np.unique(picture.labels[picture.labels > 0]):
        mask = picture.labels == one
        look = surface(rng, height, width, rng.uniform(20, 235, 3))
        grain = pattern(rng, height, width) * rng.uniform(10, 60)
        image[mask] = (0.3 * image + 0.7 * look + grain[..., None])[mask]
    return to_uint8(image)


# What is behind.


def background_rows(pairs: Sequence[Pair]) -> Iterator[Row]:
    """Yield what is refused of sound backgrounds and of others."""
    sound: dict[str, list[float]] = {}
    hurt: dict[str, list[float]] = {}
    for index, pair in enumerate(pairs):
        rng, size = np.random.default_rng([4, index]), pair.source.shape
        other = pairs[(index + 7) % len(pairs)].photo
        tiled = np.tile(other, (-(-size[0] // other.shape[0]), -(-size[1] // other.shape[1]), 1))
        soft = 128 + 400 * smooth(rng.normal(0, 1, size), 3)
        for group, name, behind in (
            (sound, "photographs", pair.photo),
            (sound, "another ground", another_ground(rng, pair.rendered)),
            (hurt, "white noise", rng.integers(0, 256, size)),
            (hurt, "soft noise", soft),
            (hurt, "another scene", tiled[: size[0], : size[1]]),
            (hurt, "one colour", np.full(size, 120)),
        ):
            image = np.where((pair.labels > 0)[..., None], pair.source, behind)
            image = pair.photo if behind is pair.photo else to_uint8(image)
            found = ground(levels(pair.source), levels(image), pair.labels)
            if found is not None:
                group.setdefault(name, []).append(1 - found.background)
    yield from _told_apart("background", sound, hurt, 1 - LEAST_BACKGROUND)


# What is made of it.


def _told_apart(
    check: str,
    sound: dict[str, list[float]],
    hurt: dict[str, list[float]],
    limit: float,
) -> Iterator[Row]:
    for name, values in sound.items():
        share = float(np.mean(np.array(values) > limit))
        yield Row(f"{check}, {name}: refused, of {len(values)}", share, "")
    photographs = np.array(sound["photographs"])
    for name, values in hurt.items():
        bad = np.array(values)
        above = (bad[:, None] > photographs) + 0.5 * (bad[:, None] == photographs)
        yield Row(f"{check}, {name}: AUC against photographs", float(above.mean()), "")
        yield Row(f"{check}, {name}: refused, of {len(bad)}", float(np.mean(bad > limit)), "")


if __name__ == "__main__":
    main()
