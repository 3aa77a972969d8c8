"""What would go wrong, found before anything is created.

`preflight_answers.ask` puts Azure's answers together, `judge` decides on them alone. What may not
be asked (some roles cannot even read quotas) is not judged: there Azure has the last word.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.names import same_place
from elastron.cloud.azure.preflight_answers import Answers, Asks, ask
from elastron.cloud.azure.preflight_sizes import judge_sizes
from elastron.cloud.azure.resource import Facts, Resource
from elastron.errors import (
    CloudError,
    LoginError,
    NameTakenError,
    NotAllowedError,
    NotOfferedError,
)

Json = Mapping[str, Any]

#: Which setting names what must be the only one in all of Azure, by the resource's type.
_NAMED_BY = {
    "Microsoft.Storage/storageAccounts": "storage.account",
    "Microsoft.ContainerRegistry/registries": "registry.name",
}
_GROUPS = "Microsoft.Resources/resourceGroups"


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """Something that would go wrong.

    Attributes:
        severity: with an error nothing is begun.
        about: what was looked at, such as `quota`.
        message: what is wrong and what to do.
        kind: of the exception, for errors.
    """

    severity: Severity
    about: str
    message: str
    kind: type[CloudError] = CloudError


def check(
    aks: Aks,
    arm: Asks,
    facts: Facts,
    wanted: Sequence[Resource],
    found: Mapping[str, Json | None],
) -> list[Finding]:
    """Ask Azure, and say what would go wrong.

    Args:
        aks: the description.
        arm: asks.
        facts: for the subscription.
        wanted: from `resources`.
        found: what is there of these, by key.

    Raises:
        LoginError: nobody is logged in, or the login has ended.
        DeadlineError: Azure does not answer.
    """
    return judge(aks, wanted, ask(aks, arm, facts, wanted, found))


def refuse(findings: Sequence[Finding]) -> None:
    """Stop where something would go wrong; all of it is told at once.

    Raises:
        CloudError: of the kind of the first error.
    """
    errors = [each for each in findings if each.severity is Severity.ERROR]
    if len(errors) == 1:
        raise errors[0].kind(errors[0].message)
    if errors:
        lines = "\n".join(f"- {each.message}" for each in errors)
        raise errors[0].kind(
            f"Nothing was created; {len(errors)} things stand against it:\n{lines}"
        )


def judge(aks: Aks, wanted: Sequence[Resource], answers: Answers) -> list[Finding]:
    """What would go wrong, errors first. Pure."""
    findings = list(_judged(aks, wanted, answers))
    return sorted(findings, key=lambda each: each.severity is not Severity.ERROR)


def _judged(aks: Aks, wanted: Sequence[Resource], answers: Answers) -> Iterator[Finding]:
    if answers.subscription is None:
        yield _error(
            "subscription",
            "There is no such subscription for who is logged in. See which there are with az "
            "account list, and name one with --subscription.",
            LoginError,
        )
        return
    yield from _subscription(answers.subscription)
    if answers.locations is not None and (finding := _location(aks, answers.locations)):
        yield finding
        return
    yield from _address_zones(aks, answers)
    yield from _permissions(wanted, answers)
    yield from _providers(aks, answers)
    yield from _names(wanted, answers)
    yield from _places(aks, answers)
    for each in judge_sizes(aks, answers.sizes, answers.usages, _pools(answers)):
        if each.kind is None:
            yield _warning(each.about, each.message)
        else:
            yield _error(each.about, each.message, each.kind)


def _subscription(answer: Json) -> Iterator[Finding]:
    state = str(answer.get("state", "Enabled"))
    name = answer.get("displayName") or answer.get("subscriptionId")
    if state in ("Disabled", "Deleted"):
        yield _error(
            "subscription",
            f"The subscription {name} is {state.lower()}; nothing can be made in it. Its owner can "
            "enable it again (portal: Subscriptions), or name another with --subscription.",
            NotAllowedError,
        )
    elif state != "Enabled":
        yield _warning(
            "subscription",
            f"The subscription {name} is in the state {state}: it will be disabled unless its "
            "owner settles that (portal: Subscriptions).",
        )


def _location(aks: Aks, locations: Sequence[Json]) -> Finding | None:
    names = [str(each.get("name", "")) for each in locations]
    if any(same_place(name, aks.location) for name in names):
        return None
    close = difflib.get_close_matches(aks.location, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    return _error(
        "location",
        f"There is no location {aks.location} for this subscription. {hint}All are told by az "
        "account list-locations -o table.",
        NotOfferedError,
    )


def _address_zones(aks: Aks, answers: Answers) -> Iterator[Finding]:
    """The VPN's address is in zones; some locations have none."""
    key = "availabilityZoneMappings"
    places = answers.locations or ()
    if aks.vpn is None or not aks.vpn.zones or answers.found.get("vpn/address") is not None:
        return
    here = next((each for each in places if same_place(str(each["name"]), aks.location)), {})
    if not here.get(key) and any(each.get(key) for each in places):
        yield _error(
            "zones",
            f"{aks.location} has no availability zones: set vpn.zones to [].",
            NotOfferedError,
        )


def _permissions(wanted: Sequence[Resource], answers: Answers) -> Iterator[Finding]:
    if answers.permissions is None:
        return
    needed = {_write_of(each) for each in wanted if answers.found.get(each.key) is None}
    missing = sorted(each for each in needed if not may(answers.permissions, each))
    if not missing:
        return
    roles = [each for each in missing if each.startswith("Microsoft.Authorization/")]
    advice = "An owner of the subscription can give the role Contributor"
    if roles:
        advice = (
            "An owner of the subscription can give the role Role Based Access Control Administrator"
        )
        if len(roles) < len(missing):
            advice += ", and Contributor besides"
    yield _error(
        "permission",
        f"Who is logged in may not do {', '.join(missing)}. {advice}; then log in again: az login.",
        NotAllowedError,
    )


def _providers(aks: Aks, answers: Answers) -> Iterator[Finding]:
    for name in answers.unregistered:
        if answers.permissions is not None and not may(
            answers.permissions, f"{name}/register/action"
        ):
            yield _error(
                "provider",
                f"The subscription is not registered for {name}, and who is logged in may not do "
                f"that. An owner registers it with: az provider register --namespace {name} --wait",
                NotAllowedError,
            )
    service = answers.providers.get("Microsoft.ContainerService", {})
    for kind in service.get("resourceTypes") or []:
        places = kind.get("locations") or []
        if (
            str(kind.get("resourceType", "")).lower() == "managedclusters"
            and places
            and not any(same_place(place, aks.location) for place in places)
        ):
            yield _error(
                "location",
                f"Azure offers no Kubernetes clusters in {aks.location}; choose another location.",
                NotOfferedError,
            )


def _names(wanted: Sequence[Resource], answers: Answers) -> Iterator[Finding]:
    for resource in wanted:
        answer = answers.names.get(resource.key)
        if answer is not None and not answer.get("nameAvailable", True):
            setting = "storage.share_account" if "share" in resource.key else None
            setting = setting or _NAMED_BY[resource.type]
            yield _error(
                "name",
                f"The name {resource.name} cannot be had: {answer.get('message') or 'it is taken'} "
                f"Name another with `{setting}`.",
                NameTakenError,
            )


def _places(aks: Aks, answers: Answers) -> Iterator[Finding]:
    """Groups and clusters of that name that are elsewhere."""
    group = answers.found.get("group")
    if group is not None and not same_place(str(group.get("location", "")), aks.location):
        yield _error(
            "group",
            f"The resource group {aks.group} is there already, in {group['location']}. Use "
            f"--location {group['location']}, or name another group with `resource_group`.",
            NameTakenError,
        )
    for cluster in answers.clusters or ():
        parts = str(cluster.get("id", "")).split("/")
        where = parts[4] if len(parts) > 4 else ""
        if str(cluster.get("name", "")).lower() != aks.name.lower():
            continue
        if where.lower() != aks.group.lower():
            yield _warning(
                "cluster",
                f"There is a cluster {aks.name} in the group {where} as well; this one will be "
                f"another, in {aks.group}.",
            )


def _pools(answers: Answers) -> dict[str, int]:
    """Nodes that are there already, by pool; they are in the quota's use."""
    properties = (answers.found.get("cluster") or {}).get("properties") or {}
    return {
        str(pool.get("name")): int(pool.get("count") or 0)
        for pool in properties.get("agentPoolProfiles") or ()
    }


def may(permissions: Sequence[Json], action: str) -> bool:
    """Whether an action is allowed: by some role, which does not take it back.

    Args:
        permissions: of who is logged in, as Azure lists them: one entry a role.
        action: such as Microsoft.Storage/storageAccounts/write.
    """

    def any_of(patterns: Any) -> bool:
        return any(fnmatchcase(action.lower(), str(each).lower()) for each in patterns or ())

    return any(
        any_of(each.get("actions")) and not any_of(each.get("notActions")) for each in permissions
    )


def _write_of(resource: Resource) -> str:
    if resource.type == _GROUPS:
        return "Microsoft.Resources/subscriptions/resourceGroups/write"
    return f"{resource.type}/write"


def _error(about: str, message: str, kind: type[CloudError]) -> Finding:
    return Finding(Severity.ERROR, about, message, kind)


def _warning(about: str, message: str) -> Finding:
    return Finding(Severity.WARNING, about, message)
