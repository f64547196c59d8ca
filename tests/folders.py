"""The old name of `tests.toys.folders`, for a short while."""

from tests.toys.folders import *  # noqa: F403
