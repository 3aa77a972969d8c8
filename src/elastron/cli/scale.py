"""`elastron scale`: hold a pool of a running fleet at a number of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elastron.cli.fleet_options import Name, State

if TYPE_CHECKING:
    from elastron.fleet.local.folder import StateFolder

_AUTO = "auto"
_WAIT_S = 60.0
_LOOK_S = 0.1


def scale(
    nodes: Annotated[str, typer.Argument(help="Number of nodes; `auto`: as the demand says.")],
    *,
    pool: Annotated[str | None, typer.Option(help="Which pool [the only one].")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until they are there.")] = True,
    name: Name = "default",
    state: State = None,
) -> None:
    """Hold a pool of a running fleet at a number of nodes.

    Nodes with a running scan stay until it is done. `elastron scale auto` lets the pool follow the
    demand again. The number is forgotten when the fleet goes down, not when `elastron up` is
    killed.
    """
    from elastron.cli.fleet_options import running_fleet  # noqa: PLC0415  - see elastron.cli
    from elastron.fleet.local.folder import StateFolder  # noqa: PLC0415
    from elastron.fleet.local.wishes import read_pins, read_pools, write_pins  # noqa: PLC0415
    from elastron.fleet.settings import NODES_MAX  # noqa: PLC0415

    running = running_fleet(name, state)
    folder = StateFolder(running.folder)
    chosen = _pool(pool, read_pools(folder))
    pins = read_pins(folder)
    if nodes == _AUTO:
        pins.pop(chosen, None)
        write_pins(folder, pins)
        typer.echo(f"pool {chosen}: as the demand says")
        return
    if not nodes.isdecimal() or int(nodes) > NODES_MAX:
        raise typer.BadParameter(f"a number up to {NODES_MAX}, or auto", param_hint="NODES")
    write_pins(folder, pins | {chosen: int(nodes)})
    if running.supervisor is None:
        typer.echo(f"pool {chosen}: {nodes} nodes, once `elastron up` is started again")
        return
    if wait:
        _wait(folder, chosen, int(nodes))
    typer.echo(f"pool {chosen}: {nodes} {'node' if int(nodes) == 1 else 'nodes'}")


def _pool(wanted: str | None, known: list[str]) -> str:
    if wanted is None and len(known) == 1:
        return known[0]
    if wanted not in known or wanted is None:
        problem = "is none of them" if wanted else "say which one"
        raise typer.BadParameter(f"{problem}: {', '.join(known)}", param_hint="--pool")
    return wanted


def _wait(folder: StateFolder, pool: str, nodes: int) -> None:
    import time  # noqa: PLC0415

    from elastron.errors import DeadlineError  # noqa: PLC0415
    from elastron.fleet.local.state import count_nodes  # noqa: PLC0415

    deadline = time.monotonic() + _WAIT_S
    while (there := count_nodes(folder, pool)) != nodes:
        if time.monotonic() > deadline:
            raise DeadlineError(
                f"Pool {pool} has {there} of {nodes} nodes after {_WAIT_S:g} s; it goes on. Nodes "
                "with a running scan stay until it is done: see `elastron status`."
            )
        time.sleep(_LOOK_S)
