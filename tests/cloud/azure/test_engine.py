"""`up` against the stand-in: from nothing, from what is half done, twice, and plans kept."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.engine import Engine
from elastron.cloud.azure.events import Event, Step
from elastron.cloud.azure.kubeconfig import fetch
from elastron.cloud.azure.plan import Kind
from elastron.errors import (
    CloudError,
    ElastronError,
    NameTakenError,
    NotAllowedError,
    NotOfferedError,
    QuotaError,
)
from tests.cloud.azure.arm_door import Door, Fault, Seen
from tests.cloud.azure.arm_ids import key
from tests.cloud.azure.arm_state import SUBSCRIPTION, Azure
from tests.cloud.azure.conftest import GOOD, LOGIN, arm_to, engine_to

GPU = {"vm_size": "Standard_NC4as_T4_v3", "max": 3}
EVERYTHING: dict[str, Any] = {
    "name": "scans",
    "pools": {"userpool": {}, "gpu": GPU, "spare": {"spot": True}},
    "registry": {},
    "vpn": {"root_certificates": {"ours": "QUJD"}},
    "monitoring": {"metrics": "managed"},
    "storage": {"share": "nfs", "containers": ["storage", "archive"]},
    "access": "entra",
}
DESCRIPTIONS = [
    pytest.param({"name": "scans"}, id="least"),
    pytest.param(EVERYTHING, id="everything"),
    pytest.param({"name": "scans", "pools": {}, "network": {"private_cluster": True}},
                 id="private"),
    pytest.param({"name": "scans", "monitoring": {"logs": False, "metrics": "none"}},
                 id="unwatched"),
]  # fmt: skip


def up(door: Door, aks: Aks) -> None:
    engine = engine_to(door)
    engine.carry_out(engine.propose(aks))


def writes(door: Door) -> list[tuple[str, str]]:
    return [(seen.method, key(seen.path)) for seen in door.writes]


@pytest.mark.parametrize("values", DESCRIPTIONS)
@pytest.mark.parametrize("lag_s", [0.0, 40.0])
def test_up_reaches_what_is_described_and_then_changes_nothing(
    door: Door, azure: Azure, values: dict[str, Any], lag_s: float
) -> None:
    azure.lag_s, door.page = lag_s, 3
    aks = make_aks(values)
    engine = engine_to(door)
    proposal = engine.propose(aks)
    assert {change.kind for change in proposal.plan.changes} == {Kind.CREATE}
    assert not door.writes
    engine.carry_out(proposal)
    assert {key(one.id) for one in proposal.wanted} <= set(azure.items)
    assert all(item.busy is None and item.state == "Succeeded" for item in azure.items.values())

    before, made = len(door.writes), azure.named()
    again = engine_to(door).propose(aks)
    assert again.plan.to_do == ()
    engine_to(door).carry_out(again)
    assert len(door.writes) == before
    assert azure.named() == made


@pytest.mark.parametrize("values", DESCRIPTIONS)
def test_what_is_done_is_what_the_plan_says(door: Door, values: dict[str, Any]) -> None:
    engine = engine_to(door)
    proposal = engine.propose(make_aks(values))
    engine.carry_out(proposal)
    planned = [("PUT", key(change.resource.id)) for change in proposal.plan.to_do]
    assert sorted(writes(door)) == sorted(planned)
    assert len(set(planned)) == len(planned)
    made: set[str] = set()
    ids = {one.key: key(one.id) for one in proposal.wanted}
    for _, path in writes(door):  # nothing before what it depends on
        (resource,) = (one for one in proposal.wanted if key(one.id) == path)
        assert {ids[one] for one in resource.depends_on} <= made
        made.add(path)


def test_a_change_of_the_description_changes_just_that(door: Door, azure: Azure) -> None:
    up(door, make_aks(EVERYTHING))
    before = len(door.writes)
    pools = {**EVERYTHING["pools"], "userpool": {"max": 20}, "more": {}}
    changed = {**EVERYTHING, "pools": pools, "tags": {"cost-centre": "4711"}}
    proposal = engine_to(door).propose(make_aks(changed))
    kinds = {change.resource.key: change.kind for change in proposal.plan.to_do}
    assert kinds["pool/userpool"] is Kind.UPDATE
    assert kinds["pool/more"] is Kind.CREATE
    assert kinds["cluster"] is Kind.UPDATE  # the tags
    assert "identity/storage/federation" not in kinds
    engine_to(door).carry_out(proposal)
    assert len(door.writes) - before == len(proposal.plan.to_do)
    assert engine_to(door).propose(make_aks(changed)).plan.to_do == ()
    pool = azure.get(f"{_group()}/providers/Microsoft.ContainerService/managedClusters/scans/"
                     "agentPools/userpool")  # fmt: skip
    assert pool["properties"]["maxCount"] == 20


def test_what_the_autoscaler_did_is_kept(door: Door, azure: Azure) -> None:
    aks = make_aks({"name": "scans"})
    up(door, aks)
    item = next(i for i in azure.items.values() if i.id.endswith("agentPools/userpool"))
    item.body["properties"]["count"] = 7
    assert engine_to(door).propose(aks).plan.to_do == ()
    up(door, make_aks({"name": "scans", "pools": {"userpool": {"max": 20}}}))
    assert item.body["properties"]["count"] == 7


def test_a_pool_of_somebody_else_stays(door: Door, azure: Azure) -> None:
    aks = make_aks({"name": "scans"})
    up(door, aks)
    cluster = next(i for i in azure.items.values() if i.id.endswith("managedClusters/scans"))
    properties = {"vmSize": "Standard_D4s_v5", "count": 1, "mode": "User"}
    azure.put(f"{cluster.id}/agentPools/theirs", {"properties": properties})
    azure.clock.sleep(1000)
    azure.settle()
    up(door, make_aks({"name": "scans", "tags": {"a": "b"}}))  # an update of the cluster
    assert f"{cluster.id}/agentPools/theirs" in azure.named()
    proposal = engine_to(door).propose(make_aks({"name": "scans", "tags": {"a": "b"}}), prune=True)
    assert proposal.plan.to_do == ()


def test_what_is_not_described_any_more_is_listed_or_pruned(door: Door, azure: Azure) -> None:
    up(door, make_aks(EVERYTHING))
    less = {one: value for one, value in EVERYTHING.items() if one not in ("vpn", "registry")}
    less["pools"] = {"userpool": {}}
    proposal = engine_to(door).propose(make_aks(less))
    names = {one.name.rsplit("/", 1)[-1] for one in proposal.plan.unlisted}
    assert names == {"gpu", "spare", "scanscr", "scans-vpn", "scans-vpn-ip"}
    assert not [change for change in proposal.plan.to_do if change.kind is Kind.DELETE]
    up(door, make_aks(less))
    engine = engine_to(door)
    proposal = engine.propose(make_aks(less), prune=True)
    assert {change.kind for change in proposal.plan.to_do} == {Kind.DELETE}
    before = len(door.writes)
    engine.carry_out(proposal)
    assert [seen.method for seen in door.writes[before:]] == ["DELETE"] * 5
    assert not [one for one in azure.named() if "vpn" in one or "scanscr" in one or "gpu" in one]
    assert engine_to(door).propose(make_aks(less), prune=True).plan.to_do == ()


def test_a_failed_cluster_is_repaired(door: Door, azure: Azure) -> None:
    azure.fail["microsoft.containerservice/managedclusters"] = {
        "code": "ErrCode_InsufficientVCPUQuota",
        "message": "Insufficient regional vcpu quota left for location westus2. left regional "
        "vcpu quota 0, requested quota 4.",
    }
    aks = make_aks({"name": "scans"})
    with pytest.raises(QuotaError, match="cluster scans"):
        up(door, aks)
    proposal = engine_to(door).propose(aks)
    kinds = {change.resource.key: change.kind for change in proposal.plan.to_do}
    assert kinds["cluster"] is Kind.UPDATE
    up(door, aks)
    assert engine_to(door).propose(aks).plan.to_do == ()


def test_what_cannot_be_changed_is_told_before_anything_is(door: Door) -> None:
    up(door, make_aks({"name": "scans"}))
    before = len(door.writes)
    engine = engine_to(door)
    other = make_aks(
        {"name": "scans", "pools": {"userpool": {"vm_size": "Standard_D16s_v5"}, "new": {}}}
    )
    proposal = engine.propose(other)
    assert [change.resource.key for change in proposal.plan.refused] == ["pool/userpool"]
    with pytest.raises(CloudError, match=r"pool/userpool .*vmSize"):
        engine.carry_out(proposal)
    assert len(door.writes) == before


def test_a_version_that_is_not_offered(door: Door) -> None:
    with pytest.raises(NotOfferedError, match=r"1\.36.*offers 1\.32, 1\.33"):
        engine_to(door).propose(make_aks({"name": "scans", "kubernetes_version": "1.36"}))
    assert not door.writes


def test_a_subscription_that_was_never_used(door: Door, azure: Azure) -> None:
    azure.providers.clear()
    aks, engine = make_aks({"name": "scans"}), engine_to(door)
    proposal = engine.propose(aks)
    assert "Microsoft.ContainerService" in proposal.register
    assert not azure.providers  # a plan registers nothing
    engine.carry_out(proposal)
    registered = {one.lower() for one in proposal.register}
    assert set(azure.providers) == registered
    assert not engine_to(door).propose(aks).plan.to_do
    version = azure.get(f"{_group()}/providers/Microsoft.ContainerService/managedClusters/scans")
    assert version["properties"]["kubernetesVersion"] == "1.33"


@pytest.mark.parametrize(
    ("values", "spoil", "error", "told"),
    [
        ({"location": "westus9"}, None, NotOfferedError, "westus"),
        ({"pools": {"gpu": {"vm_size": "Standard_NC40ads_H100_v5"}}, "location": "westeurope"},
         None, ElastronError, "Standard_NC40ads_H100_v5"),
        ({"pools": {"u": {"vm_size": "Standard_D9s_v9"}}}, None, NotOfferedError, "D9s_v9"),
        ({"system_pool": {"min": 3}}, "cores", QuotaError, "limit 4"),
        ({"storage": {"account": "contoso"}}, None, NameTakenError, "contoso"),
        ({}, "reader", NotAllowedError, "may not do"),
    ],
)  # fmt: skip
def test_what_can_be_known_is_told_before_anything_is_made(  # noqa: PLR0917
    door: Door,
    azure: Azure,
    values: dict[str, Any],
    spoil: str | None,
    error: type[Exception],
    told: str,
) -> None:
    if spoil == "cores":
        azure.places.cores_max["standardDSv5Family"] = 4
    if spoil == "reader":
        azure.permissions = [{"actions": ["*/read"], "notActions": []}]
    engine = engine_to(door)
    proposal = engine.propose(make_aks({"name": "scans", **values}))
    with pytest.raises(error, match=told):
        engine.carry_out(proposal)
    assert not door.writes
    assert not azure.items


def test_a_role_that_somebody_gave_already_is_enough(door: Door, azure: Azure) -> None:
    aks = make_aks({"name": "scans"})
    up(door, aks)
    role = next(i for i in azure.items.values() if "roleAssignments" in i.type)
    azure.remove(role)
    by_hand = f"{role.id.rsplit('/', 1)[0]}/99999999-0000-0000-0000-000000000000"
    azure.put(by_hand, {"properties": role.body["properties"]})
    events: list[Event] = []
    engine = engine_to(door, events.append)
    engine.carry_out(engine.propose(aks))
    assert any("somebody else" in event.what for event in events)
    assert by_hand in azure.named()


def test_stopping_by_hand_tells_what_goes_on(door: Door) -> None:
    events: list[Event] = []
    engine = engine_to(door, events.append)
    proposal = engine.propose(make_aks({"name": "scans"}))

    def stop(seen: Seen) -> None:
        if seen.method == "GET" and "/operations/" in seen.path:
            raise KeyboardInterrupt

    door.fault = stop
    with pytest.raises(KeyboardInterrupt):
        engine.carry_out(proposal)
    assert any("not stopped: network scans-net" in event.what for event in events)


def test_no_secret_in_logs_and_events(
    door: Door, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    with arm_to(door) as arm:
        engine = Engine(arm, LOGIN, events.append)
        answers = engine.carry_out(engine.propose(make_aks(EVERYTHING)))
        text = fetch(arm, answers["cluster"]["id"])
    assert "not-a-real-token-user" in text
    told = caplog.text + str(events) + "".join(capfd.readouterr())
    assert "not-a-real-token" not in told
    assert GOOD not in told
    assert "Bearer" not in told


def test_progress_is_told(door: Door) -> None:
    events: list[Event] = []
    engine = engine_to(door, events.append)
    proposal = engine.propose(make_aks(EVERYTHING))
    engine.carry_out(proposal)
    total = len(proposal.plan.to_do)
    assert {event.number for event in events if event.step is Step.DONE} == set(range(1, total + 1))
    assert {event.total for event in events} == {total}
    waits = [event for event in events if event.step is Step.GOES_ON]
    assert any(event.what == "cluster scans" and event.elapsed_s >= 30 for event in waits)


def test_several_are_made_at_once(door: Door, azure: Azure) -> None:
    began = azure.clock.now()
    up(door, make_aks(EVERYTHING))
    # The gateway alone takes 1800, the cluster and its pools 840.
    assert azure.clock.now() - began < 1900


def test_a_failure_leaves_the_others_to_azure(door: Door, azure: Azure) -> None:
    events: list[Event] = []
    engine = engine_to(door, events.append)
    proposal = engine.propose(make_aks(EVERYTHING))
    door.fault = lambda seen: (
        Fault(403, "RequestDisallowedByPolicy", "Disallowed by policy.")
        if seen.method == "PUT" and "storageAccounts/" in seen.path
        else None
    )
    with pytest.raises(CloudError, match="storage account"):
        engine.carry_out(proposal)
    assert any("Still under way" in event.what for event in events if event.step is Step.NOTE)
    door.fault = lambda seen: None
    up(door, make_aks(EVERYTHING))
    assert engine_to(door).propose(make_aks(EVERYTHING)).plan.to_do == ()
    assert azure.operations


def _group() -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/scans-rg"
