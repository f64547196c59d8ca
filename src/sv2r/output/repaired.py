"""How many pictures of a run are not as the model first made them."""

from __future__ import annotations

from dataclasses import dataclass

from sv2r.types import SOURCE_VARIANT, Record


@dataclass(frozen=True)
class Repaired:
    """Counts of translated pictures that are done.

    retried: made again. restored: with pixels of their render. pixels: the sum over pictures of the
    share that these have.
    """

    done: int = 0
    retried: int = 0
    restored: int = 0
    pixels: float = 0.0

    def plus(self, record: Record) -> Repaired:
        """Return the counts with one more record."""
        if record.status != "done" or record.variant == SOURCE_VARIANT:
            return self
        again = any(step.startswith("retry") for step in record.repairs)
        share = record.rendered or 0.0
        return Repaired(
            self.done + 1, self.retried + again, self.restored + bool(share), self.pixels + share
        )

    @property
    def rendered(self) -> float:
        """Return the share of all pictures' pixels that are their renders', 0 to 1."""
        return self.pixels / self.done if self.done else 0.0

    @property
    def words(self) -> str:
        """Return it in words, "" where every picture is as it was first made."""
        parts = [f"{_count(self.retried)} made again"] if self.retried else []
        if self.restored:
            held = f"{_count(self.restored)} hold" + "s" * (self.restored == 1)
            parts.append(f"{held} pixels of the render: {self.rendered:.1%} of all that is done")
        return " · ".join(parts)


def _count(number: int) -> str:
    return f"{number:,} picture{'' if number == 1 else 's'}"
