"""A picture's life, from its file to its record: all that can happen to a picture, in one place.

A life is a generator. It yields each `Draw` that it wants of the translator and is sent what was
`Made` of it. Retries, crops of small objects and repairs are its local variables: whoever runs
lives only has to answer their wishes, many of them in one batch.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sv2r.config.resolve import Config
from sv2r.errors import SampleError, StorageError
from sv2r.output.attempts import Attempt, keep_attempt
from sv2r.plugin.specs import Conditioner
from sv2r.types import (
    SOURCE_VARIANT,
    ControlMap,
    Dataset,
    Frame,
    Record,
    Refusal,
    Status,
    Task,
)
from sv2r.worker.copying import keep_picture
from sv2r.worker.damage import (
    Verdict,
    better,
    crops_to_redo,
    judge,
    patched,
    redo_resolution,
    redone,
    restore,
    undo_shift,
)
from sv2r.worker.frames import ids_by_category, name_sample, read_frame, stopped_by
from sv2r.worker.parts import Parts
from sv2r.worker.prompts import Prompt, write_prompt
from sv2r.worker.seeds import picture_seed
from sv2r.worker.small import Crop, crop_frame, crops_of, paste

if TYPE_CHECKING:
    from torch import Tensor

# What a retry after the first multiplies strength and control scales by.
_GENTLER, _MORE_CONTROL = 0.8, 1.2


@dataclass(frozen=True)
class Draw:
    """A wish: one picture to be drawn by the translator.

    controls: (3, H, W) in [0, 1] by control name, the frame's H and W.
    strength_factor, control_factor: see `Batch`.
    """

    frame: Frame
    controls: Mapping[str, Tensor]
    prompt: Prompt
    seed: int
    strength_factor: float = 1.0
    control_factor: float = 1.0


@dataclass(frozen=True)
class Made:
    """The result of a draw.

    image: (3, H, W) uint8 on any device, the frame's H and W; or why there is none.
    settings: what really ran. seconds: wall time of the batch divided by its pictures.
    """

    image: Tensor | Refusal
    settings: Mapping[str, Any]
    seconds: float


Life = Generator[Draw, Made, Record]


@dataclass(frozen=True)
class _Subject:
    """A picture that can be drawn: read, conditioned, described. crops: of its small objects."""

    task: Task
    frame: Frame
    controls: Mapping[str, Tensor]
    prompt: Prompt
    crops: tuple[Crop, ...]


@dataclass(frozen=True)
class _Candidate:
    """A picture that was made, and its record as long as nothing speaks against it.

    attempt: 0 for the first time it was made.
    """

    verdict: Verdict
    record: Record
    attempt: int


def live(config: Config, dataset: Dataset, parts: Parts, task: Task) -> Life:
    """Make one picture: yield what is to be drawn, end with the task's record, always.

    Raises:
        StorageError: the output can take no more bytes.
    """
    if task.variant == SOURCE_VARIANT:
        return keep_picture(dataset, parts.publish, task)
    id_, damage = dataset.ids[task.index], config.damage
    record = Record(id_, task.variant, "failed")
    best: _Candidate | Refusal = Refusal("it was never drawn", failed=True)
    made_before: list[_Candidate] = []
    try:
        subject = _prepare(config, dataset, parts, task)
        frame, checks = subject.frame, parts.checks
        for attempt in range(damage.tries):
            draw = _draw_whole(config, subject, attempt)
            made = yield draw
            record = _record_of(subject, draw, made)
            image = yield from _redraw_small(config, subject, made.image, attempt)
            if isinstance(image, Refusal):
                best = image if isinstance(best, Refusal) else best
                if image.failed:
                    break
                continue
            record = replace(record, small=_ids_in(subject.crops))
            verdict = undo_shift(frame, judge(frame, image, checks), damage, checks)
            made_before.append(candidate := _Candidate(verdict, record, attempt))
            if isinstance(best, Refusal) or better(verdict, best.verdict):
                best = candidate
            if not verdict.reasons:
                break
        tried = (f"retry: made {attempt + 1} times",) if attempt else ()
        if isinstance(best, Refusal):
            return _refused(record, best, tried)
        verdict = best.verdict
        if verdict.reasons:
            verdict = yield from _redo(config, parts, subject, verdict)
        if verdict.reasons:
            verdict = restore(frame, verdict, damage, checks)
        published = _publish(config, parts, subject, replace(best, verdict=verdict), tried)
        whole = published.output is not None and verdict is best.verdict
        _keep(config, [one for one in made_before if not (whole and one is best)], best)
        return published
    except (StorageError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a plugin's bug fails its picture, not the job
        return stopped_by(error, record)


def _prepare(config: Config, dataset: Dataset, parts: Parts, task: Task) -> _Subject:
    """Return a task's picture with its labels, controls and prompt.

    Raises:
        SampleError: one of them cannot be read or made.
    """
    frame = read_frame(dataset, task.index)
    seed = picture_seed(config.job.seed, frame.sample.id, task.variant)
    prompt = write_prompt(config.prompt, frame.sample, frame.instances, seed)
    maps = [_condition(make, frame) for _, make in parts.conditioners]
    crops = crops_of(frame.instances, config.small)
    return _Subject(task, frame, {m.name: m.image for m in maps}, prompt, crops)


def _condition(make: Conditioner, frame: Frame) -> ControlMap:
    control = make(frame)
    if tuple(control.image.shape) != (3, *frame.size):
        shape = tuple(control.image.shape)
        raise SampleError(f"{frame.sample.id}: control '{control.name}' is {shape}, not (3, H, W)")
    return control


def _draw_whole(config: Config, subject: _Subject, attempt: int) -> Draw:
    """Return the draw of the whole picture, the attempt-th."""
    task, frame = subject.task, subject.frame
    seed = picture_seed(config.job.seed, frame.sample.id, task.variant, attempt)
    return Draw(frame, subject.controls, subject.prompt, seed, *_factors(attempt))


def _factors(attempt: int) -> tuple[float, float]:
    """Return the factors for strength and control scales in an attempt.

    The first retry changes only the seed; each later one uses less strength and more control.
    """
    gentler = max(0, attempt - 1)
    return _GENTLER**gentler, _MORE_CONTROL**gentler


def _redraw_small(
    config: Config, subject: _Subject, image: Tensor | Refusal, attempt: int
) -> Generator[Draw, Made, Tensor | Refusal]:
    """Draw small objects again, enlarged; return the picture with them, or why one has none."""
    if isinstance(image, Refusal):
        return image
    labels, feather = subject.frame.instances.labels, config.small.feather
    canvas = image.cpu()
    for crop in subject.crops:
        made = yield _draw_crop(
            config, subject, crop, config.small.resolution, attempt, _factors(attempt)
        )
        if isinstance(made.image, Refusal):
            return made.image
        canvas = paste(canvas, made.image.cpu(), crop, labels, feather)
    return canvas


def _redo(
    config: Config, parts: Parts, subject: _Subject, verdict: Verdict
) -> Generator[Draw, Made, Verdict]:
    """Draw the damaged instances alone again; return the better of the two pictures.

    What is drawn from is the picture that was made, with the source's instance in its place: the
    model sees the look that stands around, and has the right outline to begin with.
    """
    options, frame = config.damage, subject.frame
    crops = crops_to_redo(frame, verdict, options, config.small)
    start = replace(subject, frame=patched(frame, verdict, options)) if crops else subject
    canvas, factors = verdict.image, (options.redo_strength, options.redo_control)
    resolution = redo_resolution(frame.size, config.small)
    for crop in crops:
        made = yield _draw_crop(config, start, crop, resolution, options.tries, factors)
        if isinstance(made.image, Refusal):
            return verdict
        labels, margin = frame.instances.labels, verdict.reach
        canvas = paste(canvas, made.image.cpu(), crop, labels, options.feather, margin)
    return redone(frame, verdict, canvas, _ids_in(crops), parts.checks) if crops else verdict


def _draw_crop(
    config: Config,
    subject: _Subject,
    crop: Crop,
    resolution: int,
    attempt: int,
    factors: tuple[float, float],
) -> Draw:
    """Return the draw of one crop.

    Its controls are those of the whole picture, enlarged with it; its prompt names what is in it.
    """
    run, variant = config.job.seed, subject.task.variant
    frame = crop_frame(subject.frame, crop, resolution)
    controls = {name: crop.enlarged(m, resolution) for name, m in subject.controls.items()}
    id_ = frame.sample.id
    # What `vary` draws hangs on the first seed: a crop must show the whole picture's weather.
    first = picture_seed(run, id_, variant)
    prompt = write_prompt(config.prompt, frame.sample, frame.instances, first)
    seed = picture_seed(run, f"{id_}#{crop.ids[0]}", variant, attempt)
    return Draw(frame, controls, prompt, seed, *factors)


def _ids_in(crops: tuple[Crop, ...]) -> tuple[int, ...]:
    return tuple(sorted(id_ for crop in crops for id_ in crop.ids))


def _record_of(subject: _Subject, draw: Draw, made: Made) -> Record:
    """Return the record of a picture that was made, as long as nothing speaks against it."""
    frame, prompt = subject.frame, subject.prompt
    return Record(
        sample=frame.sample.id,
        variant=subject.task.variant,
        status="done",
        seed=draw.seed,
        prompt=prompt.text,
        negative_prompt=prompt.negative or None,
        drawn=prompt.drawn,
        normalised=frame.normalised,
        settings=made.settings,
        input_sha256=frame.sha256,
        instances=ids_by_category(frame.instances),
        seconds=round(made.seconds, 6),
    )


def _refused(record: Record, refusal: Refusal, tried: tuple[str, ...]) -> Record:
    """Return the record of a picture that the translator never gave."""
    status: Status = "failed" if refusal.failed else "rejected"
    error = name_sample(record.sample, refusal.reason)
    return replace(record, status=status, error=error, repairs=tried)


def _publish(
    config: Config, parts: Parts, subject: _Subject, chosen: _Candidate, tried: tuple[str, ...]
) -> Record:
    """Return the record of a picture that is put in place, or rejected by its verdict."""
    verdict, frame = chosen.verdict, subject.frame
    scores, repairs = verdict.scores, (*tried, *verdict.steps)
    rendered = round(verdict.rendered, 4) or None
    record = replace(
        chosen.record,
        scores=scores,
        checked=_checked(scores),
        repairs=repairs,
        rendered=rendered,
        restored=verdict.restored,
    )
    if verdict.reasons and not config.damage.keeps:
        error = f"{record.sample}: {'; '.join(verdict.reasons)}"
        return replace(record, status="rejected", error=error)
    published = parts.publish(frame.sample, record.variant, verdict.image, frame)
    return replace(
        record,
        output=published.path,
        output_sha256=published.sha256,
        labels=published.labels,
        label_iou=published.label_iou,
    )


def _keep(config: Config, lost: Sequence[_Candidate], best: _Candidate) -> None:
    """Keep what was made and not published, as far as that is asked for."""
    from sv2r.images.png import encode_png

    most = config.job.keep_attempts
    for one in lost if most else ():
        record, verdict = one.record, one.verdict
        attempt = Attempt(
            record.sample,
            record.variant,
            one.attempt,
            record.seed or 0,
            verdict.reasons,
            one is best,
            verdict.scores,
        )
        png = encode_png(verdict.image.permute(1, 2, 0).contiguous().numpy())
        keep_attempt(config.job.output, attempt, png, most)


def _checked(scores: Mapping[str, Any]) -> int:
    """Return how many instances a check has given a score of their own."""
    found = (own for check in scores.values() for own in check["instances"].items())
    return len({id_ for id_, own in found if own})
