"""What can run out while a training runs, as one line: memory, the disk."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sv2r.errors import ConfigError, StorageError

_LESS = (
    "a smaller --batch-size with --accumulate, --gradient-checkpointing true, a smaller "
    "--resolution"
)

# Error numbers where not the space is what is missing.
_IN_THE_WAY = {errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.ENXIO}


@contextmanager
def memory_told(what: str, fix: str = _LESS) -> Iterator[None]:
    """Turn running out of a GPU's or of main memory into one line that says what takes less.

    what: is being done, as "train the lora". fix: what to try.

    Raises:
        ConfigError: memory ran out.
    """
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        # Of main memory, torch says so in its text alone.
        short = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not short and "can't allocate memory" not in str(error):
            raise
        raise ConfigError(f"too little memory to {what}; try {fix}") from None


@contextmanager
def disk_told(path: Path) -> Iterator[None]:
    """Turn what a disk says that can take no more into one line.

    Raises:
        StorageError: path cannot be written.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError) as error:  # safetensors has its own word for all of them
        what = " ".join(str(error).split())
        blocked = isinstance(error, OSError) and error.errno in _IN_THE_WAY
        fix = "move what is in the way" if blocked else "free some space"
        fix += ", then run the same command again"
        raise StorageError(f"{path}: cannot be written ({what}); {fix}") from error
