"""Finished outputs of a job, written by hand: for what reads them and needs no model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sv2r.output.journal import Journal
from sv2r.output.records import line_of
from sv2r.storage.hashes import sha256_file
from sv2r.storage.strict_yaml import write_yaml
from sv2r.types import Record
from tests.toys.datasets import make_coco

SETTINGS = {"pipeline": "Toy", "steps": 4, "torch": "2.9.0"}


def make_output(
    root: Path,
    names: tuple[str, ...],
    change: Callable[[Record], Record] = lambda record: record,
    **settings: Any,
) -> Path:
    """Return root/out, converted from a COCO dataset in root/renders by turning colours around.

    change: gets each record, as done, and returns what it is to be; a picture that is not done is
    not there. settings: of run.yaml, over those that a job has anyway.
    """
    renders, output = make_coco(root / "renders", names), root / "out"
    shutil.copytree(renders, output)
    records = [change(_convert(output, renders, k, name)) for k, name in enumerate(names)]
    # A failed picture's labels may never have been read.
    records = [replace(r, instances={}) if r.status == "failed" else r for r in records]
    for record in records:
        if record.status != "done":
            (output / record.sample).unlink()
    (output / "sv2r").mkdir()
    with Journal(output) as journal:
        for record in records:
            journal.add(record)
        digest = sha256_file(output / "annotations.json")
        journal.keep("verified", {"annotations.json": digest})
        journal.keep("complete", value=True)
        lines = [line_of(record) for record in journal.records()]
    (output / "sv2r" / "samples.jsonl").write_text("".join(lines), encoding="utf-8")
    run = {**_run(renders, output), **settings}
    (output / "sv2r" / "run.yaml").write_text(write_yaml(run), encoding="utf-8")
    return output


def scores(survival: Mapping[int, float | None], shift: float | None = None) -> Mapping[str, Any]:
    """Return a record's scores: of instances by id (None: could not be scored), and the shift."""
    instances = {
        str(id_): {} if value is None else {"survival": value} for id_, value in survival.items()
    }
    found: dict[str, Any] = {"survival": {"picture": {}, "instances": instances}}
    if shift is not None:
        found["shift"] = {"picture": {"shift": shift}, "instances": {}}
    return found


def _convert(output: Path, renders: Path, number: int, name: str) -> Record:
    with Image.open(renders / name) as source:
        pixels = 255 - np.asarray(source)
    Image.fromarray(pixels).save(output / name)
    return Record(
        sample=name,
        variant=0,
        status="done",
        seed=2**48 - 1,
        prompt=f"a photo of {name}",
        settings=SETTINGS,
        input_sha256=sha256_file(renders / name),
        output=name,
        output_sha256=sha256_file(output / name),
        instances={"coffee_mug": [number * 10 + 1], "bowl": [number * 10 + 2]},
    )


def _run(renders: Path, output: Path) -> dict[str, Any]:
    return {
        "input": str(renders),
        "output": str(output),
        "seed": 0,
        "loader": {"name": "coco"},
        "translator": {"name": "sdedit", "model": "models/toy", "strength": 0.5},
        "writer": {"name": "mirror", "format": "same", "relocate": {}},
        "checks": {"survival": {}, "shift": {}},
    }
