"""A planned job as an executor sees it, and where its models run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import Any

from sv2r.config.layers import Layer
from sv2r.config.resolve import Config, resolve
from sv2r.config.selection import select
from sv2r.devices import has_bfloat16
from sv2r.errors import ConfigError
from sv2r.plugin.registry import Kind, Registry, load_registry
from sv2r.plugin.specs import Phase, Prepares, Runtime, Writer
from sv2r.types import Dataset, Frame, Published, Sample
from sv2r.worker.batcher import Batcher
from sv2r.worker.copying import Copier
from sv2r.worker.life import live
from sv2r.worker.parts import build_parts


class LocalWork:
    """The work of one job.

    batch_size: pictures per batch, or None: the worker finds out.
    model: the model's hash in an earlier part of this job, or None.
    stop: once set, nothing new is begun. say: takes one line for the user. show: takes what is
    being done at the moment.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        dataset: Dataset,
        writer: Writer,
        *,
        devices: tuple[str, ...],
        batch_size: int | None,
        model: str | None,
        stop: Event,
        say: Callable[[str], None],
        show: Callable[[Phase, str], None],
    ) -> None:
        self.stop = stop
        self.say = say
        self.show = show
        self._config = config
        self._registry = registry
        self._dataset = dataset
        self._writer = writer
        self._devices = devices
        self.batch_size = batch_size
        self.model = model

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the resolved config as plain data."""
        return self._config.as_data()

    @property
    def devices(self) -> tuple[str, ...]:
        """Return the devices to run on, at least one."""
        return self._devices

    def sample_id(self, index: int) -> str:
        """Return the id of the sample at a position of the dataset."""
        return self._dataset.ids[index]

    def worker(self, device: str) -> Batcher | Copier:
        """Return a worker on a device in this process, its models loaded.

        Raises:
            ConfigError: a component cannot be built, or the model is another one than before.
        """
        job = self._config.job
        if self._only_copies:
            return Copier(self._dataset, self._publish, job, self.stop, self.show)
        runtime = Runtime(
            device,
            choose_dtype(job.dtype, device),
            job.input,
            job.output,
            auto_dtype=job.dtype == "auto",
            show=self.show,
        )
        parts = build_parts(self._registry, self._config, runtime, self._writer)
        _require_model(self.model, parts.settings().get("model_sha256"))
        return Batcher(
            partial(live, self._config, self._dataset, parts),
            parts,
            job,
            device=device,
            batch_size=self.batch_size,
            pictures=sum(1 for _ in select(self._dataset.ids, job.only, job.limit)) * job.variants,
            stop=self.stop,
            say=self.say,
            show=self.show,
        )

    @property
    def _only_copies(self) -> bool:
        """Return whether pictures stay as they are and nothing looks at them."""
        config = self._config
        asked = config.checks or config.conditioners or config.small.cells
        return bool(self._spec("translator").keeps and not asked)

    def _publish(self, sample: Sample, variant: int, image: None, frame: Frame) -> Published:
        """Publish a frame's own picture, also by a writer that takes no None for it."""
        publish: Any = self._writer.publish
        own = image if self._spec("writer").keeps else frame.pixels
        published: Published = publish(sample, variant, own, frame)
        return published

    def _spec(self, kind: Kind) -> Any:
        return self._registry.spec(kind, getattr(self._config, kind).name)


def open_work(
    config: Mapping[str, Any],
    devices: tuple[str, ...],
    batch_size: int | None,
    model: str | None,
    say: Callable[[str], None],
    show: Callable[[Phase, str], None],
) -> LocalWork:
    """Return the work of a job in another process than the driver's, from its config as data.

    Raises:
        ConfigError: the dataset has changed so that it cannot be opened any more.
    """
    registry = load_registry()
    resolved = resolve(registry, [Layer("the driver", config)])
    runtime = Runtime(input=resolved.job.input, output=resolved.job.output)
    loader = registry.spec("loader", resolved.loader.name).build(resolved.loader.options, runtime)
    writer = registry.spec("writer", resolved.writer.name).build(resolved.writer.options, runtime)
    dataset = loader(resolved.job.input)
    if isinstance(writer, Prepares):
        tuple(writer.prepare(dataset))  # the driver has told what it says
    return LocalWork(
        resolved,
        registry,
        dataset,
        writer,
        devices=devices,
        batch_size=batch_size,
        model=model,
        stop=Event(),
        say=say,
        show=show,
    )


def find_devices(asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the devices to run on, "auto" resolved; one that is named twice gets two workers.

    torch is imported only where it has to be asked.

    Raises:
        ConfigError: one of them does not exist here, or none is given.
    """
    words = [part.strip() for name in asked for part in name.split(",")]
    names = ["cuda:0" if word == "cuda" else word for word in words if word]
    if not names:
        raise ConfigError("--device: none is given; say auto, cpu, cuda:0 or cuda:0,cuda:1")
    if {*names} == {"cpu"}:
        return tuple(names)
    there = _devices_here()
    if names == ["auto"]:
        return (there[0],)
    if "auto" in names:
        raise ConfigError("--device: auto chooses by itself; say auto alone, or name all devices")
    for name in names:
        if name not in there:
            near = f"there are: {', '.join(sorted(there))}"
            raise ConfigError(f"--device {name}: not on this machine; {near}")
    return tuple(names)


def _devices_here() -> list[str]:
    """Return the devices that there are, the one to choose first."""
    import torch

    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def choose_dtype(asked: str, device: str) -> str:
    """Return what models compute in: as asked, or the best that the device does well."""
    if asked != "auto":
        return asked
    if device.startswith("cuda"):
        return "bfloat16" if has_bfloat16(device) else "float16"
    return "float16" if device == "mps" else "float32"


def _require_model(before: str | None, now: object) -> None:
    if before and now and before != now:
        fix = "choose another --output, the old weights, or --overwrite"
        raise ConfigError(f"the model's weights have changed since this run began; {fix}")
