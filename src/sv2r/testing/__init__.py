"""Contract tests for plugin authors, and small real things to test with.

One line checks all that an installed plugin brings, without any test framework:

    from sv2r.testing import check_plugin
    check_plugin("sobel")

and one function per kind of component checks a spec. Each raises ContractError, an AssertionError
with one line that names the component, the promise and what was seen.
"""

from sv2r.testing.contract import ContractError, check_options
from sv2r.testing.loading import check_loader
from sv2r.testing.makers import make_batch, make_dataset, make_frame
from sv2r.testing.pictures import check_check, check_conditioner, check_translator
from sv2r.testing.plugins import check_executor, check_plugin
from sv2r.testing.trainers import check_trainer
from sv2r.testing.writing import check_writer

__all__ = [
    "ContractError",
    "check_check",
    "check_conditioner",
    "check_executor",
    "check_loader",
    "check_options",
    "check_plugin",
    "check_trainer",
    "check_translator",
    "check_writer",
    "make_batch",
    "make_dataset",
    "make_frame",
]
