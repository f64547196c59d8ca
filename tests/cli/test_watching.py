"""What a person sees while a job runs, and what Ctrl-C does: real processes, a real terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import termios
import threading
import time
from pathlib import Path

import pytest

from sv2r.output.journal import Journal
from sv2r.storage.files import TEMPORARY
from tests.toys import processes
from tests.toys.datasets import make_coco, write_render
from tests.toys.jobs import files_of, records_of

NAMES = tuple(f"{number:02}.png" for number in range(8))


@pytest.fixture
def asked(tmp_path, toy_sd15):
    """The words of a job of eight pictures, each of which takes some tenths of a second."""
    folders = ["--input", make_coco(tmp_path / "renders", NAMES), "--output", tmp_path / "out"]
    translator = ["--translator", "sdedit", "--translator.model", toy_sd15]
    slow = ["--translator.steps", 30, "--translator.strength", 1, "--batch-size", 1]
    return ["convert", *folders, *translator, *slow, "--check", "sanity"]


def with_steps(asked, steps: int):
    place = asked.index("--translator.steps") + 1
    return [*asked[:place], steps, *asked[place + 1 :]]


def started(asked, tmp_path, error=None):
    files = tmp_path / "out.txt", error or tmp_path / "error.txt"
    return processes.start(processes.typed, "sv2r.cli.main", asked, *files)


def wait_for(path: Path, process) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.is_alive(), "it has ended before"
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.01)


def enlarge(renders: Path, names) -> None:
    """Make some pictures of a COCO folder 512 pixels a side."""
    data = json.loads((renders / "annotations.json").read_text())
    for image in data["images"]:
        if image["file_name"] in names:
            image |= {"height": 512, "width": 512}
            write_render(renders / image["file_name"], 512, 512, image["id"])
    (renders / "annotations.json").write_text(json.dumps(data))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_ctrl_c_finishes_what_is_begun_and_the_same_command_goes_on(
    asked, tmp_path, number
):
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("whoever began the tests has it ignored, as nohup does, and so it stays")
    process = started(asked, tmp_path)
    wait_for(tmp_path / "out" / NAMES[0], process)
    os.kill(process.pid, number)
    process.join(120)
    assert process.exitcode == 130
    lines = (tmp_path / "error.txt").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("converting ")]  # on a slow machine
    assert lines[-1] == "stopping: finishing what is begun; Ctrl-C again stops at once"
    records = records_of(tmp_path / "out")
    assert 1 <= len(records) < 8
    assert {record["status"] for record in records.values()} == {"done"}
    made = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert made == records.keys()
    first, *_, last = (tmp_path / "out.txt").read_text().splitlines()
    left = 8 - len(records)
    assert first.startswith(f"done {len(records)} · rejected 0 · failed 0 · not begun {left} · ")
    assert last == "again       run the same command again to continue"

    files = tmp_path / "out again.txt", tmp_path / "error again.txt"
    assert processes.run(processes.typed, "sv2r.cli.main", asked, *files) == 0
    told = files[1].read_text()
    assert f"{left} of 8 to do · {len(records)} done earlier" in told
    assert records_of(tmp_path / "out").keys() == set(NAMES)


def test_the_second_ctrl_c_stops_at_once_and_leaves_nothing_half_written(asked, tmp_path):
    # All but the first are so large that the second is not done, however late a busy disk shows
    # the first.
    enlarge(tmp_path / "renders", NAMES[1:])
    words = with_steps(asked, 600)
    process = started(words, tmp_path)
    wait_for(tmp_path / "out" / NAMES[0], process)  # the second one has been begun
    os.kill(process.pid, signal.SIGINT)
    end = time.monotonic() + 60
    while "stopping" not in (tmp_path / "error.txt").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join(120)
    assert process.exitcode == 130
    lines = [line for line in (tmp_path / "error.txt").read_text().splitlines() if line]
    assert lines[-2:] == [
        "stopping: finishing what is begun; Ctrl-C again stops at once",
        "stopped; run the same command again to continue",
    ]
    assert (tmp_path / "out.txt").read_text() == ""
    assert not [name for name in files_of(tmp_path / "out") if TEMPORARY in name]
    with Journal(tmp_path / "out") as journal:
        assert {record.sample for record in journal.records()} <= {NAMES[0]}


def test_ctrl_c_while_weights_are_loaded_ends_at_once(asked, tmp_path):
    process = started(asked, tmp_path)
    end = time.monotonic() + 120
    error = tmp_path / "error.txt"
    while not error.exists() or "loading" not in error.read_text():
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == 130
    lines = (tmp_path / "error.txt").read_text().splitlines()
    assert lines[-1] == "stopped; run the same command again to continue"
    assert not any(line.startswith("stopping") for line in lines)
    assert not list((tmp_path / "out").glob("*.png"))


def test_a_terminal_gets_a_bar_with_rate_and_time_left(asked, tmp_path):
    shown = on_terminal([*with_steps(asked, 20), "--limit", 4], tmp_path)
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "loader      coco · 8 pictures · 2 categories" in plain
    assert re.search(r"converting +━*[╸╺]?━* +[1-4]/4 +[\d.]+ pictures/s +0:00:\d\d", plain), plain
    assert re.search(r"converting +━+ +4/4 +[\d.]+ pictures/s", plain), plain
    assert "failed" not in plain


def test_a_terminal_is_told_of_failures_above_the_bar(asked, tmp_path):
    (tmp_path / "renders" / "01.png").write_bytes(b"")
    shown = on_terminal([*with_steps(asked, 4), "--limit", 3], tmp_path)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "failed      01.png: is empty" in plain
    assert "1 failed or rejected" in plain
    assert re.search(r"drawing: step \d of \d", plain)
    assert "01.png" not in (tmp_path / "out.txt").read_text()


def on_terminal(asked, tmp_path) -> str:
    """Return what a job writes to a terminal of 120 columns on its standard error."""
    main, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (40, 120))
    said: list[bytes] = []

    def listen() -> None:
        while True:
            try:
                said.append(os.read(main, 65536))
            except OSError:  # nobody has the terminal open any more
                return

    process = started(asked, tmp_path, os.ttyname(terminal))
    listener = threading.Thread(target=listen)
    listener.start()
    process.join(120)
    os.close(terminal)
    listener.join(10)
    os.close(main)
    assert process.exitcode in (0, 1)
    return b"".join(said).decode()


def test_elsewhere_there_are_plain_lines(asked, tmp_path):
    words = [*with_steps(asked, 4), "--limit", 2]
    files = tmp_path / "out.txt", tmp_path / "error.txt"
    assert processes.run(processes.typed, "sv2r.cli.main", words, *files) == 0
    text = files[1].read_text()
    assert "\x1b" not in text
    assert "━" not in text
    titles = [line[:12].strip() for line in text.splitlines()]
    assert titles == ["loader", "", "translator", "plan", "loading"]
    assert re.search(r"^loading +/\S+, [\d.]+ [kM]B$", text, re.MULTILINE)
