"""The folder that a training writes: what may be begun or gone on with there, and its result."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from sv2r.errors import ConfigError
from sv2r.storage.files import TEMPORARY, write_atomically
from sv2r.storage.paths import under
from sv2r.storage.regular import is_own_file, read_text
from sv2r.storage.strict_yaml import read_yaml, write_yaml
from sv2r.training.options import RESUMABLE, TrainOptions
from sv2r.training.state import read_step
from sv2r.training.trouble import disk_told

NetworkKind = Literal["lora", "controlnet", "base", "bridge"]

TRAIN_FILE = "train.yaml"
CARD = "README.md"
STATE = "training"
# The state that --steps counts the steps of.
_LAST = {"lora": "lora", "controlnet": "controlnet", "base": "unet", "bridge": "bridge"}


def state_folder(output: Path) -> Path:
    """Return where the run's state, log and pictures are: nothing there is part of the result."""
    return output / STATE


def check_folder(kind: NetworkKind, options: TrainOptions) -> bool:
    """Return whether a run in the output folder is to be gone on with; nothing is written.

    More steps are no other run where the learning rate does not depend on how many there are. A
    run that failed before it saved anything does not keep the folder from another.

    Raises:
        ConfigError: the run there has other settings (the first one is named) or is past the steps
            asked for, the folder holds something else, cannot be written, or has to do with that of
            the photos.
    """
    output = options.output
    _require_apart(options.photos.resolve(), output)
    _require_writable(output)
    file = output / TRAIN_FILE
    _require_text(as_data(kind, options))
    if not file.is_file():
        if output.is_dir() and any(not p.name.startswith(TEMPORARY) for p in output.iterdir()):
            raise ConfigError(
                f"--output {output}: is not empty and holds no training; give another"
            )
        return False
    _require_own(output)
    if not any(state_folder(output).glob("*.safetensors")) and not (output / CARD).is_file():
        return False
    then, now = _read(file, str(file)), as_data(kind, options)
    if then.get("kind") != kind:
        raise ConfigError(
            f"{output} holds a training of sv2r train {then.get('kind')}; give another --output"
        )
    free = {*RESUMABLE, *(("steps",) if options.schedule == "constant" else ())}
    for name in dict.fromkeys((*now, *then)):
        if name not in free and then.get(name) != now.get(name):
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{output} holds a training that was begun with {option} {then.get(name)}, not "
                f"{now.get(name)}; give the same again, or another --output"
            )
    state = state_folder(output) / f"{_LAST[kind]}.safetensors"
    if (step := read_step(state)) > options.steps:
        raise ConfigError(
            f"{output} holds a training that is at step {step:,}, past --steps {options.steps:,}; "
            f"give as many at least, or another --output"
        )
    return True


def _require_apart(photos: Path, output: Path) -> None:
    """Raise ConfigError where one folder is, or lies in, the other."""
    there = output.resolve()
    if photos == there:
        raise ConfigError(f"--output {output}: is the folder with the photos; give another")
    if there.is_relative_to(photos):
        raise ConfigError(
            f"--output {output}: lies in the folder with the photos, and a run must not learn from "
            f"its own pictures; give another"
        )
    if photos.is_relative_to(there):
        raise ConfigError(f"--output {output}: the folder with the photos lies in it; give another")


def _require_writable(output: Path) -> None:
    """Raise ConfigError where the folder cannot be made or nothing can be written into it."""
    there = next(path for path in (output, *output.parents) if path.exists())
    if not there.is_dir():
        what = "is a file" if there == output else f"{there} is a file"
        raise ConfigError(f"--output {output}: {what}; give another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"--output {output}: {there} cannot be written to; give another")


def _require_text(values: Mapping[str, Any]) -> None:
    """Raise ConfigError where an option is no UTF-8, which model cards and weights' files need."""
    for name, value in values.items():
        try:
            str(value).encode()
        except UnicodeEncodeError:
            told = f"--{name.replace('_', '-')} {value}"
            raise ConfigError(f"{told}: is not UTF-8; rename it, or write it in UTF-8") from None


def _require_own(output: Path) -> None:
    """Raise ConfigError where a run would write through a link, or into what is no file."""
    state = state_folder(output)
    for folder in (state, state / "pictures"):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise ConfigError(
                f"{folder}: is no folder of its own; move it, or give another --output"
            )
    kept = [path for end in ("safetensors", "jsonl") for path in state.glob(f"*.{end}")]
    for file in (output / TRAIN_FILE, output / CARD, *kept):
        if not is_own_file(file):
            raise ConfigError(f"{file}: is no file of its own; move it, or give another --output")


def as_data(kind: NetworkKind, options: TrainOptions) -> dict[str, Any]:
    """Return the options as train.yaml has them; `kind` says which command reads them.

    How long one run may take is nothing for its repetition.
    """
    return {"kind": kind, **options.model_dump(mode="json", exclude={"max_time"})}


def read_train_file(kind: NetworkKind, file: Path) -> dict[str, Any]:
    """Return the options that a train.yaml has.

    Raises:
        ConfigError: there is no such file, or it is for another command.
    """
    values = _read(file, f"--config {file}")
    if (named := values.pop("kind", kind)) != kind:
        raise ConfigError(f"--config {file}: is for sv2r train {named}")
    return values


def _read(file: Path, name: str) -> dict[str, Any]:
    """Return what a train.yaml says; ConfigError where it cannot be read. name: of it in errors."""
    try:
        return read_yaml(read_text(file), name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: cannot be read ({error})") from None


def begin(kind: NetworkKind, options: TrainOptions) -> None:
    """Write train.yaml, from which on the folder holds this training.

    Temporary files that a killed run left are removed.
    """
    state = state_folder(options.output)
    state.mkdir(parents=True, exist_ok=True)
    for folder in (options.output, state, state / "pictures"):
        for path in folder.glob(f"{TEMPORARY}*"):
            # What a result was written into is a folder.
            linked = path.is_symlink()
            shutil.rmtree(path) if path.is_dir() and not linked else path.unlink(missing_ok=True)
    text = write_yaml(as_data(kind, options))
    write_atomically(options.output / TRAIN_FILE, text.encode())


def publish(output: Path, write: Callable[[Path], None], texts: Mapping[str, str]) -> None:
    """Put a result in place file by file, each whole; what says that it is a model comes last.

    write: writes the result into an empty folder. texts: further files.

    Raises:
        ConfigError: a link leads out of the output. StorageError: the disk is full.
    """
    with disk_told(output), tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=output) as name:
        made = Path(name)
        write(made)
        files = sorted(p.relative_to(made) for p in made.rglob("*") if p.is_file())
        for file in sorted(files, key=lambda file: file.name == "model_index.json"):
            if (target := under(output, file.as_posix())) is None:
                raise ConfigError(f"{output / file}: a link on the way leads elsewhere; remove it")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copymode(output, target.parent)
            (made / file).chmod(0o644)
            (made / file).replace(target)
    for file_name, text in texts.items():
        write_atomically(output / file_name, text.encode())
