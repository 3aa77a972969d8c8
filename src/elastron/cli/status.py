"""`elastron status`: nodes, queue and scans of a gateway."""

from __future__ import annotations

from typing import Annotated

import typer

from elastron.cli.fleet_options import State
from elastron.cli.options import GatewayAdmin, SettingsFile


def status(
    *,
    gateway: GatewayAdmin = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it anew each second, until Ctrl-C.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print it as JSON; with --watch a line each second.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of a fleet of this machine, for --gateway.")
    ] = None,
    state: State = None,
    settings: SettingsFile = None,
) -> None:
    """Show a gateway's nodes, its queue and its scans.

    Nodes with their state and how many of their places are taken; scans that wait, with their
    place in the queue; scans that run, with their node, images and rate.
    """
    from elastron.cli.fleet_options import running_fleet  # noqa: PLC0415
    from elastron.cli.settings import ClientSettings, load_settings  # noqa: PLC0415
    from elastron.cli.status_tables import show_status  # noqa: PLC0415  - see elastron.cli

    if name is not None or state is not None:
        if gateway is not None:
            raise typer.BadParameter("it names a gateway already", param_hint="--gateway")
        gateway = running_fleet(name or "default", state).admin
    client = load_settings("client", ClientSettings, file=settings, flags={"gateway": gateway})
    show_status(client, watch=watch, json=json)
