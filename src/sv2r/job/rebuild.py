"""Components of a finished run, built again from its run.yaml."""

from __future__ import annotations

from typing import Any, Literal

from sv2r.errors import Sv2rError
from sv2r.output.finished import RUN_FILE, Finished
from sv2r.output.journal import FOLDER
from sv2r.plugin.options import validate_options
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Runtime
from sv2r.worker.work import choose_dtype, find_devices

_KINDS: dict[str, Literal["check", "conditioner"]] = {
    "checks": "check",
    "conditioners": "conditioner",
}


def rebuild(
    finished: Finished,
    registry: Registry,
    section: Literal["checks", "conditioners"],
    notes: list[str],
) -> tuple[tuple[str, Any], ...]:
    """Return a section's components by name; notes gets a line for each that cannot be built."""
    device = find_devices(("auto",))[0]
    runtime = Runtime(device, choose_dtype("auto", device), output=finished.output)
    kind, built = _KINDS[section], []
    for name, values in finished.section(section).items():
        try:
            spec = registry.spec(kind, name)
            where = f"{FOLDER}/{RUN_FILE}: {section}.{name}"
            options = validate_options(spec.options, values or {}, where=where)
            built.append((name, spec.build(options, runtime)))
        except (Sv2rError, OSError, ImportError, RuntimeError) as error:
            notes.append(f"the {name} {kind} cannot be run again: {' '.join(str(error).split())}")
    return tuple(built)
