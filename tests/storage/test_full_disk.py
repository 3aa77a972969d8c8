"""A full disk: a clear error, nothing half-stored, and the server goes on."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from elastron.storage import StorageSettings

from .parts import ANSWER_S, running_server

MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "elastron-test", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(filler: Path) -> None:
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def files(folder: Path) -> list[Path]:
    found = [path for path in (folder / "blobs").rglob("*") if path.is_file()]
    return [path for path in found if path.suffix != ".lock"]


@pytest.mark.parametrize("database", ["elsewhere", "on the same disk"])
def test_a_full_disk(small_disk: Path, tmp_path: Path, database: str) -> None:
    place = tmp_path if database == "elsewhere" else small_disk
    settings = StorageSettings(
        port=0, database=str(place / "metadata.db"), blobs=str(small_disk / "blobs")
    )
    with (
        running_server(settings) as url,
        httpx.Client(base_url=url, timeout=ANSWER_S, trust_env=False) as client,
    ):
        first = client.post("/v1/blobs/data?subject=s", content=b"1" * 5 * MIB)
        assert first.status_code == 201
        for body in (b"2" * 20 * MIB, (b"2" * MIB for _ in range(20))):
            full = client.post("/v1/blobs/data?subject=s", content=body)
            assert full.status_code == 507
            assert full.json()["error"]["code"] == "InsufficientStorage"
            assert len(files(small_disk)) == 1, "what did not fit is gone"
        assert len(client.get("/v1/blobs?subject=s").json()["items"]) == 1
        assert client.get("/v1/blobs/data/latest?subject=s").content == b"1" * 5 * MIB
        assert client.get("/healthcheck").status_code == 200
        small = client.post("/v1/blobs/data?subject=t", content=b"3" * MIB)
        assert small.status_code == 201, "there is room for smaller ones"
        # Make room, and it is used.
        assert client.delete(first.json()["location"]).status_code == 204
        assert client.post("/v1/blobs/data?subject=s", content=b"4" * 5 * MIB).status_code == 201


def test_a_database_without_room(small_disk: Path, tmp_path: Path) -> None:
    settings = StorageSettings(
        port=0, database=str(small_disk / "metadata.db"), blobs=str(tmp_path / "blobs")
    )
    with (
        running_server(settings) as url,
        httpx.Client(base_url=url, timeout=ANSWER_S, trust_env=False) as client,
    ):
        kept = client.post("/v1/blobs/data?subject=s", content=b"kept")
        filler = small_disk / "filler"
        fill(filler)
        answers = [client.post("/v1/blobs/data?subject=s", content=b"x") for _ in range(40)]
        refused = [answer for answer in answers if answer.status_code != 201]
        assert refused, "a full disk must show"
        for answer in refused:
            assert answer.status_code == 507
            assert answer.json()["error"]["code"] == "InsufficientStorage"
        assert client.get(kept.json()["data"]).content == b"kept"
        filler.unlink()
        assert client.post("/v1/blobs/data?subject=s", content=b"x").status_code == 201
        assert len(files(tmp_path)) == 42 - len(refused)
