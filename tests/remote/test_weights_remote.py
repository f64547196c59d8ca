"""A checkpoint in a bucket is fetched once, and makes what it makes on disk."""

from __future__ import annotations

import shutil

import sv2r as package
from tests.toys.jobs import config_of, records_of


def test_a_model_in_a_bucket(s3, renders, tmp_path, toy_sd15, caplog):
    model = tmp_path / "sd15"
    shutil.copytree(toy_sd15, model)
    (model / "unet" / "pytorch_model.bin").write_bytes(b"a pickle that nobody reads")
    url = s3.put(model, "models/sd15")
    config = config_of(renders, tmp_path / "there", url)
    assert package.convert(config).exit_code == 0
    assert package.convert(config_of(renders, tmp_path / "here", toy_sd15)).exit_code == 0
    there, here = records_of(tmp_path / "there"), records_of(tmp_path / "here")
    assert [one["output_sha256"] for one in there.values()] == [
        one["output_sha256"] for one in here.values()
    ]
    assert f"model: {url}\n" in (tmp_path / "there" / "sv2r" / "run.yaml").read_text()
    assert not list((tmp_path / "cache").rglob("*.bin"))
    caplog.clear()
    assert package.convert({**config, "output": str(tmp_path / "again")}).exit_code == 0
    assert "fetching" not in caplog.text


def test_a_model_that_is_not_there(sv2r, s3, renders, tmp_path):
    words = ("--input", renders, "--output", tmp_path / "out", "--translator", "sdedit")
    code, _, error = sv2r("convert", *words, "--model", f"{s3.url}/none")
    assert (code, error) == (2, f"Error: {s3.url}/none: there is no such file or folder\n")
