"""The stand-in's lists, look-ups and actions: all that is not a resource's own PUT, GET, DELETE."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from tests.cloud.azure.arm_errors import ArmError
from tests.cloud.azure.arm_ids import collection, is_group, key
from tests.cloud.azure.arm_kinds import KINDS
from tests.cloud.azure.arm_places import LOCATIONS
from tests.cloud.azure.arm_state import SUBSCRIPTION, TENANT, Azure, Item

Json = dict[str, Any]
Found = tuple[int, Json]
_ROOT = f"/subscriptions/{SUBSCRIPTION}"
_FILTER = re.compile(r"tagName eq '([^']*)'(?: and tagValue eq '([^']*)')?", re.IGNORECASE)


class Lookups:
    """GET of lists and POST of actions."""

    def __init__(self, azure: Azure) -> None:
        self.azure = azure
        self.kubeconfig = _kubeconfig
        providers = r"/providers/"
        self._gets: list[tuple[re.Pattern[str], Callable[..., Any]]] = [
            (_pattern("/subscriptions"), lambda query: {"value": [self._subscription()]}),
            (_pattern("/tenants"), lambda query: {"value": [{"tenantId": TENANT}]}),
            (_pattern(_ROOT), lambda query: self._subscription()),
            (_pattern(_ROOT + "/locations"), self._locations),
            (_pattern(_ROOT + "/resourcegroups"), self._groups),
            (_pattern(_ROOT + "/resources"), self._resources),
            (_pattern(_ROOT + r"/resourcegroups/([^/]+)/resources"), self._resources_of),
            (_pattern(_ROOT + providers + r"([\w.]+)"), self._provider),
            (_pattern(_ROOT + r"(?:/resourcegroups/[^/]+)?" + providers
                      + "Microsoft.Authorization/permissions"), self._permissions),
            (_pattern(_ROOT + providers + "Microsoft.Compute/skus"), self._skus),
            (_pattern(_ROOT + providers + r"Microsoft.Compute/locations/(\w+)/usages"),
             self._usages),
            (_pattern(_ROOT + providers
                      + r"Microsoft.ContainerService/locations/(\w+)/kubernetesVersions"),
             self._versions),
        ]  # fmt: skip

    def get(self, path: str, query: dict[str, str]) -> Json | None:
        """The answer, or None: no such list."""
        for pattern, answer in self._gets:
            found = pattern.fullmatch(path)
            if found is not None:
                return answer(query, *found.groups())
        below = collection(path)
        if below is None or below[1].lower() not in KINDS:
            return None
        where, kind = below
        if (
            where.lower() != key(_ROOT)
            and self.azure.find(where) is None
            and not self.azure.implied(where)
        ):
            raise self.azure.missing(where)
        prefix = key(where) + "/"
        at_scope = kind.lower() == "microsoft.authorization/roleassignments"
        return {
            "value": [
                self.azure.shown(item)
                for name, item in sorted(self.azure.items.items())
                if item.type.lower() == kind.lower()
                and (name.startswith(prefix) or (at_scope and _above(item, where)))
                and item.visible_at <= self.azure.clock.now()
                and _matches(item, query)
            ]
        }

    def _subscription(self) -> Json:
        return {
            "id": _ROOT,
            "subscriptionId": SUBSCRIPTION,
            "tenantId": TENANT,
            "displayName": "Imaging research",
            "state": "Enabled",
            "subscriptionPolicies": {
                "quotaId": "EnterpriseAgreement_2014-09-01",
                "spendingLimit": "Off",
            },
        }

    def _locations(self, query: Json) -> Json:
        return {
            "value": [
                {
                    "id": f"{_ROOT}/locations/{name}",
                    "name": name,
                    "displayName": label,
                    "regionalDisplayName": f"(Region) {label}",
                    "type": "Region",
                    "metadata": {"regionType": "Physical"},
                }
                for name, label in LOCATIONS.items()
            ]
        }

    def _groups(self, query: Json) -> Json:
        return {"value": [item.body for item in self._visible(query) if is_group(item.id)]}

    def _resources(self, query: Json, group: str | None = None) -> Json:
        """Only top-level resources are listed, and without their properties."""
        inside = f"{key(_ROOT)}/resourcegroups/{group.lower()}/" if group else key(_ROOT)
        kept = ("id", "name", "type", "location", "tags", "kind", "sku", "identity", "managedBy")
        more = "provisioningState" in query.get("$expand", "")
        return {
            "value": [
                {one: value for one, value in item.body.items() if one in kept}
                | ({"provisioningState": item.state} if more else {})
                for item in self._visible(query)
                if not is_group(item.id) and KINDS[item.type.lower()].tracked
                if key(item.id).startswith(inside)
            ]
        }

    def _resources_of(self, query: Json, group: str) -> Json:
        if self.azure.find(f"{_ROOT}/resourceGroups/{group}") is None:
            raise self.azure.missing(f"{_ROOT}/resourceGroups/{group}")
        return self._resources(query, group)

    def _visible(self, query: Json) -> list[Item]:
        return [
            item
            for _, item in sorted(self.azure.items.items())
            if item.visible_at <= self.azure.clock.now() and _matches(item, query)
        ]

    def _provider(self, query: Json, name: str) -> Json:
        state, _ = self.azure.providers.get(name.lower(), ("NotRegistered", 0.0))
        types = [
            {"resourceType": kind.type.split("/", 1)[1], "locations": list(LOCATIONS.values())}
            for kind in KINDS.values()
            if kind.type.lower().startswith(name.lower() + "/")
        ]
        return {
            "id": f"{_ROOT}/providers/{name}",
            "namespace": name,
            "registrationState": state,
            "registrationPolicy": "RegistrationRequired",
            "resourceTypes": types,
        }

    def _permissions(self, query: Json) -> Json:
        return {"value": self.azure.permissions}

    def _skus(self, query: Json) -> Json:
        found = re.search(r"location eq '(\w+)'", query.get("$filter", ""))
        return {"value": self.azure.places.skus(found[1] if found else None)}

    def _versions(self, query: Json, place: str) -> Json:
        self.azure.check_registered("Microsoft.ContainerService")
        if place not in LOCATIONS:
            raise ArmError(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for '{place}'.",
            )
        return self.azure.places.kubernetes_versions()

    def _usages(self, query: Json, place: str) -> Json:
        self.azure.places.check_location(place)
        return {"value": self.azure.places.usages()}

    def post(self, path: str, body: Json) -> Found | None:
        """The answer to an action, or None: no such action."""
        azure = self.azure
        before, _, action = path.rpartition("/")
        if action == "register":
            name = before.rpartition("/")[2]
            state, _ = azure.providers.get(name.lower(), ("NotRegistered", 0.0))
            if state == "NotRegistered":
                azure.providers[name.lower()] = ("Registering", azure.clock.now() + 60)
            return 200, self._provider({}, name)
        if action.lower() == "checknameavailability":
            return 200, azure.places.check_name(
                body["name"], own=self._storage_exists(body["name"])
            )
        if action in ("listClusterUserCredential", "listClusterAdminCredential"):
            item = azure.find(before)
            if item is None:
                raise azure.missing(before)
            if item.state in ("Creating", "Deleting"):
                raise ArmError(409, "OperationNotAllowed", "The cluster is not ready.", flat=True)
            name = "clusterUser" if action == "listClusterUserCredential" else "clusterAdmin"
            text = self.kubeconfig(item, admin=name == "clusterAdmin")
            value = base64.b64encode(text.encode()).decode()
            return 200, {"kubeconfigs": [{"name": name, "value": value}]}
        return None

    def _storage_exists(self, name: str) -> bool:
        end = f"/providers/microsoft.storage/storageaccounts/{name}"
        return any(one.endswith(end) for one in self.azure.items)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def _above(item: Item, scope: str) -> bool:
    return key(scope).startswith(key(item.body["properties"]["scope"]))


def _matches(item: Item, query: Json) -> bool:
    found = _FILTER.search(query.get("$filter", ""))
    if found is None:
        return True
    tags = {name.lower(): value for name, value in (item.body.get("tags") or {}).items()}
    value = tags.get(found[1].lower())
    return value is not None and found[2] in (None, value)


def _kubeconfig(item: Item, *, admin: bool) -> str:
    name, fqdn = item.body["name"], item.body["properties"]["fqdn"]
    user = f"clusterAdmin_{item.id.split('/')[4]}_{name}" if admin else f"clusterUser_{name}"
    context = f"{name}-admin" if admin else name
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster:
    certificate-authority-data: Q0E=
    server: https://{fqdn}:443
contexts:
- name: {context}
  context: {{cluster: {name}, user: {user}}}
current-context: {context}
preferences: {{}}
users:
- name: {user}
  user: {{token: not-a-real-token-{"admin" if admin else "user"}}}
"""
