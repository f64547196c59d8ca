"""Pictures per second from folder to folder, against the loop that people write with diffusers.

    uv run python -m benchmarks.throughput [--model toy|sd15|sdxl] [--json FILE]

All contenders read the same PNG pictures and control maps, use the same model, prompts, seeds and
steps (20 at strength 0.5, guidance on), and write PNG:

    plain     one picture a call, the prompt as text, Pillow's PNG in the loop
    batched   the same with as many pictures a call as sv2r takes
    sv2r      its translator, fed and emptied by threads as in a job

Weights are random, in the true architectures, so nothing is downloaded. On a GPU, sd15 is at 512 x
512 and sdxl at 1024 x 1024; on a CPU, toy is at 128, 256 and 512.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.lib import models
from benchmarks.lib.table import Row, parser, report
from sv2r.hub import quiet
from sv2r.images.decode import read_picture
from sv2r.images.encode import encode_picture
from sv2r.plugin.specs import Runtime
from sv2r.translators import controlnet
from sv2r.types import Batch, Frame, Instances, Sample
from sv2r.worker.batch_size import BATCH_SIZES as SIZES_TRIED
from sv2r.worker.batch_size import pick_batch_size
from sv2r.worker.threads import share_cores
from tests import toys

STEPS, STRENGTH, GUIDANCE = 20, 0.5, 7.5
PROMPTS = tuple(f"a photo of a street in the {when}" for when in ("rain", "sun", "snow", "evening"))
BATCH_SIZES = {"toy": (128, 256, 512), "sd15": (512,), "sdxl": (1024,)}


@dataclass(frozen=True)
class Work:
    """What every contender does: count pictures of size x size, from folder to out."""

    folder: Path
    out: Path
    size: int
    count: int

    def picture(self, place: int) -> Path:
        """Return a source picture's file."""
        return self.folder / f"{place}.png"

    def control(self, place: int) -> Path:
        """Return a control map's file."""
        return self.folder / f"{place}.canny.png"

    def result(self, contender: str, place: int) -> Path:
        """Return the file that a contender writes."""
        return self.out / f"{contender}-{place}.png"

    def prompt(self, place: int) -> str:
        """Return a picture's prompt."""
        return PROMPTS[place % len(PROMPTS)]


def main() -> None:
    """Measure, print the table and write the JSON."""
    options = arguments()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        model = models.build(options.model, root / "model", options.device, options.dtype)
        for size in options.size or BATCH_SIZES[options.model]:
            rows += measured(model, make_work(root, size, options.pictures), options)
    report(rows, options.json)


def arguments() -> argparse.Namespace:
    """Return the command line, what depends on the machine filled in."""
    line = parser("Pictures per second against the loop that people write with diffusers.")
    gpu = torch.cuda.is_available()
    line.add_argument("--model", choices=models.MODELS, default="sd15" if gpu else "toy")
    line.add_argument("--size", type=int, action="append", help="side in pixels; repeatable")
    line.add_argument("--pictures", type=int, default=32, help="per run")
    line.add_argument("--repeats", type=int, default=3, help="runs; the fastest of each counts")
    line.add_argument("--batch-size", type=int, help="default: what sv2r picks by measuring")
    line.add_argument("--compile", action="store_true", help="sv2r with torch.compile")
    line.add_argument("--device", default="cuda:0" if gpu else "cpu")
    line.add_argument("--dtype", default="float16" if gpu else "float32")
    return line.parse_args()


def make_work(root: Path, size: int, count: int) -> Work:
    """Return the work after drawing its pictures and control maps."""
    work = Work(root / f"in-{size}", root / f"out-{size}", size, count)
    work.folder.mkdir()
    work.out.mkdir()
    draw = np.random.default_rng(0)
    for place in range(count):
        levels = toys.picture(size, size, seed=place).permute(1, 2, 0).numpy() * 255
        noisy = (levels + draw.normal(0, 3, levels.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(work.picture(place))
        edges = np.abs(np.diff(levels.sum(-1), axis=0, prepend=0)) > 60
        Image.fromarray(np.repeat(edges[..., None] * np.uint8(255), 3, -1)).save(
            work.control(place)
        )
    return work


def measured(model: models.Model, work: Work, options: argparse.Namespace) -> list[Row]:
    """Return the rows for one model at one size.

    Peak memory is of a contender with nothing but its own model loaded, in a run before those that
    are timed; on a CPU it is the process's, torch and all.
    """
    translate = open_translator(model, options)
    picked = options.batch_size or pick_batch_size(
        lambda size: make_batch(work, range(size)),
        translate,
        options.device,
        [size for size in SIZES_TRIED if size <= max(work.count // 2, 1)],
    )
    memory = {"sv2r": peak_of(lambda: ours(translate, work, picked), options.device)}
    del translate
    pipe = open_pipeline(model, options)
    memory["plain"] = peak_of(lambda: plain(pipe, work), options.device)
    translate = open_translator(model, options)
    contenders: dict[str, Callable[[], None]] = {
        "plain": lambda: plain(pipe, work),
        "batched": lambda: batched(pipe, work, picked),
        "sv2r": lambda: ours(translate, work, picked),
    }
    seconds = dict.fromkeys(contenders, float("inf"))
    for _ in range(options.repeats):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    rate = {name: work.count / each for name, each in seconds.items()}
    title = f"{model.name} {work.size}x{work.size}"
    print(f"{title}: batch {picked}, {torch.get_num_threads()} threads, {options.dtype}")
    return [
        Row.against(f"{title} sv2r", rate["sv2r"], "pictures/s", rate["plain"]),
        Row.against(
            f"{title} sv2r, to the batched loop", rate["sv2r"], "pictures/s", rate["batched"]
        ),
        Row(f"{title} batch size picked", picked, "pictures"),
        Row(f"{title} largest difference to the plain loop", largest(work), "levels of 255"),
        Row.against(f"{title} peak memory", memory["sv2r"], "MB", memory["plain"]),
        *device_rows(title, flops(lambda: plain(pipe, replace(work, count=1))), rate, options),
        *busy_rows(title, lambda: ours(translate, work, picked), options.device),
    ]


def open_translator(model: models.Model, options: argparse.Namespace) -> Any:
    """Return sv2r's translator."""
    chosen = controlnet.ControlnetOptions.model_validate(
        {
            "model": str(model.folder),
            "controlnet": {"canny": str(model.controlnet)},
            "strength": STRENGTH,
            "steps": STEPS,
            "guidance_scale": GUIDANCE,
            "compile": options.compile,
        }
    )
    return controlnet.build(chosen, Runtime(options.device, options.dtype))


def open_pipeline(model: models.Model, options: argparse.Namespace) -> Any:
    """Return diffusers' pipeline as a user loads it."""
    import diffusers

    dtype = getattr(torch, options.dtype)
    with quiet():
        net = diffusers.ControlNetModel.from_pretrained(model.controlnet, torch_dtype=dtype)
        pipe = getattr(diffusers, model.pipeline).from_pretrained(
            model.folder, controlnet=net, torch_dtype=dtype
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(options.device)


def plain(pipe: Any, work: Work) -> None:
    """Translate all pictures one by one."""
    for place in range(work.count):
        with quiet():
            result = pipe(
                prompt=work.prompt(place),
                image=Image.open(work.picture(place)),
                control_image=Image.open(work.control(place)),
                generator=torch.Generator().manual_seed(place),
                strength=STRENGTH,
                num_inference_steps=STEPS,
                guidance_scale=GUIDANCE,
                controlnet_conditioning_scale=1.0,
            )
        result.images[0].save(work.result("plain", place))


def batched(pipe: Any, work: Work, size: int) -> None:
    """Translate all pictures, several a call."""
    for places in chunks(work.count, size):
        with quiet():
            result = pipe(
                prompt=[work.prompt(place) for place in places],
                image=[Image.open(work.picture(place)) for place in places],
                control_image=[Image.open(work.control(place)) for place in places],
                generator=[torch.Generator().manual_seed(place) for place in places],
                strength=STRENGTH,
                num_inference_steps=STEPS,
                guidance_scale=GUIDANCE,
                controlnet_conditioning_scale=1.0,
            )
        for place, image in zip(places, result.images, strict=True):
            image.save(work.result("batched", place))


def ours(translate: Any, work: Work, size: int) -> None:
    """Translate all pictures with sv2r, read ahead and written behind."""
    with (
        share_cores(4) as few_cores,
        ThreadPoolExecutor(2, initializer=few_cores) as readers,
        ThreadPoolExecutor(2, initializer=few_cores) as writers,
    ):
        written = []
        for batch, places in read_ahead(readers, work, size):
            for place, picture in zip(places, translate(batch), strict=False):
                written.append(writers.submit(write, work.result("sv2r", place), picture))
        for each in written:
            each.result()


def read_ahead(
    readers: ThreadPoolExecutor, work: Work, size: int
) -> Iterator[tuple[Batch, Sequence[int]]]:
    """Yield batches of one size, the last filled up, the next one being read meanwhile."""
    waiting = []
    for places in chunks(work.count, size):
        filled = [*places, *[places[-1]] * (size - len(places))]
        waiting.append((readers.submit(make_batch, work, filled), places))
        if len(waiting) == 2:
            batch, ready = waiting.pop(0)
            yield batch.result(), ready
    for batch, ready in waiting:
        yield batch.result(), ready


def make_batch(work: Work, places: Sequence[int]) -> Batch:
    """Return pictures of the work as one batch; places beyond its end begin again."""
    places = [place % work.count for place in places]
    frames, maps = [], []
    for place in places:
        picture = as_tensor(work.picture(place))
        nothing = Instances(np.zeros(picture.shape[1:], np.int32), {})
        sample = Sample(str(place), work.picture(place), lambda nothing=nothing: nothing)  # type: ignore[misc]
        frames.append(Frame(sample, picture, nothing))
        maps.append(as_tensor(work.control(place)))
    prompts = tuple(work.prompt(place) for place in places)
    return Batch(tuple(frames), {"canny": tuple(maps)}, prompts, ("",) * len(places), tuple(places))


def as_tensor(path: Path) -> torch.Tensor:
    """Return a picture file as (3, H, W) float32 in [0, 1]."""
    pixels = np.array(read_picture(path, path.name).pixels)
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def write(path: Path, picture: torch.Tensor) -> None:
    """Write a (3, H, W) uint8 picture as sv2r does."""
    path.write_bytes(encode_picture(picture.permute(1, 2, 0).contiguous().numpy(), ".png"))


def chunks(count: int, size: int) -> Iterator[Sequence[int]]:
    """Yield 0 to count - 1 in ranges of a size."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


def largest(work: Work) -> int:
    """Return the largest difference between what sv2r and the plain loop wrote, in levels."""
    differences = (
        np.abs(
            np.asarray(Image.open(work.result("sv2r", place)), np.int16)
            - np.asarray(Image.open(work.result("plain", place)), np.int16)
        ).max()
        for place in range(work.count)
    )
    return int(max(differences))


def device_rows(
    title: str, work: float, rate: dict[str, float], options: argparse.Namespace
) -> list[Row]:
    """Return how much of the device sv2r and the plain loop use.

    work: the floating-point operations that the plain loop makes for a picture; what sv2r saves of
    them counts for it, as if it had made them.
    """
    peak = matmul_peak(options.device, options.dtype)
    return [
        Row(f"{title} work of a picture", work / 1e9, "GFLOP"),
        Row.against(
            f"{title} share of the matrix-product peak ({peak / 1e9:,.0f} GFLOP/s)",
            100 * rate["sv2r"] * work / peak,
            "%",
            100 * rate["plain"] * work / peak,
        ),
    ]


def flops(run: Callable[[], object]) -> float:
    """Return the floating-point operations of a run, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def matmul_peak(device: str, dtype: str) -> float:
    """Return what a large matrix product reaches on the device, in FLOP/s: the best of many."""
    side = 8192 if device.startswith("cuda") else 2048
    one = torch.randn(side, side, device=device, dtype=getattr(torch, dtype))
    best = float("inf")
    for _ in range(10):
        synchronize(device)
        start = time.perf_counter()
        one @ one
        synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2.0 * side**3 / best


def busy_rows(title: str, run: Callable[[], object], device: str) -> list[Row]:
    """Return the share of a run, folder to folder, in which the GPU runs a kernel."""
    if not device.startswith("cuda"):
        return []
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        start = time.perf_counter()
        run()
        synchronize(device)
        wall = time.perf_counter() - start
    microseconds = sum(float(event.device_time_total) for event in profiler.key_averages())
    return [Row(f"{title} device busy", microseconds / 1e4 / wall, "%")]


def synchronize(device: str) -> None:
    """Wait for the GPU, where there is one."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def peak_of(run: Callable[[], object], device: str) -> float:
    """Return the peak memory of a run, in MB."""
    reset_peak(device)
    run()
    return peak_megabytes(device)


def reset_peak(device: str) -> None:
    """Begin to measure the peak of memory anew, what is free given back."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes(device: str) -> float:
    """Return the peak since then: on the GPU, else of the process with all that is loaded in it."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1e3


if __name__ == "__main__":
    main()
