"""What stands in for tqdm's bar counts, however a pipeline uses it."""

from __future__ import annotations

from types import SimpleNamespace

from sv2r.diffusion.steps import show_steps


def test_a_pipeline_may_use_it_in_every_way_that_diffusers_does():
    shown = []
    pipe = SimpleNamespace()
    show_steps(pipe, lambda phase, detail: shown.append((phase, detail)))
    with pipe.progress_bar(total=2) as bar:
        bar.set_description("flow")
        bar.update()
        bar.set_postfix(loss=1)
        bar.update()
    bar.close()
    assert list(pipe.progress_bar([5, 6])) == [5, 6]
    assert list(pipe.progress_bar(item for item in (7,))) == [7]
    assert shown == [
        ("drawing", "step 1 of 2"),
        ("drawing", "step 2 of 2"),
        ("drawing", "step 1 of 2"),
        ("drawing", "step 2 of 2"),
        ("drawing", "step 1"),
    ]
