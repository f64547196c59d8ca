"""Several worker processes over one job, on the CPU named several times."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

import sv2r
from sv2r.errors import ConfigError, Sv2rError
from sv2r.job.run import Silence
from sv2r.storage.files import TEMPORARY
from tests.toys import processes
from tests.toys.datasets import make_coco
from tests.toys.jobs import config_of, files_of, records_of

NAMES = tuple(f"{number:02}.png" for number in range(24))


@pytest.fixture(scope="module", autouse=True)
def _preloaded():
    processes.preload()


@pytest.fixture(scope="module")
def one(tmp_path_factory, toy_sd15):
    """Return (renders, what one worker makes of them)."""
    root = tmp_path_factory.mktemp("one")
    renders = make_coco(root / "renders", NAMES)
    assert sv2r.convert(config_of(renders, root / "out", toy_sd15)).done == len(NAMES)
    return renders, without_settings(root / "out")


@pytest.fixture
def config(one, tmp_path, toy_sd15):
    return config_of(one[0], tmp_path / "out", toy_sd15, device=["cpu", "cpu"])


def without_settings(folder: Path) -> dict[str, bytes]:
    """Return all files but those that tell of the folders and devices a run was given."""
    settings = ("sv2r/run.yaml", "sv2r/report.html")
    return {name: data for name, data in files_of(folder).items() if name not in settings}


def workers() -> list[multiprocessing.process.BaseProcess]:
    return [child for child in multiprocessing.active_children() if child.name == "sv2r cpu"]


class AtFirstRecord(Silence):
    """Does something once, when the first picture is there."""

    def __init__(self, act) -> None:
        self.act = act
        self.said_lines: list[str] = []
        self.recorded_ones: list[tuple[str, int]] = []

    def said(self, line: str) -> None:
        self.said_lines.append(line)

    def recorded(self, record: sv2r.Record) -> None:
        self.recorded_ones.append((record.sample, record.variant))
        if len(self.recorded_ones) == 1:
            self.act()


def test_two_workers_make_the_same_bytes_as_one(one, config, tmp_path):
    seen: list[int] = []
    watch = AtFirstRecord(lambda: seen.append(len(workers())))
    summary = sv2r.convert(config, watch=watch)
    assert (summary.done, summary.exit_code, summary.notes) == (24, 0, ())
    assert seen == [2]
    assert workers() == []
    assert without_settings(tmp_path / "out") == one[1]


def test_a_killed_workers_samples_are_done_by_the_other_and_the_summary_says_so(
    one, config, tmp_path
):
    watch = AtFirstRecord(lambda: os.kill(workers()[0].pid, signal.SIGKILL))
    summary = sv2r.convert(config, watch=watch)
    assert (summary.done, summary.failed, summary.exit_code) == (24, 0, 0)
    (note,) = summary.notes
    assert note.startswith("the worker on cpu died (killed by signal 9); the other")
    assert watch.said_lines == [note]
    assert sorted(watch.recorded_ones) == [(name, 0) for name in NAMES]
    assert without_settings(tmp_path / "out") == one[1]


DEADLY = """
import os, signal
from sv2r import CheckResult, CheckSpec, Options, hookimpl

def build(options, runtime):
    def check(frame, picture):
        if frame.sample.id == "07.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return CheckResult()
    return check

@hookimpl
def sv2r_checks():
    return [CheckSpec(name="deadly", summary="Kills on 07.png.", options=Options, build=build)]
"""


def test_a_picture_that_kills_every_worker_fails_by_name_and_the_others_are_made(
    one, config, tmp_path, monkeypatch
):
    info = tmp_path / "site" / "sv2r_deadly-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sv2r-deadly\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[sv2r]\ndeadly = sv2r_deadly\n")
    (info.parent / "sv2r_deadly.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(str(info.parent))
    watch = AtFirstRecord(lambda: None)
    summary = sv2r.convert({**config, "checks": ["sanity", "deadly"]}, watch=watch)
    assert (summary.done, summary.failed, summary.left) == (len(NAMES) - 1, 1, 0)
    assert summary.troubles[0].error == (
        "07.png: the process that worked on it died three times (killed by signal 9), the last "
        "time on it alone; render it again, or leave it out with --only"
    )
    assert len(summary.notes) == 3
    assert "a new one tries the" in summary.notes[1]
    assert sorted(watch.recorded_ones) == [(name, 0) for name in NAMES]
    pictures = {name: data for name, data in one[1].items() if name in NAMES and "07" not in name}
    made = without_settings(tmp_path / "out")
    assert {name: made[name] for name in pictures} == pictures
    assert workers() == []


def test_where_all_workers_are_killed_one_line_says_so_and_the_job_can_be_resumed(
    one, config, tmp_path
):
    def kill_all() -> None:
        for worker in workers():
            os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(Sv2rError, match=r"^every worker process has died; run the same command"):
        sv2r.convert(config, watch=AtFirstRecord(kill_all))
    assert not [name for name in files_of(tmp_path / "out") if TEMPORARY in name]
    summary = sv2r.convert(config)
    assert (summary.done, summary.restored > 0) == (24, True)
    assert without_settings(tmp_path / "out") == one[1]


def test_what_is_wrong_in_a_worker_is_told_as_in_one_process(config, tmp_path):
    config["conditioners"] = {"depth": {"model": str(tmp_path / "nowhere")}}
    with pytest.raises(ConfigError) as alone:
        sv2r.convert({**config, "device": ["cpu"]})
    with pytest.raises(ConfigError) as several:
        sv2r.convert(config)
    assert str(several.value) == str(alone.value)
    assert "nowhere: no such folder" in str(several.value)
    assert workers() == []


def test_ctrl_c_lets_both_workers_finish_what_is_begun(one, config, tmp_path):
    def press() -> None:  # a terminal tells the whole group
        for process in (*workers(), multiprocessing.current_process()):
            os.kill(process.pid, signal.SIGINT)

    watch = AtFirstRecord(press)
    summary = sv2r.convert(config, watch=watch)
    assert (summary.exit_code, summary.failed, summary.notes) == (130, 0, ())
    assert 0 < summary.done < 24
    assert summary.left == 24 - summary.done
    assert watch.said_lines == [
        "stopping: finishing what is begun; Ctrl-C again stops at once",
    ]
    assert len(records_of(tmp_path / "out")) == summary.done
    assert sv2r.convert(config).done == 24
    assert without_settings(tmp_path / "out") == one[1]


def test_the_first_worker_finds_the_batch_size_for_both(config, tmp_path):
    summary = sv2r.convert({**config, "batch_size": "auto", "limit": 5})
    assert summary.done == 5
    sizes = {record["settings"]["batch_size"] for record in records_of(tmp_path / "out").values()}
    assert len(sizes) == 1


def test_a_batch_larger_than_what_is_handed_out_at_first_fills_up(tmp_path, toy_sd15):
    renders = make_coco(tmp_path / "renders", tuple(f"{n:03}.png" for n in range(70)), (24, 32))
    config = config_of(renders, tmp_path / "out", toy_sd15, device=["cpu,cpu"], batch_size=61)
    assert sv2r.convert(config).done == 70


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (["cuda:7"], "--device cuda:7: not on this machine; there are: cpu"),
        (["cpu", "tpu"], "--device tpu: not on this machine; there are: cpu"),
        ([""], "--device: none is given; say auto, cpu, cuda:0 or cuda:0,cuda:1"),
    ],
)
def test_a_device_that_does_not_exist_is_refused_and_nothing_is_written(
    config, tmp_path, asked, line
):
    with pytest.raises(ConfigError) as refused:
        sv2r.convert({**config, "device": asked})
    assert str(refused.value).startswith(line)
    assert not (tmp_path / "out").exists()
