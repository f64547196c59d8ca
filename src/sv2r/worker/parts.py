"""The components of a job, built for one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sv2r.config.resolve import Config
from sv2r.errors import ConfigError
from sv2r.plugin.registry import Kind, Registry
from sv2r.plugin.specs import Check, Conditioner, Runtime, Translator, Writer
from sv2r.worker.out_of_memory import is_out_of_memory


@dataclass(frozen=True)
class Parts:
    """The components of a job, built for one device."""

    conditioners: tuple[tuple[str, Conditioner], ...]
    translator: Translator
    checks: tuple[tuple[str, Check], ...]
    writer: Writer


def build_parts(registry: Registry, config: Config, runtime: Runtime) -> Parts:
    """Return the job's components, models loaded.

    Raises:
        ConfigError: a component cannot be built: names it and its distribution.
    """

    def build(kind: Kind, name: str, options: Any) -> Any:
        entry = registry.entry(kind, name)
        try:
            return entry.value.build(options, runtime)
        except (ConfigError, MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                mend = "choose a smaller model, --translator.offload, or another --device"
                raise ConfigError(
                    f"{kind} '{name}': out of memory on {runtime.device}; {mend}"
                ) from error
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(
                f"{kind} '{name}' from plugin {entry.owner} failed: {what}"
            ) from error

    return Parts(
        tuple((c.name, build("conditioner", c.name, c.options)) for c in config.conditioners),
        build("translator", config.translator.name, config.translator.options),
        tuple((c.name, build("check", c.name, c.options)) for c in config.checks),
        build("writer", config.writer.name, config.writer.options),
    )
