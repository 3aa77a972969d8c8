"""`elastron aks`: a cluster on Azure with all that belongs to it, and taking it down again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from elastron.cli import aks_pools, aks_vpn
from elastron.cli.aks_options import (
    HELP,
    AksGroup,
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
    cls=AksGroup,
    help="A cluster on Azure with all that belongs to it: make it, look after it, take it down.",
    no_args_is_help=True,
    add_completion=False,
    context_settings=HELP,
)
app.add_typer(aks_pools.app, name="pools")
app.add_typer(aks_vpn.app, name="vpn")

Location = Annotated[
    str | None, typer.Option("--location", "-l", help="Where everything is [westus2].")
]
SystemSize = Annotated[
    str | None,
    typer.Option(
        "--system-vm-size",
        "-s",
        metavar="SIZE",
        help="Machines of the system pool [Standard_D4s_v5].",
    ),
]
UserSize = Annotated[
    str | None,
    typer.Option(
        "--user-vm-size", "-u", metavar="SIZE", help="Machines for scans [Standard_D8s_v5]."
    ),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="Where credentials go [KUBECONFIG, else ~/.kube/config]."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="File to write [standard output].")
]
PriceFile = Annotated[
    Path | None,
    typer.Option("--prices", help="Table of prices, of `elastron aks prices` [a built-in one]."),
]


@app.command()
def up(
    *,
    name: Name = None,
    location: Location = None,
    system_vm_size: SystemSize = None,
    user_vm_size: UserSize = None,
    file: File = None,
    sets: Sets = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    plan: PlanOnly = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what is the cluster's and no longer described.")
    ] = False,
    prices: PriceFile = None,
    kubeconfig: Kubeconfig = None,
    fleet: Annotated[bool, typer.Option(help="Install the fleet too, and check it.")] = True,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Make a cluster and all that belongs to it, or bring it to what is described.

    Looks what is there, shows what would be done and what it costs a month, asks, does it, fetches
    credentials, installs the fleet and sends a scan through it. What was cut off is gone on with
    by the same command; a second run changes nothing.
    """
    values = {
        "location": location,
        "system_pool.vm_size": system_vm_size,
        "pools.userpool.vm_size": user_vm_size,
        "fleet.install": None if fleet else False,
    }
    aks = describe(name, file, resource_group, subscription, sets=sets, values=values)
    from elastron.cli.aks_up import bring_up  # noqa: PLC0415  - see elastron.cli

    done = bring_up(
        aks,
        subscription=subscription,
        plan=plan,
        prune=prune,
        prices=prices,
        kubeconfig=kubeconfig,
        yes=yes,
        json=json,
    )
    if not done:
        raise typer.Exit(1)


@app.command()
def status(
    *,
    name: Name = None,
    file: File = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    json: Json = False,
) -> None:
    """Show how the cluster, its pools and what belongs to it are."""
    aks = describe(name, file, resource_group, subscription)
    from elastron.cli.aks_showing import show_status  # noqa: PLC0415

    if not show_status(aks, subscription=subscription, json=json):
        raise typer.Exit(1)


@app.command()
def down(
    *,
    name: Name = None,
    file: File = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    plan: PlanOnly = False,
    kubeconfig: Kubeconfig = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete the cluster and all that was made for it, blobs and shared volumes included.

    Shows what would be deleted, and asks. What others put into the group stays, and the group
    with it.
    """
    aks = describe(name, file, resource_group, subscription)
    from elastron.cli.aks_down import take_down  # noqa: PLC0415

    done = take_down(
        aks,
        file is not None,
        subscription=subscription,
        plan=plan,
        kubeconfig=kubeconfig,
        yes=yes,
        json=json,
    )
    if not done:
        raise typer.Exit(1)


@app.command()
def credentials(
    *,
    name: Name = None,
    file: File = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    kubeconfig: Kubeconfig = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="The certificate that may do everything.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace others' entries of the same name.")
    ] = False,
    output: Annotated[
        bool, typer.Option("--stdout", help="Print the kubeconfig in place of merging it.")
    ] = False,
) -> None:
    """Put the cluster's credentials into the kubeconfig, and make it the current one."""
    aks = describe(name, file, resource_group, subscription)
    from elastron.cli.aks_showing import fetch_credentials  # noqa: PLC0415

    fetch_credentials(
        aks,
        subscription=subscription,
        kubeconfig=kubeconfig,
        admin=admin,
        overwrite=overwrite,
        stdout=output,
    )


@app.command()
def export(
    *,
    name: Name = None,
    location: Location = None,
    system_vm_size: SystemSize = None,
    user_vm_size: UserSize = None,
    file: File = None,
    sets: Sets = None,
    resource_group: Group = None,
    form: Annotated[
        str,
        typer.Option("--as", metavar="FORM", help="arm: a template for Azure; yaml: this tool's."),
    ] = "arm",
    defaults: Annotated[
        bool, typer.Option("--defaults", help="In YAML, show what has its default as well.")
    ] = False,
    output: Output = None,
) -> None:
    """Write the description as an ARM template for Azure, or as YAML for --file. Asks nobody."""
    values: dict[str, Any] = {
        "location": location,
        "system_pool.vm_size": system_vm_size,
        "pools.userpool.vm_size": user_vm_size,
    }
    aks = describe(name, file, resource_group, sets=sets, values=values)
    from elastron.cli.aks_showing import write_export  # noqa: PLC0415

    write_export(aks, form, defaults=defaults, output=output)


@app.command()
def prices(
    *,
    name: Name = None,
    location: Location = None,
    file: File = None,
    sets: Sets = None,
    currency: Annotated[str, typer.Option(metavar="CODE", help="Such as EUR.")] = "USD",
    output: Output = None,
) -> None:
    """Fetch today's public prices for a description, as a table for `aks up --prices`."""
    aks = describe(name or "any", file, sets=sets, values={"location": location})
    from elastron.cli.aks_showing import fetch_table  # noqa: PLC0415

    fetch_table(aks, currency=currency, output=output)
