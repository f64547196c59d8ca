"""Contracts of what computes pictures: conditioners, translators, checks."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError
from sv2r.plugin.options import Options
from sv2r.plugin.specs import (
    Buckets,
    Check,
    CheckSpec,
    Conditioner,
    ConditionerSpec,
    Runtime,
    Translator,
    TranslatorSpec,
)
from sv2r.testing.contract import (
    FRAME_SIZES,
    ContractError,
    Given,
    Subject,
    built,
    check_options,
    chosen_options,
    describes_itself,
    subject_of,
)
from sv2r.testing.makers import as_uint8, make_batch, make_frame
from sv2r.types import Batch, CheckResult, ControlMap, Frame, Refusal

if TYPE_CHECKING:
    from torch import Tensor

Sizes = Sequence[tuple[int, int]]

_CPU = Runtime()


def check_conditioner(
    spec: ConditionerSpec[Any],
    options: Given = None,
    *,
    frames: Sequence[Frame] | None = None,
    sizes: Sizes = FRAME_SIZES,
    runtime: Runtime = _CPU,
) -> None:
    """Raise ContractError unless a conditioner keeps its promises.

    Its map is named as `spec.produces` says, is (3, H, W) float32 in [0, 1] with the frame's own
    H and W, is the same twice, and the frame is left as it was. Tried on pictures of odd sizes,
    without instances, and all black, where a division by the largest value gives NaN.

    frames: what to try instead, for a conditioner that needs `Sample.channels`.
    sizes: (height, width) of the made frames.
    """
    import torch

    check_options(spec)
    subject = subject_of(spec)
    condition = built(spec, options, runtime)
    with torch.random.fork_rng(devices=[]):
        for frame in _trials(sizes) if frames is None else frames:
            _condition_keeps(subject, spec, condition, frame)
    describes_itself(subject, condition)


def check_translator(
    spec: TranslatorSpec[Any],
    options: Given = None,
    *,
    sizes: Sizes = FRAME_SIZES,
    runtime: Runtime = _CPU,
) -> None:
    """Raise ContractError unless a translator keeps its promises.

    One (3, H, W) uint8 picture per frame with the frame's own H and W; the same seed gives the same
    bits in a second call and from a second build; a picture's bits depend neither on its place in
    the batch nor on its neighbours; the frames are left as they were. A size that `spec.preflight`
    refuses is left out, but not all of them.

    options: what it needs to be built (``{"model": folder}``); its defaults otherwise.
    """
    import torch

    check_options(spec)
    subject = subject_of(spec)
    chosen = chosen_options(spec, options)
    refused = {size: _refused(subject, spec, chosen, size) for size in sizes}
    accepted = [size for size, reason in refused.items() if not reason]
    seen = f"preflight refuses each: {'; '.join(dict.fromkeys(refused.values()))}"
    subject.must(bool(accepted), f"accept one of the sizes {list(sizes)}", seen)
    controls = sorted(spec.controls(chosen))
    with torch.random.fork_rng(devices=[]):
        translate = built(spec, chosen, runtime)
        for size in accepted:
            batch = make_batch([make_frame(*size, seed=n) for n in range(3)], controls)
            pictures = _translation_keeps(subject, translate, batch)
        torch.manual_seed(2)
        fresh = _translated(subject, built(spec, chosen, runtime), batch)
        promise = "give the same picture for the same seed when it is built anew"
        _must_equal(subject, promise, fresh, pictures)
    describes_itself(subject, translate)


def check_check(
    spec: CheckSpec[Any],
    options: Given = None,
    *,
    frames: Sequence[Frame] | None = None,
    sizes: Sizes = FRAME_SIZES,
    runtime: Runtime = _CPU,
) -> None:
    """Raise ContractError unless a check keeps its promises.

    It passes a picture that equals its source, with and without instances; says the same twice;
    its scores are finite numbers and those of instances carry ids that the frame has; frame and
    picture are left as they were.
    """
    check_options(spec)
    subject = subject_of(spec)
    check = built(spec, options, runtime)
    made = [make_frame(*size, instances=count) for size in sizes for count in (3, 0)]
    for frame in made if frames is None else frames:
        _check_keeps(subject, check, frame)


def _trials(sizes: Sizes) -> list[Frame]:
    """Return a frame of each size, one without instances, and a black one."""
    import torch

    frames = [make_frame(*size) for size in sizes]
    bare = make_frame(*sizes[0], seed=1, instances=0)
    return [*frames, bare, replace(frames[0], image=torch.zeros_like(frames[0].image))]


def _condition_keeps(
    subject: Subject, spec: ConditionerSpec[Any], condition: Conditioner, frame: Frame
) -> None:
    import torch

    height, width = frame.size
    before = frame.image.clone()
    with subject.managing_to(f"condition a {height}x{width} frame"):
        control = condition(frame)
    returned = isinstance(control, ControlMap)
    subject.must(returned, "return a ControlMap", f"a {type(control).__name__}")
    named = control.name == spec.produces
    subject.must(named, f"name its map {spec.produces!r} as the spec does", repr(control.name))
    _must_fit(subject, control.image, frame, torch.float32)
    low, high = float(control.image.min()), float(control.image.max())
    # A NaN fails this comparison too, as it should.
    subject.must(low >= 0 and high <= 1, "stay in [0, 1]", f"{low:g} to {high:g}")
    _must_equal(subject, "leave the frame as it was", [frame.image], [before])
    kept = control.image.clone()
    torch.manual_seed(1)
    again = condition(frame)
    _must_equal(subject, "give the same map twice", [again.image], [kept])
    condition(replace(frame, image=1 - frame.image))
    _must_equal(subject, "leave an earlier map as it was", [control.image], [kept])


def _refused(
    subject: Subject, spec: TranslatorSpec[Any], options: Options, size: tuple[int, int]
) -> str:
    """Return why a translator does not take a size, "" where it does."""
    with subject.managing_to("raise nothing but ConfigError from preflight"):
        try:
            spec.preflight(options, [size])
        except ConfigError as error:
            return str(error)
    return ""


def _translation_keeps(subject: Subject, translate: Translator, batch: Batch) -> list[Tensor]:
    """Return the pictures of a batch of three after all promises were tried on it."""
    import torch

    before = [frame.image.clone() for frame in batch.frames]
    controls = {name: [m.clone() for m in maps] for name, maps in batch.controls.items()}
    torch.manual_seed(0)
    returned = _translated(subject, translate, batch)
    pictures = [picture.cpu().clone() for picture in returned]
    _must_equal(subject, "leave the frames as they were", [f.image for f in batch.frames], before)
    for name, maps in batch.controls.items():
        _must_equal(subject, f"leave the control '{name}' as it was", maps, controls[name])
    torch.manual_seed(1)
    again = _translated(subject, translate, batch)
    _must_equal(subject, "give the same picture for the same seed", again, pictures)
    for order, promise in (
        ((2, 0, 1), "give the same picture at another place in the batch"),
        ((0, 1, 1), "give the same picture whatever its neighbours are"),
    ):
        moved = _translated(subject, translate, _picked(batch, order))
        _must_equal(subject, promise, moved, [pictures[place] for place in order])
    # They are still being written behind when the next batch runs.
    _must_equal(subject, "leave the pictures of an earlier batch as they were", returned, pictures)
    _must_share_buckets(subject, translate, batch.frames[0].size)
    return pictures


def _translated(subject: Subject, translate: Translator, batch: Batch) -> list[Tensor]:
    import torch

    height, width = batch.frames[0].size
    with subject.managing_to(f"translate {len(batch)} frames of {height}x{width}"):
        pictures = list(translate(batch))
    counted = len(pictures) == len(batch)
    seen = f"{len(pictures)} for {len(batch)} frames"
    subject.must(counted, "return one picture per frame", seen)
    kept: list[Tensor] = []
    for picture, frame in zip(pictures, batch.frames, strict=True):
        if isinstance(picture, Refusal):
            raise ContractError(f"{subject} must translate a plain frame: {picture.reason}")
        _must_fit(subject, picture, frame, torch.uint8)
        kept.append(picture)
    return kept


def _picked(batch: Batch, order: Sequence[int]) -> Batch:
    return Batch(
        frames=tuple(batch.frames[place] for place in order),
        controls={name: tuple(maps[p] for p in order) for name, maps in batch.controls.items()},
        prompts=tuple(batch.prompts[place] for place in order),
        negative_prompts=tuple(batch.negative_prompts[place] for place in order),
        seeds=tuple(batch.seeds[place] for place in order),
    )


def _must_share_buckets(subject: Subject, translate: Translator, size: tuple[int, int]) -> None:
    if not isinstance(translate, Buckets):
        return
    with subject.managing_to("return a key for a size from bucket()"):
        key, again = translate.bucket(*size), translate.bucket(*size)
    seen = f"{key!r}, then {again!r}"
    same = isinstance(key, Hashable) and key == again
    subject.must(same, "return equal, hashable keys for equal sizes from bucket()", seen)


def _check_keeps(subject: Subject, check: Check, frame: Frame) -> None:
    height, width = frame.size
    picture = as_uint8(frame.image)
    before = frame.image.clone()
    with subject.managing_to(f"look at a {height}x{width} picture"):
        result, again = check(frame, picture), check(frame, picture)
    returned = isinstance(result, CheckResult)
    subject.must(returned, "return a CheckResult", f"a {type(result).__name__}")
    seen = f"{height}x{width}, {len(frame.instances.table)} instances: {result.reason!r}"
    subject.must(result.reason is None, "pass a picture that equals its source", seen)
    strangers = sorted(set(result.instances) - set(frame.instances.table))
    subject.must(not strangers, "score instances of the frame alone", f"ids {strangers}")
    for name, score in _scores(result):
        number = isinstance(score, (int, float)) and math.isfinite(score)
        subject.must(number, "give finite numbers as scores", f"{name} is {score!r}")
    subject.must(result == again, "say the same twice", f"{result}, then {again}")
    _must_equal(subject, "leave the frame as it was", [frame.image], [before])
    _must_equal(subject, "leave the picture as it was", [picture], [as_uint8(before)])


def _scores(result: CheckResult) -> list[tuple[str, float]]:
    inner = [pair for scores in result.instances.values() for pair in scores.items()]
    return [*result.picture.items(), *inner]


def _must_fit(subject: Subject, image: Tensor, frame: Frame, dtype: Any) -> None:
    import torch

    subject.must(isinstance(image, torch.Tensor), "return tensors", f"a {type(image).__name__}")
    expected = (3, *frame.size)
    seen = f"{tuple(image.shape)}, not {expected}"
    subject.must(tuple(image.shape) == expected, "keep the frame's height and width", seen)
    subject.must(image.dtype == dtype, f"return {dtype}", str(image.dtype))


def _must_equal(
    subject: Subject, promise: str, got: Sequence[Tensor], expected: Sequence[Tensor]
) -> None:
    """Raise ContractError unless tensors are equal bit for bit."""
    for place, (one, other) in enumerate(zip(got, expected, strict=True)):
        shapes = f"picture {place + 1} is {tuple(one.shape)}, not {tuple(other.shape)}"
        subject.must(one.shape == other.shape, promise, shapes)
        # "Not equal" counts NaN, which equals nothing; a map with NaN was refused before.
        differing = int((one.cpu() != other.cpu()).sum())
        seen = f"picture {place + 1} of {len(got)} differs in {differing} of {one.numel()} values"
        subject.must(differing == 0, promise, seen)
