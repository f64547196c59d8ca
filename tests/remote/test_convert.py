"""A job whose input and output lie in a bucket ends as one on disk does."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

import sv2r as package
from sv2r.storage.files import TEMPORARY
from sv2r.storage.strict_yaml import write_yaml
from tests.toys.archives import pack
from tests.toys.datasets import make_coco
from tests.toys.jobs import config_of, files_of

# What names the folders or tells of time.
OWN = ("sv2r/run.yaml", "sv2r/report.html", "sv2r/journal.sqlite3", "sv2r/lock")
KEEP = ("--translator", "keep")
# Copies pictures, and imports no torch.
MIRROR = ("--writer", "mirror")


def comparable(files):
    return {name: data for name, data in files.items() if name not in OWN}


def many(root, count=60):
    return make_coco(root, tuple(f"{n // 20}/{n:03}.png" for n in range(count)))


def start(*words):
    """Return `sv2r` with these words as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "sv2r", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )


def pictures(names):
    return sorted(n for n in names if n.endswith((".png", ".jpg")) and not n.startswith("sv2r/"))


def wait_for(s3, count, process):
    """Wait until a bucket holds so many pictures of an output, or the process ends."""
    while len(pictures(s3.times("real/"))) < count:
        if process.poll() is not None:
            return
        time.sleep(0.01)


def test_a_dataset_in_a_bucket_is_converted_into_the_bucket(sv2r, s3, renders, tmp_path):
    source = s3.put(renders, "renders")
    code, text, error = sv2r("convert", "--input", source, "--output", f"{s3.url}/real", *KEEP)
    assert code == 0, error
    assert text.startswith("done 6 · rejected 0 · failed 0 · ")
    assert f"output {s3.url}/real, by way of {tmp_path / 'cache'}" in error
    assert sv2r("convert", "--input", renders, "--output", tmp_path / "real", *KEEP)[0] == 0
    there = s3.files("real/")
    assert comparable(there) == comparable(files_of(tmp_path / "real"))
    assert {"sv2r/journal.sqlite3", "sv2r/report.html"} <= {*there}
    assert f"output: {s3.url}/real\n" in there["sv2r/run.yaml"].decode()
    assert f"input: {source}\n" in there["sv2r/run.yaml"].decode()


def test_a_model_makes_the_bytes_that_it_makes_on_disk(s3, renders, tmp_path, toy_sd15):
    source = s3.put(renders, "renders")
    work = tmp_path / "work"
    config = config_of(source, f"{s3.url}/real", toy_sd15, work=str(work))
    assert package.convert(config).exit_code == 0
    assert package.convert(config_of(renders, tmp_path / "real", toy_sd15)).exit_code == 0
    there = comparable(s3.files("real/"))
    assert there == comparable(files_of(tmp_path / "real"))
    [folder] = [path for path in work.iterdir() if path.is_dir()]
    assert comparable(files_of(folder)) == there


@pytest.mark.parametrize("after", [1, 7, 30, 59])
def test_killed_and_resumed_ends_with_the_same_bytes(sv2r, s3, tmp_path, after):
    renders = many(tmp_path / "renders")
    words = ("export", s3.put(renders, "renders"), "--output", f"{s3.url}/real", *MIRROR)
    process = start(*words)
    wait_for(s3, after, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = s3.files("real/")
    for name in pictures(there):  # nothing there is half a file
        assert there[name] == (renders / name).read_bytes()
    assert sv2r(*words)[0] == 0
    assert sv2r("export", renders, "--output", tmp_path / "real", *MIRROR)[0] == 0
    assert comparable(s3.files("real/")) == comparable(files_of(tmp_path / "real"))


def test_a_run_that_was_killed_elsewhere_is_made_again(sv2r, s3, tmp_path):
    renders = many(tmp_path / "renders")
    words = ("export", renders, "--output", f"{s3.url}/real", *MIRROR)
    process = start(*words)
    wait_for(s3, 20, process)
    process.kill()
    process.communicate()
    shutil.rmtree(tmp_path / "cache")
    code, text, _ = sv2r(*words)
    assert code == 0
    assert text.startswith("done 60 ")
    assert len(pictures(s3.times("real/"))) == 60


def test_a_finished_run_goes_on_elsewhere(sv2r, s3, tmp_path):
    renders = many(tmp_path / "renders", 8)
    words = ("export", renders, "--output", f"{s3.url}/real", *MIRROR)
    assert sv2r(*words, "--limit", 5)[0] == 0
    shutil.rmtree(tmp_path / "cache")
    code, text, error = sv2r(*words)
    assert code == 0
    assert "5 done earlier" in error
    assert "fetching " in error
    assert text.startswith("done 8 ")
    assert sv2r("export", renders, "--output", tmp_path / "real", *MIRROR)[0] == 0
    assert comparable(s3.files("real/")) == comparable(files_of(tmp_path / "real"))


def test_a_second_run_puts_nothing_but_the_jobs_own_files(sv2r, s3, renders):
    words = ("export", renders, "--output", f"{s3.url}/real", *MIRROR)
    assert sv2r(*words)[0] == 0
    before = s3.times("real/")
    assert sv2r(*words)[0] == 0
    changed = {name for name, told in s3.times("real/").items() if before.get(name) != told}
    assert changed <= {"sv2r/journal.sqlite3"}


def test_what_was_removed_from_the_bucket_is_put_there_again(sv2r, s3, renders):
    words = ("export", renders, "--output", f"{s3.url}/real", *MIRROR)
    assert sv2r(*words)[0] == 0
    whole = s3.files("real/")
    for name in whole:
        s3.client.delete_object(Bucket=s3.bucket, Key=f"real/{name}")
    assert sv2r(*words)[0] == 0
    assert comparable(s3.files("real/")) == comparable(whole)


def test_overwrite_removes_what_the_earlier_run_put_there(sv2r, s3, renders, tmp_path):
    words = ("export", renders, "--output", f"{s3.url}/real", *MIRROR)
    assert sv2r(*words)[0] == 0
    s3.client.put_object(Bucket=s3.bucket, Key="real/notes.txt", Body=b"mine")
    shutil.rmtree(tmp_path / "cache")
    assert sv2r(*words, "--overwrite", "--limit", 2)[0] == 0
    there = s3.files("real/")
    assert pictures(there) == ["a/0.png", "a/1.png"]
    assert there["notes.txt"] == b"mine"


def test_an_archive_in_a_bucket_is_read_in_place(sv2r, s3, renders, tmp_path):
    archive = pack(renders, tmp_path / "packed" / "renders.zip")
    source = s3.put(archive.parent, "data")
    out = tmp_path / "real"
    code, _, error = sv2r("convert", "--input", f"{source}/renders.zip", "--output", out, *KEEP)
    assert code == 0, error
    assert f"input: {source}/renders.zip\n" in (out / "sv2r" / "run.yaml").read_text()
    assert sv2r("verify", out)[0] == 0


@pytest.mark.parametrize("writer", ["webdataset", "hf", "yolo"])
def test_exports_go_to_a_bucket_and_come_from_one(sv2r, s3, renders, tmp_path, writer):
    words = ("--writer", writer, "--output")
    code, _, error = sv2r("export", renders, *words, f"{s3.url}/{writer}")
    assert code == 0, error
    assert sv2r("export", renders, *words, tmp_path / writer)[0] == 0
    there, here = s3.files(f"{writer}/"), files_of(tmp_path / writer)
    assert comparable(there) == comparable(here)
    again = ("--writer", "folder", "--output")
    code, _, error = sv2r("export", f"{s3.url}/{writer}", *again, f"{s3.url}/again")
    assert code == 0, error
    assert sv2r("export", tmp_path / writer, *again, tmp_path / "again")[0] == 0
    assert comparable(s3.files("again/")) == comparable(files_of(tmp_path / "again"))


def test_a_file_url_is_a_folder(sv2r, renders, tmp_path):
    words = ("--input", f"file://{renders}", "--output", f"file://{tmp_path / 'real'}", *KEEP)
    assert sv2r("convert", *words)[0] == 0
    assert (tmp_path / "real" / "a" / "0.png").is_file()


def test_in_memory(renders, tmp_path, monkeypatch):
    monkeypatch.setenv("SV2R_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    memory.put(f"{renders}/", "/renders", recursive=True)
    config = {"input": "memory://renders", "output": "memory://real", "translator": "keep"}
    config |= {"checks": [], "writer": "mirror"}
    summary = package.convert(config)
    assert (summary.exit_code, summary.done) == (0, 6)
    assert memory.cat_file("/real/c.png") == (renders / "c.png").read_bytes()
    assert Image.open(memory.open("/real/b/0.png")).size == Image.open(renders / "b/0.png").size


def test_each_picture_is_read_and_put_once(sv2r, s3, tmp_path, caplog):
    renders = many(tmp_path / "renders", 30)
    source = s3.put(renders, "renders")
    with caplog.at_level(logging.INFO, logger="werkzeug"):
        assert sv2r("export", source, "--output", f"{s3.url}/real", *MIRROR)[0] == 0
    asked = re.findall(r"(GET|PUT|HEAD) /\w+/(renders|real)/(\S+\.(?:png|json)) ", caplog.text)
    count = Counter((method, place, name) for method, place, name, *_ in asked)
    for name in (*pictures(s3.times("renders/")), "annotations.json"):
        assert count["GET", "renders", name] == 1
        assert count["HEAD", "renders", name] == 0
        assert count["PUT", "real", name] == 1


def test_two_workers_share_a_bucket(s3, renders, tmp_path, toy_sd15):
    source = s3.put(renders, "renders")
    config = config_of(source, f"{s3.url}/real", toy_sd15, device=["cpu", "cpu"])
    file = tmp_path / "job.yaml"
    file.write_text(write_yaml(config))
    process = start("convert", "--config", file)  # its workers have the environment of its own
    _, error = process.communicate()
    assert process.returncode == 0, error
    config = config_of(renders, tmp_path / "real", toy_sd15)
    assert package.convert(config).exit_code == 0
    there, here = s3.files("real/"), files_of(tmp_path / "real")
    assert {n: there[n] for n in pictures(there)} == {n: here[n] for n in pictures(here)}


def test_an_interrupted_run_leaves_its_records_there(sv2r, s3, tmp_path):
    renders = many(tmp_path / "renders", 300)
    words = ("export", renders, "--output", f"{s3.url}/real", *MIRROR)
    process = start(*words)
    wait_for(s3, 10, process)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    there = s3.files("real/")
    named = {json.loads(line)["output"] for line in there["sv2r/samples.jsonl"].splitlines()}
    assert named == {*pictures(there)}
    shutil.rmtree(tmp_path / "cache")  # as if on another machine
    assert sv2r(*words)[0] == 0
    assert sv2r("export", renders, "--output", tmp_path / "real", *MIRROR)[0] == 0
    assert comparable(s3.files("real/")) == comparable(files_of(tmp_path / "real"))


def test_odd_names_and_a_bucket_without_a_folder(sv2r, s3, tmp_path):
    names = ("süd/a b.png", "süd/50% #1.png", "x+y&z=1?.png", "'quoted'.png")
    source = s3.put(make_coco(tmp_path / "renders", names), "renders")
    s3.client.create_bucket(Bucket=f"{s3.bucket}-whole")
    output = f"s3://{s3.bucket}-whole"
    code, _, error = sv2r("export", source, "--output", output, *MIRROR)
    assert code == 0, error
    assert sv2r("export", output, "--output", tmp_path / "back", *MIRROR)[0] == 0
    for name in names:
        there = s3.client.get_object(Bucket=f"{s3.bucket}-whole", Key=name)["Body"].read()
        assert there == (tmp_path / "renders" / name).read_bytes()
        assert there == (tmp_path / "back" / name).read_bytes()


class Toy(LocalFileSystem):
    """Files under other names first, as where a put is not atomic."""

    protocol = "toy"
    seen: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + str(path).removeprefix("toy://").strip("/")

    def put_file(self, lpath, rpath, **more):
        self.seen.append(rpath.rpartition("/")[2])
        super().put_file(lpath, rpath, **more)


def test_where_a_put_is_not_atomic_a_file_gets_its_name_when_it_is_whole(
    sv2r, renders, tmp_path, monkeypatch
):
    monkeypatch.setenv("SV2R_CACHE", str(tmp_path / "cache"))
    fsspec.register_implementation("toy", Toy, clobber=True)
    out = tmp_path / "out"
    (out / "sv2r").mkdir(parents=True)
    left = out / f"{TEMPORARY}0123456789abcdef.png"
    left.touch()  # as a kill leaves it
    (out / "sv2r" / "run.yaml").touch()
    code, _, error = sv2r("export", f"toy:/{renders}", "--output", f"toy:/{out}", *MIRROR)
    assert code == 0, error
    assert len(Toy.seen) >= 6
    assert all(name.startswith(TEMPORARY) for name in Toy.seen)
    assert not left.exists()
    assert sv2r("export", renders, "--output", tmp_path / "real", *MIRROR)[0] == 0
    assert comparable(files_of(out)) == comparable(files_of(tmp_path / "real"))
