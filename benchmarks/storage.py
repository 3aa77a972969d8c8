"""The storage server: 64 clients against plain file copies and nginx, and search over a million.

The client is curl, so that the clients' own cost is small and the same for all. Everything shares
the machine's cores and disk in the same run; only the ratios carry over. Sizes follow what a site
stores: many small covariances, a few large data sets.

Set ELASTRON_BENCH_SCALE to less than 1 for a shorter run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from elastron.storage.instants import now_ms
from elastron.storage.metadata import open_metadata
from elastron.storage.query import parse_query
from elastron.storage.search import parse_criteria

SCALE = float(os.environ.get("ELASTRON_BENCH_SCALE", "1"))
CLIENTS = 64
KB, MB = 1000, 1000_000
SIZES = {
    1 * KB: 400,
    10 * KB: 300,
    100 * KB: 200,
    1 * MB: 100,
    10 * MB: 20,
    64 * MB: 4,
    256 * MB: 2,
}
SMALL = {1 * KB: 2000}

LAUNCHER = """
import sys, uvloop
from elastron.storage import StorageSettings, configure_logging, serve
configure_logging("warn")
settings = StorageSettings.model_validate_json(sys.argv[1])
uvloop.run(serve(settings, on_ready=lambda url: print(url, flush=True)))
"""

NGINX = """
daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ root {root}; dav_methods PUT; create_full_put_path on; }}
  }}
}}
"""


def main() -> None:
    """Print the tables."""
    console = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="elastron-bench-") as name:
        folder = Path(name)
        transfers(console, folder, "mixed, 1 kB to 256 MB", scaled(SIZES))
        transfers(console, folder, "1 kB", scaled(SMALL))
        search(console, folder)


def scaled(sizes: dict[int, int]) -> dict[int, int]:
    return {size: max(1, round(count * SCALE)) for size, count in sizes.items()}


# Transfers


def transfers(console: Console, folder: Path, title: str, sizes: dict[int, int]) -> None:
    files = make_files(folder / "files", sizes)
    total = sum(file.stat().st_size for file in files)
    table = Table(title=f"{CLIENTS} clients, {title}: {len(files)} blobs, {total / MB:.0f} MB")
    for heading in ("", "s", "MB/s", "p50 ms", "p99 ms", "time ÷ copy", "time ÷ nginx"):
        table.add_column(heading, justify="right" if heading else "left")
    copy_s = copy(files, folder / "copies", flush=True)
    read_s = read(files)
    peer_up_s = peer_down_s = None
    if shutil.which("nginx"):
        with nginx(folder) as url:
            put = [(f"{url}/{file.name}", file) for file in files]
            peer_up = curl(upload_config(put, "PUT"), folder)
            peer_down = curl(download_config([target for target, _ in put]), folder)
        peer_up_s, peer_down_s = peer_up[0], peer_down[0]
    with server(folder) as (url, process):
        idle = memory(process)
        post = [(f"{url}/v1/blobs/data?subject=s&file={file.name}", file) for file in files]
        up = curl(upload_config(post, "POST"), folder)
        links = [item["data"] for item in listed(url)]
        assert len(links) == len(files), (len(links), len(files))
        down = curl(download_config(links), folder)
        peak = memory(process)
    row(table, "plain copy, flushed", total, copy_s)
    if peer_up_s is not None and peer_down_s is not None:
        row(table, "nginx PUT (not flushed)", total, *peer_up, floor=copy_s)
    row(table, "upload", total, *up, floor=copy_s, peer=peer_up_s)
    row(table, "plain read", total, read_s)
    if peer_up_s is not None and peer_down_s is not None:
        row(table, "nginx GET", total, *peer_down, floor=read_s)
    row(table, "download", total, *down, floor=read_s, peer=peer_down_s)
    console.print(table)
    console.print(f"server's memory: {idle / MB:.0f} MB idle, {peak / MB:.0f} MB at its most\n")
    for used in ("files", "copies", "www", "store"):
        shutil.rmtree(folder / used, ignore_errors=True)


def row(
    table: Table,
    name: str,
    total: int,
    seconds: float,
    latencies_s: list[float] | None = None,
    *,
    floor: float | None = None,
    peer: float | None = None,
) -> None:
    percentiles = ["", ""]
    if latencies_s:
        cuts = statistics.quantiles(latencies_s, n=100)
        percentiles = [f"{cuts[49] * 1000:.0f}", f"{cuts[98] * 1000:.0f}"]
    ratios = [f"{seconds / other:.2f}" if other else "" for other in (floor, peer)]
    table.add_row(name, f"{seconds:.2f}", f"{total / MB / seconds:.0f}", *percentiles, *ratios)


def make_files(folder: Path, sizes: dict[int, int]) -> list[Path]:
    folder.mkdir()
    block = os.urandom(max(sizes))
    files = []
    for size, count in sizes.items():
        for number in range(count):
            file = folder / f"{size}-{number}"
            file.write_bytes(block[:size])
            files.append(file)
    random.Random(1).shuffle(files)
    return files


def copy(files: list[Path], target: Path, *, flush: bool) -> float:
    target.mkdir()
    began = time.perf_counter()
    for file in files:
        with file.open("rb") as source, (target / file.name).open("wb") as copied:
            shutil.copyfileobj(source, copied, 1 << 20)
            copied.flush()
            if flush:
                os.fsync(copied.fileno())
    return time.perf_counter() - began


def read(files: list[Path]) -> float:
    began = time.perf_counter()
    buffer = bytearray(1 << 20)
    for file in files:
        with file.open("rb", buffering=0) as source:
            while source.readinto(buffer):
                pass
    return time.perf_counter() - began


def upload_config(pairs: list[tuple[str, Path]], method: str) -> str:
    return "next\n".join(
        f'url = "{target}"\nupload-file = "{file}"\nrequest = "{method}"\n'
        f'header = "Expect:"\n{_REST}'
        for target, file in pairs
    )


def download_config(targets: list[str]) -> str:
    return "next\n".join(f'url = "{target}"\n{_REST}' for target in targets)


_REST = 'output = "/dev/null"\nwrite-out = "%{http_code} %{time_total}\\n"\nsilent\nfail\n'


def curl(config: str, folder: Path) -> tuple[float, list[float]]:
    """Run all transfers, 64 at a time; returns the whole time and each one's."""
    file = folder / "curl.config"
    file.write_text(config)
    command = ["curl", "--parallel", "--parallel-immediate", "--parallel-max", str(CLIENTS)]
    began = time.perf_counter()
    ran = subprocess.run(
        [*command, "--no-progress-meter", "-K", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - began
    answers = [line.split() for line in ran.stdout.splitlines()]
    assert all(code.startswith("2") for code, _ in answers), {code for code, _ in answers}
    return seconds, [float(taken) for _, taken in answers]


@contextlib.contextmanager
def server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    store = folder / "store"
    settings = {
        "port": 0,
        "database": str(store / "metadata.db"),
        "blobs": str(store / "blobs"),
        "log_requests": False,
    }
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, json.dumps(settings)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
        process.terminate()


def memory(process: subprocess.Popen[str]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def listed(url: str) -> Iterator[dict[str, str]]:
    with httpx.Client(trust_env=False) as client:
        link: str | None = f"{url}/v1/blobs?subject=s"
        while link:
            page = client.get(link).json()
            yield from page["items"]
            link = page.get("nextLink")


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = folder / "www"
    root.mkdir(exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, root=root, port=port, user=user))
    with subprocess.Popen(["nginx", "-c", str(config), "-e", f"{folder}/error.log"]) as process:
        time.sleep(1.0)
        assert process.poll() is None, (folder / "error.log").read_text()
        yield f"http://127.0.0.1:{port}"
        process.terminate()


# Search

QUERIES = {
    "a patient's": "subject={patient}",
    "noise of a measurement": "subject={patient}&name=noise_covariance&measurement={measurement}",
    "the scanner's newest": "subject=$null&device=d3&name=n1",
    "a scanner's": "subject=$null&device=d3",
    "an unknown scanner's": "subject=$null&device=d99",
    "tag that few have": "subject=$null&rare=yes",
    "nothing": "subject=$null&name=n1&measurement=none",
}


def search(console: Console, folder: Path) -> None:
    small, large = 1000, max(10_000, round(1_000_000 * SCALE))
    table = Table(title=f"Search, SQLite: {small} and {large} blobs")
    for heading in ("", f"{small}: µs", f"{large}: µs", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    times = {}
    plans = {}
    for count in (small, large):
        database = folder / f"search{count}.db"
        times[count], plans[count] = measure_search(database, count)
    for name in QUERIES:
        few, many = times[small][name], times[large][name]
        table.add_row(name, f"{few * 1e6:.0f}", f"{many * 1e6:.0f}", f"{many / few:.2f}")
    console.print(table)
    for name, plan in plans[large].items():
        console.print(f"[bold]{name}[/bold]")
        for line in plan.splitlines():
            console.print(f"  {line}", highlight=False)


def measure_search(database: Path, count: int) -> tuple[dict[str, float], dict[str, str]]:

    async def run() -> tuple[dict[str, float], dict[str, str]]:
        metadata = await open_metadata("sqlite", str(database))
        fill(database, count)
        await metadata.tune()
        times, plans = {}, {}
        rng = random.Random(5)
        for name, query in QUERIES.items():
            taken = []
            for _ in range(300):
                number = rng.randrange(count // 2) * 2
                text = query.format(
                    patient=f"p{number % patients(count)}", measurement=f"m{number}"
                )
                criteria = parse_criteria(parse_query(f"{text}&_limit=10".encode()))
                began = time.perf_counter()
                await metadata.search(criteria, now_ms=now_ms())
                taken.append(time.perf_counter() - began)
            times[name] = statistics.median(taken)
            plans[name] = await metadata.explain(criteria)
        await metadata.close()
        return times, plans

    return asyncio.run(run())


def patients(count: int) -> int:
    return max(10, count // 20)


def fill(database: Path, count: int) -> None:
    """Half of them patients' noise measurements, twenty each; half of them the scanners'."""
    now = time.time_ns() // 1_000_000
    rng = random.Random(7)

    def rows() -> Iterator[tuple[object, ...]]:
        for number in range(count):
            patient = number % 2 == 0
            yield (
                f"p{number % patients(count)}" if patient else "$null",
                str(uuid.UUID(int=rng.getrandbits(128))),
                f"d{number % 8}",
                "noise_covariance" if patient else f"n{number % 5}",
                now - count + number,
                None if number % 3 else now + 10**9,
                0,
                1000,
            )

    made = list(rows())
    tags = [
        (row[0], row[1], "measurement", f"m{number}", row[4])
        for number, row in enumerate(made)
        if number % 2 == 0
    ]
    tags += [(row[0], row[1], "rare", "yes", row[4]) for row in made[1 : count : count // 500 * 2]]
    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT INTO blob_metadata (subject, id, device, name, created_at, expires_at, staged, "
            "size_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            made,
        )
        connection.executemany(
            "INSERT INTO custom_blob_metadata (blob_subject, blob_id, tag_name, tag_value, "
            "created_at) VALUES (?, ?, ?, ?, ?)",
            tags,
        )
    connection.close()


if __name__ == "__main__":
    main()
