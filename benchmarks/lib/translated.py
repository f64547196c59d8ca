"""Renders of the tabletop world as each translator leaves them, by sv2r's own jobs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lib.tableworld import PHOTO_TRAIN
from sv2r import ConfigError, convert
from sv2r.config.layers import Layer, read_layers
from sv2r.config.resolve import Config, resolve
from sv2r.output.finished import open_finished
from sv2r.plugin.registry import Registry, load_registry

# What needs no model, and what the measurement is about.
BASELINES = ("reinhard", "fda")
DIFFUSION = "translated"
_PLUGIN = Path(__file__).parents[2] / "plugins/sv2r-tabletop/src/sv2r_tabletop"
BUNDLED = _PLUGIN / "bundled"
_AGAIN = "sv2r/report.html there says why; fix that, then run --stages translate again"
PRESET = _PLUGIN / "presets" / "tabletop.yaml"
MODEL = BUNDLED / "model"


@dataclass(frozen=True)
class Translation:
    """How renders are translated.

    preset: the YAML file that says how the diffusion model is used, the one place for its settings.
    model: a diffusers folder, its ControlNets below it as `controlnet-NAME`.
    palette: whether pictures get the colours of photographs after the model.
    """

    world: Path
    work: Path
    preset: Path = PRESET
    model: Path = MODEL
    device: str = "auto"
    limit: int | None = None
    palette: bool = False

    def folder(self, method: str, part: str) -> Path:
        """Return where the pictures of a part of the world are once a method has made them."""
        key: dict[str, Any] = {"settings": self._settings(method), "limit": self.limit}
        if method == DIFFUSION:
            key |= {"preset": self.preset.read_text(encoding="utf-8"), "model": self._model()}
            key |= {"palette": self._photos() if self.palette else ""}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        return self.work / "translated" / f"{method}-{digest}" / part

    def make(self, method: str, part: str) -> Path:
        """Return that folder, made or completed where it is not whole yet; tell how it went.

        Raises:
            ConfigError: the job cannot start.
        """
        registry, output = load_registry(), self.folder(method, part)
        summary = convert(self._config(registry, method, part, output), registry=registry)
        print(
            f"{method} {part}: {summary.done} done, {summary.rejected} rejected, "
            f"{summary.failed} failed, {summary.restored} of them earlier; {summary.seconds:.0f} s",
            flush=True,
        )
        if not summary.done:
            raise ConfigError(f"{output}: not one picture was done; look at sv2r/report.html there")
        if summary.failed:
            print(f"WARNING: {method} {part}: {summary.failed} pictures failed; {_AGAIN}")
        return output

    def require(self, method: str, part: str) -> None:
        """Raise ConfigError unless a method's pictures of a part are there and none failed."""
        output = self.folder(method, part)
        try:
            failed = sum(one.status == "failed" for one in open_finished(output).records())
        except ConfigError:
            failed = None
        if failed is None or not (output / "annotations.json").is_file():
            raise ConfigError(
                f"{output}: {method} has not been translated; run --stages translate first, with "
                "the same options"
            )
        if failed:
            raise ConfigError(f"{output}: {failed} pictures failed; {_AGAIN}")

    def _config(self, registry: Registry, method: str, part: str, output: Path) -> Config:
        files = [self.preset] if method == DIFFUSION else []
        own = {
            "input": self.world / part,
            "output": output,
            "device": [self.device],
            "limit": self.limit,
            "loader": {"name": "coco", "depth": "../depth/{stem}.png"},
            **self._settings(method),
        }
        layers = read_layers(registry, files=files)
        if method == DIFFUSION:
            layers.append(Layer("--model", self._networks(registry, layers)))
        return resolve(registry, [*layers, Layer("benchmark", own)])

    def _settings(self, method: str) -> dict[str, Any]:
        if method == DIFFUSION:
            return {}
        return {"translator": {"name": method, "photos": self._photos()}}

    def _photos(self) -> str:
        """Return the folder of photographs whose colours pictures get."""
        return str((self.world / PHOTO_TRAIN / "images").absolute())

    def _networks(self, registry: Registry, layers: list[Layer]) -> dict[str, Any]:
        """Return the model and its ControlNets as a layer, where the translator takes a model."""
        merged: dict[str, Any] = {}
        for layer in layers:
            merged |= layer.values
        translator, conditioners = merged.get("translator", {}), merged.get("conditioners", {})
        name = translator if isinstance(translator, str) else translator.get("name")
        options = registry.spec("translator", name).options.model_fields
        if "model" not in options:
            return {}
        if not (self.model / "model_index.json").is_file():
            raise ConfigError(f"{self.model}: no diffusers model there; give one by --model")
        nets = {c: str(self.model / f"controlnet-{c}") for c in conditioners}
        there: Mapping[str, str] = {c: path for c, path in nets.items() if Path(path).is_dir()}
        given = {"name": name, "model": str(self.model)}
        if self.palette:
            given["palette"] = self._photos()
        return {"translator": {**given, **({"controlnet": there} if there else {})}}

    def _model(self) -> str:
        """Return a hash of the model's weights and configs, so that another one is made anew."""
        digest = hashlib.sha256()
        for path in sorted(self.model.rglob("*")):
            if path.suffix in {".safetensors", ".json"}:
                digest.update(path.relative_to(self.model).as_posix().encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()
