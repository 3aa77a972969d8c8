"""What the commands for Azure do alike: log in, show, ask, tell how far things are."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from elastron.cli.console import as_seconds, counted, print_json, show_error, show_remark, stderr
from elastron.cli.console import stdout as console
from elastron.cloud.azure.events import Event, Step
from elastron.cloud.azure.plan_report import changes_table, plan_json, refusals, summary
from elastron.cloud.azure.preflight import Severity
from elastron.errors import ConfigError

if TYPE_CHECKING:
    from elastron.cloud.azure.engine import Engine, Proposal
    from elastron.cloud.azure.plan import Change
    from elastron.cloud.azure.preflight import Finding


@contextmanager
def opened(subscription: str | None) -> Iterator[Engine]:
    """An engine that is logged in.

    Args:
        subscription: name or id; None: the login's choice.

    Raises:
        LoginError: nobody is logged in, or there is no such subscription.
    """
    from elastron.cloud.azure.arm import Arm  # noqa: PLC0415  - of the extra `azure`
    from elastron.cloud.azure.engine import Engine  # noqa: PLC0415
    from elastron.cloud.azure.session import default_credential, log_in  # noqa: PLC0415

    # Each way to log in that was tried in vain is worth a warning to azure-identity.
    logging.getLogger("azure").setLevel(logging.ERROR)
    credential = default_credential()
    with Arm(credential, tell=show_remark) as arm:
        yield Engine(arm, log_in(arm, credential, subscription), tell)


def tell(event: Event) -> None:
    """A line on stderr for each thing that happens."""
    if event.step is Step.NOTE:
        show_remark(event.what)
        return
    line = Text()
    if event.total:
        line.append(f"[{event.number}/{event.total}] ", style="dim")
    line.append(f"{event.doing} {event.what}")
    if event.step is Step.DONE:
        line.append(f": done in {as_seconds(event.elapsed_s)}", style="green")
    elif event.step is Step.GOES_ON:
        line.append(f": {as_seconds(event.elapsed_s)} so far", style="dim")
    stderr().print(line, soft_wrap=True)


def agreed(question: str, *, yes: bool) -> bool:
    """Whether to go on.

    Raises:
        ConfigError: there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError("Nobody is there to be asked: say --yes to go on, or --plan to look.")
    return typer.confirm(question, err=True)


def show_proposal(proposal: Proposal) -> bool:
    """What would be done, for people.

    Returns:
        Whether it can be done.
    """
    fine = show_findings(proposal.findings)
    for name in proposal.register:
        show_remark(f"The subscription will be registered for {name}.")
    show_changes(proposal.plan.changes)
    for other in proposal.plan.unlisted:
        show_remark(
            f"Not described, and left alone (--prune deletes it): {other.type} {other.name}"
        )
    for refusal in refusals(proposal.plan):
        show_error(refusal)
        fine = False
    return fine


def show_findings(findings: Sequence[Finding]) -> bool:
    """What would go wrong; whether none of that stops us."""
    for finding in findings:
        if finding.severity is Severity.ERROR:
            show_error(finding.message)
        else:
            show_remark(finding.message)
    return not any(finding.severity is Severity.ERROR for finding in findings)


def show_changes(changes: Sequence[Change]) -> None:
    """Changes as a table, and what they come to."""
    if any(change.kind.value != "keep" for change in changes):
        console().print(changes_table(changes))
    console().print(summary(changes), soft_wrap=True)


def proposal_json(proposal: Proposal) -> dict[str, Any]:
    """What would be done, for programs."""
    return {
        "name": proposal.aks.name,
        "resourceGroup": proposal.aks.group,
        "location": proposal.aks.location,
        **plan_json(proposal.plan),
        "findings": [
            {"severity": each.severity.value, "about": each.about, "message": each.message}
            for each in proposal.findings
        ],
        "register": list(proposal.register),
    }


def stands_against(proposal: Proposal) -> bool:
    """Whether something makes it impossible."""
    errors = any(each.severity is Severity.ERROR for each in proposal.findings)
    return errors or bool(proposal.plan.refused)


def run_proposal(engine: Engine, proposal: Proposal, *, plan: bool, yes: bool, json: bool) -> bool:
    """Show a proposal, ask, carry it out.

    Args:
        engine: does it.
        proposal: what.
        plan: only show it.
        yes: do not ask.
        json: one document on stdout in place of tables.

    Returns:
        Whether it was carried out, or with `plan` could be.

    Raises:
        ElastronError: something stands against it, or Azure refused.
    """
    if json and plan:
        print_json(proposal_json(proposal))
        return not stands_against(proposal)
    if not json:
        fine = show_proposal(proposal)
        if plan or not fine:
            return fine
    to_do = len(proposal.plan.to_do) + len(proposal.register)
    if to_do and not agreed(f"Make {counted(to_do, 'change')}?", yes=yes):
        return False
    engine.carry_out(proposal)
    if json:
        print_json(proposal_json(proposal))
    return True
