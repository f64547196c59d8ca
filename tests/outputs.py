"""The old name of `tests.toys.outputs`, for a short while."""

from tests.toys.outputs import *  # noqa: F403
