from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from sv2r.errors import ConfigError, PluginError
from sv2r.plugin.discovery import Owner
from sv2r.plugin.guard import guard, guarded, guarded_items

HAZE = Owner("haze", "sv2r-haze", "0.2")


class Nameless(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Alien(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SystemExit(0), "SystemExit: 0"),
        (SystemExit(), "SystemExit"),
        (GeneratorExit(), "GeneratorExit"),
        (Alien("from\nafar"), "Alien: from afar"),
        (StopIteration(3), "StopIteration: 3"),
        (KeyError("key"), "KeyError: 'key'"),
        (Nameless(), "Nameless"),
    ],
)
def test_whatever_a_plugin_raises_is_one_line_that_names_plugin_distribution_and_stage(
    error: BaseException, told: str
) -> None:
    with pytest.raises(PluginError) as caught, guard(HAZE, "build"):
        raise error
    assert str(caught.value) == f"'haze' (sv2r-haze 0.2) failed in build: {told}"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ConfigError("give a model"), KeyboardInterrupt()])
def test_what_is_meant_for_the_user_and_ctrl_c_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, guard(HAZE, "build"):
        raise error
    assert caught.value is error


def test_a_guarded_function_keeps_its_name_and_result() -> None:
    def double(number: int) -> int:
        return 2 * number

    assert guarded(HAZE, "call", double)(4) == 8
    assert guarded(HAZE, "call", double).__name__ == "double"


def test_of_an_iterator_each_step_is_guarded_and_the_code_between_is_not() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield 1
            raise SystemExit(0)
        finally:
            closed.append(True)

    guarded_ones = guarded_items(HAZE, "run", items())
    assert next(guarded_ones) == 1
    with pytest.raises(PluginError, match="failed in run: SystemExit: 0"):
        next(guarded_ones)
    assert closed == [True]

    def divide_each_by_zero() -> None:
        for number in guarded_items(HAZE, "run", iter([1])):
            number / 0

    with pytest.raises(ZeroDivisionError):
        divide_each_by_zero()


def test_the_error_goes_to_another_process_and_stays_itself() -> None:
    error = pickle.loads(pickle.dumps(PluginError("'a' (b 1)", "call", "KeyError: 'x'")))
    assert str(error) == "'a' (b 1) failed in call: KeyError: 'x'"


def test_what_a_plugin_prints_in_any_way_goes_to_stderr() -> None:
    code = """
import os, subprocess, sys
from sv2r.plugin.guard import guard
print("before")
with guard("a plugin", "call"):
    print("printed")
    os.write(1, b"written\\n")
    subprocess.run([sys.executable, "-c", "print('by a child')"])
print("after")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n"
    assert sorted(done.stderr.splitlines()) == ["by a child", "printed", "written"]


def test_threads_that_overlap_leave_stdout_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with guard(HAZE, "call"):
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with guard(HAZE, "call"):
            second_in.set()
            first_out.wait(10)
            print("in the second")

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("outside")

    assert sys.stdout is before
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("outside\n", "in the second\n")


def test_a_closed_stdout_is_no_trouble() -> None:
    code = "from sv2r.plugin.guard import guard\nwith guard('p', 'call'): pass"
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec {sys.executable} -c "{code}" >&-'],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ},
    )
    assert (done.returncode, done.stderr) == (0, "")
