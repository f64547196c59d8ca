"""The folder that a training writes: what may be begun or gone on with there, and its result."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from sv2r.errors import ConfigError
from sv2r.images.files import TEMPORARY, write_atomically
from sv2r.job.strict_yaml import read_yaml, write_yaml
from sv2r.training.options import FREE, TrainOptions

Kind = Literal["lora", "controlnet", "base"]

TRAIN_FILE = "train.yaml"
STATE = "training"


def state_folder(output: Path) -> Path:
    """Return where the run's state, log and pictures are: nothing there is part of the result."""
    return output / STATE


def check_folder(kind: Kind, options: TrainOptions) -> bool:
    """Return whether a run in the output folder is to be gone on with; nothing is written.

    More steps are no other run where the learning rate does not depend on how many there are.

    Raises:
        ConfigError: the run there has other settings (the first one is named), or the folder holds
            something else.
    """
    output = options.output
    if options.photos.resolve() == output.resolve():
        raise ConfigError(f"--output {output}: is the folder with the photos; give another")
    file = output / TRAIN_FILE
    if not file.is_file():
        if output.is_dir() and any(not p.name.startswith(TEMPORARY) for p in output.iterdir()):
            raise ConfigError(
                f"--output {output}: is not empty and holds no training; give another"
            )
        return False
    then, now = read_yaml(file.read_text(encoding="utf-8"), str(file)), as_data(kind, options)
    free = {*FREE, *(("steps",) if options.schedule == "constant" else ())}
    for name in dict.fromkeys((*now, *then)):
        if name not in free and then.get(name) != now.get(name):
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{output} holds a training that was begun with {option} {then.get(name)}, not "
                f"{now.get(name)}; give the same again, or another --output"
            )
    return True


def as_data(kind: Kind, options: TrainOptions) -> dict[str, Any]:
    """Return the options as train.yaml has them; `kind` says which command reads them."""
    return {"kind": kind, **options.model_dump(mode="json")}


def read_config(kind: Kind, file: Path) -> dict[str, Any]:
    """Return the options that a train.yaml has.

    Raises:
        ConfigError: there is no such file, or it is for another command.
    """
    try:
        values = read_yaml(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {file}: cannot be read ({error})") from None
    if (named := values.pop("kind", kind)) != kind:
        raise ConfigError(f"--config {file}: is for sv2r train {named}")
    return values


def begin(kind: Kind, options: TrainOptions) -> None:
    """Write train.yaml, from which on the folder holds this training."""
    state_folder(options.output).mkdir(parents=True, exist_ok=True)
    text = write_yaml(as_data(kind, options))
    write_atomically(options.output / TRAIN_FILE, text.encode())


def publish(output: Path, write: Callable[[Path], None], texts: Mapping[str, str]) -> None:
    """Put a result in place file by file, each whole; what says that it is a model comes last.

    write: writes the result into an empty folder. texts: further files.
    """
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=output) as name:
        made = Path(name)
        write(made)
        files = sorted(p.relative_to(made) for p in made.rglob("*") if p.is_file())
        for file in sorted(files, key=lambda file: file.name == "model_index.json"):
            target = output / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copymode(output, target.parent)
            (made / file).chmod(0o644)
            (made / file).replace(target)
    for file_name, text in texts.items():
        write_atomically(output / file_name, text.encode())
