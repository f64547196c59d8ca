"""Paths that are arguments of commands."""

from __future__ import annotations

from pathlib import Path

from sv2r.errors import ConfigError


def typed_path(path: Path) -> Path:
    """Return a path that was typed, made absolute; ~ is a home folder. See `whole`.

    Raises:
        ConfigError: there can be no such file.
    """
    from sv2r.plugin.options import whole

    try:
        return whole(path)
    except ValueError as error:
        raise ConfigError(f"{str(path)[:60]!r} {error}") from None
