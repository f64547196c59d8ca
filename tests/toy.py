"""The old name of `tests.toys`, for a short while."""

from tests.toys import *  # noqa: F403
