"""kill -9 in the middle of uploads: what was acknowledged is there, and nothing half is."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import random
import signal
import sqlite3
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port

from .parts import LONG, ServerProcess, folder_settings

UPLOADS = 2000 if LONG else 400
CLIENTS = 16
SIZES = (0, 1, 100, 5_000, 70_000, 600_000, 2_500_000)


class Uploader:
    """Clients that upload against a server that is killed again and again."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.seed = seed
        self.acknowledged: dict[str, str] = {}  # number -> checksum
        self.sent_whole: set[str] = set()  # the last byte of the body was handed over
        self.up = threading.Event()
        self.turn = threading.Condition()
        self.limit = 0  # uploads that may begin before the next kill, or none would be met by it
        self.lock = threading.Lock()
        self.finished = 0

    def one(self, number: int) -> None:
        name = str(number)
        body = body_of(number, self.seed)
        with self.turn:
            self.turn.wait_for(lambda: number < self.limit)
        self.up.wait()

        def pieces():
            for at in range(0, len(body), 65536):
                yield body[at : at + 65536]
            self.sent_whole.add(name)

        url = f"{self.url}/v1/blobs/data?subject=s{number % 5}&number={number}"
        try:
            answer = httpx.post(url, content=pieces(), timeout=60, trust_env=False)
        except httpx.TransportError:
            pass
        else:
            assert answer.status_code == 201
            self.acknowledged[name] = hashlib.sha256(body).hexdigest()
        with self.lock:
            self.finished += 1

    def let(self, limit: int) -> None:
        """Let so many begin, those that have begun included."""
        with self.turn:
            self.limit = limit
            self.turn.notify_all()


def body_of(number: int, seed: int) -> bytes:
    rng = random.Random(seed * 1_000_003 + number)
    return rng.randbytes(rng.choices(SIZES, (2, 4, 8, 8, 4, 2, 1))[0])


@pytest.mark.timeout(900)
def test_kill_nine(tmp_path: Path) -> None:
    seed = int(os.environ.get("ELASTRON_CRASH_SEED", random.SystemRandom().randrange(10**6)))
    print("seed", seed)
    rng = random.Random(seed)
    settings = folder_settings(tmp_path, port=free_port(), log_requests=False)
    server = ServerProcess(settings, tmp_path / "log")
    uploader = Uploader(server.url, seed)
    uploader.up.set()
    kills = 0
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(uploader.one, number) for number in range(UPLOADS)]
        while uploader.finished < UPLOADS:
            until = uploader.finished + rng.randrange(20, 90)
            uploader.let(until + CLIENTS)
            while uploader.finished < min(until, UPLOADS):
                time.sleep(0.002)
            time.sleep(rng.random() * 0.02)
            uploader.up.clear()
            assert server.end(signal.SIGKILL) == -signal.SIGKILL
            kills += 1
            server = ServerProcess(settings, tmp_path / "log")
            uploader.up.set()
        for future in futures:
            future.result()
    server.end(signal.SIGKILL)
    server = ServerProcess(settings, tmp_path / "log")  # the next start cleans up
    visible = read_all(server.url)
    assert server.end(signal.SIGTERM) == 0
    lost = uploader.acknowledged.keys() - visible.keys()
    assert not lost, f"{len(lost)} acknowledged blobs are gone"
    for number, checksum in visible.items():
        # One whose acknowledgement was cut off on its way may be there, but then it is whole.
        assert number in uploader.sent_whole, "a blob is visible whose body never came whole"
        assert checksum == hashlib.sha256(body_of(int(number), seed)).hexdigest()
    unacknowledged = len(visible) - len(uploader.acknowledged)
    print(f"{kills} kills, {len(uploader.acknowledged)} acknowledged, {unacknowledged} cut off")
    # At most those whose commit was the last thing that a killed server did.
    assert unacknowledged <= kills * CLIENTS
    assert kills >= 4
    root = tmp_path / "blobs"
    files = [p for p in root.rglob("*") if p.is_file()]
    assert len(files) == len(visible), "a file is left that no record names"
    assert list((root / ".uploads").iterdir()) == []
    with sqlite3.connect(tmp_path / "metadata.db") as database:
        rows = database.execute("SELECT count(*), sum(staged) FROM blob_metadata").fetchone()
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    assert rows == (len(visible), 0)


def read_all(url: str) -> dict[str, str]:
    found: dict[str, str] = {}
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        for subject in range(5):
            link = f"/v1/blobs?subject=s{subject}"
            while link:
                page = client.get(link).raise_for_status().json()
                for item in page["items"]:
                    assert item["number"] not in found
                    data = client.get(item["data"]).raise_for_status().content
                    found[item["number"]] = hashlib.sha256(data).hexdigest()
                link = page.get("nextLink")
    return found
