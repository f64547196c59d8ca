"""Toy models, pictures, datasets and jobs that tests and CPU benchmarks share.

Models and pictures stand here; datasets, outputs, jobs and processes in the modules of their names.
"""

from tests.toys.models import (
    save_controlnet,
    save_depth,
    save_flux,
    save_lora,
    save_pix2pix,
    save_sd3,
    save_sd15,
    save_sd15_file,
    save_sdxl,
    sd15,
)
from tests.toys.pictures import alone, batch, frame, largest_difference, picture
from tests.toys.tokenizers import clip_tokenizer, t5_tokenizer

__all__ = [
    "alone",
    "batch",
    "clip_tokenizer",
    "frame",
    "largest_difference",
    "picture",
    "save_controlnet",
    "save_depth",
    "save_flux",
    "save_lora",
    "save_pix2pix",
    "save_sd3",
    "save_sd15",
    "save_sd15_file",
    "save_sdxl",
    "sd15",
    "t5_tokenizer",
]
