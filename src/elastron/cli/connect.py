"""`elastron connect`: a port here that leads to a fleet on a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from elastron.cli.cluster_options import Context, Kubeconfig, Namespace


def connect(
    release: Annotated[str, typer.Argument(help="Name of the release.")] = "gt1",
    *,
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="Port here; 0: a free one.")
    ] = 9002,
    admin: Annotated[bool, typer.Option("--admin", help="The gateway's admin pages too.")] = False,
    admin_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port here for them; 0: a free one.")
    ] = 9080,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the addresses as one line of JSON.")
    ] = False,
) -> None:
    """Lead a port of this machine to a fleet on a Kubernetes cluster, until Ctrl-C.

    By `kubectl port-forward`, begun anew whenever it breaks. For trying out: scanners come by one
    of the ways in, see `elastron tunnel`.
    """
    from elastron.cli.cluster_options import open_cluster  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.connecting import hold_connection  # noqa: PLC0415

    _, kubectl, _ = open_cluster(namespace, context, kubeconfig)
    hold_connection(kubectl, release, port, admin_port if admin else None, json=json)
