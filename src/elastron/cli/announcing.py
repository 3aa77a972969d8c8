"""How `elastron up` says where things are."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from elastron.cli.console import stderr


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a fleet can be reached.

    Attributes:
        name: of the fleet.
        state: its state folder.
        scans: HOST:PORT of the gateway.
        admin: URL of the gateway's admin server.
        gateway_pid: process id of the gateway.
        storage: URL of the storage server, if there is one.
        autoscaler: URL of the autoscaler's admin server.
        pools: `min`, `max` and `capacity` of each.
        exposed: HOST:PORT for sites with a pre-shared key; None: nobody comes in from outside.
    """

    name: str
    state: Path
    scans: str
    admin: str
    gateway_pid: int
    storage: str | None
    autoscaler: str
    pools: dict[str, dict[str, int]]
    exposed: str | None = None


def print_json_line(where: Whereabouts) -> None:
    """For programs: one line on stdout."""
    ready = {
        "ready": True,
        "scans": where.scans,
        "exposed": where.exposed,
        "admin": where.admin,
        "storage": where.storage,
        "gateway": {"pid": where.gateway_pid, "scans": where.scans, "admin": where.admin},
        "fleet": {
            "name": where.name,
            "state": str(where.state),
            "autoscaler": where.autoscaler,
            "pools": where.pools,
        },
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


def show(where: Whereabouts) -> None:
    """For people, on stderr."""
    from rich.panel import Panel  # noqa: PLC0415 - rich is slow to import
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table.grid(padding=(0, 2))
    table.add_row(Text("scans", "dim"), Text(where.scans, "bold"))
    if where.exposed is not None:
        table.add_row(Text("outside", "dim"), Text(f"{where.exposed} (TLS, with a site's key)"))
    table.add_row(Text("admin", "dim"), Text(where.admin))
    if where.storage is not None:
        table.add_row(Text("storage", "dim"), Text(where.storage))
    for name, pool in where.pools.items():
        nodes = f"{pool['min']} to {pool['max']} nodes, each {pool['capacity']} at once"
        table.add_row(Text("fleet" if len(where.pools) == 1 else name, "dim"), Text(nodes))
    table.add_row(Text("try", "dim"), Text(f"elastron send SCAN.h5 -a {where.scans}", "cyan"))
    if where.exposed is not None:
        port = where.exposed.rpartition(":")[2]
        package = f"elastron access psk package SITE --to THIS-HOST:{port}"
        table.add_row(Text("for a site", "dim"), Text(package, "cyan"))
    table.add_row(Text("watch", "dim"), Text("elastron status --watch", "cyan"))
    table.add_row(Text("stop", "dim"), Text("Ctrl-C"))
    panel = Panel.fit(table, title="[bold]Elastron is up", border_style="green", padding=(0, 2))
    stderr().print(panel)
