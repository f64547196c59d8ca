"""`sv2r tabletop`: table scenes with known truth, rendered and learnt from."""

from __future__ import annotations

from collections.abc import Iterable

import click

from sv2r import hookimpl


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return `sv2r tabletop`."""
    from sv2r_tabletop.command import tabletop

    return [tabletop]
