"""What `elastron status` does: asks, and lays out tables."""

from __future__ import annotations

import contextlib
import json as json_format
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from elastron.cli.console import as_bytes, as_seconds, counted, print_json, stdout
from elastron.cli.gateway_admin import GatewayAdmin, admin_url
from elastron.cli.settings import ClientSettings
from elastron.errors import ElastronError

_INTERVAL_S = 1.0
#: Rows of a table; a terminal shows no more, and the JSON has all.
_ROWS_MAX = 50

_STATE_STYLES = {
    "ready": "green",
    "running": "green",
    "busy": "cyan",
    "starting": "yellow",
    "draining": "yellow",
    "queued": "yellow",
    "connecting": "cyan",
    "dead": "bold red",
}


def show_status(client: ClientSettings, *, watch: bool, json: bool) -> None:
    """Print it once, or again and again until Ctrl-C."""
    with GatewayAdmin(admin_url(client)) as gateway:
        if not watch:
            told = ask(gateway)
            print_json(told) if json else stdout().print(tables(told))
            return
        with contextlib.suppress(KeyboardInterrupt):
            _print_lines(gateway) if json else _watch(gateway)


def ask(gateway: GatewayAdmin) -> dict[str, Any]:
    """Nodes, pools, queue and sessions as they are now.

    Raises:
        ElastronError: the gateway does not answer.
    """
    told: dict[str, Any] = {"gateway": gateway.url}
    for page in ("/fleet", "/queue", "/sessions"):
        told |= gateway.get(page)
    return told


def _print_lines(gateway: GatewayAdmin) -> None:
    while True:
        sys.stdout.write(json_format.dumps(ask(gateway)) + "\n")
        sys.stdout.flush()
        time.sleep(_INTERVAL_S)


def _watch(gateway: GatewayAdmin) -> None:
    rates = Rates()
    told = ask(gateway)  # one that was never there is an error
    problem: ElastronError | None = None
    console = stdout()
    live = Live(console=console, auto_refresh=False, screen=True) if console.is_terminal else None
    with live or contextlib.nullcontext():
        while True:
            shown = tables(told, rates.of(told["sessions"], time.monotonic()))
            if problem is not None:
                shown = Group(Text(f"{problem} Trying again.", "bold red"), shown)
            if live is not None:
                live.update(shown, refresh=True)
            else:  # into a file or a pipe
                console.print(shown, Text())
            time.sleep(_INTERVAL_S)
            try:
                told, problem = ask(gateway), None
            except ElastronError as error:
                problem = error


class Rates:
    """Bytes a second of each session, from one look to the next."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, int]] = {}

    def of(self, sessions: Sequence[Mapping[str, Any]], now: float) -> dict[str, float]:
        """Rates of the sessions that were there at the last look, too.

        Args:
            sessions: as `/sessions` tells them.
            now: seconds.
        """
        before, self._before = (
            self._before,
            {each["id"]: (now, each["bytes_in"] + each["bytes_out"]) for each in sessions},
        )
        rates = {}
        for session, (at, count) in self._before.items():
            if session in before and at > before[session][0]:
                earlier, fewer = before[session]
                rates[session] = (count - fewer) / (at - earlier)
        return rates


def tables(told: Mapping[str, Any], rates: Mapping[str, float] | None = None) -> RenderableType:
    """Everything, laid out.

    Args:
        told: from `ask`.
        rates: bytes a second of the sessions; None: their averages.
    """
    parts: list[RenderableType] = [_heading(told)]
    if told["nodes"]:
        parts += [Text(), _nodes(told["nodes"])]
    if told["queue"]:
        parts += [Text(), _queue(told["queue"], told["sessions"])]
    running = [each for each in told["sessions"] if each.get("queue_position") is None]
    if running:
        parts += [Text(), _sessions(running, rates)]
    return Group(*parts)


def _heading(told: Mapping[str, Any]) -> Text:
    line = Text.assemble((told["gateway"], "bold"))
    if told.get("draining"):
        line.append("  draining", "bold yellow")
    if not told["nodes"]:
        line.append("  no nodes", "bold red")
    for pool, figures in told["pools"].items():
        line.append(f"  {pool} " if len(told["pools"]) > 1 else "  ", "dim")
        line.append(f"{figures['running']} of {figures['capacity']} places taken")
        if figures["queued"]:
            line.append(f", {counted(figures['queued'], 'scan')} waiting", "yellow")
    return line


def _table(title: str, **columns: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, title=title, title_justify="left")
    table.title_style = "bold"
    for name, justify in columns.items():
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    return table


def _nodes(nodes: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(
        "Nodes", node="left", pool="left", state="left", places="left", load="left", note="left"
    )
    for node in nodes[:_ROWS_MAX]:
        running, capacity = node["running"], node["capacity"]
        table.add_row(
            _words(node["id"]),
            _words(node["pool"]),
            _state(node["state"]),
            f"{running}/{capacity}",
            ProgressBar(total=max(1, capacity), completed=running, width=12),
            Text(node.get("error") or "", "dim red"),
        )
    return _with_rest(table, len(nodes))


def _queue(queue: Sequence[Mapping[str, Any]], sessions: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(
        "Queue",
        place="right",
        session="left",
        config="left",
        pool="left",
        priority="left",
        tenant="left",
        waiting="right",
    )
    configs = {each["id"]: each.get("config") for each in sessions}
    for scan in queue[:_ROWS_MAX]:
        table.add_row(
            str(scan["position"]),
            _words(scan["session"]),
            _words(configs.get(scan["session"])),
            _words(scan["pool"]),
            _words(scan.get("priority")),
            _words(scan.get("tenant")),
            as_seconds(scan["waiting_s"]),
        )
    return _with_rest(table, len(queue))


def _sessions(sessions: Sequence[Mapping[str, Any]], rates: Mapping[str, float] | None) -> Table:
    table = _table(
        "Scans",
        session="left",
        config="left",
        state="left",
        node="left",
        images="right",
        received="right",
        rate="right",
        time="right",
        note="left",
    )
    for scan in sessions[:_ROWS_MAX]:
        moved = scan["bytes_in"] + scan["bytes_out"]
        if rates is None:
            rate: float | None = moved / scan["seconds"] if scan["seconds"] > 0 else None
        else:
            rate = rates.get(scan["id"])
        attempt = scan.get("attempt") or 1
        table.add_row(
            _words(scan["id"]),
            _words(scan.get("config")),
            _state(scan["state"]),
            _words(scan.get("node")),
            str(scan["images"]),
            as_bytes(scan["bytes_in"]),
            "" if rate is None else f"{as_bytes(rate)}/s",
            as_seconds(scan["seconds"]),
            Text(f"attempt {attempt}" if attempt > 1 else "", "yellow"),
        )
    return _with_rest(table, len(sessions))


def _with_rest(table: Table, count: int) -> Table:
    if count > _ROWS_MAX:
        table.caption = f"… and {count - _ROWS_MAX} more; --json has all"
        table.caption_justify = "left"
    return table


def _state(state: str) -> Text:
    return Text(state, _STATE_STYLES.get(state.lower(), ""))


def _words(value: Any) -> Text:
    """Text as it is: no markup in what others named."""
    return Text("" if value is None else str(value))
