"""Other people's checkpoints: fetched from the Hugging Face hub, named in errors, read quietly."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from sv2r.errors import ConfigError
from sv2r.storage.paths import from_home, url_of, without_file_scheme
from sv2r.weights import require_plain_files, require_plain_shards, weight_files


def whole_path(model: str) -> str:
    """Return a file or folder that is here by its whole path, a repository's id as it is."""
    path = from_home(Path(model))
    return str(path.absolute()) if path.exists() else model


# What names a checkpoint, as the type of an option: a run.yaml must mean the same from anywhere.
Checkpoint = Annotated[str, AfterValidator(whole_path)]


def local_path(model: str) -> Path:
    """Return the path that a model is given as; of a URL that of its copy on this machine.

    Raises:
        ConfigError: it is a URL of nothing, or of what cannot be reached.
    """
    if (url := url_of(model)) is None:
        return from_home(without_file_scheme(Path(model)))
    from sv2r.storage.remote import fetched

    if (path := fetched(url)) is None:
        raise ConfigError(f"{url}: there is no such file or folder")
    return path


def checkpoint_folder(model: str, revision: str | None, option: str) -> Path:
    """Return the folder with a transformers checkpoint, fetched where it is not here.

    option: how the user gave it ("--conditioner.depth.model"); errors name it.

    Raises:
        ConfigError: no such folder or repository, or there are no safetensors in it.
    """
    folder = _folder(model, revision, option)
    require_plain_files(folder, f"{option} {model}")
    require_plain_shards(folder, f"{option} {model}")
    if not weight_files(folder):
        raise ConfigError(
            f"{option} {model}: has no .safetensors weights, and others can run code when they are "
            "read; convert them or choose another"
        )
    return folder


def _folder(model: str, revision: str | None, option: str) -> Path:
    path = local_path(model)
    if path.is_dir():
        if revision is not None:
            raise ConfigError(f"{option} {model}: a folder has no revision; leave it out")
        return path
    if path.is_file():
        fix = "give the folder that has its config.json as well"
        raise ConfigError(f"{option} {model}: is a file; {fix}")
    if path.is_absolute():
        raise ConfigError(f"{option} {model}: no such folder")
    return fetch_files(model, revision, option, ["*.json", "*.safetensors"])


def fetch_files(
    model: str, revision: str | None, option: str, patterns: Sequence[str], *, asked: str = ""
) -> Path:
    """Return the folder with a repository's files of these names, from the cache where it can.

    Raises:
        ConfigError: as `hub_errors`.
    """
    from huggingface_hub import snapshot_download

    with hub_errors(asked or model, option), no_bars():
        return Path(snapshot_download(model, revision=revision, allow_patterns=[*patterns]))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the bars and warnings of diffusers, transformers and the hub off while this lasts.

    What they print while they are imported belongs to it: import them inside.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    verbosity = [library.get_verbosity() for library in libraries]
    bars = [library.is_progress_bar_enabled() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        with warnings.catch_warnings(), no_bars():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library, before, had_bars in zip(libraries, verbosity, bars, strict=True):
            library.set_verbosity(before)
            if had_bars:
                library.enable_progress_bar()


@contextmanager
def no_bars() -> Iterator[None]:
    """Keep the hub's progress bars off while this lasts."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


@contextmanager
def hub_errors(model: str, option: str) -> Iterator[None]:
    """Turn what goes wrong at the Hugging Face hub into one line that says the fix.

    Raises:
        ConfigError: repository or revision unknown, gated, out of reach and not in the cache.
    """
    from huggingface_hub import errors

    here = f"{option} {model}: no such folder here, and"
    try:
        yield
    except errors.GatedRepoError:
        raise ConfigError(
            f"{here} the repository is gated: accept its terms on huggingface.co and log in with "
            f"`hf auth login`"
        ) from None
    except errors.RevisionNotFoundError:
        raise ConfigError(f"{option} {model}: the repository has no such revision") from None
    except errors.RepositoryNotFoundError:
        raise ConfigError(
            f"{here} no such repository on huggingface.co, or a private one; check the spelling"
        ) from None
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise ConfigError(_unreachable(here)) from None
        raise ConfigError(f"{option} {model}: {' '.join(str(error).split())}") from None
    except errors.HFValidationError:
        raise ConfigError(f"{option} {model}: no such folder or file") from None
    except (errors.HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the hub's
        if "safetensors" in str(error):
            raise ConfigError(
                f"{option} {model}: the repository has no safetensors weights; choose one that "
                f"has, or convert them"
            ) from None
        raise ConfigError(_unreachable(here)) from None
    except Exception as error:
        # Which HTTP client the hub uses (httpx, httpx2 ...) changes with its version.
        if type(error).__module__.startswith("http"):
            raise ConfigError(_unreachable(here)) from None
        raise


def _unreachable(here: str) -> str:
    return (
        f"{here} huggingface.co cannot be reached and the model is not in its cache; connect, or "
        f"give a folder"
    )
