"""What can be the user's to mend: each error is one line that names the thing and the mend."""

from __future__ import annotations


class Sv2rError(Exception):
    """A mistake that the user can mend; its text is one line, shown without a traceback."""


class ConfigError(Sv2rError):
    """A job that cannot start as it was asked for: told before any model loads, exit code 2."""


class SampleError(Sv2rError):
    """One sample that cannot be read, translated or written: it fails, the others go on."""


class StorageError(Sv2rError):
    """The output can take no more bytes (disk full, quota): the job stops and can be resumed."""
