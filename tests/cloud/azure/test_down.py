"""`down` against the stand-in: all that was made goes, and nothing else, whatever cuts it off."""

from __future__ import annotations

from typing import Any

import pytest

from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.down import Removal, carry_out, propose_down
from elastron.cloud.azure.plan import Kind
from elastron.errors import ElastronError
from tests.cloud.azure.arm_door import DeathError, Door, Fault, Seen
from tests.cloud.azure.arm_ids import key
from tests.cloud.azure.arm_state import SUBSCRIPTION, Azure
from tests.cloud.azure.conftest import engine_to
from tests.cloud.azure.test_engine import DESCRIPTIONS, EVERYTHING

PACE = 0.05
ROOT = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{ROOT}/resourceGroups/scans-rg"
HUB = f"{ROOT}/resourceGroups/hub"
SUBNET = f"{HUB}/providers/Microsoft.Network/virtualNetworks/hub-net/subnets/mr"
IN_A_HUB = {"name": "scans", "network": {"subnet": SUBNET}}
MACHINE = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/theirs"


def up(door: Door, aks: Aks) -> None:
    engine = engine_to(door)
    engine.carry_out(engine.propose(aks))


def down(door: Door, aks: Aks) -> Removal:
    engine = engine_to(door)
    removal = propose_down(engine, aks.name, aks)
    carry_out(engine, removal)
    return removal


def with_hub(azure: Azure) -> None:
    azure.put(HUB, {"location": "westus2"})
    subnet = {"name": "mr", "properties": {"addressPrefix": "10.9.0.0/16"}}
    azure.put(
        SUBNET.rsplit("/", 2)[0], {"location": "westus2", "properties": {"subnets": [subnet]}}
    )
    azure.clock.sleep(100)
    azure.settle()


def settled(azure: Azure, resource_id: str, body: dict[str, Any]) -> None:
    azure.put(resource_id, body)
    azure.clock.sleep(1000)
    azure.settle()


@pytest.mark.parametrize("values", [*DESCRIPTIONS, pytest.param(IN_A_HUB, id="hub")])
def test_all_that_was_made_goes(door: Door, azure: Azure, values: dict[str, Any]) -> None:
    with_hub(azure)
    before = azure.named()
    up(door, make_aks(values))
    made = set(azure.named()) - set(before)
    made = {one for one in made if "-nodes" not in one and "/agentPools/system" not in one}
    first = len(door.writes)
    engine = engine_to(door)
    removal = propose_down(engine, "scans", make_aks(values))
    assert len(door.writes) == first  # a proposal changes nothing
    assert removal.whole_group
    told = {key(change.resource.id) for change in removal.changes}
    assert {key(one) for one in made} <= told
    carry_out(engine, removal)
    asked = [(seen.method, key(seen.path)) for seen in door.writes[first:]]
    assert asked == [("DELETE", key(change.resource.id)) for change in removal.asked]
    assert azure.named() == before
    again = propose_down(engine_to(door), "scans", make_aks(values))
    assert again.changes == ()
    carry_out(engine_to(door), again)
    assert len(door.writes) == first + len(asked)


@pytest.mark.parametrize("values", [EVERYTHING, IN_A_HUB], ids=["everything", "hub"])
def test_the_name_is_enough(door: Door, azure: Azure, values: dict[str, Any]) -> None:
    with_hub(azure)
    before = azure.named()
    up(door, make_aks(values))
    engine = engine_to(door)
    carry_out(engine, propose_down(engine, "scans"))
    assert azure.named() == before


def test_what_others_have_in_the_group_stays(door: Door, azure: Azure) -> None:
    up(door, make_aks(EVERYTHING))
    settled(azure, MACHINE, {"location": "westus2", "properties": {}})
    removal = down(door, make_aks(EVERYTHING))
    assert not removal.whole_group
    assert [one.name for one in removal.foreign] == ["theirs"]
    assert azure.named() == sorted([GROUP, MACHINE])
    assert [seen.method for seen in door.writes[-len(removal.asked) :]] == ["DELETE"] * len(
        removal.asked
    )


def test_a_group_that_was_there_before_stays(door: Door, azure: Azure) -> None:
    azure.put(GROUP, {"location": "westus2", "tags": {"owner": "it"}})
    aks = make_aks(EVERYTHING)
    up(door, aks)
    assert azure.get(GROUP)["tags"] == {"owner": "it"}
    assert engine_to(door).propose(aks).plan.to_do == ()
    assert not down(door, aks).whole_group
    assert azure.named() == [GROUP]


def test_a_cluster_of_somebody_else_is_neither_changed_nor_deleted(
    door: Door, azure: Azure
) -> None:
    up(door, make_aks({"name": "scans"}))
    for item in azure.items.values():  # as if somebody else had made them, by hand
        if item.body.get("tags"):
            item.body["tags"] = {"owner": "somebody"}
    aks = make_aks({"name": "scans"})
    before, names = len(door.writes), azure.named()
    proposal = engine_to(door).propose(aks)
    assert {change.resource.key for change in proposal.plan.refused} >= {"cluster", "storage"}
    with pytest.raises(ElastronError):
        engine_to(door).carry_out(proposal)
    removal = down(door, aks)
    deleted = {change.resource.type for change in removal.changes}
    assert deleted <= {"Microsoft.Authorization/roleAssignments",
                       "Microsoft.Insights/dataCollectionRuleAssociations"}  # fmt: skip
    assert {one for one in names if parse_top(one)} <= set(azure.named())
    assert len(door.writes) - before == len(removal.asked)


def parse_top(resource_id: str) -> bool:
    return resource_id.lower().count("/providers/") <= 1


def test_of_two_clusters_only_one_goes(door: Door, azure: Azure) -> None:
    one = make_aks({"name": "scans", "resource_group": "both"})
    other = make_aks({"name": "research", "resource_group": "both"})
    up(door, one)
    up(door, other)
    names = azure.named()
    removal = down(door, other)
    assert not removal.whole_group
    left = set(names) - {n for n in names if "research" in n}
    assert left <= set(azure.named()) | {n for n in left if "roleAssignments" in n}
    assert not [n for n in azure.named() if "/research" in n]
    up(door, one)
    assert engine_to(door).propose(one).plan.to_do == ()


def up_and_course(aks: Aks, foreign: bool) -> tuple[Door, list[Seen]]:
    door = ready(aks, foreign)
    first = len(door.seen)
    down(door, aks)
    return door, door.seen[first:]


def ready(aks: Aks, foreign: bool) -> Door:
    door = Door(Azure(pace=PACE))
    up(door, aks)
    if foreign:
        settled(door.azure, MACHINE, {"location": "westus2", "properties": {}})
    return door


@pytest.mark.parametrize("foreign", [False, True], ids=["alone", "with others"])
def test_death_or_failure_at_any_request_then_down(foreign: bool) -> None:
    import copy

    aks = make_aks({"name": "scans"})
    _, course = up_and_course(aks, foreign)
    start = ready(aks, foreign)
    first = len(start.seen)
    state, left = start.azure, [GROUP, MACHINE] if foreign else []
    faults = [Fault(death=True), Fault(death=True, done=True), Fault(403, "AuthorizationFailed")]
    for number, seen in enumerate(course):
        for fault in faults if seen.changes else faults[:1]:
            door = Door(copy.deepcopy(state))
            door.fault = lambda now, number=number, fault=fault: (
                fault if now.index == number else None
            )
            with pytest.raises((DeathError, ElastronError)):
                down(door, aks)
            door.fault = lambda now: None
            down(door, aks)
            assert door.azure.named() == sorted(left), (number, seen.line)
    assert first


def test_down_in_the_middle_of_up(door: Door, azure: Azure) -> None:
    aks = make_aks(EVERYTHING)
    door.fault = lambda seen: Fault(death=True) if len(door.writes) == 16 else None
    with pytest.raises(DeathError):
        up(door, aks)
    door.fault = lambda seen: None
    assert [item for item in azure.items.values() if item.busy]
    down(door, aks)
    assert azure.named() == []
    up(door, aks)  # while names of deleted workspaces linger
    assert engine_to(door).propose(aks).plan.to_do == ()


def test_up_in_the_middle_of_down(door: Door, azure: Azure) -> None:
    aks = make_aks({"name": "scans"})
    up(door, aks)
    door.fault = lambda seen: Fault(death=True, done=True) if seen.method == "DELETE" else None
    with pytest.raises(DeathError):
        down(door, aks)
    door.fault = lambda seen: None
    assert azure.get(GROUP)["properties"]["provisioningState"] == "Deleting"
    proposal = engine_to(door).propose(aks)  # waits until it is gone
    assert {change.kind for change in proposal.plan.to_do} == {Kind.CREATE}
    up(door, aks)
    assert engine_to(door).propose(aks).plan.to_do == ()
