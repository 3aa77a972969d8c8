"""`elastron aks down`, step by step."""

from __future__ import annotations

from pathlib import Path

from elastron.cli.aks_running import agreed, opened, show_changes
from elastron.cli.console import counted, print_json, show_remark, stderr
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.down import Removal, carry_out, propose_down
from elastron.cloud.azure.engine import Engine
from elastron.cloud.azure.kubeconfig import default_path, remove
from elastron.cloud.azure.plan_report import changes_json


def take_down(
    aks: Aks,
    described: bool,
    *,
    subscription: str | None,
    plan: bool,
    kubeconfig: Path | None,
    yes: bool,
    json: bool,
) -> bool:
    """Delete what was made for a cluster.

    Args:
        aks: name and group at least.
        described: whether it is the whole description.
        subscription: name or id.
        plan: only show what would go.
        kubeconfig: from which its credentials go as well.
        yes: do not ask.
        json: one document on stdout.

    Returns:
        Whether it is gone; with `plan` True.
    """
    with opened(subscription or aks.subscription) as engine:
        removal = propose_down(engine, aks.name, aks)
        if not run_removal(engine, removal, plan=plan, yes=yes, json=json):
            return False
    if not plan:
        remove(kubeconfig or default_path(), aks.name)
    return True


def run_removal(engine: Engine, removal: Removal, *, plan: bool, yes: bool, json: bool) -> bool:
    """Show what would be deleted, ask, delete.

    Returns:
        Whether it was deleted; with `plan` True.
    """
    if not json:
        show_changes(removal.changes)
        for other in removal.foreign:
            show_remark(f"Not ours, and left alone: {other.type} {other.name}")
    elif plan:
        print_json(changes_json(removal.changes))
    if plan:
        return True
    if not removal.changes:
        stderr().print("There is nothing to delete.")
        return True
    question = f"Delete {counted(len(removal.changes), 'resource')} for good?"
    if not agreed(question, yes=yes):
        return False
    carry_out(engine, removal)
    if json:
        print_json(changes_json(removal.changes))
    return True
