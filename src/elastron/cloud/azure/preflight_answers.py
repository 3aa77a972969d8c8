"""What is asked of Azure before anything is created."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.names import same_place
from elastron.cloud.azure.resource import Facts, Resource
from elastron.errors import CloudError, LoginError

Json = Mapping[str, Any]
_T = TypeVar("_T")

# Versions of what is only read here.
_SUBSCRIPTIONS = "2022-12-01"
_PROVIDERS = "2021-04-01"
_PERMISSIONS = "2022-04-01"
_SKUS = "2021-07-01"
_USAGES = "2024-07-01"
_CLUSTER_VERSION = "2025-05-01"

_CLUSTERS = "Microsoft.ContainerService/managedClusters"
#: Whose names must be the only ones in all of Azure.
WORLDWIDE = frozenset(
    {"Microsoft.Storage/storageAccounts", "Microsoft.ContainerRegistry/registries"}
)


class Asks(Protocol):
    """The part of `arm.Arm` that is needed."""

    def get(self, path: str, api_version: str, **query: str) -> dict[str, Any] | None:
        """An answer, or None for 404."""
        ...

    def list(self, path: str, api_version: str, **query: str) -> list[dict[str, Any]]:
        """All entries of a list."""
        ...

    def post(self, path: str, api_version: str, body: Any = None) -> dict[str, Any]:
        """The answer to an action."""
        ...


@dataclass(frozen=True)
class Answers:
    """What Azure tells; None: it could not be asked.

    Attributes:
        subscription: the subscription; None: there is none of that id.
        locations: all that the subscription may use.
        permissions: of who is logged in, on the subscription or the group that is there.
        providers: by name.
        sizes: of virtual machines, in the location.
        usages: of cores, in the location.
        names: answers to whether a name is free, by the resource's key.
        clusters: all of the subscription.
        found: of the wanted resources, what is there, by key.
    """

    subscription: Json | None
    locations: Sequence[Json] | None = None
    permissions: Sequence[Json] | None = None
    providers: Mapping[str, Json] = field(default_factory=dict)
    sizes: Sequence[Json] | None = None
    usages: Sequence[Json] | None = None
    names: Mapping[str, Json] = field(default_factory=dict)
    clusters: Sequence[Json] | None = None
    found: Mapping[str, Json | None] = field(default_factory=dict)

    @property
    def unregistered(self) -> list[str]:
        """Providers that must be registered first."""
        return [
            name
            for name, answer in self.providers.items()
            if str(answer.get("registrationState", "Registered")).lower() != "registered"
        ]


def ask(
    aks: Aks,
    arm: Asks,
    facts: Facts,
    wanted: Sequence[Resource],
    found: Mapping[str, Json | None],
) -> Answers:
    """Ask Azure all that `judge` needs.

    Raises:
        LoginError: nobody is logged in, or the login has ended.
        DeadlineError: Azure does not answer.
    """
    root = f"/subscriptions/{facts.subscription_id}"
    subscription = arm.get(root, _SUBSCRIPTIONS)
    if subscription is None:
        return Answers(None)
    locations = _asked(lambda: arm.list(f"{root}/locations", _SUBSCRIPTIONS))
    if locations is not None and not any(same_place(x["name"], aks.location) for x in locations):
        return Answers(subscription, locations)  # the rest cannot be asked for such a place
    compute = f"{root}/providers/Microsoft.Compute"
    scope = f"{root}/resourceGroups/{aks.group}" if found.get("group") else root
    place = f"location eq '{aks.location}'"
    skus = _asked(lambda: arm.list(f"{compute}/skus", _SKUS, filter=place))
    providers = sorted({"Microsoft.Compute", *(each.type.partition("/")[0] for each in wanted)})
    answers = {
        name: _asked(lambda name=name: arm.get(f"{root}/providers/{name}", _PROVIDERS))
        for name in providers
    }
    return Answers(
        subscription,
        locations,
        _asked(
            lambda: arm.list(f"{scope}/providers/Microsoft.Authorization/permissions", _PERMISSIONS)
        ),
        {name: answer for name, answer in answers.items() if answer is not None},
        None if skus is None else [x for x in skus if x.get("resourceType") == "virtualMachines"],
        _asked(lambda: arm.list(f"{compute}/locations/{aks.location}/usages", _USAGES)),
        dict(_ask_names(arm, root, wanted, found)),
        _asked(lambda: arm.list(f"{root}/providers/{_CLUSTERS}", _CLUSTER_VERSION)),
        found,
    )


def _ask_names(
    arm: Asks, root: str, wanted: Sequence[Resource], found: Mapping[str, Json | None]
) -> Iterator[tuple[str, Json]]:
    for each in wanted:
        if each.type in WORLDWIDE and found.get(each.key) is None:
            path = f"{root}/providers/{each.type.partition('/')[0]}/checkNameAvailability"
            body = {"name": each.name, "type": each.type}
            answer = _asked(lambda p=path, b=body, v=each.api_version: arm.post(p, v, b))
            if answer is not None:
                yield each.key, answer


def _asked(question: Callable[[], _T]) -> _T | None:
    """The answer, or None where it may not be asked or is not known there."""
    try:
        return question()
    except LoginError:
        raise
    except CloudError:
        return None
