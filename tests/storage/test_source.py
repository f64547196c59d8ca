"""Archives that are read as folders: what a loader can ask of a path, and what is refused."""

from __future__ import annotations

import io
import os
import pickle
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sv2r.errors import ConfigError, SampleError
from sv2r.images.picture_file import read_file
from sv2r.loaders.tree import AnyCase, read_tree
from sv2r.storage import archive as archives
from sv2r.storage.files import copy_atomically
from sv2r.storage.paths import inside, relative_name
from sv2r.storage.source import SourcePath, as_source, is_there, list_folder, names_in, on_disk
from tests.toys.archives import pack

CONTENT = {"a.txt": b"one", "deep/er/b.JSON": b"{}", "deep/c.bin": bytes(range(256)) * 40}


@pytest.fixture(params=["x.zip", "x.tar"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for name, data in CONTENT.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return as_source(pack(tmp_path / "in", tmp_path / request.param))


def put(path: Path, entries: dict[str, bytes]) -> Path:
    """Write an archive with entries of any names."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for name, data in entries.items():
                zipped.writestr(name, data)
    else:
        with tarfile.open(path, "w") as tar:
            for name, data in entries.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def test_it_opens_lists_and_tells_as_a_folder_does(root: Path) -> None:
    assert root.is_dir()
    assert isinstance(root / "deep", SourcePath)
    assert sorted(path.name for path in root.iterdir()) == ["a.txt", "deep"]
    assert sorted(names_in(root / "deep")) == ["c.bin", "er"]
    with list_folder(root) as entries:
        assert sorted((e.name, e.is_dir(), e.is_file(), e.is_symlink()) for e in entries) == [
            ("a.txt", False, True, False),
            ("deep", True, False, False),
        ]
    assert (root / "a.txt").read_bytes() == b"one"
    assert (root / "a.txt").read_text() == "one"
    assert (root / "a.txt").stat().st_size == 3
    assert stat.S_ISREG((root / "a.txt").stat().st_mode)
    assert not (root / "b.txt").exists()
    assert not is_there(root / "b.txt")
    assert is_there(root / "deep/er")
    with pytest.raises(FileNotFoundError):
        (root / "b.txt").stat()
    with pytest.raises(IsADirectoryError):
        (root / "deep").open("rb")
    with pytest.raises(NotADirectoryError):
        names_in(root / "a.txt")
    with pytest.raises(OSError, match="Read-only"):
        (root / "a.txt").open("w")
    found = [relative_name(path, root) for path in root.glob("**/*.JSON")]
    assert found == [relative_name(path, root) for path in root.rglob("b.*")] == ["deep/er/b.JSON"]
    assert [path.name for path in root.glob("*/c.*")] == ["c.bin"]
    assert pickle.loads(pickle.dumps(root / "a.txt")).read_bytes() == b"one"


def test_the_house_s_own_readers_take_it(root: Path, tmp_path: Path) -> None:
    assert read_tree(root).files == ("a.txt", "deep/c.bin", "deep/er/b.JSON")
    assert read_tree(root).folders == ("deep", "deep/er")
    assert inside(root, "deep/c.bin") == root / "deep/c.bin"
    assert AnyCase(root).find("DEEP/er/B.json") == root / "deep/er/b.JSON"
    assert read_file(root / "deep/c.bin", "c") == CONTENT["deep/c.bin"]
    with pytest.raises(SampleError, match=r"^c: is missing"):
        read_file(root / "c", "c")
    copy_atomically(root / "deep/c.bin", tmp_path / "out/c.bin")
    assert (tmp_path / "out/c.bin").read_bytes() == CONTENT["deep/c.bin"]
    with on_disk(root / "deep/c.bin") as file:
        assert not isinstance(file, SourcePath)
        assert file.suffix == ".bin"
        assert file.read_bytes() == CONTENT["deep/c.bin"]
    assert not file.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", root.name]


def test_a_large_file_is_a_stream(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "WHOLE", 100)
    with (root / "deep/c.bin").open("rb") as stream:
        assert stream.read(3) == b"\0\1\2"
        stream.seek(-2, os.SEEK_END)
        assert stream.read() == b"\xfe\xff"
        stream.seek(256)
        assert stream.read() == CONTENT["deep/c.bin"][256:]


def test_a_folder_in_an_archive_can_be_named(root: Path) -> None:
    inner = as_source(Path(str(root)) / "deep")
    assert sorted(names_in(inner)) == ["c.bin", "er"]
    assert as_source(root) is root


def test_what_is_no_archive_stays_a_path(tmp_path: Path) -> None:
    (tmp_path / "x.zip").mkdir()
    (tmp_path / "y.zip").write_bytes(b"nothing")
    for path in (tmp_path, tmp_path / "x.zip", tmp_path / "y.zip", tmp_path / "no/where"):
        assert type(as_source(path)) is type(tmp_path)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["../a"], "../a: the path climbs out by '..'"),
        (["a/../../b"], "a/../../b: the path climbs out by '..'"),
        (["/etc/passwd"], "/etc/passwd: the path is absolute"),
        (["C:/a"], "C:/a: the path is absolute"),
        (["a", "a/b"], "a is a file and a folder in it"),
        (["a/b", "./a//b"], "a/b is in it twice"),
    ],
)
def test_names_that_no_folder_can_hold_refuse_the_archive(
    tmp_path: Path, suffix: str, names: list[str], message: str
) -> None:
    path = put(tmp_path / f"x{suffix}", dict.fromkeys(names, b"1"))
    with pytest.raises(ConfigError) as told:
        as_source(path)
    assert str(told.value).startswith(f"{path}: {message}")
    assert "\n" not in str(told.value)


def test_links_in_a_tar_are_listed_and_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, kind, target in (
            ("link", tarfile.SYMTYPE, "/etc/passwd"),
            ("hard", tarfile.LNKTYPE, "../secret"),
            ("pipe", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    root = as_source(tmp_path / "x.tar")
    for name in ("link", "hard", "pipe"):
        assert (root / name).is_symlink()
        assert not (root / name).is_file()
        with pytest.raises(SampleError) as told:
            read_file(root / name, name)
        assert str(told.value) == (
            f"{name}: cannot be read (is a link, which is not followed in an archive; "
            "put the file itself there)"
        )


def test_a_link_in_a_zip_is_not_followed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(info, "/etc/passwd")
    root = as_source(tmp_path / "x.zip")
    assert (root / "link").is_symlink()
    with pytest.raises(SampleError, match="is a link, which is not followed"):
        read_file(root / "link", "link")


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "BOMB", 1000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("bomb", bytes(1_000_000))
        zipped.writestr("a.txt", b"one")
    root = as_source(tmp_path / "x.zip")
    with pytest.raises(SampleError, match=r"^bomb: cannot be read \(would unpack to 1,000,000 byt"):
        read_file(root / "bomb", "bomb")
    assert (root / "a.txt").read_bytes() == b"one"
    monkeypatch.setattr(archives, "MOST", 10)
    os.utime(tmp_path / "x.zip", ns=(1, 1))
    with pytest.raises(ConfigError, match="would unpack to 1,000,003 bytes, which no honest"):
        as_source(tmp_path / "x.zip")


def test_a_file_that_lies_about_its_size_or_is_damaged_is_told(tmp_path: Path) -> None:
    path = put(tmp_path / "x.zip", {"a.txt": b"one and some more"})
    data = bytearray(path.read_bytes())
    at = data.index(b"one and")
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(SampleError, match=r"a: cannot be read \(damaged or unknown in the archive"):
        read_file(as_source(path) / "a.txt", "a")
    tar = put(tmp_path / "x.tar", {"a.txt": b"x" * 2000})
    tar.write_bytes(tar.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"cannot be read as an archive \(unexpected end"):
        as_source(tar)


def test_an_encrypted_file_asks_for_one_without_a_password(tmp_path: Path) -> None:
    path = put(tmp_path / "x.zip", {"a.txt": b"one"})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 8 : at + 10] = struct.pack("<H", 1)
    path.write_bytes(data)
    with pytest.raises(SampleError, match="is encrypted; pack it without a password"):
        read_file(as_source(path) / "a.txt", "a")


def test_a_tar_that_is_compressed_as_a_whole_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    with pytest.raises(ConfigError) as told:
        as_source(tmp_path / "x.tar.gz")
    assert str(told.value) == (
        f"{tmp_path}/x.tar.gz: is compressed as a whole, so no file in it can be read by itself; "
        "unpack it, or pack it as zip or plain tar"
    )


def test_an_archive_that_was_written_anew_is_read_anew(root: Path) -> None:
    file = Path(str(root))
    before = root / "a.txt"
    assert before.read_bytes() == b"one"
    put(file, {"a.txt": b"another"})
    assert before.read_bytes() == b"another"


@given(st.binary(max_size=200), st.integers(0, 2000), st.sampled_from([".zip", ".tar"]))
def test_whatever_is_wrong_with_an_archive_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("noise") / f"x{suffix}"
    put(path, {"a/b.txt": b"some text" * 30, "c.txt": b"more"})
    data = bytearray(path.read_bytes())
    data[at : at + len(noise)] = noise
    path.write_bytes(data)
    try:
        root = as_source(path)
        if isinstance(root, SourcePath):
            for name in read_tree(root).files:
                read_file(root / name, name)
    except (ConfigError, SampleError) as error:
        assert "\n" not in str(error)  # noqa: PT017  # nothing else may be raised
