"""What Azure holds, and how its resources come, change and go: the stand-in's core.

Written from the published REST specification (azure-rest-api-specs: Resource Provider Contract,
"Async operations") and from the documented behaviour of each service. Time is the clock's, so
that tests can let a gateway be made in no time; operations end when their time has come.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.cloud.azure.arm_clock import Clock, VirtualClock
from tests.cloud.azure.arm_ids import Parsed, group_of, is_group, key, parse
from tests.cloud.azure.arm_kinds import KINDS, ArmError, Kind, registered_at_first
from tests.cloud.azure.arm_places import Places

Json = dict[str, Any]
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
TENANT = "99999999-8888-7777-6666-555555555555"
USER = "0b1f0000-0000-0000-0000-00000000aaaa"
_TERMINAL = ("Succeeded", "Failed", "Canceled")


@dataclass
class Item:
    """A resource or group."""

    id: str
    type: str
    body: Json
    visible_at: float = 0.0
    busy: str | None = None  # the operation at work on it

    @property
    def state(self) -> str:
        return self.body.get("properties", {}).get("provisioningState", "Succeeded")

    @state.setter
    def state(self, value: str) -> None:
        self.body.setdefault("properties", {})["provisioningState"] = value


@dataclass
class Operation:
    """Something that takes its time."""

    id: str
    target: str
    deed: str  # create | delete
    ends_at: float
    status: str = "InProgress"
    error: Json | None = None


@dataclass
class Azure:
    """One subscription.

    Attributes:
        lag_s: a new group, identity or role assignment is not known everywhere before.
        pace: how long everything takes, as a part of what it takes at Azure.
        fail: type -> error of the next creation of that type, told by its operation.
        policy: called with each PUT; may raise ArmError, as a deny policy does.
    """

    clock: Clock = field(default_factory=VirtualClock)
    places: Places = field(default_factory=Places)
    lag_s: float = 0.0
    pace: float = 1.0
    items: dict[str, Item] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    providers: dict[str, tuple[str, float]] = field(default_factory=registered_at_first)
    principals: dict[str, float] = field(default_factory=dict)
    fail: dict[str, Json] = field(default_factory=dict)
    deleted_workspaces: dict[str, Json] = field(default_factory=dict)
    permissions: list[Json] = field(
        default_factory=lambda: [{"actions": ["*"], "notActions": [], "dataActions": []}]
    )
    made: int = 0

    # -- looking -------------------------------------------------------------------------------

    def find(self, resource_id: str) -> Item | None:
        """The resource, if it is there and known here already."""
        item = self.items.get(key(resource_id))
        return item if item is not None and item.visible_at <= self.clock.now() else None

    def below(self, resource_id: str) -> list[Item]:
        """Everything inside."""
        prefix = key(resource_id) + "/"
        return [item for name, item in self.items.items() if name.startswith(prefix)]

    def named(self) -> list[str]:
        """Ids of all there is, sorted: for assertions."""
        return sorted(item.id for item in self.items.values())

    def settle(self) -> None:
        """End what has come to its end."""
        now = self.clock.now()
        due = [o for o in self.operations.values() if o.status == "InProgress" and o.ends_at <= now]
        for operation in sorted(due, key=lambda one: one.ends_at):
            if operation.status == "InProgress":
                self._end(operation)
        for name, (state, at) in self.providers.items():
            if state == "Registering" and at <= now:
                self.providers[name] = ("Registered", at)

    def get(self, resource_id: str) -> Json:
        """A resource as the service shows it."""
        item = self.find(resource_id)
        if item is None:
            raise self.missing(resource_id)
        return self.shown(item)

    def shown(self, item: Item) -> Json:
        body = copy.deepcopy(item.body)
        kind = KINDS.get(item.type.lower())
        if kind is not None and kind.show is not None:
            kind.show(self, item, body)
        return body

    def missing(self, resource_id: str) -> ArmError:
        group = group_of(resource_id)
        if group is not None and self.find(group) is None:
            name = group.rsplit("/", 1)[-1]
            return ArmError(
                404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found."
            )
        return ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{resource_id.rsplit('/providers/', maxsplit=1)[-1]}' was not found. "
            "For more "
            "details "
            "please go to https://aka.ms/ARMResourceNotFoundFix",
        )

    # -- making --------------------------------------------------------------------------------

    def put(
        self, resource_id: str, body: Json, *, patch: bool = False
    ) -> tuple[int, Item, Operation | None]:
        """PUT or PATCH; 201 or 200, the resource, and the operation that goes on."""
        if is_group(resource_id):
            return self._put_group(resource_id, body, patch=patch)
        parsed = parse(resource_id)
        if parsed is None:
            raise ArmError(400, "InvalidRequest", f"'{resource_id}' is no resource id.")
        kind = self._kind(parsed)
        old = self.items.get(key(resource_id))
        if patch and old is None:
            raise self.missing(resource_id)
        self._check_place(resource_id, parsed, kind, body, old)
        self._check_idle(resource_id, kind)
        self._check_references(resource_id, body)
        if kind.check is not None:
            kind.check(self, resource_id, parsed, body, old)
        item = old or Item(
            resource_id, kind.type, {}, self.clock.now() + (self.lag_s if kind.lags else 0)
        )
        before = copy.deepcopy(item.body)
        item.body = _merged(before, body) if patch else _replaced(before, body)
        item.body |= {"id": kind.written_id(item.id), "name": parsed.name, "type": kind.type}
        self.made += 1
        if kind.fill is not None:
            kind.fill(self, item, before)
        self.items[key(resource_id)] = item
        changed = {**before, "etag": 0} != {**item.body, "etag": 0}
        operation = None
        if kind.answer != "sync" and (old is None or changed):
            seconds = kind.seconds if old is None else kind.seconds / 4
            operation = self.begin(item, "create", seconds)
            item.state = "Creating" if old is None else "Updating"
        elif kind.shows_state:
            item.state = "Succeeded"
        return 201 if old is None else 200, item, operation

    def _put_group(
        self, group: str, body: Json, *, patch: bool
    ) -> tuple[int, Item, Operation | None]:
        old = self.items.get(key(group))
        name = group.rsplit("/", 1)[-1]
        if old is not None and old.state == "Deleting":
            raise ArmError(
                409,
                "ResourceGroupBeingDeleted",
                f"The resource group '{name}' is in deprovisioning state and cannot perform this "
                "operation.",
            )
        if not patch:
            self.places.check_location(body.get("location"))
        if old is not None and "location" in body and _place(old.body) != _place(body):
            raise ArmError(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{body['location']}'. The Resource group already "
                f"exists in location '{old.body['location']}'.",
            )
        item = old or Item(
            group, "Microsoft.Resources/resourceGroups", {}, self.clock.now() + self.lag_s
        )
        before = item.body
        item.body = {"id": group, "name": name, "type": item.type} | (
            _merged(before, body) if patch else {**before, "tags": {}, **copy.deepcopy(body)}
        )
        item.state = "Succeeded"
        self.items[key(group)] = item
        return 201 if old is None else 200, item, None

    def _kind(self, parsed: Parsed) -> Kind:
        kind = KINDS.get(parsed.type.lower())
        namespace = parsed.type.split("/")[0]
        if kind is None:
            raise ArmError(
                400, "InvalidResourceType", f"The resource type could not be found: {parsed.type}"
            )
        if not kind.needs_no_registration:
            self.check_registered(namespace)
        return kind

    def check_registered(self, namespace: str) -> None:
        state, _ = self.providers.get(namespace.lower(), ("NotRegistered", 0))
        if state != "Registered":
            raise ArmError(
                409,
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{namespace}'. See "
                "https://aka.ms/rps-not-found for how to register subscriptions.",
            )

    def _check_place(
        self, resource_id: str, parsed: Parsed, kind: Kind, body: Json, old: Item | None
    ) -> None:
        group = group_of(resource_id)
        if group is not None:
            found = self.find(group)
            if found is None:
                raise self.missing(resource_id)
            if found.state == "Deleting":
                name = group.rsplit("/", 1)[-1]
                raise ArmError(
                    409,
                    "ResourceGroupBeingDeleted",
                    f"The resource group '{name}' is in deprovisioning state.",
                )
        parent = self.find(parsed.parent)
        if parent is None and parse(parsed.parent) is not None and not self.implied(parsed.parent):
            raise ArmError(
                404,
                "ParentResourceNotFound",
                f"Failed to perform 'write' on resource(s) of type '{parsed.type}', because the "
                f"parent resource '{parsed.parent}' could not be found.",
            )
        if not kind.tracked:
            return
        location = body.get("location")
        if location is None and old is None:
            raise ArmError(
                400, "LocationRequired", "The location property is required for this definition."
            )
        if location is not None:
            self.places.check_location(location)
        if old is not None and location is not None and _place(old.body) != _place(body):
            raise ArmError(
                409,
                "InvalidResourceLocation",
                f"The resource '{parsed.name}' already exists in location "
                f"'{old.body['location']}'.",
            )

    def implied(self, resource_id: str) -> bool:
        """Whether a part comes with its whole: `blobServices/default`, a network's subnet."""
        parsed = parse(resource_id)
        parent = self.find(parsed.parent) if parsed else None
        if parsed is None or parent is None:
            return False
        if parsed.type.lower().endswith("/subnets"):
            subnets = parent.body.get("properties", {}).get("subnets", [])
            return any(one["name"].lower() == parsed.name.lower() for one in subnets)
        return parsed.name == "default" and parsed.type.lower().endswith("services")

    def _check_idle(self, resource_id: str, kind: Kind) -> None:
        for busy in (resource_id, *kind.busy_with(resource_id)):
            item = self.items.get(key(busy))
            if item is not None and item.busy is not None:
                raise ArmError(
                    409,
                    kind.conflict,
                    f"Operation is not allowed because there's an in progress operation on "
                    f"'{item.body.get('name')}'. Please wait for it to finish before starting a "
                    "new "
                    "operation.",
                )

    def _check_references(self, resource_id: str, body: Json) -> None:
        for reference in ids_in(body):
            parsed = parse(reference)
            kind = KINDS.get(parsed.type.lower()) if parsed else None
            if kind is None or key(reference).startswith(key(resource_id)):
                continue
            item = self.find(reference)
            if item is None and not self.implied(reference):
                raise ArmError(
                    400,
                    "InvalidResourceReference",
                    f"Resource {reference} referenced by resource {resource_id} was not found.",
                )
            if item is not None and item.state not in ("Succeeded", "Updating"):
                raise ArmError(
                    409,
                    "ReferencedResourceNotProvisioned",
                    f"Cannot proceed with operation because resource {reference} used by resource "
                    f"{resource_id} is not in Succeeded state. Resource is in {item.state} state.",
                )

    def begin(self, item: Item, deed: str, seconds: float) -> Operation:
        operation = Operation(
            str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.made}{len(self.operations)}{item.id}")),
            key(item.id),
            deed,
            self.clock.now() + seconds * self.pace,
        )
        self.operations[operation.id] = operation
        item.busy = operation.id
        return operation

    def _end(self, operation: Operation) -> None:
        operation.status = "Succeeded"
        item = self.items.get(operation.target)
        if item is None:
            return
        item.busy = None
        if operation.deed == "delete":
            self.remove(item)
            return
        error = self.fail.pop(item.type.lower(), None)
        if error is not None:
            operation.status, operation.error, item.state = "Failed", error, "Failed"
            return
        item.state = "Succeeded"

    # -- removing ------------------------------------------------------------------------------

    def delete(self, resource_id: str, query: dict[str, str]) -> tuple[int, Operation | None]:
        """DELETE; 204 if it is not there."""
        item = self.items.get(key(resource_id))
        if item is None:
            group = group_of(resource_id)
            if group is not None and not is_group(resource_id) and self.find(group) is None:
                raise self.missing(resource_id)
            if is_group(resource_id):
                raise self.missing(resource_id)
            return 204, None
        if is_group(resource_id):
            if item.busy is not None:
                return 202, self.operations[item.busy]
            inside = self.below(resource_id)
            slowest = max((KINDS[one.type.lower()].seconds for one in inside), default=0)
            item.state = "Deleting"
            return 202, self.begin(item, "delete", 30 + slowest / 2)
        kind = KINDS[item.type.lower()]
        if item.busy is not None and self.operations[item.busy].deed == "delete":
            return 202, self.operations[item.busy]
        self._check_idle(resource_id, kind)
        self._check_unused(item)
        if kind.before_delete is not None:
            kind.before_delete(self, item, query)
        if kind.delete == "sync":
            self.remove(item)
            return 200, None
        item.state = "Deleting"
        return 202, self.begin(item, "delete", kind.seconds / 2)

    def _check_unused(self, item: Item) -> None:
        inside = key(item.id) + "/"
        users = [
            other.id
            for other in self.items.values()
            if not key(other.id).startswith(inside)
            and KINDS.get(other.type.lower(), KINDS["microsoft.resources/resourcegroups"]).holds
            and any(
                key(one) == key(item.id) or key(one).startswith(inside)
                for one in ids_in({**other.body, "id": None})
            )
        ]
        if users:
            kind = KINDS[item.type.lower()]
            raise ArmError(400, kind.in_use, f"{item.id} is in use by {users[0]}.")

    def remove(self, item: Item) -> None:
        """Gone, with all inside and what Azure made along with it."""
        for one in [*self.below(item.id), item]:
            if self.items.pop(key(one.id), None) is None:
                continue
            kind = KINDS.get(one.type.lower())
            if kind is not None and kind.after_delete is not None:
                kind.after_delete(self, one)

    def principal(self, seed: str) -> str:
        """A new identity in the directory."""
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"principal {seed} {self.made}"))
        self.principals[name] = self.clock.now() + self.lag_s
        return name

    def known(self, principal: str) -> bool:
        """Whether the directory has it, here, by now."""
        return principal == USER or self.principals.get(principal, float("inf")) <= self.clock.now()


def _place(body: Json) -> str:
    return str(body.get("location", "")).replace(" ", "").lower()


def _merged(old: Json, new: Json) -> Json:
    out = copy.deepcopy(old)
    for name, value in new.items():
        both = isinstance(value, dict) and isinstance(out.get(name), dict) and name != "tags"
        out[name] = _merged(out[name], value) if both else copy.deepcopy(value)
    return out


def _replaced(old: Json, new: Json) -> Json:
    """PUT: what is left out keeps what the service filled in; tags are replaced as a whole."""
    out = _merged(old, new)
    if "tags" not in new:
        out.pop("tags", None)
    return out


def ids_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            # a map keyed by ids: userAssignedIdentities
            if name.lower().startswith("/subscriptions/"):
                yield name
            if name not in ("tags", "roleDefinitionId"):
                yield from ids_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from ids_in(one)
    elif isinstance(value, str) and value.lower().startswith("/subscriptions/"):
        yield value
