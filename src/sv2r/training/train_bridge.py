"""`sv2r train bridge` from its options to a folder that translates renders in one evaluation."""

from __future__ import annotations

import copy
import math
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from sv2r.diffusion.families import Family
from sv2r.errors import ConfigError
from sv2r.hub import quiet
from sv2r.plugin.registry import Registry
from sv2r.training.bridge import Bridging
from sv2r.training.bridge_model import (
    BRIDGED_FAMILIES,
    choose_judge,
    describe_by,
    learn_weights,
    one_step,
    short_scheduler,
)
from sv2r.training.frozen import encode_captions
from sv2r.training.models import find_trained_model, load_model, sibling, started_from
from sv2r.training.nearness import Nearness
from sv2r.training.options import BridgeOptions
from sv2r.training.photos import Photo
from sv2r.training.renders import Renders, open_renders, read_renders, split_renders
from sv2r.training.run import Result, Run, begun, finish, saved_dtype
from sv2r.training.structure import feature_channels
from sv2r.training.trouble import memory_told
from sv2r.training.watch import TrainingWatcher

# Fewer photos are known by heart before anything is learnt from them.
_FEWEST_PHOTOS = 16
_BETAS = (0.5, 0.99)
# Photos that translations of held-out renders are compared with, at most.
_REFERENCES = 256


def train_bridge(options: BridgeOptions, registry: Registry, watcher: TrainingWatcher) -> Result:
    """Return how the training of a bridge ended; the model and its card are in the output.

    Raises:
        ConfigError: what cannot work, before the first step; a loss that is no number.
    """
    source, family = find_trained_model(options)
    if family.name not in BRIDGED_FAMILIES:
        raise ConfigError(
            f"--model {source.asked} is a {source.class_name}; a bridge is trained from Stable "
            f"Diffusion 1.x, 2.x and XL"
        )
    dataset = open_renders(registry, options.renders, options.loader)
    weights = partial(started_from, source)
    with begun("bridge", options, None, watcher, weights) as run:
        samples, hashes = read_renders(dataset, skip_broken=options.skip_broken)
        _check_photos(options, run.photos, set(hashes.values()))
        learnt, held = split_renders(
            samples, options.resolution, options.seed, options.held_out, flip=options.flip
        )
        options = _without_labels(options, learnt, watcher)
        watcher.said(
            f"renders     {len(samples):,} · {len(learnt):,} squares to learn from · "
            f"{len(held):,} held out"
        )
        with quiet(), memory_told("train the bridge"):
            exact = bool(source.configs.get("vae", {}).get("force_upcast", False))
            pipe = load_model(source, family, run.dtype, exact_vae=exact)
            task = _bridging(run, options, pipe, family, learnt, held)
        plan = run.plan(betas=_BETAS, keep_best=bool(len(held)))
        endings = {"bridge": run.train(task, plan)}

        def write(folder: Path) -> None:
            if pipe.unet._hf_peft_config_loaded:
                pipe.unet.fuse_lora()
                pipe.unet.unload_lora()
            for part in (pipe.vae, pipe.unet):
                part.to("cpu", saved_dtype(options))
            sibling(pipe, source.class_name).save_pretrained(folder)

        prompt = f" --prompt {shlex.quote(options.caption)}" if options.caption else ""
        use = (
            f"sdedit --preset bridge \\\n    --translator.model {shlex.quote(str(options.output))} "
            f"--translator.steps {options.evaluations}{prompt}"
        )
        figures = {"renders": f"{len(samples):,} from {options.renders.name}/"}
        return finish(run, endings, use, write, figures)


def _check_photos(options: BridgeOptions, photos: tuple[Photo, ...], renders: set[str]) -> None:
    """Raise ConfigError where photos are too few, or are the renders."""
    if len(photos) < _FEWEST_PHOTOS:
        raise ConfigError(
            f"--photos {options.photos}: has {len(photos)} photos; a bridge needs "
            f"{_FEWEST_PHOTOS} at least, and hundreds to be good"
        )
    same = next((photo for photo in photos if photo.sha256 in renders), None)
    if same is not None:
        raise ConfigError(
            f"--photos {options.photos}: {same.name} is one of the renders of --renders; give "
            f"real photos"
        )


def _without_labels(
    options: BridgeOptions, learnt: Renders, watcher: TrainingWatcher
) -> BridgeOptions:
    """Return the options, with no loss on labels where the renders have none."""
    if not options.labels or learnt.labelled():
        return options
    watcher.said("labels      the renders have none: nothing holds translations to them")
    return options.model_copy(update={"labels": 0.0})


def _bridging(
    run: Run, options: BridgeOptions, pipe: Any, family: Family, learnt: Renders, held: Renders
) -> Bridging:
    import torch

    device = run.accelerator.device
    pipe.scheduler = short_scheduler(pipe.scheduler.config, options.evaluations, options.start)
    texts = encode_captions(pipe, family, [options.caption], (), device)
    step = one_step(
        pipe,
        family,
        options.evaluations,
        dict(texts.embeddings[options.caption]),
        sliced=options.gradient_checkpointing,
    )
    pipe.vae.to(device).requires_grad_(requires_grad=False)
    if options.gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
    frozen = copy.deepcopy(pipe.unet).to(device).requires_grad_(requires_grad=False)
    judge = choose_judge(step, options, frozen)
    learn_weights(pipe.unet, options)
    describe = describe_by(step, options.resolution, frozen)
    # Photos that are learnt from will do: they are what translations are to be near to.
    some = range(0, len(run.learnt), math.ceil(len(run.learnt) / _REFERENCES))
    nearness = Nearness(
        describe,
        torch.stack([held.square(n)[0] for n in range(len(held))] or [learnt.square(0)[0]]) / 255,
        torch.stack([run.learnt.picture(n) for n in some]) / 255,
    )
    channels = feature_channels(pipe.unet)[1:]
    return Bridging(step, judge, nearness, learnt, held, run.learnt, run.held, options, channels)
