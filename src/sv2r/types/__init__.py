"""What flows through sv2r: frozen data, arrays in it read-only.

Nothing here imports numpy or torch when it is loaded, so that a command which computes nothing
stays light.
"""

from sv2r.types.dataset import Dataset, Match, Problem, Sample
from sv2r.types.instances import Box, Drawing, Instance, Instances, Told, Undrawn
from sv2r.types.picture import Batch, CheckResult, ControlMap, Frame, Published, ReadFrame, Refusal
from sv2r.types.record import SOURCE_VARIANT, Record, Status, Task

__all__ = [
    "SOURCE_VARIANT",
    "Batch",
    "Box",
    "CheckResult",
    "ControlMap",
    "Dataset",
    "Drawing",
    "Frame",
    "Instance",
    "Instances",
    "Match",
    "Problem",
    "Published",
    "ReadFrame",
    "Record",
    "Refusal",
    "Sample",
    "Status",
    "Task",
    "Told",
    "Undrawn",
]
