"""Which files hold a network's weights: safetensors alone, shards and variants included."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sv2r.errors import ConfigError

PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl"})
_PICKLE = "is a pickle, which can run code when it is read; convert it to safetensors"


def refuse_pickle(path: Path, named: str) -> None:
    """Raise ConfigError for a file that is named as weights and is not a .safetensors file.

    named: how the user gave it ("--translator.model style.pt").
    """
    if path.suffix.lower() in PICKLES and not path.is_dir():
        raise ConfigError(f"{named}: a {path.suffix} file {_PICKLE}")
    if path.is_file() and path.suffix.lower() != ".safetensors":
        raise ConfigError(f"{named}: not a .safetensors file")


def weight_files(folder: Path, variant: str | None = None) -> list[Path]:
    """Return the files that a network is read from, sorted: of the variant where it has it.

    Those that an index names belong to it, whatever they are called.
    """
    files = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    plain = [path for path in files if "." not in path.stem]
    chosen = [path for path in files if variant and f".{variant}" in path.stem] or plain
    return sorted({*chosen, *_shards(folder, variant)})


def require_weights(folder: Path, variant: str | None, named: str, part: str = "") -> None:
    """Raise ConfigError where a network has no weights in safetensors, or an index names others.

    part: the network's folder within the model ("unet/").
    """
    require_plain_shards(folder, named, part)
    for shard in _shards(folder, variant):
        if not shard.is_file():
            raise ConfigError(f"{named}: {part}{shard.name} is not there; copy the model again")
    if weight_files(folder, variant):
        return
    for file in sorted(folder.glob("*.safetensors")):
        own = file.stem.partition(".")[2].partition("-")[0]
        if file.is_file() and own:
            raise ConfigError(f"{named}: its weights are {part}{file.name}; say variant {own}")
    refuse_pickles_alone(folder, named, part)
    raise ConfigError(f"{named}: there are no safetensors weights in {folder}")


def refuse_pickles_alone(folder: Path, named: str, part: str = "") -> None:
    """Raise ConfigError where a network's folder has pickled weights and no others."""
    if any(folder.glob("*.safetensors")):
        return
    for file in sorted(folder.glob("*")):
        if file.suffix.lower() in PICKLES:
            raise ConfigError(f"{named}: {part}{file.name} {_PICKLE}")


def require_plain_shards(folder: Path, named: str, part: str = "") -> None:
    """Raise ConfigError where an index names a file that is not a .safetensors file next to it.

    diffusers and transformers read what an index names, a pickle too.
    """
    for index in _indexes(folder, "*"):
        try:
            names = _named_by(index)
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{named}: {part}{index.name} is not an index ({error})") from None
        for name in names:
            path = folder / name
            refuse_pickle(path, f"{named}: {part}{index.name} names {name}")
            if path.suffix != ".safetensors" or path.parent != folder or "\\" in name:
                raise ConfigError(
                    f"{named}: {part}{index.name} names {name}, which is no .safetensors file "
                    f"next to it; copy the model again"
                )


def _indexes(folder: Path, ending: str) -> list[Path]:
    return sorted(p for p in folder.glob(f"*.safetensors.index{ending}.json") if p.is_file())


def _shards(folder: Path, variant: str | None) -> Iterator[Path]:
    """Yield the files that the chosen index names; one that cannot be read names none."""
    own = _indexes(folder, f".{variant}") if variant else []
    for index in own or _indexes(folder, ""):
        try:
            yield from (folder / name for name in _named_by(index))
        except (OSError, ValueError, RecursionError):
            return


def _named_by(index: Path) -> list[str]:
    """Return the names of an index's files.

    Raises:
        ValueError: it is no such index.
    """
    content = json.loads(index.read_text(encoding="utf-8"))
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ValueError("it has no weight_map of tensors to files")
    return sorted(set(names.values()))


def require_plain_files(folder: Path, named: str) -> None:
    """Raise ConfigError for a pipe or device in a model's folder: reading it may never end."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            if path.exists() and not path.is_file():
                where = path.relative_to(folder).as_posix()
                raise ConfigError(f"{named}: {where} is not a file; copy the model again")


def weights_sha256(files: Sequence[Path], root: Path) -> str:
    """Return the SHA-256 of a file's bytes; of several, that of their list as sha256sum prints it.

    The list has a line ``digest  path`` per file, the paths relative to root and sorted. A file in
    the Hugging Face cache has its digest for a name, which is taken instead of reading it.
    """
    digests = [(path, _sha256(path)) for path in sorted(files)]
    if len(digests) == 1:
        return digests[0][1]
    lines = [f"{digest}  {name_in_model(path, root)}\n" for path, digest in digests]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def name_in_model(path: Path, root: Path) -> str:
    """Return a file's path relative to root, or its bare name where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _sha256(path: Path) -> str:
    blob = Path(os.path.realpath(path))
    digits = len(blob.name) == 64 and all(c in "0123456789abcdef" for c in blob.name)
    if path.is_symlink() and digits and blob.parent.name == "blobs":
        return blob.name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
