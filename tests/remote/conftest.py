"""A real S3 server on loopback, and a cache of its own for each test."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import Request, urlopen

import pytest

from sv2r.storage import remote
from tests.cli.conftest import sv2r

__all__ = ["sv2r"]


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a bucket: `url`, `client` of boto3, `files(prefix)` in it and their `times(prefix)`.

    `put(folder, name)` fills it; `allow(n)`: the server asks for permissions after n requests.
    """
    import boto3

    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("SV2R_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "_store", lru_cache(remote._store.__wrapped__))
    client = boto3.client("s3")
    bucket = f"b{secrets.token_hex(6)}"
    client.create_bucket(Bucket=bucket)

    def times(prefix: str) -> dict[str, Any]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [one for page in pages for one in page.get("Contents", ())]
        return {one["Key"].removeprefix(prefix): one["LastModified"] for one in found}

    def files(prefix: str) -> dict[str, bytes]:
        return {
            name: client.get_object(Bucket=bucket, Key=prefix + name)["Body"].read()
            for name in times(prefix)
        }

    def put(folder: Path, name: str) -> str:
        for path in folder.rglob("*"):
            if path.is_file():
                key = f"{name}/{path.relative_to(folder).as_posix()}"
                client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
        return f"s3://{bucket}/{name}"

    def allow(actions: float) -> None:
        data = str(actions).encode()
        kind = {"Content-Type": "text/plain"}
        urlopen(Request(f"http://{host}:{port}/moto-api/reset-auth", data, kind)).close()

    url = f"s3://{bucket}"
    return SimpleNamespace(
        url=url, bucket=bucket, client=client, files=files, times=times, put=put, allow=allow
    )
