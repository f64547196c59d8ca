"""Pictures of many pictures: what validation looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# At most this many photos stand next to each other.
SHEET_COLUMNS = 8


def sheet(rows: Sequence[Tensor]) -> Tensor:
    """Return rows of equally many pictures as one (3, H, W) uint8 picture.

    rows: each (B, 3, h, w) in [0, 1].
    """
    import torch

    strips = [torch.cat(list(row.float().cpu().clamp(0, 1)), 2) for row in rows]
    return (255 * torch.cat(strips, 1)).round().to(torch.uint8)
