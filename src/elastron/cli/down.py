"""`elastron down`: end a running fleet."""

from __future__ import annotations

from typing import Annotated

import typer

from elastron.cli.fleet_options import Name, State

_LOOK_S = 0.1
#: Between the two signals that end a fleet at once; each must be seen by itself.
_TWICE_S = 0.5


def down(
    *,
    now: Annotated[
        bool,
        typer.Option("--now", help="Do not wait for running scans: their clients get an error."),
    ] = False,
    name: Name = "default",
    state: State = None,
) -> None:
    """End a running fleet: the scans that run are finished first.

    As Ctrl-C where `elastron up` runs; it works as well when that was killed.
    """
    import signal  # noqa: PLC0415  - see elastron.cli
    import time  # noqa: PLC0415

    from elastron.cli.console import show_remark  # noqa: PLC0415
    from elastron.cli.fleet_options import running_fleet  # noqa: PLC0415
    from elastron.fleet.local.folder import StateFolder  # noqa: PLC0415
    from elastron.fleet.local.stopping import stop_fleet  # noqa: PLC0415

    running = running_fleet(name, state)
    supervisor = running.supervisor
    if supervisor is not None:
        supervisor.identity.signal(signal.SIGTERM)
        told = time.monotonic()
        while supervisor.alive:
            if now and time.monotonic() - told > _TWICE_S:
                supervisor.identity.signal(signal.SIGTERM)
                now = False
            time.sleep(_LOOK_S)
    # What it may have left, had it been killed meanwhile.
    stop_fleet(StateFolder(running.folder), now=now, say=show_remark)
    typer.echo(f"fleet {running.name!r} is down")
