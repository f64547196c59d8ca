"""Errors that a user can fix: each is one line that names the thing and the fix."""

from __future__ import annotations


class Sv2rError(Exception):
    """A mistake that the user can fix; its text is one line, shown without a traceback."""


class ConfigError(Sv2rError):
    """A job that cannot start as it was asked for: told before any model loads, exit code 2."""


class SampleError(Sv2rError):
    """One sample that cannot be read, translated or written: it fails, the others continue."""


class StorageError(Sv2rError):
    """The output can take no more bytes (disk full, quota): the job stops and can be resumed."""


# What plugins are asked to do before any picture can be made.
_EARLY = (
    *("import", "detect", "load", "controls", "objection", "preflight", "build"),
    *("target", "claims"),
)


class PluginError(Sv2rError):
    """A plugin's code raised what it should not; made by `sv2r.plugin.guard` alone.

    owner: the plugin and its distribution, in words. stage: what it was asked to do.
    error: what it raised, in one line; the exception itself is the ``__cause__``.
    """

    def __init__(self, owner: str, stage: str, error: str) -> None:
        super().__init__(owner, stage, error)
        self.owner, self.stage, self.error = owner, stage, error

    @property
    def early(self) -> bool:
        """Return whether it was raised before any picture could be made."""
        return self.stage in _EARLY

    def __str__(self) -> str:
        return f"{self.owner} failed in {self.stage}: {self.error}"
