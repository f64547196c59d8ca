"""sv2r's own commands by name: a plugin's command cannot have one of these names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# name -> one line of help; the command is the object of that name in sv2r.cli.<name>.
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "lint": "Look at a dataset's labels before GPU hours are spent on its pictures.",
        "convert": "Convert a labelled dataset: realistic pictures, labels untouched.",
        "verify": "Look at a finished dataset again: labels, pictures, hashes, scores.",
        "report": "Write a page of a finished dataset: before and after, worst first.",
        "train": "Train a LoRA, a ControlNet or a small model on real photos.",
        "config": "List, show and copy presets; show what a config comes to.",
        "plugins": "List what is installed and what failed; show a plugin's options.",
        "doctor": "Say what this machine has: versions, devices, plugins, caches.",
    }
)
