"""A run's state in one file, so that it is there whole or not at all: safetensors, no pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError
from sv2r.storage.files import replacing
from sv2r.training.trouble import disk_told

if TYPE_CHECKING:
    from torch import Tensor


def write_state(
    path: Path,
    step: int,
    weights: Mapping[str, Tensor],
    mean: Mapping[str, Tensor],
    optimizer: Mapping[str, Any],
    more: Mapping[str, Any],
) -> None:
    """Write the state after a step.

    weights, mean: what is trained and its running mean, by name. optimizer: its `state_dict`.
    more: whatever else there is, as JSON values.

    Raises:
        StorageError: the disk is full.
    """
    from safetensors.torch import save_file

    tensors = {f"weights/{name}": value for name, value in weights.items()}
    tensors |= {f"mean/{name}": value for name, value in mean.items()}
    values: dict[str, Any] = {}
    for number, entries in optimizer["state"].items():
        for key, value in entries.items():
            place = f"optimizer/{number}/{key}"
            if hasattr(value, "numel"):
                # 8-bit optimizers share one table between all layers; safetensors shares nothing.
                tensors[place] = value.clone() if key.startswith("qmap") else value
            else:
                values[place] = value
    told = {"step": step, "values": values, **more}
    with replacing(path) as temporary, disk_told(path):
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            temporary,
            metadata={"sv2r": json.dumps(told)},
        )


def read_state(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any]] | None:
    """Return ({"weights": …, "mean": …, "optimizer": …}, what else was told), or None: no file.

    The optimizer's part is {number: {key: value}}.

    Raises:
        ConfigError: the file is damaged.
    """
    if not path.is_file():
        return None
    parts: dict[str, dict[str, Any]] = {"weights": {}, "mean": {}, "optimizer": {}}
    with damage_told(path), _opened(path) as (file, told):
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for place, value in {**found, **told.pop("values")}.items():
            part, _, name = place.partition("/")
            if part == "optimizer":
                number, _, key = name.partition("/")
                parts[part].setdefault(int(number), {})[key] = value  # type: ignore[call-overload]
            else:
                parts[part][name] = value
        return parts, told


def read_step(path: Path) -> int:
    """Return the step that a state is of, 0 where there is none; no weight is read.

    Raises:
        ConfigError: the file is damaged.
    """
    if not path.is_file():
        return 0
    with damage_told(path), _opened(path) as (_, told):
        step = int(told["step"])
        if step < 0:
            raise ValueError(f"step {step}")
        return step


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield a state's open file and what is told in it besides tensors."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        yield file, json.loads(file.metadata()["sv2r"])


@contextmanager
def damage_told(path: Path, fix: str = "delete it to begin anew") -> Iterator[None]:
    """Turn whatever reading a damaged file of the state raises into one line.

    Raises:
        ConfigError: the file is damaged.
    """
    from safetensors import SafetensorError

    try:
        yield
    # RuntimeError: torch's for another shape, and Python's for what is nested too deep.
    except (
        *(SafetensorError, OSError, LookupError, TypeError, ValueError),
        *(AttributeError, RuntimeError),
    ) as error:
        what = " ".join(str(error).split())
        raise ConfigError(f"{path}: is damaged ({what}); {fix}") from None
