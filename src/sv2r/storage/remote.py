"""Files that lie on no disk of this machine, but at `s3://`, `gs://`, `az://`, `hf://`, `https://`.

fsspec and the packages that it knows list, read and write them. What is listed or asked for once is
remembered until somebody names the place anew, so that a job sees one state of its input.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from sv2r.errors import ConfigError, SampleError, StorageError
from sv2r.storage.archive import COMPRESSED, FOLDER_ENTRY, WHOLE, Entry
from sv2r.storage.files import TEMPORARY, in_bytes, replacing
from sv2r.storage.paths import cache_folder, safe_relative

# What stands in a web address as it is.
_PLAIN = "/:@!$&'()*+,;=~"
_LOG = logging.getLogger("sv2r")
_WEB = ("http", "https")
# Where a put is seen whole or not at all; elsewhere a file gets its name once it is whole.
_ATOMIC = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")
# What can be read there and not written as a job writes.
_READ_ONLY: Mapping[str, str] = {
    "http": "give a folder, s3://, gs:// or az://",
    "https": "give a folder, s3://, gs:// or az://",
    "hf": "each file would be a commit; give a folder, then hf upload REPOSITORY FOLDER",
}
# How archives end that are read in place; others would have to be fetched to be told.
_ARCHIVES = (".zip", ".tar", ".parquet")
_PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
# The size of a file that a web server lists by name alone.
_UNKNOWN = 1
# Weights that would run code when they are read, and those of other frameworks.
_UNREAD = (".bin", ".ckpt", ".pt", ".pth", ".msgpack", ".h5", ".onnx", ".onnx_data", ".gguf")
# Bytes of files that are held in memory, to be read again.
_HELD = 1 << 27
# What says of a file that it is still the one that was seen.
_STAMPS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "created", "md5")


@lru_cache(maxsize=32)
def _store(scheme: str, process: int) -> Store:
    return Store(scheme)


def open_store(url: str) -> tuple[Store, str]:
    """Return the file system of a URL, and the name in it.

    Raises:
        ConfigError: there is no such scheme, the package that knows it is not installed, or no name
            follows.
    """
    scheme, _, name = url.partition("://")
    if not name:
        raise ConfigError(f"{url}: names no bucket; write {url}BUCKET/FOLDER")
    if scheme in _WEB:
        name = unquote(name)
    return _store(scheme, os.getpid()), name  # a connection does not outlive a fork


class _Recent:
    """The files that were read last: a picture's life reads it several times, and so do loaders."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, name: str) -> bytes | None:
        """Return a file's bytes, if they are held."""
        with self._lock:
            if name in self._files:
                self._files.move_to_end(name)
            return self._files.get(name)

    def add(self, name: str, data: bytes) -> None:
        """Hold a file's bytes, and let go of others."""
        with self._lock:
            self._size += len(data) - len(self._files.pop(name, b""))
            self._files[name] = data
            while self._size > _HELD:
                self._size -= len(self._files.popitem(last=False)[1])


class Store:
    """A remote file system, with names as they stand in a URL behind ``scheme://``."""

    status = os.stat_result((0,) * 10)

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self._fs = _filesystem(scheme)
        self._folders: dict[str, dict[str, Entry]] = {}
        self._single: dict[str, Entry | None] = {}
        self._kept: dict[str, Path] = {}
        self._recent = _Recent()
        self._fetching = threading.Lock()

    def url(self, name: str) -> str:
        """Return a name with its scheme."""
        return f"{self._scheme}://{quote(name, _PLAIN) if self._scheme in _WEB else name}"

    def find(self, name: str) -> Entry | None:
        """Return what has a name, or None.

        One listing tells of all in a folder; without one of a folder above, the name alone is asked
        for: whoever may read a bucket's folder may not be allowed to list the bucket.

        Raises:
            StorageError: it cannot be reached.
        """
        if name in self._folders:
            return FOLDER_ENTRY
        folder, _, last = name.rpartition("/")
        if folder in self._folders:
            return self._folders[folder].get(last)
        if any(above in self._folders for above in _above(folder)):
            entry = self.find(folder)
            listed = entry is not None and stat.S_ISDIR(entry.kind)
            return self.listing(folder).get(last) if listed else None
        if name not in self._single:
            self._single[name] = self._ask(name)
        return self._single[name]

    def forget(self, name: str) -> None:
        """Forget what is known of a name, and of all in it."""
        for known in (self._folders, self._single, self._kept):
            for one in [one for one in known if one == name or one.startswith(f"{name}/")]:
                known.pop(one, None)
        self._recent = _Recent()

    def _ask(self, name: str) -> Entry | None:
        if not name:
            return FOLDER_ENTRY
        if self._scheme in _WEB and not name.lower().endswith(_ARCHIVES):
            # Every page has a name, a folder's too: only what it lists tells that it is one.
            return FOLDER_ENTRY if self.listing(name) else None
        with _reached(self.url(name)):
            try:
                found = self._fs.info(self.url(name))
            except FileNotFoundError:
                return None
        return _entry(found)

    def listing(self, folder: str) -> Mapping[str, Entry]:
        """Return what lies in a folder, by name.

        Raises:
            StorageError: it cannot be reached. ConfigError: it cannot be listed.
        """
        if folder not in self._folders:
            self._folders[folder] = self._listed(folder)
        return self._folders[folder]

    def _listed(self, folder: str) -> dict[str, Entry]:
        url = self.url(folder) + "/" * (self._scheme in _WEB)
        with _reached(url):
            try:
                found = self._fs.ls(url, detail=True)
            except FileNotFoundError:
                found = []
        own = str(self._fs._strip_protocol(url)).rstrip("/")
        named = ((str(one["name"]).rstrip("/"), one) for one in found)
        # An object store may hold a marker of the folder itself.
        inner = {
            _last(name, own, web=self._scheme in _WEB): _entry(one)
            for name, one in named
            if name != own
        }
        inner.pop("", None)
        if not inner and self._scheme in _WEB:
            raise ConfigError(
                f"{url}: the server lists no files there; give an archive, such as {url}renders.zip"
            )
        return inner

    def names(self, folder: str) -> tuple[str, ...] | None:
        """Return the names in a folder, or None where it is none."""
        entry = self.find(folder)
        return tuple(self.listing(folder)) if entry and stat.S_ISDIR(entry.kind) else None

    def open(self, name: str) -> io.BufferedIOBase:
        """Return a file's bytes as a stream.

        Raises:
            OSError: there is no such file, or it is another one than was listed.
            StorageError: it cannot be reached.
        """
        entry = self.find(name)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url(name))
        if stat.S_ISDIR(entry.kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.url(name))
        if entry.size > WHOLE:
            return self.kept(name).open("rb")
        if (data := self._recent.get(name)) is None:
            data = self._read(name, entry.size)
            self._recent.add(name, data)
        return io.BytesIO(data)

    def _read(self, name: str, size: int) -> bytes:
        # S3's file system asks for the size first, unless it is told where to stop. One byte more
        # tells that the file has grown.
        part = {"start": 0, "end": size + 1} if size > _UNKNOWN else {}
        with _reached(self.url(name), refused=True):
            data: bytes = self._fs.cat_file(self.url(name), **part)
        if size not in (_UNKNOWN, len(data)):
            raise OSError(errno.EIO, "was changed since it was listed; run the same command again")
        return data

    def kept(self, name: str) -> Path:
        """Return a copy of a file on this machine's disk, which stays until the file changes.

        Raises:
            FileNotFoundError: there is no such file. StorageError: it cannot be reached.
        """
        with self._fetching:
            if name not in self._kept:
                self._kept[name] = self._keep(name)
        return self._kept[name]

    def _keep(self, name: str) -> Path:
        with _reached(self.url(name)):
            stamp = f"{self.url(name)} {_stamp(self._fs.info(self.url(name)))}"
        digest = hashlib.sha256(stamp.encode()).hexdigest()[:24]
        copy = cache_folder() / "remote" / "files" / digest / name.rpartition("/")[2]
        if not copy.is_file():
            self.get(name, copy)
        return copy

    def get(self, name: str, target: Path) -> None:
        """Fetch a file.

        Raises:
            FileNotFoundError: there is no such file. StorageError: it cannot be reached.
        """
        with replacing(target) as temporary, _reached(self.url(name)):
            self._fs.get_file(self.url(name), str(temporary))

    def put(self, source: Path, name: str) -> None:
        """Write a file there, so that nobody sees a part of it.

        Raises:
            StorageError: it cannot be reached, or refuses.
        """
        url = self.url(name)
        try:
            with _reached(url):
                self._put(str(source), name)
        except FileNotFoundError:
            raise StorageError(f"{url}: there is no such bucket; make it first") from None

    def _put(self, source: str, name: str) -> None:
        if self._scheme in _ATOMIC:
            self._fs.put_file(source, self.url(name))
            return
        folder, _, last = name.rpartition("/")
        beside = self.url(f"{folder}/{TEMPORARY}{os.urandom(8).hex()}{Path(last).suffix}")
        self._fs.makedirs(self.url(folder), exist_ok=True)
        self._fs.put_file(source, beside)
        self._fs.mv(beside, self.url(name))

    def remove(self, name: str) -> None:
        """Remove a file, if there is one.

        Raises:
            StorageError: it cannot be reached, or refuses.
        """
        with _reached(self.url(name)), suppress(FileNotFoundError):
            self._fs.rm_file(self.url(name))

    def tree(self, folder: str) -> dict[str, tuple[int, str]]:
        """Return the size and the stamp of each file below a folder as they are now, by its name.

        Raises:
            StorageError: it cannot be reached.
        """
        with _reached(self.url(folder)):
            try:
                found = self._fs.find(self.url(folder), detail=True)
            except FileNotFoundError:
                return {}
        root = str(self._fs._strip_protocol(self.url(folder))).rstrip("/")
        return {
            name[len(root) + 1 :]: (_entry(one).size, _stamp(one))
            for name, one in found.items()
            if name.startswith(f"{root}/") and not name.endswith("/")
        }


def fetched(url: str) -> Path | None:
    """Return a copy on this machine's disk of a file or a folder of weights; None for neither.

    What was fetched once is kept until it changes there. Weights that are never read stay there.

    Raises:
        ConfigError: it cannot be reached.
    """
    store, name = open_store(url)
    try:
        entry = store.find(name)
        if entry is None or stat.S_ISREG(entry.kind):
            return store.kept(name) if entry else None
        tree = {n: told for n, told in store.tree(name).items() if _is_read(n)}
        marks = json.dumps([url, sorted(tree.items())])
        digest = hashlib.sha256(marks.encode()).hexdigest()[:24]
        folder = cache_folder() / "remote" / "folders" / digest / name.rpartition("/")[2]
        wanted = [n for n in tree if not (folder / n).is_file()]
        if wanted:
            size = in_bytes(sum(tree[n][0] for n in wanted))
            _LOG.warning("fetching    %s (%s)", url, size)
        for one in wanted:
            store.get(f"{name}/{one}", folder / one)
    except (StorageError, SampleError) as error:
        raise ConfigError(str(error)) from error
    return folder


def _is_read(name: str) -> bool:
    unread = name.lower().endswith(_UNREAD) or name.endswith("/")
    return not unread and safe_relative(name).as_posix() == name


class WorkFolder(type(Path())):  # type: ignore[misc]
    """The folder on this machine's disk that stands for a remote one; url: the remote one.

    What is derived from it are plain paths.
    """

    url = ""

    @classmethod
    def of(cls, url: str, work: Path | None) -> WorkFolder:
        """Return the folder for a URL, in a folder for all such ones or the user's cache."""
        last = "".join(c if c.isalnum() or c in "-_." else "-" for c in url.rpartition("/")[2])
        digest = hashlib.sha256(url.encode()).hexdigest()[:12]
        folder = cls(work or cache_folder() / "remote" / "work", f"{last[:60]}-{digest}")
        folder.url = url
        return folder

    def __reduce__(self) -> tuple[Any, ...]:
        return _work_folder, (self.parts, self.url)


def _work_folder(parts: tuple[str, ...], url: str) -> WorkFolder:
    folder = WorkFolder(*parts)
    folder.url = url
    return folder


def require_readable(url: str) -> None:
    """Raise ConfigError where no file in an archive can be read by itself."""
    if url.lower().endswith(_PACKED):
        raise ConfigError(f"{url}: {COMPRESSED}")


def require_writable(url: str) -> None:
    """Raise ConfigError where nothing can be written."""
    scheme = url.partition("://")[0]
    if fix := _READ_ONLY.get(scheme):
        raise ConfigError(f"{url}: {scheme}:// is read only here; {fix}")


def is_read_only(url: str) -> bool:
    """Return whether nothing can be written there."""
    return url.partition("://")[0] in _READ_ONLY


def archive_in(store: Store, name: str) -> tuple[Path, str] | None:
    """Return a copy of the archive that a name is or lies in, and the name in it; else None."""
    parts = name.split("/")
    for number, part in enumerate(parts, 1):
        if part.lower().endswith(_ARCHIVES):
            entry = store.find(whole := "/".join(parts[:number]))
            if entry is not None and stat.S_ISREG(entry.kind):
                return store.kept(whole), "/".join(parts[number:])
    return None


def _last(name: str, folder: str, *, web: bool) -> str:
    """Return what a listed file is called; "" for a link of a web page that is no file in it."""
    above, _, last = name.rpartition("/")
    if not web:
        return last
    return unquote(last) if above == folder and "?" not in last else ""


def _above(name: str) -> Iterator[str]:
    """Yield a name and those of the folders above it."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def _entry(told: Mapping[str, Any]) -> Entry:
    if told.get("type") == "directory":
        return FOLDER_ENTRY
    size = told.get("size")
    return Entry(stat.S_IFREG, _UNKNOWN if size is None else int(size))


def _stamp(told: Mapping[str, Any]) -> str:
    marks = [str(told[one]) for one in _STAMPS if told.get(one)]
    return " ".join([str(told.get("size")), *marks])


def _filesystem(scheme: str) -> Any:
    """Return fsspec's file system of a scheme."""
    import fsspec
    from fsspec.registry import known_implementations

    try:
        return fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False)
    except ImportError as error:
        path = str(known_implementations.get(scheme, {}).get("class", ""))
        inner = path.partition(".")[0] in ("fsspec", "")
        package = (error.name or "").partition(".")[0] if inner else path.partition(".")[0]
        fix = f"pip install {package}" if package else str(error)
        raise ConfigError(f"{scheme}:// needs the {package} package; {fix}") from None
    except ValueError:
        fix = "give a folder, or s3://, gs://, az://, hf://, https://"
        raise ConfigError(f"{scheme}://: no file system is known by that name; {fix}") from None


@contextmanager
def _reached(url: str, *, refused: bool = False) -> Iterator[None]:
    """Tell what goes wrong on the way in one line; that there is no such file, as it is.

    The packages behind fsspec raise errors of their own classes. refused: one file may be refused
    where others are not, and that is told as it is, unless what expired lets nobody in any more.
    """
    try:
        yield
    except (FileNotFoundError, ConfigError, StorageError):
        raise
    except Exception as error:
        if refused and isinstance(error, PermissionError) and "expired" not in str(error).lower():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), url) from error
        raise StorageError(f"{url}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    kind, detail = type(error).__name__, " ".join(str(error).split())[:300]
    if "Credential" in kind or "DefaultCredentials" in detail:
        return f"no credentials for it were found ({detail or kind})"
    if isinstance(error, PermissionError) or getattr(error, "status", 0) in (401, 403):
        return f"no permission ({detail or kind}); check the credentials and what they allow"
    return f"cannot be reached ({detail or kind}); run the same command again"
