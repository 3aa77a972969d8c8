"""`elastron logs`: what a process of a local fleet has said."""

from __future__ import annotations

from typing import Annotated

import typer

from elastron.cli.fleet_options import Name, State

_LOOK_S = 0.2


def logs(
    node: Annotated[
        str | None,
        typer.Argument(help="A node such as node-1, or gateway, storage, nursery [lists them]."),
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="Last lines to begin with.")
    ] = 100,
    name: Name = "default",
    state: State = None,
) -> None:
    """Show the log of a node, of the gateway or of the storage server.

    Logs of the last nodes that have left are there as well, and so are those of a fleet that is
    down.
    """
    import time  # noqa: PLC0415  - see elastron.cli

    from elastron.errors import ConfigError  # noqa: PLC0415
    from elastron.fleet.local.folder import StateFolder  # noqa: PLC0415
    from elastron.fleet.local.logs import LogReader, last_lines  # noqa: PLC0415
    from elastron.fleet.local.state import state_path  # noqa: PLC0415

    path = state_path(name, state)
    there = sorted(each.stem for each in (path / "logs").glob("*.log"))
    if node is None:
        typer.echo("\n".join(there))
        return
    if node not in there:
        raise ConfigError(
            f"There is no log of {node!r} in {path}; of {', '.join(there) or 'none'}."
        )
    log = StateFolder(path).log_path(node)
    reader = LogReader(log, at_end=True)
    for line in last_lines(log, lines):
        typer.echo(line)
    while follow:
        for line in reader.lines():
            typer.echo(line)
        time.sleep(_LOOK_S)
