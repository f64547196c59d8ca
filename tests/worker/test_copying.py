"""A worker that copies says when it begins, so that an interrupted job finishes what is begun."""

from __future__ import annotations

from threading import Event

from sv2r.config.sections import JobOptions
from sv2r.loaders.coco.loader import sv2r_loaders
from sv2r.plugin.specs import Runtime
from sv2r.types import Published, Task
from sv2r.worker.copying import Copier
from tests.toys.datasets import make_coco


def test_pictures_are_begun_after_the_phase_is_shown(tmp_path):
    (spec,) = sv2r_loaders()
    renders = make_coco(tmp_path / "renders", ("a.png", "b.png"))
    dataset = spec.build(spec.options(), Runtime())(renders)
    happened = []

    def publish(sample, variant, image, frame):
        happened.append(sample.id)
        return Published(sample.id, "0" * 64)

    copier = Copier(
        dataset,
        publish,
        JobOptions(input=renders, output=tmp_path / "out"),
        Event(),
        lambda *shown: happened.append(shown),
    )
    records = list(copier.run([Task(0, 0), Task(1, 0)]))
    assert [record.status for record in records] == ["done", "done"]
    assert happened[0] == ("drawing", "")
    assert sorted(happened[1:]) == ["a.png", "b.png"]
