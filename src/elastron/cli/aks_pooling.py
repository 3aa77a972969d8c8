"""`elastron aks pools`, step by step."""

from __future__ import annotations

from elastron.cli.aks_down import run_removal
from elastron.cli.aks_running import opened, run_proposal
from elastron.cli.aks_tables import pool_table
from elastron.cli.console import print_json, stdout
from elastron.cloud.azure.description import Aks


def show_pools(aks: Aks, *, subscription: str | None, json: bool) -> None:
    """The pools that the cluster has."""
    with opened(subscription or aks.subscription) as engine:
        from elastron.cloud.azure.pools import pool_list  # noqa: PLC0415  - of the extra `azure`

        pools = pool_list(engine, aks)
    if json:
        print_json([pool.to_json() for pool in pools])
    else:
        stdout().print(pool_table(pools))


def add_pool(
    aks: Aks, pool: str, *, subscription: str | None, plan: bool, yes: bool, json: bool
) -> bool:
    """Make a pool as described, or change it to that.

    Returns:
        Whether it is there now; with `plan` whether it could be.
    """
    with opened(subscription or aks.subscription) as engine:
        from elastron.cloud.azure.pools import propose_add  # noqa: PLC0415

        proposal = propose_add(engine, aks, pool)
        return run_proposal(engine, proposal, plan=plan, yes=yes, json=json)


def remove_pool(
    aks: Aks, pool: str, *, subscription: str | None, plan: bool, yes: bool, json: bool
) -> bool:
    """Remove a pool.

    Returns:
        Whether it is gone; with `plan` True.
    """
    with opened(subscription or aks.subscription) as engine:
        from elastron.cloud.azure.pools import propose_remove  # noqa: PLC0415

        removal = propose_remove(engine, aks, pool)
        return run_removal(engine, removal, plan=plan, yes=yes, json=json)
