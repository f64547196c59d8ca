"""Trainings from their options to a folder that a job takes as it is."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError
from sv2r.hub import quiet
from sv2r.plugin.registry import Registry
from sv2r.training.card import model_card
from sv2r.training.folder import CARD, NetworkKind, begin, check_folder, publish, state_folder
from sv2r.training.loop import Ending, Schedule, Trainee, train
from sv2r.training.options import (
    BaseOptions,
    ControlnetTraining,
    DenoisingOptions,
    LoraOptions,
    TrainOptions,
)
from sv2r.training.photos import Photo, Squares, fingerprint, read_photos, split
from sv2r.training.stopping import Stop
from sv2r.training.trouble import memory_told
from sv2r.training.watch import TrainingWatcher

if TYPE_CHECKING:
    from sv2r.diffusion.families import Family
    from sv2r.training.denoising import Denoising

_MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


def _named(accelerator: Any) -> str:
    """Return an accelerator's precision as --precision names it."""
    return next(name for name, mixed in _MIXED.items() if mixed == accelerator.mixed_precision)


@dataclass(frozen=True)
class Result:
    """How a training ended. use: the command that takes its output."""

    output: Path
    endings: Mapping[str, Ending]
    use: str
    interrupted: bool

    @property
    def finished(self) -> bool:
        """Return whether all steps of all parts were made."""
        return all(ending.finished for ending in self.endings.values())


@dataclass(frozen=True)
class Run:
    """What the trainings share once they have begun.

    weights: SHA-256 of those that it starts from, by option.
    """

    kind: NetworkKind
    options: TrainOptions
    photos: tuple[Photo, ...]
    learnt: Squares
    held: Squares
    accelerator: Any
    stop: Stop
    watcher: TrainingWatcher
    weights: Mapping[str, str]

    @property
    def dtype(self) -> Any:
        """Return what frozen networks are in, as torch's own."""
        import torch

        return getattr(torch, self.precision)

    @property
    def precision(self) -> str:
        """Return what networks compute in, as --precision names it."""
        return _named(self.accelerator)

    def train(self, task: Trainee, plan: Schedule) -> Ending:
        """Train one network; from now on the output folder holds this training."""
        folder = state_folder(self.options.output)
        if self.accelerator.is_main_process:
            begin(self.kind, self.options)
        self.accelerator.wait_for_everyone()
        if self.options.tensorboard and not self.accelerator.trackers:
            self.accelerator.init_trackers("tensorboard")
        return train(task, plan, self.accelerator, folder, self.stop, self.watcher)

    def plan(self, **changed: Any) -> Schedule:
        """Return how to train, as the options have it but for what is changed."""
        options = self.options
        plan = Schedule(
            seed=options.seed,
            steps=options.steps,
            batch_size=options.batch_size,
            accumulate=options.accumulate,
            learning_rate=options.learning_rate,
            schedule=options.schedule,
            warmup=options.warmup,
            weight_decay=options.weight_decay,
            max_gradient=options.max_gradient,
            optimizer=options.optimizer,
            ema=options.ema,
            validate_every=options.validate_every,
            save_every=options.save_every,
            fixed={
                "photos": f"{len(self.photos):,} (SHA-256 {fingerprint(self.photos)[:12]}…)",
                "devices": self.accelerator.num_processes,
                "--precision": self.precision,
                **{f"the weights of {name}": told for name, told in self.weights.items()},
            },
        )
        return replace(plan, **changed)


def train_lora(options: LoraOptions, watcher: TrainingWatcher) -> Result:
    """Return how the training of a LoRA ended; its weights and model card are in the output.

    Raises:
        ConfigError: what cannot work, before the first step; a loss that is no number.
    """
    from sv2r.training.models import (
        add_lora,
        find_trained_model,
        load_model,
        lora_weights,
        sibling,
        started_from,
    )

    source, family = find_trained_model(options)
    weights = partial(started_from, source, lora=options.lora)
    with begun("lora", options, source.configs.get("vae", {}), watcher, weights) as run:
        with quiet():
            pipe = load_model(source, family, run.dtype)
            task = _denoising(run, "lora", pipe, family, add_lora(pipe, family, options), run.dtype)
        endings = {"lora": run.train(task, run.plan())}

        def write(folder: Path) -> None:
            from diffusers.utils import convert_state_dict_to_diffusers

            layers = convert_state_dict_to_diffusers(lora_weights(getattr(pipe, family.core)))
            layers = {name: value.to(saved_dtype(options)) for name, value in layers.items()}
            whole = sibling(pipe, source.class_name)
            whole.save_lora_weights(
                folder, **{f"{family.core}_lora_layers": layers}, safe_serialization=True
            )

        use = (
            f"sdedit \\\n    --translator.model {shlex.quote(options.model)} "
            f"--translator.lora {shlex.quote(str(options.output))}"
        )
        return finish(run, endings, use, write)


def train_controlnet(
    options: ControlnetTraining, registry: Registry, watcher: TrainingWatcher
) -> Result:
    """Return how the training of a ControlNet ended; it and its model card are in the output.

    Raises:
        ConfigError: as `train_lora`; a conditioner that finds nothing in photos.
    """
    from sv2r.training.conditions import make_conditions, read_conditioner
    from sv2r.training.models import (
        find_trained_model,
        load_model,
        make_controlnet,
        sibling,
        started_from,
    )

    source, family = find_trained_model(options)
    read_conditioner(options, registry)
    weights = partial(started_from, source, controlnet=options.controlnet)
    with begun("controlnet", options, source.configs.get("vae", {}), watcher, weights) as run:
        device = str(run.accelerator.device)
        maps = make_conditions(options, registry, device, run.learnt, run.held)
        with quiet():
            pipe = load_model(source, family, run.dtype)
            net = make_controlnet(pipe, source, options)
            pipe = sibling(pipe, str(family.controlnet), controlnet=net)
            task = _denoising(run, "controlnet", pipe, family, net, run.dtype, maps)
        endings = {"controlnet": run.train(task, run.plan())}

        def write(folder: Path) -> None:
            net.to("cpu", saved_dtype(options)).save_pretrained(folder)

        produces = registry.spec("conditioner", options.conditioner).produces
        use = (
            f"controlnet \\\n    --translator.model {shlex.quote(options.model)} "
            f"--translator.controlnet {shlex.quote(f'{produces}={options.output}')} \\\n"
            f"    --conditioner {options.conditioner}"
        )
        given = "".join(
            f" --conditioner.{options.conditioner}.{name} {shlex.quote(str(value))}"
            for name, value in options.conditioner_options.items()
        )
        return finish(run, endings, use + given, write)


def train_base(options: BaseOptions, watcher: TrainingWatcher) -> Result:
    """Return how the training of a small model ended: its VAE first, then its UNet.

    The output is a whole diffusers folder once both are there.

    Raises:
        ConfigError: as `train_lora`.
    """
    from sv2r.diffusion.families import family_of
    from sv2r.training.base import assemble, check_base, open_unet, open_vae
    from sv2r.training.models import sibling, started_from

    family = family_of("StableDiffusionPipeline")
    config = check_base(options)
    weights = partial(started_from, vae=options.vae, unet=options.unet)
    with begun("base", options, config, watcher, weights) as run, quiet():
        vae = open_vae(options)
        endings = {}
        if options.vae is None and not options.pixels:
            endings["vae"] = _train_vae(run, options, vae)
        if options.sharpen_steps and all(ending.finished for ending in endings.values()):
            endings["decoder"] = _sharpen(run, options, vae)
        if family is None or not all(ending.finished for ending in endings.values()):
            return Result(options.output, endings, "", run.stop.interrupted)
        captions = [photo.caption for photo in run.photos]
        pipe = assemble(options, vae, open_unet(options, vae), captions)
        task = _denoising(run, "unet", pipe, family, pipe.unet, pipe.unet.dtype)
        endings["unet"] = run.train(task, run.plan())

        def write(folder: Path) -> None:
            for part in (pipe.vae, pipe.unet, pipe.text_encoder):
                part.to("cpu", saved_dtype(options))
            sibling(pipe, "StableDiffusionPipeline").save_pretrained(folder)

        sizes = {
            name: part for name, part in pipe.components.items() if hasattr(part, "parameters")
        }
        figures = {
            f"{name}: parameters": f"{sum(p.numel() for p in part.parameters()):,}"
            for name, part in sizes.items()
        }
        use = f"sdedit \\\n    --translator.model {shlex.quote(str(options.output))}"
        return finish(run, endings, use, write, figures)


def _train_vae(run: Run, options: BaseOptions, vae: Any) -> Ending:
    from sv2r.training.autoencoder import Autoencoding, whiten

    task = Autoencoding(vae, run.learnt, run.held, options)
    ending = run.train(
        task,
        run.plan(
            steps=options.vae_steps,
            batch_size=options.vae_batch_size,
            learning_rate=options.vae_learning_rate,
        ),
    )
    vae.requires_grad_(requires_grad=False)
    if ending.finished:
        whiten(vae, run.learnt)
    return ending


def _sharpen(run: Run, options: BaseOptions, vae: Any) -> Ending:
    from sv2r.training.adversarial import Sharpening, interpolate_weights

    vae.to(run.accelerator.device)  # its encoder, too, which is not a part of what is trained
    vae.decoder.requires_grad_(requires_grad=True)
    vae.post_quant_conv.requires_grad_(requires_grad=True)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    task = Sharpening(vae, run.learnt, run.held, options)
    ending = run.train(
        task,
        run.plan(
            steps=options.sharpen_steps,
            batch_size=options.vae_batch_size,
            learning_rate=options.sharpen_learning_rate,
        ),
    )
    vae.requires_grad_(requires_grad=False)
    interpolate_weights(vae, before, options.sharpness)
    return ending


def _denoising(
    run: Run,
    name: str,
    pipe: Any,
    family: Family,
    network: Any,
    dtype: Any,
    maps: tuple[Any, Any] | None = None,
) -> Denoising:
    """Return the task of a denoiser, with all latents and captions encoded beforehand.

    dtype: of the pipeline's core.
    """
    from sv2r.training.denoising import Denoising, Material
    from sv2r.training.frozen import encode_captions, encode_squares
    from sv2r.training.objectives import objective_of

    options, device = run.options, run.accelerator.device
    assert isinstance(options, DenoisingOptions)
    fix = "a smaller --resolution"
    with memory_told("encode captions", "a GPU with more, or --device cpu"):
        texts = encode_captions(pipe, family, run.learnt.captions(), run.held.captions(), device)
    conditions = maps or (None, None)

    def watch(done: int, total: int) -> None:
        run.watcher.counted("encoding squares", done, total)

    with memory_told("encode squares", fix):
        latents = encode_squares(pipe.vae, family, run.learnt, device, watch)
        learnt, held = Material(run.learnt, latents, conditions[0]), None
        if len(run.held):
            unseen = encode_squares(pipe.vae, family, run.held, device)
            held = Material(run.held, unseen, conditions[1])
    with memory_told(f"train the {name}"):
        core = getattr(pipe, family.core).to(device)
    if device.type == "cuda":
        import torch

        network.to(memory_format=torch.channels_last)
    if options.gradient_checkpointing:
        network.enable_gradient_checkpointing()
        core.enable_gradient_checkpointing()
    return Denoising(
        name,
        pipe,
        family,
        network,
        objective_of(pipe, options.min_snr),
        texts,
        learnt,
        held,
        dropout=options.caption_dropout,
        strength=options.validation_strength,
        dtype=dtype,
    )


@contextmanager
def begun(
    kind: NetworkKind,
    options: TrainOptions,
    vae: Mapping[str, Any] | None,
    watcher: TrainingWatcher,
    weights: Callable[[], Mapping[str, str]],
) -> Iterator[Run]:
    """Yield the run once its photos are looked at and its folder is its own.

    vae: its configuration, None where no latents are kept. weights: returns `Run.weights`, which
    takes a while.
    """
    stop = Stop(options.max_time)
    check_folder(kind, options)
    accelerator = _accelerator(options)
    photos = read_photos(options, lambda n, total: watcher.counted("reading photos", n, total))
    learnt, held = split(photos, options)
    if vae is not None:
        check_memory(options, len(learnt), vae, available_memory())
    told = weights()
    small = sum(min(photo.size) < options.resolution for photo in photos)
    enlarged = f" · {small:,} are smaller and get enlarged" if small else ""
    watcher.said(
        f"photos      {len(photos):,} · {len(learnt):,} squares of {options.resolution} px to "
        f"learn from · {len(held):,} photos held out{enlarged}"
    )
    watcher.said(
        f"device      {accelerator.device} · {accelerator.num_processes} at once · precision "
        f"{_named(accelerator)}"
    )
    yield Run(kind, options, tuple(photos), learnt, held, accelerator, stop, watcher, told)
    accelerator.end_training()


def _accelerator(options: TrainOptions) -> Any:
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from sv2r.training.optimizers import check_optimizer

    cuda = torch.cuda.is_available() and options.device == "auto"
    check_optimizer(options.optimizer, cuda=cuda)
    if options.tensorboard and find_spec("tensorboard") is None:
        raise ConfigError("--tensorboard needs tensorboard: pip install 'sv2r[tensorboard]'")
    precision = options.precision
    if precision == "auto":
        precision = "bfloat16" if cuda and torch.cuda.is_bf16_supported() else "float32"
    if precision == "float16" and not cuda:
        raise ConfigError("--precision float16 needs a CUDA GPU; take float32 or bfloat16")
    # accelerate keeps the first training's precision for all of a process.
    AcceleratorState._reset_state()
    return Accelerator(
        cpu=options.device == "cpu",
        mixed_precision=_MIXED[precision],
        gradient_accumulation_steps=options.accumulate,
        log_with="tensorboard" if options.tensorboard else None,
        project_dir=state_folder(options.output) if options.tensorboard else None,
    )


def available_memory() -> float:
    """Return the bytes of main memory that are free; infinite where the system does not tell."""
    if "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return math.inf
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(options: TrainOptions, squares: int, vae: Mapping[str, Any], free: float) -> None:
    """Raise ConfigError where what is kept of the squares does not fit into the free memory.

    vae: its configuration. free: bytes.
    """
    from sv2r.diffusion.families import latent_factor

    # Mean and spread of the latents, in float32.
    side = options.resolution // latent_factor({"vae": vae})
    needed = squares * side**2 * vae.get("latent_channels", 4) * 2 * 4
    if needed > free:
        raise ConfigError(
            f"{squares:,} squares of {options.resolution} px need about {needed / 1e9:.1f} GB of "
            f"memory and {free / 1e9:.1f} GB are free; use fewer photos or --crops, or --flip false"
        )


def saved_dtype(options: TrainOptions) -> Any:
    """Return what the result is saved in, as torch's own."""
    import torch

    return getattr(torch, options.weights)


def finish(
    run: Run,
    endings: Mapping[str, Ending],
    use: str,
    write: Any,
    figures: Mapping[str, str] | None = None,
) -> Result:
    """Put the result and its model card in place."""
    options = run.options
    use = f"sv2r convert --input INPUT --output OUTPUT --translator {use}"
    if run.accelerator.is_main_process:
        card = model_card(run.kind, options, run.photos, endings, use, figures or {})
        with quiet():
            publish(options.output, write, {CARD: card})
    run.accelerator.wait_for_everyone()
    return Result(options.output, endings, use, run.stop.interrupted)
