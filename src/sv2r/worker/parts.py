"""The components of a job, built for one device."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sv2r.config.resolve import Chosen, Config
from sv2r.devices import is_out_of_memory, sharing_a_device
from sv2r.errors import ConfigError, PluginError
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
        PluginError: a component cannot be built: names it and its distribution.
        ConfigError: it does not fit in memory.
    """

    def build(chosen: Chosen) -> Any:
        return _build(registry, chosen, runtime)

    makers = [(chosen, build(chosen)) for chosen in config.conditioners]
    translator = build(config.translator)

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

    share = partial(sharing_a_device, runtime.device)
    return Parts(
        tuple((chosen.name, share(make)) for chosen, make in makers),
        translator,
        translator.bucket if isinstance(translator, Buckets) else _by_size,
        settings,
        tuple((chosen.name, share(build(chosen))) for chosen in config.checks),
        writer.publish,
        compile_,
    )


def _by_size(height: int, width: int) -> Hashable:
    return height, width


def _build(registry: Registry, chosen: Chosen, runtime: Runtime) -> Any:
    try:
        return registry.spec(chosen.kind, chosen.name).build(chosen.options, runtime)
    except PluginError as error:
        if not is_out_of_memory(error):
            raise
        fix = "choose a smaller model, --translator.offload, or another --device"
        what = f"{chosen.kind} '{chosen.name}'"
        raise ConfigError(f"{what}: out of memory on {runtime.device}; {fix}") from error
