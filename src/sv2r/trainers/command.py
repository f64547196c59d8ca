"""Trainer `command`: a training script of the user's own."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field

from sv2r.errors import ConfigError
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Detections, Runtime, Trainer, TrainerSpec, Training
from sv2r.trainers.detections import require_detections

_FOUND = "detections.json"


class CommandOptions(Options):
    """Options of the trainer `command`."""

    command: str = Field(
        description="Your training: a command line in which {train}, {test}, {out}, {seed} and "
        "{device} are put in. {train} and {test} are COCO folders; what it finds in {test} it "
        "writes to {out}/detections.json, as COCO results with RLE masks."
    )


def build(options: CommandOptions, runtime: Runtime) -> Trainer:
    """Return the trainer."""
    return _Script(options.command)


class _Script:
    def __init__(self, command: str) -> None:
        self._command = command

    def detect(self, training: Training) -> Detections:
        """Run the script and read what it found; what it prints goes to log.txt beside that."""
        names = ("train", "test", "out", "seed", "device")
        fields = {name: str(getattr(training, name)) for name in names}
        words = [_filled(word, fields) for word in shlex.split(self._command)]
        log = training.out / "log.txt"
        (training.out / _FOUND).unlink(missing_ok=True)
        with log.open("wb") as stream:
            try:
                # The user's own program, by words and without a shell.
                done = subprocess.run(  # noqa: S603
                    words, stdout=stream, stderr=subprocess.STDOUT, check=False
                )
            except OSError as error:
                reason = str(error.strerror).lower()
                raise ConfigError(f"--trainer.command: {words[0]}: {reason}") from None
        if done.returncode:
            code = f"ended with exit code {done.returncode}"
            raise ConfigError(f"--trainer.command {code}; {log} has what it printed")
        return read_detections(training.out / _FOUND, training.test)


def _filled(word: str, fields: Mapping[str, str]) -> str:
    try:
        return word.format_map(fields)
    except (KeyError, ValueError, IndexError):
        known = ", ".join(f"{{{name}}}" for name in fields)
        raise ConfigError(f"--trainer.command: {word}: only {known} can be put in") from None


def read_detections(path: Path, test: Path) -> Detections:
    """Return COCO results from a file.

    Raises:
        ConfigError: it is not there, or they are not of the test pictures.
    """
    try:
        return require_detections(json.loads(path.read_text(encoding="utf-8")), test)
    except FileNotFoundError:
        raise ConfigError(f"{path}: the training has written no detections") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not COCO results with RLE masks: {error}") from None


@hookimpl
def sv2r_trainers() -> Iterable[TrainerSpec[CommandOptions]]:
    """Return the trainer."""
    summary = "Your own training script."
    return [TrainerSpec(name="command", summary=summary, options=CommandOptions, build=build)]
