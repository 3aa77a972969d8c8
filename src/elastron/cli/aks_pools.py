"""`elastron aks pools`: kinds of nodes, added and removed one at a time."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from elastron.cli.aks_options import (
    HELP,
    File,
    Group,
    Json,
    Name,
    PlanOnly,
    Subscription,
    Yes,
    describe,
)

app = typer.Typer(
    help="Kinds of nodes: add, remove and list pools.", no_args_is_help=True, context_settings=HELP
)

Pool = Annotated[str, typer.Argument(help="Name of the pool.")]


@app.command("ls")
def list_pools(
    *,
    name: Name = None,
    file: File = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    json: Json = False,
) -> None:
    """List the pools that the cluster has."""
    aks = describe(name, file, resource_group, subscription)
    from elastron.cli.aks_pooling import show_pools  # noqa: PLC0415  - see elastron.cli

    show_pools(aks, subscription=subscription, json=json)


@app.command()
def add(
    pool: Pool,
    *,
    name: Name = None,
    file: File = None,
    vm_size: Annotated[
        str | None, typer.Option("--vm-size", "-u", metavar="SIZE", help="Size of its machines.")
    ] = None,
    least: Annotated[int | None, typer.Option("--min", min=0, help="Nodes at least [0].")] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, help="Nodes at most [10].")] = None,
    spot: Annotated[
        bool, typer.Option("--spot", help="Cheap machines that Azure may take back.")
    ] = False,
    zones: Annotated[
        str | None, typer.Option(metavar="ZONE,...", help="Availability zones [Azure chooses].")
    ] = None,
    taint: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE:EFFECT", help="Keeps other pods away; repeatable."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of its nodes; repeatable.")
    ] = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    plan: PlanOnly = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Add a pool, or change one. Sizes with GPUs get the taint sku=gpu:NoSchedule by themselves.

    With --file the pool is taken from there; options win over it.
    """
    given: dict[str, Any] = {
        "vm_size": vm_size,
        "min": least,
        "max": most,
        "spot": spot or None,
        "zones": None if zones is None else [each.strip() for each in zones.split(",")],
        "taints": taint or None,
        "labels": None
        if not label
        else {k: v for k, _, v in (each.partition("=") for each in label)},
    }
    values: dict[str, Any] = {f"pools.{pool}.{key}": value for key, value in given.items()}
    if all(value is None for value in given.values()) and file is None:
        values[f"pools.{pool}"] = {}
    aks = describe(name, file, resource_group, subscription, values=values)
    from elastron.cli.aks_pooling import add_pool  # noqa: PLC0415

    if not add_pool(aks, pool, subscription=subscription, plan=plan, yes=yes, json=json):
        raise typer.Exit(1)


@app.command("rm")
def remove(
    pool: Pool,
    *,
    name: Name = None,
    file: File = None,
    resource_group: Group = None,
    subscription: Subscription = None,
    plan: PlanOnly = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove a pool: its nodes are drained, running scans end first within their grace period."""
    aks = describe(name, file, resource_group, subscription)
    from elastron.cli.aks_pooling import remove_pool  # noqa: PLC0415

    if not remove_pool(aks, pool, subscription=subscription, plan=plan, yes=yes, json=json):
        raise typer.Exit(1)
