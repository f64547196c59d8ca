"""Every format opens from a URL as from its folder: the same samples, labels and bytes."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pytest

from sv2r.storage.source import as_source
from tests.conformance.test_archives_conformance import NAMES, opened
from tests.conformance.test_generators_conformance import folder


@pytest.mark.parametrize("name", NAMES)
def test_a_url_opens_as_its_folder_does(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SV2R_CACHE", str(tmp_path / "cache"))
    root = folder(name)
    memory = fsspec.filesystem("memory")
    if memory.exists("/formats"):
        memory.rm("/formats", recursive=True)
    memory.put(f"{root}/", "/formats/here", recursive=True)
    there = as_source(Path("memory://formats/here"))
    expected, found = opened(root), opened(there)
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
