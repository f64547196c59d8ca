"""`sv2r doctor`: say what this machine has: versions, devices, plugins, caches."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from sv2r.cli.options import OnceCommand
from sv2r.errors import ConfigError
from sv2r.plugin.hookspecs import hookimpl

_LIBRARIES = (
    *("sv2r", "torch", "diffusers", "transformers", "accelerate", "peft", "safetensors"),
    *("kornia", "numpy", "pillow", "isal", "pycocotools", "pluggy", "pydantic", "click"),
)


@click.command(cls=OnceCommand)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, for a bug report.")
@click.option(
    "--gpu",
    "gpus",
    is_flag=True,
    help="Try every GPU for about a minute: rounding, cuDNN, attention, pace, cost of the checks.",
)
def doctor(as_json: bool, gpus: bool) -> int:
    """Say what this machine has: versions, devices, plugins, caches.

    Exit code 1 where a plugin failed, or something does not work on a GPU.
    """
    from sv2r.diffusion.families import FAMILIES
    from sv2r.diffusion.preflight import find_compiler

    tried = {name: _tried(name, as_json=as_json) for name in _gpus()} if gpus else {}
    found: dict[str, Any] = {
        "python": f"{platform.python_version()} ({sys.executable})",
        "versions": {name: _version(name) for name in _LIBRARIES},
        "devices": _devices(),
        "compiler": find_compiler() or "none",
        "paths": {"latents": [family.name for family in FAMILIES], "pipeline": ["all others"]},
        "plugins": _plugins(),
        "caches": _caches(),
        **({"tried": tried} if gpus else {}),
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
    broken = [finding for all_of_it in tried.values() for finding in all_of_it]
    return 1 if found["plugins"]["failed"] or not all(one["works"] for one in broken) else 0


def _gpus() -> list[str]:
    """Return the GPUs by name.

    Raises:
        ConfigError: there is none.
    """
    import torch

    count = torch.cuda.device_count()
    if not count:
        cuda = torch.version.cuda
        built = f"built for CUDA {cuda}" if cuda else "built without CUDA"
        raise ConfigError(
            f"--gpu: torch {torch.__version__} ({built}) sees no GPU here; nvidia-smi shows "
            "whether there is a driver, and its version"
        )
    return [f"cuda:{index}" for index in range(count)]


def _tried(device: str, *, as_json: bool) -> list[dict[str, Any]]:
    """Return what a trial of a GPU found, each told on stderr as it comes."""
    from dataclasses import asdict

    from sv2r.trial import try_device
    from sv2r.worker.work import choose_dtype

    found = []
    for finding in try_device(device, choose_dtype("auto", device)):
        if not as_json:
            works = "" if finding.works else "DOES NOT WORK: "
            click.echo(f"{device:<11} {finding.what}: {works}{finding.says}", err=True)
        found.append(asdict(finding))
    return found


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _devices() -> list[dict[str, Any]]:
    import torch

    processor = platform.processor() or platform.machine()
    cpu = {"name": "cpu", "what": f"{os.cpu_count()} cores, {processor}", "dtype": "float32"}
    gpus = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        memory = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        dtype = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
        name = torch.cuda.get_device_name(index)
        gpus.append({"name": f"cuda:{index}", "what": f"{name}, {memory}", "dtype": dtype})
    if torch.backends.mps.is_available():
        gpus.append({"name": "mps", "what": "Apple GPU", "dtype": "float16"})
    return [*gpus, cpu]


def _plugins() -> dict[str, Any]:
    from sv2r.plugin.registry import load_registry

    registry = load_registry()
    kinds = (
        "loader",
        "conditioner",
        "translator",
        "check",
        "writer",
        "executor",
        "preset",
        "command",
    )
    working = {kind: [entry.name for entry in registry.of_kind(kind)] for kind in kinds}
    failed = [str(failure) for failure in registry.failures]
    return {"working": working, "failed": failed, "off": [str(o) for o in registry.disabled]}


def _caches() -> list[dict[str, Any]]:
    from huggingface_hub.constants import HF_HUB_CACHE

    from sv2r.loaders.coco.cache import cache_file

    return [_cache("hub", Path(HF_HUB_CACHE)), _cache("coco index", cache_file(Path("any")).parent)]


def _cache(what: str, path: Path) -> dict[str, Any]:
    files = [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
    size = sum(file.stat().st_size for file in files)
    place = next(p for p in (path, *path.parents) if p.exists())
    return {
        "what": what,
        "path": str(path),
        "bytes": size,
        "free_bytes": shutil.disk_usage(place).free,
    }


def _print(found: dict[str, Any]) -> None:
    click.echo(f"python      {found['python']}")
    for name, text in found["versions"].items():
        click.echo(f"{name:<13} {text}")
    for device in found["devices"]:
        click.echo(f"device      {device['name']}: {device['what']}, computes in {device['dtype']}")
    click.echo(f"compiler    {found['compiler']} (for --translator.compile)")
    for path, families in found["paths"].items():
        click.echo(f"models      {', '.join(families)}: by the path '{path}'")
    for kind, names in found["plugins"]["working"].items():
        click.echo(f"{kind + 's':<13} {', '.join(names) or 'none'}")
    for line in (
        *found["plugins"]["failed"],
        *(f"{o} is turned off" for o in found["plugins"]["off"]),
    ):
        click.echo(f"warning     {line}")
    for cache in found["caches"]:
        used, free = cache["bytes"] / 2**30, cache["free_bytes"] / 2**30
        click.echo(
            f"cache       {cache['what']}: {cache['path']}, {used:.2f} GiB ({free:.0f} GiB free)"
        )


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [doctor]
