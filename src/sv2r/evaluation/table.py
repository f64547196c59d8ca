"""An evaluation as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator

from sv2r.evaluation.measure import Interval
from sv2r.evaluation.run import CLOSING, Evaluation

FIGURES = {
    "kid": ("kernel distance", "of the network's features; 0: as near as photographs can be"),
    "fid": ("Fréchet distance", "of the network's features; falls with the number of pictures"),
    "auc": ("told apart (AUC)", "by a linear classifier; 0.5: cannot be told from photographs"),
    "swd": ("texture", "sliced Wasserstein distance of patches; painted pictures do well too"),
    "colour": ("colour", "of pixels, in CIE Lab"),
    "spectrum": ("sharpness, grain", "difference of the power spectra, in dB"),
    "diversity": ("diversity", "distance of two pictures over that of two photographs"),
}
"""What each figure is called, and what it says."""


def table_lines(found: Evaluation) -> Iterator[str]:
    """Yield the table, a column for each set, and what became of objects."""
    rows = list(_rows(found))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *cells in rows:
        spaced = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        yield "   ".join([f"{first:<{widths[0]}}", *spaced]).rstrip()
    yield from _kept_lines(found)
    yield ""
    yield (
        f"compared with {len(found.reference.paths):,} other photographs, by {found.network}, at "
        f"{found.side} px; in brackets what chance does to it"
    )
    yield from found.notes


def _rows(found: Evaluation) -> Iterator[list[str]]:
    yield ["", *(one.pictures.name for one in found.sets)]
    yield ["pictures", *(f"{len(one.pictures.paths):,}" for one in found.sets)]
    for key in found.sets[0].measures.figures:
        yield [FIGURES[key][0], *(spelled(one.measures.figures[key]) for one in found.sets)]
        if key in CLOSING and (closed := list(_closed(found, key))):
            yield ["  gap closed", *closed]


def _closed(found: Evaluation, key: str) -> Iterator[str]:
    shares = [found.closed(key, place) for place in range(len(found.sets))]
    if any(share is not None for share in shares):
        yield from ("" if share is None else f"{min(share, 1):.0%}" for share in shares)


def _kept_lines(found: Evaluation) -> Iterator[str]:
    for one in found.sets:
        for kept in one.kept:
            yield (
                f"{one.pictures.name}: {kept.category}: {kept.check} {kept.score:.2f} on average, "
                f"{kept.instances:,} instance{'' if kept.instances == 1 else 's'}"
            )


def spelled(figure: Interval) -> str:
    """Return a figure with its interval."""
    digits = 2 if abs(figure.value) < 10 else 1
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"
