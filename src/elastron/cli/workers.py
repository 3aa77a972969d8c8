"""`elastron workers`: the list of ready nodes, as a Gadgetron asks for it."""

from __future__ import annotations

from typing import Annotated

import typer

#: The local gateway's admin server.
DEFAULT_GATEWAY = "http://127.0.0.1:9080"


def workers(
    *,
    gateway: Annotated[
        str, typer.Option(envvar="ELASTRON_GATEWAY_ADMIN", help="URL of the gateway's admin pages.")
    ] = DEFAULT_GATEWAY,
    exclude: Annotated[
        str | None, typer.Option("--not", help="HOST:PORT of a node to leave out: the asker.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the answer.")] = 5.0,
) -> None:
    """List the ready nodes: ["HOST:PORT", ...], least loaded first.

    A Gadgetron that is given this command distributes its work over the fleet:
    GADGETRON_REMOTE_WORKER_COMMAND="elastron workers --gateway http://gateway:9080".
    """
    from elastron.service.workers import format_workers, gateway_workers  # noqa: PLC0415

    typer.echo(format_workers(gateway_workers(gateway, timeout, exclude=exclude)))
