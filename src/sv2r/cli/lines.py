"""Text as a terminal may have it: names out of a dataset give it no orders."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from io import TextIOWrapper

# Control characters, escape sequences among them, and those that turn the direction of writing.
_ORDERS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def plain(line: str) -> str:
    r"""Return one line in which control characters are written out, as ``\x1b``."""
    return _ORDERS.sub(lambda match: repr(match[0])[1:-1], line)


def write_any_text() -> None:
    """Let stdout and stderr write out what their encoding has not, instead of failing on it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):  # it is a terminal or pipe of which more was written than read
                stream.reconfigure(errors="backslashreplace")
