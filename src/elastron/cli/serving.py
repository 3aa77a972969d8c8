"""What `elastron up` does: a node and a storage server here, and where to find them."""

from __future__ import annotations

import contextlib
import json as json_format
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from elastron.cli.console import stderr
from elastron.errors import StorageUnavailableError
from elastron.node import Node, NodeSettings, run_node

#: Where a storage server listens, and ours too if nobody does.
STORAGE_PORT = 3333
#: A database of a slow disk is migrated in less.
STORAGE_START_S = 60.0
#: Requests that run are finished in less; then the server is killed.
STORAGE_STOP_S = 20.0


def serve_here(settings: NodeSettings, *, data: Path | None, own_storage: bool, json: bool) -> None:
    """Run a node until a signal ends it; say where it is once it takes scans.

    Args:
        settings: of the node.
        data: folder of the storage server; None for the user's data folder.
        own_storage: start a storage server, unless `settings` name one.
        json: say it in one line of JSON on stdout.
    """
    say = _print_json_line if json else _show
    if not own_storage or settings.storage_url is not None:
        run_node(settings, say)
        return
    with storage_server(data or data_folder()) as url:
        run_node(settings.model_copy(update={"storage_url": url}), say)


def data_folder() -> Path:
    """Where this user's data lie (XDG base directories)."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "elastron"


@contextlib.contextmanager
def storage_server(folder: Path) -> Iterator[str]:
    """A storage server in a process of its own; its URL.

    It ends with the block, and by itself should this process be killed.

    Raises:
        StorageUnavailableError: it did not start; its own words are on stderr.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    port = _free_port(STORAGE_PORT)
    command = [sys.executable, "-m", "elastron", "storage", "--listen", f"127.0.0.1:{port}"]
    kept = ["--database", str(folder / "metadata.db"), "--blobs", str(folder / "blobs")]
    bound = ["--require-parent-pid", str(os.getpid()), "--log-level", "warn"]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, *kept, *bound],
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us: running scans may still need it
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_health(url, process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STORAGE_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_health(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STORAGE_START_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/healthcheck").is_success:
                return
        time.sleep(0.05)
    raise StorageUnavailableError(
        "The storage server did not start; its own words are above. Mend it, name another with "
        "--storage URL, or do without: --storage none."
    )


def _free_port(wanted: int) -> int:
    """`wanted`, or any free port of loopback if somebody listens there."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
    raise StorageUnavailableError("No port of 127.0.0.1 is free.")


def _print_json_line(node: Node) -> None:
    admin = None if node.admin_address is None else f"http://{node.admin_address}"
    ready = {
        "ready": True,
        "scans": str(node.address),
        "admin": admin,
        "storage": node.settings.storage_url,
    }
    sys.stdout.write(json_format.dumps(ready) + "\n")
    sys.stdout.flush()


def _show(node: Node) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("scans", "dim"), Text(str(node.address), "bold"))
    if node.admin_address is not None:
        table.add_row(Text("admin", "dim"), Text(f"http://{node.admin_address}/sessions"))
    if node.settings.storage_url is not None:
        table.add_row(Text("storage", "dim"), Text(node.settings.storage_url))
    table.add_row(Text("at once", "dim"), Text(str(node.settings.capacity)))
    table.add_row(Text("try", "dim"), Text(f"elastron send SCAN.h5 -a {node.address}", "cyan"))
    table.add_row(Text("stop", "dim"), Text("Ctrl-C"))
    panel = Panel.fit(table, title="[bold]Elastron is up", border_style="green", padding=(0, 2))
    stderr().print(panel)
