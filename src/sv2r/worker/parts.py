"""The components of a job, built for one device; each call of them is guarded."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sv2r.config.resolve import Chosen, Config
from sv2r.devices import beside_a_model, is_out_of_memory
from sv2r.errors import ConfigError, PluginError
from sv2r.plugin.guard import guard, guarded
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Buckets, Check, Compiles, Conditioner, Describes, Runtime, Writer
from sv2r.types import Batch, Frame, Published, Refusal, Sample

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Parts:
    """What a worker calls. What a plugin raises in one of them is a `PluginError`.

    translate, publish: see `Translator` and `Writer`.
    bucket: which (height, width) can share a batch: those with equal keys.
    settings: what really ran, as JSON values, for the record.
    compile: lets the translator compile its networks, now that the batch size is known.
    """

    conditioners: tuple[tuple[str, Conditioner], ...]
    translate: Callable[[Batch], Sequence[Tensor | Refusal]]
    bucket: Callable[[int, int], Hashable]
    settings: Callable[[], Mapping[str, Any]]
    checks: tuple[tuple[str, Check], ...]
    publish: Callable[[Sample, int, Tensor, Frame], Published]
    compile: Callable[[], None]


def build_parts(registry: Registry, config: Config, runtime: Runtime, writer: Writer) -> Parts:
    """Return the job's components, models loaded, around a writer that is built already.

    Raises:
        ConfigError: a component cannot be built: names it and its distribution.
    """

    def build(chosen: Chosen) -> Any:
        return _build(registry, chosen, runtime)

    def call(chosen: Chosen, stage: str, work: Any) -> Any:
        owner = registry.entry(chosen.kind, chosen.name).owner
        return guarded(owner, f"{stage} '{chosen.name}'", work)

    makers = [(chosen, build(chosen)) for chosen in config.conditioners]
    translator = build(config.translator)
    checks = [(chosen, build(chosen)) for chosen in config.checks]

    def settings() -> Mapping[str, Any]:
        own = translator.settings() if isinstance(translator, Describes) else {}
        controls = {
            chosen.name: chosen.options.model_dump(mode="json")
            | dict(make.settings() if isinstance(make, Describes) else {})
            for chosen, make in makers
        }
        return {**own, **({"conditioners": controls} if controls else {})}

    def compile_() -> None:
        if isinstance(translator, Compiles):
            translator.compile()

    beside = partial(beside_a_model, runtime.device)
    bucket = translator.bucket if isinstance(translator, Buckets) else _by_size
    return Parts(
        tuple((c.name, beside(call(c, "conditioner", make))) for c, make in makers),
        call(config.translator, "translator", translator),
        call(config.translator, "translator", bucket),
        call(config.translator, "translator", settings),
        tuple((c.name, beside(call(c, "check", check))) for c, check in checks),
        call(config.writer, "writer", writer.publish),
        call(config.translator, "translator", compile_),
    )


def _by_size(height: int, width: int) -> Hashable:
    return height, width


def _build(registry: Registry, chosen: Chosen, runtime: Runtime) -> Any:
    entry = registry.entry(chosen.kind, chosen.name)
    what = f"{chosen.kind} '{chosen.name}'"
    try:
        with guard(entry.owner, f"build of {what}"):
            return entry.value.build(chosen.options, runtime)
    except PluginError as error:
        if is_out_of_memory(error):
            fix = "choose a smaller model, --translator.offload, or another --device"
            raise ConfigError(f"{what}: out of memory on {runtime.device}; {fix}") from error
        raise ConfigError(f"{what} from plugin {entry.owner} failed: {error.error}") from error
