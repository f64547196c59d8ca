"""Looks at a picture before it is published: one file, one plugin.

`score` gives their numbers for any two pictures and a label map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sv2r.checks.scores import Scores


def score(
    source: NDArray[np.uint8],
    translated: NDArray[np.uint8],
    labels: NDArray[np.integer],
    *,
    device: str = "cpu",
) -> Scores:
    """Return how well a translated picture still fits the labels of its source.

    source, translated: (H, W, 3) uint8. labels: (H, W) integers, 0 = background, one id per
        instance. device: where torch computes ("cpu", "cuda:0").

    ``score(...).instances[17].survival`` is 0 (gone) to 1 (as it was), or None where the source
    itself does not show the boundary; ``score(...).picture`` has the shift (px) and more.

    Raises:
        ValueError: arrays that do not fit together.
    """
    from sv2r.checks.scores import measure

    return measure(source, translated, labels, device)
