"""`elastron aks up`, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elastron.cli.aks_running import (
    agreed,
    opened,
    proposal_json,
    show_proposal,
    stands_against,
    tell,
)
from elastron.cli.console import counted, print_json, show_remark, stdout
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.plan_report import estimate_notes, estimate_table
from elastron.cloud.azure.preflight import refuse
from elastron.cloud.azure.prices import estimate, estimate_json, load_prices


def bring_up(
    aks: Aks,
    *,
    subscription: str | None,
    plan: bool,
    prune: bool,
    prices: Path | None,
    kubeconfig: Path | None,
    yes: bool,
    json: bool,
) -> bool:
    """Bring Azure to what is described.

    Returns:
        Whether it is there now; with `plan` whether it could be.

    Raises:
        ElastronError: something stands against it, or Azure refused.
    """
    cost = estimate(aks, load_prices(prices))
    with opened(subscription or aks.subscription) as engine:
        proposal = engine.propose(aks, prune=prune)
        told: dict[str, Any] = {**proposal_json(proposal), "estimate": estimate_json(cost)}
        fine = not stands_against(proposal)
        if json and plan:
            print_json(told)
        elif not json:
            fine = show_proposal(proposal)
            stdout().print(estimate_table(cost))
            for note in estimate_notes(cost):
                show_remark(note)
        if plan or (not json and not fine):
            return fine  # what stands against it is shown already
        refuse(proposal.findings)
        number = len(proposal.plan.to_do) + len(proposal.register)
        if number and not agreed(f"Make {counted(number, 'change')}?", yes=yes):
            return False
        answers = engine.carry_out(proposal)
        from elastron.cloud.azure.handover import hand_over  # noqa: PLC0415

        done = hand_over(
            aks, answers, engine.arm, engine.login, kubeconfig=kubeconfig, progress=tell
        )
    if json:
        print_json({**told, "done": done.to_json()})
        return True
    show_remark(f"The cluster {aks.name} is there; elastron aks status -n {aks.name} shows it.")
    return True
