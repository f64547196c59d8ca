"""The old name of `tests.toys.processes`, for a short while."""

from tests.toys.processes import *  # noqa: F403
