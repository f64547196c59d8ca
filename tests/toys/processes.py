"""Runs a conversion in a process of its own, to be killed or starved there.

The processes are forked from a server that has imported torch and diffusers but computed nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def preload() -> Any:
    """Return the context whose server, unless it runs already, will have imported all that."""
    context = multiprocessing.get_context("forkserver")
    # The server looks for what it preloads on the path it is started with, not on ours.
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    context.set_forkserver_preload(["tests.toys.preloaded"])
    return context


def start(target: Any, *args: Any) -> Any:
    """Return a process that has begun to call target."""
    process = preload().Process(target=target, args=args)
    process.start()
    return process


def run(target: Any, *args: Any) -> int:
    """Return the exit code of a process that calls target."""
    process = start(target, *args)
    process.join(120)
    assert process.exitcode is not None, "the run hangs"
    return int(process.exitcode)


def typed(module: str, args: Sequence[object], out: Path, error: Path) -> None:
    """Be `python -m module args`, its two outputs in files, or on a terminal's device."""
    for path, number in ((out, 1), (error, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOCTTY), number)
    os.environ["TERM"] = "xterm-256color"
    sys.argv = [module, *map(str, args)]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def convert(config: dict[str, Any]) -> None:
    """Convert, and exit with the summary's code."""
    import sv2r

    sys.exit(sv2r.convert(config).exit_code)


def convert_and_die(config: dict[str, Any], output: Path, step: int) -> None:
    """Convert, but SIGKILL oneself at the step-th change of a file under output."""
    _die_at(output, step)
    convert(config)


def overwrite_and_die(config: dict[str, Any], output: Path, step: int) -> None:
    """Convert with --overwrite, and die as `convert_and_die` does."""
    import sv2r

    _die_at(output, step)
    sv2r.convert(config, overwrite=True)


def fix_and_die(output: Path, step: int) -> None:
    """Be `sv2r verify --fix`, and die as `convert_and_die` does."""
    from sv2r.verify.dataset import verify

    _die_at(output, step, journal=True)
    verify(output, sample="0", fix=True)


def report_and_die(output: Path, step: int) -> None:
    """Write the report, and die as `convert_and_die` does."""
    from sv2r.report.write import write_report

    _die_at(output, step)
    write_report(output)


def _die_at(output: Path, step: int, *, journal: bool = False) -> None:
    """SIGKILL this process at the step-th change of a file under output.

    journal: whether changes of the journal count, those that sqlite makes itself left out.
    """
    seen = 0

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        changes = event in ("os.rename", "os.remove") or (event == "open" and args[2] & os.O_CREAT)
        ours = journal or "journal" not in str(args[0])
        if changes and ours and str(args[0]).startswith(str(output)):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def convert_with_small_files(config: dict[str, Any], limit: int) -> None:
    """Convert where no file may grow over limit bytes; exit 3 with the error's text in a file."""
    from sv2r.errors import Sv2rError

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        convert(config)
    except Sv2rError as error:
        Path(config["output"]).with_name("error.txt").write_text(f"{type(error).__name__}: {error}")
        sys.exit(3)
