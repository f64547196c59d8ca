"""What each step learns from: a function of the seed and the step's number, and of nothing else.

So a run that goes on after a kill needs no state of any random generator, and a batch is the same
however many devices share it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sv2r.worker.seeds import picture_seed

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TrainingDraw:
    """One example of a batch: which item it shows, and where its noise comes from."""

    item: int
    generator: torch.Generator


@dataclass(frozen=True)
class Draws:
    """Items in a new random order in every epoch. name: of what is trained. count: of items."""

    seed: int
    name: str
    count: int

    def take(self, positions: range) -> Iterator[TrainingDraw]:
        """Yield the examples at these positions of the endless sequence."""
        order, epoch = None, -1
        for position in positions:
            if order is None or position // self.count != epoch:
                epoch = position // self.count
                order = self._order(epoch)
            yield TrainingDraw(
                int(order[position % self.count]), self._generator("noise", position)
            )

    def _order(self, epoch: int) -> torch.Tensor:
        import torch

        return torch.randperm(self.count, generator=self._generator("order", epoch))

    def _generator(self, purpose: str, number: int) -> torch.Generator:
        import torch

        return torch.Generator().manual_seed(
            picture_seed(self.seed, f"{self.name}/{purpose}", number)
        )
