"""Brings Azure to what a description says, and knows nothing but what Azure tells.

`propose` looks and decides; `carry_out` does exactly what was proposed. A run that was cut off, by
whatever, is gone on with by the next one: it looks again.
"""

from __future__ import annotations

from dataclasses import dataclass

from elastron.cloud.azure.apply import Answers, Applying
from elastron.cloud.azure.arm import Arm
from elastron.cloud.azure.build import group_id
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.events import Progress, note, silent
from elastron.cloud.azure.facts import ask_facts
from elastron.cloud.azure.plan import Plan, plan
from elastron.cloud.azure.plan_report import refusals
from elastron.cloud.azure.pool_entries import extra_pools
from elastron.cloud.azure.preflight import Finding, judge, refuse
from elastron.cloud.azure.preflight_answers import ask
from elastron.cloud.azure.registration import register
from elastron.cloud.azure.resource import Facts, Resource
from elastron.cloud.azure.resources import resources
from elastron.cloud.azure.session import Login
from elastron.cloud.azure.survey import Found, describe, in_group, is_ours, look_around
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
        found = look_around(self.arm, wanted, self.progress)
        extra = [*self.ours(aks, facts, found), *extra_pools(aks, found)]
        changes = plan(wanted, found, extra, prune=prune)
        if not changes.to_do:
            return Proposal(aks, facts, wanted, found, changes)
        told = ask(aks, self.arm, facts, wanted, found)
        findings = tuple(judge(aks, wanted, told))
        return Proposal(aks, facts, wanted, found, changes, findings, tuple(told.unregistered))

    def ours(self, aks: Aks, facts: Facts, found: Found) -> list[Resource]:
        """Top-level resources of the group with our tag, described or not."""
        if found.get("group") is None:
            return []
        listed = in_group(self.arm, group_id(aks, facts))
        return [one for one in listed if is_ours(one.body, aks.name)]

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
        stuck = refusals(proposal.plan)
        if stuck:
            raise CloudError(f"Nothing was changed. {' '.join(stuck)}")
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
