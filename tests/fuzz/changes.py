"""Random changes of data, bytes and folders."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SEED = int(os.environ.get("FUZZ_SEED", "0"))

# What stands where something else was meant, in data that others wrote.
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308),
    *(
        float("inf"),
        float("nan"),
        "",
        "a",
        "0",
        "1",
        "\0",
        "../x",
        "/etc/passwd",
        "a\\b",
        "ä" * 300,
    ),
    *("\x1b[31m", "\ud800", "http://x/y.png", "{x}", "x" * 5000),
    *([], {}, [[]], [{}], {"": None}, [None], [[1, 2, 3]], {"counts": [1], "size": [1, 1]}),
)


def cases(few: int) -> Iterator[random.Random]:
    """Yield a source of chance for each case; few: how many where FUZZ_CASES does not say."""
    for number in range(int(os.environ.get("FUZZ_CASES", few))):
        chance = random.Random(SEED + number)
        chance.name = f"FUZZ_CASES=1 FUZZ_SEED={SEED + number}"  # type: ignore[attr-defined]
        yield chance


def odd(chance: random.Random) -> Any:
    """Return a value that is seldom meant."""
    return copy.deepcopy(chance.choice(ODD))


def changed(data: Any, chance: random.Random, times: int = 3) -> Any:
    """Return JSON-like data with some of its values replaced, left out, doubled or swapped."""
    data = copy.deepcopy(data)
    for _ in range(chance.randint(1, times)):
        places = list(_places(data))
        if not places:
            return odd(chance)
        holder, key = chance.choice(places)
        _change(holder, key, chance)
    return data


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (mapping or list, key) of every value in data."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(items):
        yield data, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _change(holder: Any, key: Any, chance: random.Random) -> None:
    what = chance.randrange(4)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif what == 2 and isinstance(holder, dict):
        other = chance.choice(list(holder))
        holder[key], holder[other] = holder[other], holder[key]
    else:
        holder[key] = odd(chance)


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with some flipped, cut, doubled or written over."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not made:
            break
        place = chance.randrange(len(made))
        what = chance.randrange(5)
        if what == 0:
            made[place] ^= 1 << chance.randrange(8)
        elif what == 1:
            del made[place:]
        elif what == 2:
            del made[place : place + chance.randint(1, 64)]
        elif what == 3:
            made[place:place] = made[place : place + chance.randint(1, 64)]
        else:
            made[place : place + 16] = chance.randbytes(16)
    return bytes(made)


def change_folder(root: Path, chance: random.Random) -> str:
    """Change one file under a folder, and return what was done to which."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    file = chance.choice(files)
    what = chance.choice(["bytes", "empty", "gone", "pipe", "folder", "dangling", "loop", "twin"])
    data = file.read_bytes()
    if what == "bytes":
        new = changed_bytes(data, chance)
        file.write_bytes(new if new != data else data + b"x")
    elif what == "empty":
        file.write_bytes(b"" if data else b"x")
    elif what == "twin":
        file.with_name(f"twin-{file.name}").write_bytes(data)
    else:
        file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    elif what in ("dangling", "loop"):
        file.symlink_to("nowhere" if what == "dangling" else file.name)
    return f"{what}: {file.relative_to(root)}"
