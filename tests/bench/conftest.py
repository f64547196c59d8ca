"""The command line, run in this process."""

from tests.cli.conftest import sv2r

__all__ = ["sv2r"]
