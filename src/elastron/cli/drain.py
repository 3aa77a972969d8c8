"""`elastron drain`: take one node of a running fleet out of service."""

from __future__ import annotations

from typing import Annotated

import typer

from elastron.cli.fleet_options import Name, State

_LOOK_S = 0.1


def drain(
    node: Annotated[
        str,
        typer.Argument(help="Name of the node, such as node-1, or the URL of its admin pages."),
    ],
    *,
    wait: Annotated[bool, typer.Option(help="Wait until it has ended.")] = True,
    name: Name = "default",
    state: State = None,
) -> None:
    """Let a node finish its scans and end.

    It takes no new ones from now on; the fleet starts another one if it is needed. Draining one
    node after the other renews all of them without disturbing a scan.
    """
    if node.startswith(("http://", "https://")):
        _ask(node)
        return
    import signal  # noqa: PLC0415  - see elastron.cli
    import time  # noqa: PLC0415

    from elastron.cli.fleet_options import running_fleet  # noqa: PLC0415
    from elastron.errors import ConfigError  # noqa: PLC0415
    from elastron.fleet.local.folder import Role, StateFolder  # noqa: PLC0415

    running = running_fleet(name, state)
    nodes = {key: each for key, each in running.processes.items() if each.role is Role.NODE}
    record = nodes.get(node)
    if record is None:
        raise ConfigError(f"There is no node {node!r}; there are {', '.join(nodes) or 'none'}.")
    StateFolder(running.folder).mark_leaving(node)
    if running.supervisor is None:  # nobody else would tell it
        record.identity.signal(signal.SIGTERM)
    while wait and record.alive:
        time.sleep(_LOOK_S)
    typer.echo(f"{node} {'has left' if wait else 'drains'}")


def _ask(admin: str) -> None:
    """Have a node that is not of this machine's fleet drain, and wait for it."""
    import httpx  # noqa: PLC0415  - see elastron.cli

    from elastron.errors import ConfigError  # noqa: PLC0415

    try:
        # It answers when the last scan is done: as long as that takes.
        answer = httpx.post(f"{admin.rstrip('/')}/drain", timeout=None, trust_env=False)  # noqa: S113
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise ConfigError(f"{admin} did not drain: {error}. Is it a node's admin URL?") from error
    typer.echo(f"{admin} has drained")
