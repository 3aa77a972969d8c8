"""How a plan is shown: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from elastron.cloud.azure.compare import Difference
from elastron.cloud.azure.plan import TAG, Change, Kind, Plan
from elastron.cloud.azure.prices import Estimate
from elastron.cloud.azure.resource import Json, Later, replace_laters

_STYLES = {
    Kind.CREATE: "green",
    Kind.UPDATE: "yellow",
    Kind.REPLACE: "magenta",
    Kind.DELETE: "red",
    Kind.REFUSE: "bold red",
    Kind.KEEP: "dim",
}
_VALUE_CHARACTERS_MAX = 60


def changes_json(changes: Sequence[Change], unlisted: Sequence[Any] = ()) -> dict[str, Any]:
    """Changes as JSON values: in order, with what is sent.

    Args:
        changes: of a plan, or from `deletions`.
        unlisted: ours, but left alone.
    """
    return {
        "changes": [_change_json(change) for change in changes],
        "unlisted": [{"type": each.type, "id": each.id} for each in unlisted],
        "summary": counts(changes),
    }


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan as JSON values."""
    return changes_json(plan.changes, plan.unlisted)


def counts(changes: Sequence[Change]) -> dict[str, int]:
    """How many changes there are of each kind that occurs."""
    kinds = [change.kind for change in changes]
    return {kind.value: kinds.count(kind) for kind in Kind if kind in kinds}


def summary(changes: Sequence[Change]) -> str:
    """One line, such as `Azure: 3 to create, 1 to update; 18 stay.`"""
    told = counts(changes)
    stay = told.pop(Kind.KEEP.value, 0)
    words = ", ".join(f"{number} to {kind}" for kind, number in told.items())
    if not words:
        return f"Azure: nothing to do; all {stay} resources are as described."
    return f"Azure: {words}" + (f"; {stay} stay." if stay else ".")


def changes_table(changes: Sequence[Change], *, kept: bool = False) -> Table:
    """Changes as a table.

    Args:
        changes: of a plan, or from `deletions`.
        kept: show what stays as it is, too.
    """
    table = Table(box=None, pad_edge=False, show_edge=False)
    for title in ("", "Resource", "Name", "Why"):
        table.add_column(title, overflow="fold")
    for change in changes:
        if change.kind is Kind.KEEP and not kept:
            continue
        style = _STYLES[change.kind]
        table.add_row(
            Text(change.kind.value, style=style),
            Text(change.resource.type.removeprefix("Microsoft.")),
            Text(change.resource.name),
            Text(_why(change)),
        )
    return table


def refusals(plan: Plan) -> list[str]:
    """What cannot be done, each with what to do instead."""
    told: list[str] = []
    for change in plan.refused:
        what = "; ".join(_difference_text(each) for each in change.differences)
        told.append(f"{change.resource.key} ({what}): {_advice(change)}")
    return told


def _advice(change: Change) -> str:
    if any(each.path.endswith(f"tags.{TAG}") for each in change.differences):
        return (
            "it is there already, and was not made from here. Name ours otherwise; or, if it is "
            f"yours to hand over, give it the tag {TAG}."
        )
    if change.resource.key.startswith("pool/"):
        return (
            "Azure cannot change this in a pool that exists; describe a further pool, move the "
            "work there and remove this one."
        )
    if change.resource.key == "cluster":
        return (
            "Azure cannot change this in a cluster that exists; describe it as it is, or make "
            "another cluster beside it."
        )
    return "Azure cannot change this; describe it as it is, or give it another name."


def _why(change: Change) -> str:
    if change.goes_with is not None:
        return f"goes with {change.goes_with}"
    return "\n".join(_difference_text(each) for each in change.differences)


def _difference_text(difference: Difference) -> str:
    path = difference.path.removeprefix("properties.")
    return f"{path}: {_shown(difference.found)} -> {_shown(difference.wanted)}"


def _shown(value: Json) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Later):
        return f"known once {value.key} exists"
    text = value if isinstance(value, str) else json.dumps(_plain(value), sort_keys=True)
    return text if len(text) <= _VALUE_CHARACTERS_MAX else text[: _VALUE_CHARACTERS_MAX - 1] + "…"


def _change_json(change: Change) -> dict[str, Any]:
    told: dict[str, Any] = {
        "action": change.kind.value,
        "key": change.resource.key,
        "type": change.resource.type,
        "name": change.resource.name,
        "id": change.resource.id,
        "apiVersion": change.resource.api_version,
    }
    if change.differences:
        told["differences"] = [
            {"path": each.path, "found": _plain(each.found), "wanted": _plain(each.wanted)}
            for each in change.differences
        ]
    if change.body is not None:
        told["body"] = _plain(change.body)
    if change.goes_with is not None:
        told["goesWith"] = change.goes_with
    return told


def _plain(value: Json) -> Json:
    """JSON values: what is known later is told by where it comes from."""
    return replace_laters(
        value, lambda later: f"{later.before}<{later.path} of {later.key}>{later.after}"
    )


def estimate_table(estimate: Estimate) -> Table:
    """What a cluster costs a month, as a table."""
    currency = estimate.table.currency
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column(f"{currency} a month", overflow="fold")
    table.add_column("at least", justify="right")
    table.add_column("at most", justify="right")
    for line in estimate.lines:
        assumed = " (assumed)" if line.assumed else ""
        table.add_row(Text(line.what + assumed), _money(line.month_min), _money(line.month_max))
    table.add_row(
        Text("together", style="bold"),
        Text(_money(estimate.month_min), style="bold"),
        Text(_money(estimate.month_max), style="bold"),
    )
    return table


def estimate_notes(estimate: Estimate) -> list[str]:
    """What must be said beside the figures."""
    prices = estimate.table
    told = [f"Prices of {prices.location}, {prices.date.isoformat()}. {prices.source}".strip()]
    if estimate.elsewhere:
        told.append(
            f"The cluster is in {estimate.location}, where prices differ; `elastron aks prices` "
            "fetches those."
        )
    if estimate.unknown:
        told.append(f"Without {', '.join(estimate.unknown)}: the table has no price for these.")
    return told


def _money(amount: float | None) -> str:
    return "?" if amount is None else f"{amount:,.2f}"
