"""The loop: what is done to weights at each step, and how a run stops and goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sv2r.errors import ConfigError
from sv2r.training.draws import Draws, TrainingDraw
from sv2r.training.optimizers import learning_rate, make_optimizer
from sv2r.training.state import damage_told, read_state, read_step, write_state
from sv2r.training.stopping import Stop
from sv2r.training.trouble import disk_told, memory_told
from sv2r.training.watch import TrainingWatcher

if TYPE_CHECKING:
    from torch import Tensor

# Steps whose mean loss makes a line of the log.
_LOGGED = 10

Example = Mapping[str, "Tensor"]


class Trainee(Protocol):
    """What is trained, and on what.

    name: of the state's file. network: its parameters that require a gradient are learnt.
    count: how many items there are.
    """

    name: str
    network: Any
    count: int

    def example(self, draw: TrainingDraw) -> Example:
        """Return what one item of a batch is made of, on the CPU; called from another thread."""

    def loss(self, network: Any, batch: Example) -> Tensor:
        """Return a batch's loss. network: `network`, perhaps wrapped for several devices."""

    def validate(self) -> tuple[float, Tensor] | None:
        """Return the loss on photos held out and a (3, H, W) uint8 picture, or None: there is none.

        The same weights give the same.
        """


@dataclass(frozen=True)
class Schedule:
    """How a task is trained.

    batch_size: on each device. fixed: what the run was begun with and must go on with.
    betas: of the optimizer. keep_best: whether the weights that end it are those that did best on
    what is held out, in place of the last ones.
    """

    seed: int
    steps: int
    batch_size: int
    accumulate: int
    learning_rate: float
    schedule: Literal["constant", "cosine"]
    warmup: int
    weight_decay: float
    max_gradient: float
    optimizer: str
    ema: float
    validate_every: int
    save_every: int
    fixed: Mapping[str, Any]
    betas: tuple[float, float] = (0.9, 0.999)
    keep_best: bool = False


@dataclass(frozen=True)
class Ending:
    """How far a task came. held_out: losses on photos held out, by step. seconds: of this run."""

    step: int
    steps: int
    seconds: float
    ran: int
    losses: tuple[tuple[int, float], ...]
    held_out: tuple[tuple[int, float], ...]

    @property
    def finished(self) -> bool:
        """Return whether all steps were made."""
        return self.step >= self.steps


def train(
    task: Trainee,
    plan: Schedule,
    accelerator: Any,
    folder: Path,
    stop: Stop,
    watcher: TrainingWatcher,
) -> Ending:
    """Train until all steps are made or it is time to stop; the network ends with what to export.

    folder: gets the state, the log and the pictures; a run that was stopped or killed goes on from
    what is there, with the same weights, bit for bit on a CPU, as if nothing had happened.

    Raises:
        ConfigError: the state there is of another run, the loss is no number, memory is too small.
        StorageError: the disk is full.
    """
    task.network.to(accelerator.device)  # before the running mean, which stays where it is made
    parameters = [p for p in task.network.parameters() if p.requires_grad]
    names = [name for name, p in task.network.named_parameters() if p.requires_grad]
    optimizer = make_optimizer(plan, parameters, accelerator.device)
    mean = _running_mean(parameters, plan.ema)
    network, optimizer = accelerator.prepare(task.network, optimizer)
    keeper = _Keeper(folder, task.name, plan, names, parameters, optimizer, mean, accelerator)
    begun = step = keeper.restore()
    total, start = accelerator.num_processes * plan.batch_size, time.monotonic()
    losses: list[Tensor] = []
    with _ahead(task, plan, accelerator, begun * plan.accumulate) as batches, stop.listening():
        while step < plan.steps and not stop.asked:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(plan, step)
            for _ in range(plan.accumulate):
                with accelerator.accumulate(network), memory_told(f"train the {task.name}"):
                    with accelerator.autocast():
                        loss = task.loss(network, next(batches))
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(parameters, plan.max_gradient)
                    optimizer.step()
                    optimizer.zero_grad()
                losses.append(loss.detach())
            if mean is not None:
                mean.step(parameters)
            step += 1
            stops = _all_stop(stop, accelerator)  # asked at every step, one that saves anyway too
            saves = stops or step % plan.save_every == 0 or step == plan.steps
            if step % _LOGGED == 0 or saves:
                value = keeper.log(step, losses, learning_rate(plan, step - 1))
                losses.clear()
                rate = (step - begun) / max(time.monotonic() - start, 1e-9)
                watcher.stepped(task.name, step, plan.steps, value, rate * total * plan.accumulate)
            if saves:
                keeper.save(step)
            if plan.validate_every and step % plan.validate_every == 0 and step < plan.steps:
                keeper.look(task, step)
    if mean is not None:
        mean.copy_to(parameters)
    keeper.look(task, step)
    if plan.keep_best:
        keeper.load_best()
    seconds = time.monotonic() - start
    return Ending(step, plan.steps, seconds, step - begun, *keeper.curves())


def _all_stop(stop: Stop, accelerator: Any) -> bool:
    """Return whether to stop, the same on every device: when one of them is asked to."""
    if accelerator.num_processes == 1:
        return stop.now()
    import torch

    asked = torch.tensor(float(stop.now()), device=accelerator.device)
    stop.asked = bool(accelerator.reduce(asked, "sum") > 0)
    return stop.asked


def _running_mean(parameters: Sequence[Any], decay: float) -> Any:
    """Return the exponential moving average of the weights, or None."""
    if not decay:
        return None
    from diffusers.training_utils import EMAModel

    return EMAModel(parameters, decay=decay, foreach=True)


class _ahead:  # noqa: N801  # reads like the function that it is
    """Batches from a position on, the next one made by a thread while this one is learnt from."""

    def __init__(self, task: Trainee, plan: Schedule, accelerator: Any, number: int) -> None:
        self._task, self._device = task, accelerator.device
        self._draws = Draws(plan.seed, task.name, task.count)
        self._size, self._rank = plan.batch_size, accelerator.process_index
        self._stride = plan.batch_size * accelerator.num_processes
        self._number = number
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Iterator[Example]:
        return self._batches()

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _batches(self) -> Iterator[Example]:
        coming = self._pool.submit(self._make, self._number)
        while True:
            batch = coming.result()
            self._number += 1
            coming = self._pool.submit(self._make, self._number)
            yield {name: value.to(self._device) for name, value in batch.items()}

    def _make(self, number: int) -> Example:
        import torch

        first = number * self._stride + self._rank * self._size
        draws = self._draws.take(range(first, first + self._size))
        examples = [self._task.example(draw) for draw in draws]
        return {name: torch.stack([e[name] for e in examples]) for name in examples[0]}


class _Keeper:
    """Keeps what a run leaves behind: its state, its log, its pictures. One process writes."""

    def __init__(
        self,
        folder: Path,
        name: str,
        plan: Schedule,
        names: Sequence[str],
        parameters: Sequence[Any],
        optimizer: Any,
        mean: Any,
        accelerator: Any,
    ) -> None:
        self._state = folder / f"{name}.safetensors"
        self._log = folder / f"{name}.jsonl"
        self._pictures = folder / "pictures"
        self._name, self._plan, self._names = name, plan, names
        self._parameters, self._optimizer, self._mean = parameters, optimizer, mean
        self._accelerator = accelerator
        self._best = folder / f"{name}-best.safetensors"

    def restore(self) -> int:
        """Return the step that the run is at, with everything as it was after it."""
        found = read_state(self._state)
        step = read_step(self._state)
        with damage_told(self._log, "delete it; the curves then begin here"):
            self._rows = self._read_log(step)
        if found is None:
            return 0
        parts, told = found
        with damage_told(self._state):
            _require_same(told["fixed"], self._plan.fixed, self._state)
            self._load(parts, told)
        return step

    def _load(self, parts: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        """Give weights, running mean and optimizer the values of a state."""
        import torch

        with torch.no_grad():
            for name, parameter in zip(self._names, self._parameters, strict=True):
                parameter.copy_(parts["weights"][name])
            if self._mean is not None:
                for name, shadow in zip(self._names, self._mean.shadow_params, strict=True):
                    shadow.copy_(parts["mean"][name])
                self._mean.optimization_step = told["step"]
        _require_moments(parts["optimizer"], self._parameters)
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": parts["optimizer"], "param_groups": groups})
        if self._accelerator.scaler is not None and told["scaler"]:
            self._accelerator.scaler.load_state_dict(told["scaler"])

    def save(self, step: int) -> None:
        """Write the state after a step."""
        if not self._accelerator.is_main_process:
            return
        scaler = self._accelerator.scaler
        shadows = self._mean.shadow_params if self._mean is not None else []
        write_state(
            self._state,
            step,
            dict(zip(self._names, self._parameters, strict=True)),
            dict(zip(self._names, shadows, strict=False)),
            self._optimizer.state_dict(),
            {"fixed": self._plan.fixed, "scaler": scaler.state_dict() if scaler else None},
        )

    def log(self, step: int, losses: Sequence[Tensor], rate: float) -> float:
        """Return the mean loss of the last steps, written down.

        Raises:
            ConfigError: it is no number; the state on disk is from before.
        """
        import torch

        mean = self._accelerator.reduce(torch.stack(list(losses)).mean(), "mean")
        value = float(mean)
        if not math.isfinite(value):
            raise ConfigError(
                f"the loss of the {self._name} is not a number at step {step:,}; begin anew with a "
                f"smaller learning rate, or with --precision float32 or bfloat16"
            )
        self._add({"step": step, "loss": value, "learning_rate": rate})
        return value

    def look(self, task: Trainee, step: int) -> None:
        """Write down the loss on photos held out, and a picture, by the running mean's weights."""
        if not self._accelerator.is_main_process:
            return
        if self._mean is not None:
            self._mean.store(self._parameters)
            self._mean.copy_to(self._parameters)
        fix = "a smaller --resolution, or --held-out 0, in another --output"
        with memory_told(f"look at photos held out with the {self._name}", fix):
            found = task.validate()
        if found is not None and self._plan.keep_best:
            self._keep_best(step, found[0])
        if self._mean is not None:
            self._mean.restore(self._parameters)
        if found is None:
            return
        loss, picture = found
        self._add({"step": step, "held_out": loss})
        _write_picture(self._pictures / f"{self._name}-{step:06}.png", picture)

    def _keep_best(self, step: int, loss: float) -> None:
        """Write the weights down if nothing before did as well on what is held out."""
        best = read_state(self._best)
        with damage_told(self._best):
            better = best is None or loss < best[1]["loss"]
        if better:
            weights = dict(zip(self._names, self._parameters, strict=True))
            write_state(self._best, step, weights, {}, {"state": {}}, {"loss": loss})

    def load_best(self) -> None:
        """Give the network the weights that did best, if any were looked at."""
        import torch

        best = read_state(self._best)
        if best is None:
            return
        with torch.no_grad(), damage_told(self._best):
            for name, parameter in zip(self._names, self._parameters, strict=True):
                parameter.copy_(best[0]["weights"][name])

    def curves(self) -> tuple[tuple[tuple[int, float], ...], tuple[tuple[int, float], ...]]:
        """Return the losses by step: those learnt from, and those on photos held out."""

        def curve(name: str) -> tuple[tuple[int, float], ...]:
            return tuple((row["step"], row[name]) for row in self._rows if name in row)

        return curve("loss"), curve("held_out")

    def _read_log(self, step: int) -> list[dict[str, Any]]:
        """Return the log up to a step; what came after it was lost with the state."""
        if not self._log.is_file():
            return []
        lines = self._log.read_text(encoding="utf-8").splitlines(keepends=True)
        rows = [_row(line) for line in lines if line.endswith("\n")]
        kept = [row for row in rows if row["step"] <= step]
        if self._accelerator.is_main_process and len(kept) < len(lines):
            self._log.write_text("".join(f"{json.dumps(row)}\n" for row in kept), encoding="utf-8")
        return kept

    def _add(self, row: dict[str, Any]) -> None:
        if row in self._rows:
            return
        self._rows.append(row)
        values = {f"{self._name}/{key}": value for key, value in row.items() if key != "step"}
        self._accelerator.log(values, step=row["step"])
        if self._accelerator.is_main_process:
            with disk_told(self._log), self._log.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(row)}\n")


def _require_moments(state: Mapping[Any, Mapping[str, Any]], parameters: Sequence[Any]) -> None:
    """Raise ValueError where the optimizer's state lacks some parameter's, or is of other shapes.

    torch takes such a state, and learns from memory that is not its own.
    """
    keys = {key for entries in state.values() for key in entries}
    for number, entries in state.items():
        shape = parameters[number].shape
        moments = [entries[key] for key in ("exp_avg", "exp_avg_sq") if key in keys]
        if keys - {*entries} or any(moment.shape != shape for moment in moments):
            raise ValueError("the optimizer's state does not fit")


def _row(line: str) -> dict[str, Any]:
    """Return a line of the log: numbers by name; raises ValueError or KeyError where it is none."""
    row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row["step"], int):
        raise ValueError(f"no line of a log: {line.strip()[:60]}")
    return {name: row[name] if name == "step" else float(row[name]) for name in row}


def _require_same(then: Mapping[str, Any], now: Mapping[str, Any], state: Path) -> None:
    """Raise ConfigError where a state is of a run with other settings, naming the first.

    What only one of the two tells, it tells by another version of sv2r.
    """
    now = json.loads(json.dumps(now))
    for name in sorted({*then} & {*now}):
        if then[name] != now[name]:
            raise ConfigError(
                f"{state}: was begun with {name} {then[name]}, not {now[name]}; give the same "
                f"again, or another --output"
            )


def _write_picture(path: Path, picture: Tensor) -> None:
    from PIL import Image

    from sv2r.storage.files import replacing

    with replacing(path) as temporary:
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(temporary)
