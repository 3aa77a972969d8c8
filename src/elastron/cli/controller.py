"""`elastron controller`: keeps a fleet on Kubernetes true to its load and to the clock."""

from __future__ import annotations

from typing import Annotated

import typer

from elastron.cli.options import SettingsFile

app = typer.Typer(
    help="Keep a fleet on Kubernetes true to its load and to the clock; the chart starts it.",
    invoke_without_command=True,
)

Namespace = Annotated[
    str | None, typer.Option(help="Where the fleet lives [POD_NAMESPACE, else default].")
]


@app.callback()
def controller(
    context: typer.Context,
    *,
    namespace: Namespace = None,
    admin: Annotated[
        str | None, typer.Option(help="HOST:PORT of the admin pages, or 'none' [127.0.0.1:9080].")
    ] = None,
    settings: SettingsFile = None,
) -> None:
    """Keep a fleet on Kubernetes true to its load and to the clock.

    Pods of busy nodes are the last to be removed, scheduled minimums are kept, and the demand of
    all gateways is added up. Several may run: one leads.
    """
    if context.invoked_subcommand is not None:
        return
    from elastron.autoscaler.controller_settings import (  # noqa: PLC0415  - see elastron.cli
        ControllerSettings,
    )
    from elastron.cli.controlling import run_controller  # noqa: PLC0415
    from elastron.cli.settings import load_settings  # noqa: PLC0415

    flags = {"namespace": namespace, "admin": admin}
    run_controller(load_settings("controller", ControllerSettings, file=settings, flags=flags))


@app.command("set-minimum")
def set_minimum(
    autoscaler: Annotated[str, typer.Argument(help="Name of a HorizontalPodAutoscaler.")],
    nodes: Annotated[int, typer.Argument(min=1, help="Nodes at least from now on.")],
    *,
    namespace: Namespace = None,
) -> None:
    """Set the least number of nodes once; what a CronJob of the chart runs."""
    import asyncio  # noqa: PLC0415  - see elastron.cli

    from elastron.cli.controlling import own_namespace  # noqa: PLC0415
    from elastron.fleet.kubernetes.cluster import Cluster  # noqa: PLC0415

    cluster = Cluster(own_namespace(namespace))
    asyncio.run(cluster.set_minimum(autoscaler, nodes))
    typer.echo(f"{autoscaler}: at least {nodes}")
