"""What `elastron up` does: a node here, and where to find it."""

from __future__ import annotations

import json as json_format
import sys

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from elastron.cli.console import stderr
from elastron.node import Node, NodeSettings, run_node


def serve_here(settings: NodeSettings, *, json: bool) -> None:
    """Run a node until a signal ends it; say where it is once it takes scans."""
    run_node(settings, _print_json_line if json else _show)


def _print_json_line(node: Node) -> None:
    admin = None if node.admin_address is None else f"http://{node.admin_address}"
    ready = {"ready": True, "scans": str(node.address), "admin": admin}
    sys.stdout.write(json_format.dumps(ready) + "\n")
    sys.stdout.flush()


def _show(node: Node) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("scans", "dim"), Text(str(node.address), "bold"))
    if node.admin_address is not None:
        table.add_row(Text("admin", "dim"), Text(f"http://{node.admin_address}/sessions"))
    table.add_row(Text("at once", "dim"), Text(str(node.settings.capacity)))
    table.add_row(Text("try", "dim"), Text(f"elastron send SCAN.h5 -a {node.address}", "cyan"))
    table.add_row(Text("stop", "dim"), Text("Ctrl-C"))
    panel = Panel.fit(table, title="[bold]Elastron is up", border_style="green", padding=(0, 2))
    stderr().print(panel)
