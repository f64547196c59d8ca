"""Datasets packed as zip and tar: the same samples, labels and bytes as from their folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sv2r
from sv2r.config.resolve import detect_loader
from sv2r.plugin.options import validate_options
from sv2r.plugin.registry import load_registry
from sv2r.plugin.specs import Runtime
from sv2r.storage.source import as_source
from sv2r.types import Dataset
from sv2r.verify.dataset import verify
from tests.conformance.test_generators_conformance import FORMATS, folder
from tests.toys.archives import pack
from tests.toys.datasets import make_coco
from tests.toys.jobs import config_of, files_of

NAMES = sorted(n for names in FORMATS.values() for n in names if "/coco_" not in n)


def opened(root: Path) -> Dataset:
    registry = load_registry()
    spec = registry.spec("loader", detect_loader(registry, root))
    options = validate_options(spec.options, {}, where="--loader")
    return spec.build(options, Runtime(input=root))(root)  # type: ignore[no-any-return]


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", NAMES)
def test_an_archive_opens_as_its_folder_does(name: str, suffix: str, tmp_path: Path) -> None:
    root = folder(name)
    packed = as_source(pack(root, tmp_path / f"x{suffix}"))
    expected, found = opened(root), opened(packed)
    assert list(found.ids) == list(expected.ids)
    assert [p.id for p in found.problems] == [p.id for p in expected.problems]
    for own, other in list(zip(expected.samples, found.samples, strict=True))[:3]:
        assert other.image.read_bytes() == own.image.read_bytes()
        assert [f.read_bytes() for f in other.annotation_files] == [
            f.read_bytes() for f in own.annotation_files
        ]
        assert list(other.channels) == list(own.channels)
        one, two = own.load_instances(), other.load_instances()
        assert np.array_equal(one.labels, two.labels)
        assert dict(one.table) == dict(two.table)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_it_converts_to_the_bytes_that_its_folder_does(
    suffix: str, tmp_path: Path, toy_sd15: Path
) -> None:
    renders = make_coco(tmp_path / "renders")
    (renders / "camera.txt").write_text("kept as it is")
    archive = pack(renders, tmp_path / f"renders{suffix}")
    for source, output in ((renders, "plain"), (archive, "out")):
        summary = sv2r.convert(config_of(source, tmp_path / output, toy_sd15))
        assert summary.exit_code == 0
    plain, out = (files_of(tmp_path / output) for output in ("plain", "out"))
    own = {"sv2r/run.yaml", "sv2r/report.html"}
    assert {n: d for n, d in out.items() if n not in own} == {
        n: d for n, d in plain.items() if n not in own
    }
    assert out["camera.txt"] == b"kept as it is"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "plain", "renders", archive.name]
    again = sv2r.convert(config_of(archive, tmp_path / "out", toy_sd15))
    assert (again.exit_code, again.done) == (0, summary.done)
    assert not list(verify(tmp_path / "out", sample="100%").findings)
