"""What sv2r loads of the table world: its commands."""

from __future__ import annotations

from collections.abc import Iterable

import click

from sv2r import hookimpl


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return `sv2r tabletop`."""
    from sv2r_tabletop.command import tabletop

    return [tabletop]
