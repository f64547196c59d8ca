"""Decides what becomes of a picture that was made: published, tried again, mended, rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sv2r.config.resolve import Config
from sv2r.errors import SampleError, Sv2rError
from sv2r.types import CheckResult, Frame, Instances, Record, Refusal, Status
from sv2r.worker.damage import better, judge, restore, undo_shift
from sv2r.worker.parts import Parts
from sv2r.worker.pieces import Candidate, Inset, Piece, crop_piece, named, unexpected
from sv2r.worker.seeds import picture_seed
from sv2r.worker.small import crops_of, paste

if TYPE_CHECKING:
    from torch import Tensor


class Settler:
    """Checks, mends and publishes pictures; called from the worker's writing threads."""

    def __init__(self, config: Config, parts: Parts) -> None:
        self._config = config
        self._parts = parts

    def settle(self, piece: Piece, image: Tensor | Refusal, record: Record) -> Record | Piece:
        """Return a task's record once its picture is in place, or the piece to try again."""
        try:
            if isinstance(image, Refusal):
                return self._refused(piece, image, record)
            _require_shape(image, piece.frame)
            inset = self._inset(piece, image, record)
            if inset.crops:
                return crop_piece(self._config, inset)
            return self._decide(inset.whole, inset.canvas, inset.record)
        except SampleError as error:
            return replace(record, status="failed", error=named(record.sample, error))
        except Sv2rError:
            raise
        except Exception as error:  # a check's or a writer's bug fails its picture, not the job
            return replace(record, status="failed", error=unexpected(record.sample, error))

    def _inset(self, piece: Piece, image: Tensor, record: Record) -> Inset:
        """Return the picture with what was just made of it, and the crops that are still to come.

        The first image is the whole picture; each further one is that of its first crop.
        """
        options, before = self._config.small, piece.inset
        if before is None:
            crops = crops_of(piece.frame.instances, options)
            ids = tuple(sorted(id_ for crop in crops for id_ in crop.ids))
            return Inset(piece, replace(record, small=ids), image.cpu(), crops)
        labels = before.whole.frame.instances.labels
        canvas = paste(before.canvas, image.cpu(), before.crops[0], labels, options.feather)
        return replace(before, canvas=canvas, crops=before.crops[1:])

    def _refused(self, piece: Piece, refusal: Refusal, record: Record) -> Record | Piece:
        """Return what follows where the translator gave no picture, of the whole or of a crop."""
        whole = piece.inset.whole if piece.inset else piece
        if not refusal.failed and self._may_retry(whole):
            return self._again(whole, whole.best)
        if whole.best is not None:
            return self._end(whole, whole.best)
        status: Status = "failed" if refusal.failed else "rejected"
        error = named(record.sample, refusal.reason)
        return replace(record, status=status, error=error, repairs=_tries(whole))

    def _decide(self, piece: Piece, image: Tensor, record: Record) -> Record | Piece:
        """Publish a picture that fits its labels; else do what is left to do about it."""
        options, checks, frame = self._config.damage, self._parts.checks, piece.frame
        verdict = undo_shift(frame, judge(frame, image, checks), options, checks)
        if not verdict.reasons:
            return self._publish(piece, Candidate(verdict, record))
        best = piece.best
        if best is None or better(verdict, best.verdict):
            best = Candidate(verdict, record)
        return self._again(piece, best) if self._may_retry(piece) else self._end(piece, best)

    def _may_retry(self, piece: Piece) -> bool:
        options = self._config.damage
        return "retry" in options.steps and piece.attempt < options.retries

    def _end(self, piece: Piece, best: Candidate) -> Record:
        """Mend the least damaged of the pictures that were made, and publish or reject it."""
        options, checks = self._config.damage, self._parts.checks
        mended = restore(piece.frame, best.verdict, options, checks)
        return self._publish(piece, Candidate(mended, best.record))

    def _again(self, piece: Piece, best: Candidate | None) -> Piece:
        """Return the piece with the next attempt's seed."""
        attempt = piece.attempt + 1
        job, task = self._config.job, piece.task
        seed = picture_seed(job.seed, piece.frame.sample.id, task.variant, attempt)
        return replace(piece, attempt=attempt, seed=seed, best=best)

    def _publish(self, piece: Piece, candidate: Candidate) -> Record:
        """Return the record of a picture that is put in place, or rejected by its verdict."""
        verdict, sample = candidate.verdict, piece.frame.sample
        record = replace(
            candidate.record,
            scores=_scores(verdict.results),
            repairs=(*_tries(piece), *verdict.steps),
        )
        if verdict.reasons and not self._config.damage.keeps:
            error = f"{sample.id}: {'; '.join(verdict.reasons)}"
            return replace(record, status="rejected", error=error)
        writer = self._parts.writer
        published = writer.publish(sample, piece.task.variant, verdict.image, piece.frame)
        return replace(
            record,
            output=published.path,
            output_sha256=published.sha256,
            labels=published.labels,
        )


def record_of(piece: Piece, settings: Mapping[str, Any], seconds: float) -> Record:
    """Return the record of a picture that was made, as long as nothing speaks against it."""
    return Record(
        sample=piece.frame.sample.id,
        variant=piece.task.variant,
        status="done",
        seed=piece.seed,
        prompt=piece.prompt.text,
        drawn=piece.prompt.drawn,
        normalised=piece.frame.normalised,
        settings=settings,
        input_sha256=piece.frame.sha256,
        instances=_by_category(piece.frame.instances),
        seconds=round(seconds, 6),
    )


def _tries(piece: Piece) -> tuple[str, ...]:
    return (f"retry: made {piece.attempt + 1} times",) if piece.attempt else ()


def _require_shape(image: Tensor, frame: Frame) -> None:
    """Raise SampleError where a translator broke the first rule: the size, exactly."""
    import torch

    if image.dtype != torch.uint8 or tuple(image.shape) != (3, *frame.size):
        got, size = f"{tuple(image.shape)} {image.dtype}", (3, *frame.size)
        raise SampleError(f"{frame.sample.id}: the translator returned {got}, not {size} uint8")


def _scores(results: Mapping[str, CheckResult]) -> dict[str, Any]:
    return {
        name: {
            "picture": dict(result.picture),
            "instances": {str(id_): dict(scores) for id_, scores in result.instances.items()},
        }
        for name, result in results.items()
        if result.picture or result.instances
    }


def _by_category(instances: Instances) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {}
    for id_, instance in instances.table.items():
        ids.setdefault(instance.category, []).append(id_)
    return ids
