"""Reads arrays out of an HDF5 file: those that lie in it themselves, no larger than pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sv2r.errors import SampleError
from sv2r.images.picture_file import MAX_PIXELS, opened

_AGAIN = "render it again, then run the same command"


def hdf5_keys(path: Path, name: str) -> tuple[str, ...]:
    """Return the names at the top of an HDF5 file. name: how an error calls it.

    Raises:
        SampleError: missing, damaged, or the ``hdf5`` extra is not installed.
    """
    with _file(path, name) as file:
        return tuple(key for key in file if isinstance(key, str) and key.isprintable())


def read_hdf5(path: Path, name: str, key: str) -> NDArray[Any]:
    """Return an array of an HDF5 file: numbers of any shape, or one text of bytes (shape ()).

    name: how an error calls the file. key: the array's name at the top of it.

    Raises:
        SampleError: missing, damaged, of another kind, more than four times MAX_PIXELS values,
            or it lies in another file, to which this one links.
    """
    import numpy as np

    with _file(path, name) as file:
        import h5py

        if key not in file:
            raise SampleError(f"{name}: has no {key}; {_AGAIN}")
        link = file.get(key, getlink=True)
        found = file[key] if isinstance(link, h5py.HardLink) else None
        if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
            raise SampleError(f"{name}: {key} is no array in this file itself; write it there")
        if found.size is None or found.size > 4 * MAX_PIXELS:
            raise SampleError(f"{name}: {key} has the shape {found.shape}; cut it into tiles")
        if found.dtype.kind not in "biuf" and not (found.dtype.kind in "SO" and not found.shape):
            raise SampleError(f"{name}: {key} holds {found.dtype}, not numbers; {_AGAIN}")
        return np.asarray(found[()])


@contextmanager
def _file(path: Path, name: str) -> Iterator[Any]:
    """Yield an open HDF5 file; whatever is wrong with it is one SampleError."""
    try:
        import h5py
    except ImportError as error:
        raise SampleError(
            f"{name}: reading HDF5 needs the h5py package; pip install sv2r[hdf5]"
        ) from error
    with opened(path, name) as stream:
        try:
            with h5py.File(stream, "r") as file:
                yield file
        except SampleError:
            raise
        # h5py meets damage with any of these, and KeyError where a part of the file is gone.
        except (OSError, RuntimeError, ValueError, TypeError, LookupError, MemoryError) as error:
            detail = " ".join(str(error).split()) or type(error).__name__
            raise SampleError(f"{name}: cannot be read as HDF5 ({detail}); {_AGAIN}") from error
