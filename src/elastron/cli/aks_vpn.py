"""`elastron aks vpn`: computers of the hospital as part of the cluster's network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elastron.cli.aks_options import (
    HELP,
    File,
    Group,
    Json,
    Name,
    PlanOnly,
    Sets,
    Subscription,
    Yes,
    describe,
)

app = typer.Typer(
    help="A VPN gateway, and certificates for those who may dial in.",
    no_args_is_help=True,
    context_settings=HELP,
)

Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Where the certificates and keys are kept [NAME-vpn]."),
]
Site = Annotated[str, typer.Argument(help="Name of the client: a site or a computer.")]


@app.command()
def up(
    *,
    name: Name = None,
    file: File = None,
    sets: Sets = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    folder: Folder = None,
    renew_root: Annotated[
        bool, typer.Option("--renew-root", help="Make a new root certificate beside the old one.")
    ] = False,
    plan: PlanOnly = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Make the gateway, or give it the certificates of --folder. Takes up to 45 minutes.

    The root certificate is made on this computer and its key stays here: keep the folder safe.
    """
    aks = describe(name, file, resource_group, subscription, sets=sets)
    from elastron.cli.aks_vpn_doing import vpn_up  # noqa: PLC0415  - see elastron.cli

    where = folder or Path(f"{aks.name}-vpn")
    done = vpn_up(
        aks, where, subscription=subscription, renew_root=renew_root, plan=plan, yes=yes, json=json
    )
    if not done:
        raise typer.Exit(1)


@app.command()
def client(
    site: Annotated[
        str | None, typer.Argument(help="Name of the client: a site or a computer.")
    ] = None,
    *,
    name: Name = None,
    file: File = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    folder: Folder = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Make a new certificate though the old one is good.")
    ] = False,
    p12: Annotated[
        bool, typer.Option("--p12", help="Also a .p12 for IKEv2 on Windows and macOS.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check the routes of this computer, which dialled in.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="With --check: an address that must answer."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a client's certificate and its whole OpenVPN profile; or check that the VPN works.

    Run again within 30 days of its end, it makes a new certificate.
    """
    aks = describe(name, file, resource_group, subscription)
    from elastron.cli.aks_vpn_doing import check_client, make_profile  # noqa: PLC0415

    where = folder or Path(f"{aks.name}-vpn")
    if check:
        if not check_client(aks, where, target=target, json=json):
            raise typer.Exit(1)
        return
    if site is None:
        raise typer.BadParameter("Name the client, or say --check.")
    make_profile(aks, where, site, subscription=subscription, renew=renew, p12=p12, json=json)


@app.command("ls")
def list_clients(
    *, name: Name = None, file: File = None, folder: Folder = None, json: Json = False
) -> None:
    """List the certificates that --folder holds, and when they end; never the keys."""
    aks = describe(name, file)
    from elastron.cli.aks_vpn_doing import show_certificates  # noqa: PLC0415

    show_certificates(aks, folder or Path(f"{aks.name}-vpn"), json=json)


@app.command()
def revoke(
    site: Site,
    *,
    name: Name = None,
    file: File = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    folder: Folder = None,
    plan: PlanOnly = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Let a client in no more: all certificates that it ever had are revoked at the gateway."""
    aks = describe(name, file, resource_group, subscription)
    from elastron.cli.aks_vpn_doing import revoke_client  # noqa: PLC0415

    where = folder or Path(f"{aks.name}-vpn")
    if not revoke_client(
        aks, where, site, subscription=subscription, plan=plan, yes=yes, json=json
    ):
        raise typer.Exit(1)


@app.command()
def down(
    *,
    name: Name = None,
    file: File = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    plan: PlanOnly = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete the gateway and its address. The certificates stay on this computer."""
    aks = describe(name, file, resource_group, subscription)
    from elastron.cli.aks_vpn_doing import vpn_down  # noqa: PLC0415

    if not vpn_down(aks, subscription=subscription, plan=plan, yes=yes, json=json):
        raise typer.Exit(1)
