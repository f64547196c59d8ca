"""Pictures that were made and not published, kept for looking at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from sv2r.errors import SampleError
from sv2r.output.journal import FOLDER
from sv2r.storage.files import write_atomically
from sv2r.storage.regular import read_text

ATTEMPTS = "attempts"
_SUFFIX = ".json"
_KEEPING = Lock()


@dataclass(frozen=True)
class Attempt:
    """A picture that lost against another attempt, needed repairs, or was rejected.

    number: 0 for the first time a picture was made, 1 for its first retry ... seed: as in `Record`.
    reasons: what the checks said of it, a line each. best: no other attempt was better.
    scores: as in `Record`.
    """

    sample: str
    variant: int
    number: int
    seed: int
    reasons: Sequence[str]
    best: bool
    scores: Mapping[str, Any]


def keep_attempt(output: Path, attempt: Attempt, png: bytes, most: int) -> None:
    """Keep an attempt in OUTPUT/sv2r/attempts: its picture, and a JSON that says what it is.

    Nothing is kept once there are `most` of them, or where the files cannot be written. Workers in
    several processes may keep one more each.

    Raises:
        StorageError: the output can take no more bytes.
    """
    folder = output / FOLDER / ATTEMPTS
    name, text = _name(attempt), json.dumps(asdict(attempt), sort_keys=True)
    # The published picture matters: it does not fail where this one cannot be written.
    with _KEEPING, suppress(SampleError):
        there = folder.is_dir() and sum(path.suffix == _SUFFIX for path in folder.iterdir())
        if there >= most and not (folder / f"{name}{_SUFFIX}").exists():
            return
        write_atomically(folder / f"{name}.png", png, sync_folder=False)
        write_atomically(folder / f"{name}{_SUFFIX}", text.encode(), sync_folder=False)


def _name(attempt: Attempt) -> str:
    """Return a file's name that any file system takes, and that no other attempt has."""
    whole = f"{attempt.sample}\0{attempt.variant}"
    digest = sha256(whole.encode(errors="surrogatepass")).hexdigest()[:12]
    stem = re.sub(r"[^0-9A-Za-z._-]+", "-", attempt.sample)[-60:].strip(".-")
    return f"{stem}-{digest}-{attempt.number}"


def read_attempts(output: Path) -> Iterator[tuple[Attempt, Path]]:
    """Yield the attempts that were kept and their pictures; files that are none are left out."""
    for path in sorted((output / FOLDER / ATTEMPTS).glob(f"*{_SUFFIX}")):
        with suppress(OSError, ValueError, TypeError, RecursionError):
            attempt = _checked(Attempt(**json.loads(read_text(path))))
            if path.with_suffix(".png").is_file():
                yield attempt, path.with_suffix(".png")


def _checked(attempt: Attempt) -> Attempt:
    """Return an attempt that was read, if its fields are of their types."""
    kinds = ((attempt.sample, str), (attempt.variant, int), (attempt.number, int))
    sound = all(isinstance(value, kind) for value, kind in kinds)
    if not (sound and isinstance(attempt.reasons, list) and isinstance(attempt.scores, dict)):
        raise ValueError("not an attempt")
    return attempt
