"""Advice on options for a dataset, with reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sv2r.config.sections import LATENT_CELL
from sv2r.lint.findings import LintOptions
from sv2r.lint.tally import SIDES, Tally
from sv2r.types import Dataset

# From which share of pictures or instances on something is advised.
_SOME, _MOST = 0.05, 0.5
_MANY = 0.1
_CLEAR = 0.8
_SMALL = 2  # the bin of SIDES up to which an instance has few latent cells

# Where renderers put depth, next to a picture or in its own folder, as `--loader.depth` has it.
_BESIDE = ("{stem}_depth", "{stem}.depth", "depth/{stem}", "../depth/{stem}", "../Depth/{stem}")
_DEPTHS = tuple(f"{place}{suffix}" for place in _BESIDE for suffix in (".exr", ".png", ".npy"))
_PROBES = 5


@dataclass(frozen=True, slots=True)
class Advice:
    """An option as the command line takes it, and why."""

    option: str
    reason: str


def advise(dataset: Dataset, tally: Tally, options: LintOptions) -> Iterator[Advice]:
    """Yield what the looks suggest: how pictures meet a model's sizes, and which controls hold."""
    if tally.sizes:
        yield from _fit(tally, options)
    yield from _small(tally)
    yield from _edges(tally)
    yield from _depth(dataset, tally)


def _fit(tally: Tally, options: LintOptions) -> Iterator[Advice]:
    total = tally.sizes.total()
    (height, width), _ = tally.sizes.most_common(1)[0]
    usual = f"the usual size is {width}×{height}"
    large = {s: n for s, n in tally.sizes.items() if s[0] * s[1] > options.large * 1e6}
    small = sum(n for size, n in tally.sizes.items() if min(size) < options.small)
    if sum(large.values()) > _SOME * total:
        tall, wide = max(large, key=lambda size: size[0] * size[1])
        share = _share(sum(large.values()), total, "picture", "is", "are")
        reason = f"{share} over {options.large:g} megapixels (up to {wide}×{tall})"
        yield Advice(
            "--translator.fit tile", f"{reason}; tiles need no more memory than small ones"
        )
    elif small > _MOST * total:
        share = _share(small, total, "picture", "is", "are")
        reason = f"{share} under {options.small} px on the shorter side ({usual})"
        yield Advice("--translator.fit scale", f"{reason}; models are trained at 512 and more")
    else:
        yield Advice("--translator.fit native", usual)


def _small(tally: Tally) -> Iterator[Advice]:
    """Yield the way to keep small instances where they are many."""
    total, small = tally.sides.total(), sum(tally.sides[i] for i in range(_SMALL + 1))
    if small > _MANY * total:
        side = SIDES[_SMALL]
        share = _share(small, total, "instance", "is", "are")
        reason = f"{share} under {side}×{side} px: each is redrawn in an enlarged crop of its own"
        yield Advice(f"--small.cells {(side // LATENT_CELL) ** 2}", reason)


def _edges(tally: Tally) -> Iterator[Advice]:
    total = tally.sides.total()
    many = total > 0 and tally.touching >= _MANY * total
    if many:
        share = _share(tally.touching, total, "instance", "touches", "touch")
        reason = f"{share} another of the same category, where edges alone may merge them"
        yield Advice("--conditioner instance-boundary", reason)
    seen = (
        f"{_share(tally.seen, tally.judged, 'instance', 'stands', 'stand')} out from what is around"
    )
    if tally.judged and tally.seen >= _CLEAR * tally.judged:
        yield Advice("--conditioner canny", seen)
    elif tally.judged and not many:
        reason = f"only {seen}: canny would not hold the others"
        yield Advice("--conditioner instance-boundary", reason)


def _depth(dataset: Dataset, tally: Tally) -> Iterator[Advice]:
    """Yield the depth conditioner where the renderer's own depth is there, loaded or not."""
    if count := tally.channels["depth"]:
        share = _share(count, tally.pictures, "picture", "has", "have")
        yield Advice("--conditioner depth", f"{share} the renderer's depth: no model is needed")
    elif pattern := _depth_pattern(dataset):
        option = f"--loader.depth '{pattern}' --conditioner depth"
        yield Advice(option, "files that look like the renderer's depth lie next to the pictures")


def _depth_pattern(dataset: Dataset) -> str:
    """Return the pattern that finds a depth file for each of the first pictures, or ""."""
    images = [dataset.samples[i].image for i in range(min(_PROBES, len(dataset.ids)))]
    found = (p for p in _DEPTHS if images and all(_beside(image, p).is_file() for image in images))
    return next(found, "")


def _beside(image: Path, pattern: str) -> Path:
    return image.parent / pattern.format(stem=image.stem)


def _share(count: int, total: int, what: str, one: str, many: str) -> str:
    """Return "3 of 20 pictures are" with the verb that fits."""
    return f"{count:,} of {total:,} {what}{'' if total == 1 else 's'} {one if count == 1 else many}"
