"""What a training tells of itself while it runs."""

from __future__ import annotations

from typing import Protocol


class TrainingWatcher(Protocol):
    """Shows how far a training is."""

    def said(self, line: str) -> None:
        """Show a line."""

    def counted(self, what: str, done: int, total: int) -> None:
        """Show how far something is that comes before the first step."""

    def stepped(self, name: str, step: int, steps: int, loss: float, rate: float) -> None:
        """Show how far the steps are. rate: in pictures per second."""
