"""One seed per picture: a hash of what the picture is, so that it depends on nothing else."""

from __future__ import annotations

import hashlib
import random

BITS = 48  # exact in JSON and in a float64, and plenty for torch.Generator.manual_seed


def picture_seed(run_seed: int, sample_id: str, variant: int = 0, attempt: int = 0) -> int:
    """Return the seed of one picture, 0 to 2**48 - 1.

    The same four values give the same seed whatever the order, shard or batch; attempt counts the
    retries of a picture that a check refused.
    """
    words = [str(run_seed), sample_id, str(variant), *([str(attempt)] if attempt else [])]
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return int.from_bytes(digest[: BITS // 8], "big")


def draw(seed: int, name: str, choices: tuple[str, ...]) -> str:
    """Return one of the choices, drawn by a picture's seed for the `vary` list of that name."""
    return random.Random(f"{seed}/{name}").choice(choices)  # noqa: S311  # words, not secrets
