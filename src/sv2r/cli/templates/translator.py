"""The translator my-plugin: another gamma, without a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sv2r import Batch, Field, Options, Runtime, Translator, TranslatorSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class MyPluginOptions(Options):
    """Options of the translator; each one needs a description."""

    gamma: float = Field(1.2, gt=0, le=5, description="Above 1 darkens the middle tones.")


def build(options: MyPluginOptions, runtime: Runtime) -> Translator:
    """Return the translator; load models in here, on `runtime.device`."""
    import torch

    def translate(batch: Batch) -> Sequence[Tensor]:
        """Return one (3, H, W) uint8 picture per frame, of the frame's own height and width."""
        made = [frame.image**options.gamma for frame in batch.frames]
        return [(picture * 255).round().to(torch.uint8) for picture in made]

    return translate


@hookimpl
def sv2r_translators() -> Iterable[TranslatorSpec[Any]]:
    """Return the translator."""
    return [
        TranslatorSpec(
            name="my-plugin", summary="Another gamma.", options=MyPluginOptions, build=build
        )
    ]
