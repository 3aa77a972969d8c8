"""Brings Azure to what a description says, and knows nothing but what Azure tells.

`propose` looks and decides; `carry_out` does exactly what was proposed. A run that was cut off, by
whatever, is gone on with by the next one: it looks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from elastron.cloud.azure.apply import Answers, Applying
from elastron.cloud.azure.arm import Arm
from elastron.cloud.azure.build import api_version
from elastron.cloud.azure.cluster import POOL_KIND
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.events import Progress, note, silent
from elastron.cloud.azure.facts import ask_facts
from elastron.cloud.azure.plan import Change, Plan, plan
from elastron.cloud.azure.preflight import Finding, judge, refuse
from elastron.cloud.azure.preflight_answers import ask
from elastron.cloud.azure.registration import register
from elastron.cloud.azure.resource import Facts, Resource
from elastron.cloud.azure.resources import resources
from elastron.cloud.azure.session import Login
from elastron.cloud.azure.survey import Found, describe, is_ours, look_around, tagged
from elastron.errors import CloudError


@dataclass(frozen=True)
class Proposal:
    """What would be done.

    Attributes:
        aks: the description.
        facts: what Azure was asked for it.
        wanted: all that Azure is to have, in order.
        found: what it has, by key.
        plan: the changes from one to the other.
        findings: what would go wrong; with an error among them nothing is begun.
        register: Azure's services that the subscription must be registered for first.
    """

    aks: Aks
    facts: Facts
    wanted: tuple[Resource, ...]
    found: Found
    plan: Plan
    findings: tuple[Finding, ...] = ()
    register: tuple[str, ...] = ()


class Engine:
    """The work of `elastron aks` at Azure.

    Args:
        arm: Azure Resource Manager.
        login: who asks, and the subscription.
        progress: is told what happens.
    """

    def __init__(self, arm: Arm, login: Login, progress: Progress = silent) -> None:
        self.arm = arm
        self.login = login
        self.progress = progress

    def propose(self, aks: Aks, *, prune: bool = False) -> Proposal:
        """Look at what is there, and decide what is to be done; changes nothing.

        Args:
            aks: the description.
            prune: delete what is ours by its tag and not described.

        Raises:
            CloudError: Azure refuses to tell, or does not offer what is described.
            DeadlineError: it does not answer.
        """
        facts = ask_facts(aks, self.arm, self.login)
        wanted = tuple(resources(aks, facts))
        found = look_around(self.arm, wanted)
        extra = [*tagged(self.arm, facts.subscription_id, aks.name), *extra_pools(aks, found)]
        changes = plan(wanted, found, extra, prune=prune)
        if not changes.to_do:
            return Proposal(aks, facts, wanted, found, changes)
        told = ask(aks, self.arm, facts, wanted, found)
        findings = tuple(judge(aks, wanted, told))
        return Proposal(aks, facts, wanted, found, changes, findings, tuple(told.unregistered))

    def carry_out(self, proposal: Proposal) -> Answers:
        """Do what was proposed; nothing is sent where nothing is to be done.

        Returns:
            What Azure has now, by key.

        Raises:
            CloudError: something was found that stands against it, the plan holds a change that
                cannot be made, or Azure refused one.
            DeadlineError: Azure does not answer, or takes too long.
        """
        refuse(proposal.findings)
        refused = proposal.plan.refused
        if refused:
            raise CloudError(_refusals(refused))
        if proposal.register:
            register(self.arm, proposal.facts.subscription_id, proposal.register, self.progress)
            if not proposal.facts.kubernetes_version:  # only now Azure tells the versions
                proposal = self.propose(proposal.aks)
        applying = Applying(self.arm, proposal.plan.changes, proposal.found, self.progress)
        answers = applying.run()
        # Policies of a subscription may change what was asked for.
        left = plan(proposal.wanted, answers).to_do
        if proposal.plan.to_do and left:
            names = ", ".join(describe(change.resource) for change in left)
            self.progress(
                note(f"Azure did not take everything as it was asked for: {names}. See --plan.")
            )
        return answers


def extra_pools(aks: Aks, found: Found) -> list[Resource]:
    """Node pools of ours that the cluster has and the description has not."""
    cluster = found.get("cluster")
    if cluster is None:
        return []
    return [
        pool_resource(cluster, entry)
        for entry in pool_entries(cluster)
        if entry.get("mode") != "System"
        and entry["name"] not in aks.pools
        and is_ours(entry, aks.name)
    ]


def pool_entries(cluster: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The pools that a cluster's answer lists."""
    return cluster.get("properties", {}).get("agentPoolProfiles") or []


def pool_resource(cluster: dict[str, Any], entry: dict[str, Any]) -> Resource:
    """A node pool as found, with its id as its key."""
    path = f"{cluster['id']}/agentPools/{entry['name']}"
    return Resource(
        key=path.lower(),
        type=POOL_KIND,
        name=f"{cluster['name']}/{entry['name']}",
        api_version=api_version(POOL_KIND),
        id=path,
        body={"properties": entry},
    )


def _refusals(refused: Sequence[Change]) -> str:
    lines = []
    for change in refused:
        why = "; ".join(
            f"{one.path} is {one.found!r}, wanted {one.wanted!r}" for one in change.differences
        )
        lines.append(f"{describe(change.resource)}: {why}" if why else describe(change.resource))
    return (
        "Nothing was changed, for Azure does not let these be changed, and to replace them would "
        f"lose what they hold: {' | '.join(lines)}. Give the new one another name, or take the old "
        "one away first."
    )
