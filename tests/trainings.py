"""The old name of `tests.toys.trainings`, for a short while."""

from tests.toys.trainings import *  # noqa: F403
