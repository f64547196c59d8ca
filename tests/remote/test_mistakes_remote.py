"""What is wrong with a URL is one line that names it; a job that it stops goes on later."""

from __future__ import annotations

import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sv2r.job.open import as_config, open_job
from sv2r.job.run import run_job
from sv2r.storage import remote
from tests.remote.test_convert import MIRROR, comparable, many, pictures, start, wait_for
from tests.toys.archives import pack
from tests.toys.datasets import make_coco
from tests.toys.jobs import files_of


def told(error):
    """Return the one line that an error is."""
    lines = [line for line in error.splitlines() if line.startswith("Error")]
    assert len(lines) == 1, error
    assert "Traceback" not in error
    return lines[0]


def test_a_bucket_or_folder_that_is_not_there(sv2r, s3, renders, tmp_path):
    for url in (f"{s3.url}-not/renders", f"{s3.url}/nothing"):
        code, _, error = sv2r("export", url, "--output", tmp_path / "out", *MIRROR)
        assert code == 2
        assert told(error) == f"Error: {url}: no such folder; give the dataset's folder"
    code, _, error = sv2r("export", renders, "--output", f"{s3.url}-not/real", *MIRROR)
    assert code == 2
    assert f"{s3.url}-not/real" in told(error)
    assert "no such bucket" in told(error)


def test_no_permission(sv2r, s3, renders, tmp_path):
    source = s3.put(renders, "renders")
    s3.allow(0)
    try:
        code, _, error = sv2r("export", source, "--output", tmp_path / "out", *MIRROR)
        assert code == 2
        assert told(error).startswith(f"Error: {source}: no permission (")
        code, _, error = sv2r("export", renders, "--output", f"{s3.url}/real", *MIRROR)
        assert code == 2
        assert told(error).startswith(f"Error: {s3.url}/real: no permission (")
    finally:
        s3.allow(float("inf"))


def test_an_output_with_other_files(sv2r, s3, renders):
    s3.client.put_object(Bucket=s3.bucket, Key="real/notes.txt", Body=b"mine")
    code, _, error = sv2r("export", renders, "--output", f"{s3.url}/real", *MIRROR)
    assert code == 2
    assert "holds files that no run of sv2r made, such as notes.txt" in told(error)
    assert list(s3.times("real/")) == ["notes.txt"]


@pytest.mark.parametrize("url", ["https://127.0.0.1/real", "hf://datasets/me/real"])
def test_what_is_read_only(sv2r, renders, url):
    code, _, error = sv2r("export", renders, "--output", url, *MIRROR)
    assert code == 2
    assert f"{url}: {url.partition(':')[0]}:// is read only here" in told(error)


def test_a_scheme_that_nobody_knows_and_a_package_that_is_missing(sv2r, tmp_path):
    code, _, error = sv2r("export", "s4://b/renders", "--output", tmp_path / "out", *MIRROR)
    assert code == 2
    assert told(error).startswith("Error: s4://: no file system is known by that name")
    code, _, error = sv2r("export", "oss://b/renders", "--output", tmp_path / "out", *MIRROR)
    assert code == 2
    assert told(error) == "Error: oss:// needs the ossfs package; pip install ossfs"


class _Quiet(SimpleHTTPRequestHandler):
    lists = True

    def log_message(self, *_):
        pass

    def list_directory(self, path):
        if self.lists:
            return super().list_directory(path)
        self.send_error(403, "no listing")
        return None


class _Unlisted(_Quiet):
    lists = False


@pytest.fixture
def web(renders, tmp_path):
    """Return the URLs of a server that lists its files, and of one that does not."""
    pack(renders, tmp_path / "renders.zip")
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(tmp_path)))
        for kind in (_Quiet, _Unlisted)
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"http://127.0.0.1:{server.server_port}" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_web_server(sv2r, web, renders, tmp_path, monkeypatch):
    monkeypatch.setenv("SV2R_CACHE", str(tmp_path / "cache"))
    lists, lists_not = web
    for number, url in enumerate(
        (f"{lists}/renders", f"{lists}/renders.zip", f"{lists_not}/renders.zip")
    ):
        out = tmp_path / f"out{number}"
        code, _, error = sv2r("export", url, "--output", out, *MIRROR)
        assert code == 0, error
        assert (out / "b" / "1.jpg").read_bytes() == (renders / "b" / "1.jpg").read_bytes()
    code, _, error = sv2r("export", f"{lists_not}/renders", "--output", tmp_path / "x", *MIRROR)
    assert code == 2
    assert f"{lists_not}/renders" in told(error)
    assert "archive" in told(error) or "no permission" in told(error)


def test_a_finished_run_on_a_web_server(sv2r, web, renders, tmp_path, monkeypatch):
    monkeypatch.setenv("SV2R_CACHE", str(tmp_path / "cache"))
    assert sv2r("export", renders, "--output", tmp_path / "real", *MIRROR)[0] == 0
    code, text, error = sv2r("verify", f"{web[0]}/real", "--sample", 0)
    assert (code, error) == (0, ""), text
    code, text, error = sv2r("report", f"{web[0]}/real")
    assert code == 0, error
    assert text.startswith(str(tmp_path / "cache"))
    assert not (tmp_path / "real" / "sv2r" / "report.html").exists()


def test_names_that_a_web_address_spells_otherwise(sv2r, web, tmp_path, monkeypatch):
    monkeypatch.setenv("SV2R_CACHE", str(tmp_path / "cache"))
    names = ("süd/a b.png", "süd/50% #1.png", "süd/x+y&z.png")
    make_coco(tmp_path / "odd ones", names)
    for root in ("odd ones", "odd%20ones"):
        out = tmp_path / f"out {root}"
        code, _, error = sv2r("export", f"{web[0]}/{root}", "--output", out, *MIRROR)
        assert code == 0, error
        for name in names:
            assert (out / name).read_bytes() == (tmp_path / "odd ones" / name).read_bytes()


@pytest.fixture
def frail(s3, monkeypatch):
    """Return what stops a second server of the same buckets, and what starts it again."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    again = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    yield server.stop, again.start
    again.stop()


def test_an_output_whose_server_stops_on_the_way(sv2r, s3, frail, tmp_path):
    stop, start_again = frail
    renders = many(tmp_path / "renders", 200)
    words = ("export", renders, "--output", f"{s3.url}/real", *MIRROR)
    process = start(*words)
    wait_for(s3, 10, process)
    stop()
    _, error = process.communicate()
    assert process.returncode == 1
    assert "cannot be reached" in told(error)
    assert "run the same command again" in told(error)
    assert 10 <= len(pictures(s3.times("real/"))) < 200
    start_again()
    code, text, error = sv2r(*words)
    assert code == 0
    assert text.startswith("done 200 ")
    assert sv2r("export", renders, "--output", tmp_path / "real", *MIRROR)[0] == 0
    assert comparable(s3.files("real/")) == comparable(files_of(tmp_path / "real"))


def test_an_input_whose_server_stops_on_the_way(sv2r, s3, frail, tmp_path):
    stop, start_again = frail
    renders = many(tmp_path / "renders", 200)
    out = tmp_path / "real"
    words = ("export", s3.put(renders, "renders"), "--output", out, *MIRROR)
    process = start(*words)
    while len(list(out.rglob("*.png"))) < 10 and process.poll() is None:
        time.sleep(0.01)
    stop()
    _, error = process.communicate()
    assert process.returncode == 1
    assert "cannot be reached" in told(error)
    assert 10 <= len(list(out.rglob("*.png"))) < 200
    start_again()
    code, text, error = sv2r(*words)
    assert code == 0, error
    assert text.startswith("done 200 ")
    for name in pictures(s3.times("renders/")):
        assert (out / name).read_bytes() == (renders / name).read_bytes()


def test_what_needs_a_folder_of_this_machine(sv2r, renders, tmp_path):
    words = ("--input", renders, "--translator", "keep", "--output")
    code, _, error = sv2r("convert", *words, "memory://real", "--work", "s3://b/work")
    assert (code, told(error)) == (
        2,
        "Error: --work must be a folder of this machine; copy s3://b/work first",
    )
    code, _, error = sv2r("preview", *words, "memory://looks")
    assert code == 2
    assert told(error) == "Error: --output memory://looks: a preview is looked at; give a folder"


def test_an_output_in_its_input(sv2r, s3, renders):
    source = s3.put(renders, "renders")
    for output, what in (
        (source, "is the input itself"),
        (f"{source}/real", "lies inside the input"),
        (s3.url, "holds the input"),
    ):
        code, _, error = sv2r("export", source, "--output", output, *MIRROR)
        assert code == 2
        assert f"Error: {output}: {what}" in told(error)
    assert not s3.times("renders/real")


def test_an_archive_that_is_compressed(sv2r, s3, tmp_path):
    code, _, error = sv2r("export", f"{s3.url}/a.tar.gz", "--output", tmp_path / "x", *MIRROR)
    assert code == 2
    assert told(error).startswith(f"Error: {s3.url}/a.tar.gz: is compressed as a whole")


def test_a_picture_that_changes_after_the_listing_fails_alone(s3, renders, tmp_path, registry):
    source = s3.put(renders, "renders")
    config = {"input": source, "output": str(tmp_path / "out"), "writer": "mirror"}
    resolved = as_config({**config, "translator": "keep", "checks": []}, registry)
    job = open_job(resolved, registry)  # all is listed
    s3.client.put_object(Bucket=s3.bucket, Key="renders/a/0.png", Body=b"x" * 5000)
    s3.client.delete_object(Bucket=s3.bucket, Key="renders/a/1.png")
    summary = run_job(job)
    assert (summary.done, summary.failed) == (4, 2)
    errors = sorted(str(one.error) for one in summary.troubles)
    assert "a/0.png" in errors[0]
    assert "was changed since it was listed" in errors[0]
    assert "a/1.png" in errors[1]


def test_a_large_file_is_read_from_a_copy(sv2r, s3, renders, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "WHOLE", 500)
    source = s3.put(renders, "renders")
    out = tmp_path / "out"
    assert sv2r("export", source, "--output", out, *MIRROR)[0] == 0
    kept = {path.name for path in (tmp_path / "cache" / "remote" / "files").rglob("*.*")}
    assert "annotations.json" in kept
    assert (out / "annotations.json").read_bytes() == (renders / "annotations.json").read_bytes()
