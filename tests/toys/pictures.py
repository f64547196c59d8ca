"""Toy pictures, frames and batches of them, and what diffusers alone makes of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from sv2r.types import Batch, Frame


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Return a (3, H, W) float32 picture in [0, 1], whole multiples of 1/255: shapes on a slope."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    rows = torch.linspace(0, 1, height)[:, None].expand(height, width)
    columns = torch.linspace(0, 1, width)[None, :].expand(height, width)
    image = torch.stack([rows, columns, (rows + columns) / 2])
    for _ in range(4):
        top, left = (torch.rand(2, generator=draw) * torch.tensor([height, width]) * 0.7).int()
        colour = torch.rand(3, 1, 1, generator=draw)
        image[:, top : top + max(height // 4, 1), left : left + max(width // 4, 1)] = colour
    return (image * 255).round() / 255


def frame(height: int, width: int, seed: int = 0) -> Frame:
    """Return a frame without instances that shows `picture`."""
    import numpy as np

    from sv2r.types import Frame, Instances, Sample

    nothing = Instances(np.zeros((height, width), np.int32), {})
    sample = Sample(f"{height}x{width}/{seed}", Path("none.png"), lambda: nothing)
    return Frame(sample, picture(height, width, seed), nothing)


def batch(
    sizes: Sequence[tuple[int, int]],
    *,
    prompts: Sequence[str] = ("a photo of a car",),
    negatives: Sequence[str] = ("",),
    controls: Sequence[str] = (),
) -> Batch:
    """Return a batch of frames of these sizes; prompts go round, seeds are 100, 101 ..."""
    from sv2r.types import Batch

    places = range(len(sizes))
    frames = tuple(frame(height, width, number) for number, (height, width) in enumerate(sizes))
    maps = {
        name: tuple(picture(*size, seed=50 + 10 * k + n) for n, size in enumerate(sizes))
        for k, name in enumerate(controls)
    }
    return Batch(
        frames,
        maps,
        tuple(prompts[n % len(prompts)] for n in places),
        tuple(negatives[n % len(negatives)] for n in places),
        tuple(100 + n for n in places),
    )


def alone(pipe: Any, batch: Batch, place: int, **call: Any) -> torch.Tensor:
    """Return one picture of a batch as diffusers makes it without sv2r: (3, H, W) uint8.

    pipe is called as its documentation shows it: prompt, picture, seed, and a Pillow image out.
    """
    import numpy as np
    import torch

    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        prompt=batch.prompts[place],
        image=batch.frames[place].image[None],
        generator=torch.Generator().manual_seed(batch.seeds[place]),
        **(
            {"negative_prompt": batch.negative_prompts[place]}
            if batch.negative_prompts[place]
            else {}
        ),
        **call,
    )
    return torch.from_numpy(np.array(made.images[0])).permute(2, 0, 1)


def largest_difference(one: torch.Tensor, other: torch.Tensor) -> int:
    """Return the largest difference between two uint8 pictures of one size, in levels."""
    assert one.shape == other.shape, (one.shape, other.shape)
    return int((one.int() - other.int()).abs().max())
