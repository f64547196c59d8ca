"""The model card of a result: what it is, what it was made from, how well it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from sv2r.storage.strict_yaml import write_yaml
from sv2r.training.folder import STATE, NetworkKind, as_data
from sv2r.training.loop import Ending
from sv2r.training.options import ModelOptions, TrainOptions
from sv2r.training.photos import Photo, fingerprint

_TITLES = {
    "lora": "A LoRA trained on real photos",
    "controlnet": "A ControlNet trained on real photos",
    "base": "A small diffusion model trained on real photos",
    "bridge": "A model that makes photos of renders in few evaluations",
}
_TAGS = {
    "lora": ["lora"],
    "controlnet": ["controlnet"],
    "base": ["text-to-image"],
    "bridge": ["image-to-image"],
}
_LIBRARIES = ("sv2r", "torch", "diffusers", "transformers", "peft", "accelerate")


def model_card(
    kind: NetworkKind,
    options: TrainOptions,
    photos: Sequence[Photo],
    endings: Mapping[str, Ending],
    use: str,
    figures: Mapping[str, str],
) -> str:
    """Return a README.md as the Hugging Face hub reads it.

    endings: how far each part came, by name. use: the command that takes the result.
    figures: what else is to be told of it, by what it is.
    """
    front = {"library_name": "diffusers", "tags": ["sv2r", *_TAGS[kind]]}
    if options.license:
        front["license"] = options.license
    if isinstance(options, ModelOptions):
        front["base_model"] = options.model
    pictures = sum(p.size[0] * p.size[1] for p in photos) / len(photos)
    rows = [
        ("photos", f"{len(photos):,} from {options.photos.name}/, {pictures / 1e6:.2g} MP each"),
        ("held out", f"{min(options.held_out, len(photos) // 5):,} of them"),
        ("SHA-256 of names, bytes and captions", f"`{fingerprint(photos)}`"),
        *(row for name, ending in endings.items() for row in _figures(name, ending)),
        *figures.items(),
        ("made with", ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)),
        ("licence", options.license or "not stated; that of the photos and of the model apply"),
    ]
    again = f"sv2r train {kind} --config train.yaml --output …"
    lines = [
        f"---\n{write_yaml(front)}---\n",
        f"# {_TITLES[kind]}\n",
        f"Made by `sv2r train {kind}`. It is used with:\n",
        f"```bash\n{use}\n```\n",
        "| what | figure |\n| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rows),
        f"\nThe recipe, which `train.yaml` repeats (`{again}`):\n",
        f"```yaml\n{write_yaml(as_data(kind, options))}```\n",
        f"Curves, and pictures of photos held out, are in `{STATE}/`, as they went. That folder is",
        "needed to go on with the training, not to use its result.",
    ]
    return "\n".join(lines) + "\n"


def _figures(name: str, ending: Ending) -> list[tuple[str, str]]:
    steps = f"{ending.step:,}"
    if not ending.finished:
        steps += f" of {ending.steps:,}"
    rows = [(f"{name}: steps", steps)]
    if ending.losses:
        first, last = ending.losses[0], ending.losses[-1]
        rows.append(
            (f"{name}: loss", f"{first[1]:.4g} (step {first[0]:,}) → {last[1]:.4g} ({last[0]:,})")
        )
    if ending.held_out:
        first, last = ending.held_out[0], ending.held_out[-1]
        rows.append(
            (
                f"{name}: loss on photos held out",
                f"{first[1]:.4g} (step {first[0]:,}) → {last[1]:.4g} ({last[0]:,})",
            )
        )
    return rows
