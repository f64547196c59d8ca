"""Control maps of photos, made by sv2r's own conditioners: nobody has to label a photo."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError, SampleError
from sv2r.plugin.options import validate_options
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Conditioner, Runtime
from sv2r.training.options import ControlnetTraining
from sv2r.training.photos import Squares
from sv2r.types import Frame, Instances, Sample

if TYPE_CHECKING:
    from torch import Tensor

# Squares that are looked at for whether a conditioner finds anything in photos.
_TRIED = 8


@dataclass(frozen=True)
class Conditions:
    """Control maps of squares as (3, R, R) uint8, made when they are asked for and kept packed."""

    squares: Squares
    conditioner: Conditioner
    _kept: dict[int, bytes] = field(default_factory=dict)

    def map(self, number: int) -> Tensor:
        """Return a square's (3, R, R) uint8 control map.

        Raises:
            SampleError: the conditioner cannot make it.
        """
        import torch

        if number not in self._kept:
            self._kept[number] = zlib.compress(self._make(number).numpy().tobytes(), 1)
        pixels = bytearray(zlib.decompress(self._kept[number]))
        return torch.frombuffer(pixels, dtype=torch.uint8).view(3, *2 * (self.squares.resolution,))

    def _make(self, number: int) -> Tensor:
        import numpy as np
        import torch

        picture, photo = self.squares.picture(number), self.squares.squares[number].photo
        nothing = Instances(np.zeros(picture.shape[-2:], np.int32), {})
        sample = Sample(photo.name, photo.path, lambda: nothing)
        made = self.conditioner(Frame(sample, picture.float() / 255, nothing)).image
        return (255 * made.clamp(0, 1)).round().to(torch.uint8).contiguous()


def read_conditioner(options: ControlnetTraining, registry: Registry) -> Any:
    """Return the conditioner's validated options.

    Raises:
        ConfigError: there is no such conditioner, or an option is wrong.
    """
    spec = registry.spec("conditioner", options.conditioner)
    return validate_options(
        spec.options,
        options.conditioner_options,
        where=f"--conditioner.{options.conditioner}",
        listing=f"sv2r plugins show conditioner:{options.conditioner}",
    )


def make_conditions(
    options: ControlnetTraining, registry: Registry, device: str, learnt: Squares, held: Squares
) -> tuple[Conditions, Conditions]:
    """Return the control maps to learn from and those of the photos held out.

    Raises:
        ConfigError: the conditioner needs labels, or finds nothing in photos.
    """
    chosen = read_conditioner(options, registry)
    spec = registry.spec("conditioner", options.conditioner)
    conditioner = spec.build(chosen, Runtime(device=device, input=options.photos))
    found = Conditions(learnt, conditioner)
    _require_something(options.conditioner, found)
    return found, Conditions(held, conditioner)


def _require_something(name: str, conditions: Conditions) -> None:
    count = len(conditions.squares)
    try:
        maps = [conditions.map(n) for n in range(0, count, max(1, count // _TRIED))]
    except SampleError as error:
        raise ConfigError(f"--conditioner {name}: {error}") from None
    if all(bool((m == m.flatten()[0]).all()) for m in maps):
        raise ConfigError(
            f"--conditioner {name} finds nothing in photos (it may need labels, which they do not "
            f"have); choose one that looks at pixels, such as canny"
        )
