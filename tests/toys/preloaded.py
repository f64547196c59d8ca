"""What a run needs, imported once by the server that test processes are forked from."""

import accelerate  # noqa: F401
import safetensors.torch  # noqa: F401
import transformers.models.clip.modeling_clip
import transformers.models.clip.tokenization_clip  # noqa: F401
from diffusers import DDIMScheduler, StableDiffusionImg2ImgPipeline  # noqa: F401

import sv2r.conversion
import sv2r.report.write  # noqa: F401
from sv2r.plugin.registry import load_registry

load_registry()
