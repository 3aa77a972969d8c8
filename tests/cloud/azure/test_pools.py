"""Pools of a cluster that is there, and how a cluster is."""

from __future__ import annotations

from typing import Any

import pytest

from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.down import carry_out
from elastron.cloud.azure.plan import Kind
from elastron.cloud.azure.pools import pool_list, propose_add, propose_remove
from elastron.cloud.azure.status import look
from elastron.errors import CloudError, NotOfferedError
from tests.cloud.azure.arm_door import Door
from tests.cloud.azure.arm_state import Azure
from tests.cloud.azure.conftest import engine_to
from tests.cloud.azure.test_down import IN_A_HUB, SUBNET, with_hub

CLUSTER = make_aks({"name": "scans"})
WITH_GPU = make_aks(
    {"name": "scans", "pools": {"gpu": {"vm_size": "Standard_NC4as_T4_v3", "max": 4}}}
)


@pytest.fixture
def up(door: Door) -> Door:
    bring(door, CLUSTER)
    return door


def bring(door: Door, aks: Aks) -> None:
    engine = engine_to(door)
    engine.carry_out(engine.propose(aks))


def cluster(azure: Azure, part: str = "") -> dict[str, Any]:
    end = f"managedclusters/scans{part}"
    return azure.shown(next(item for key, item in azure.items.items() if key.endswith(end)))


def test_pools_are_listed(up: Door) -> None:
    system, user = pool_list(engine_to(up), CLUSTER)
    assert (system.name, system.mode, system.min, system.max) == ("system", "System", 1, 3)
    assert (user.name, user.mode, user.min, user.max, user.nodes) == ("userpool", "User", 0, 10, 0)
    assert user.ours
    assert user.kubernetes_version.startswith("1.33.")
    assert user.to_json()["vm_size"] == "Standard_D8s_v5"


def test_a_pool_is_added_and_changed(up: Door, azure: Azure) -> None:
    first = len(up.writes)
    engine = engine_to(up)
    proposal = propose_add(engine, WITH_GPU, "gpu")
    assert [change.kind for change in proposal.plan.changes] == [Kind.CREATE]
    engine.carry_out(proposal)
    assert len(up.writes) == first + 1
    pool = cluster(azure, "/agentpools/gpu")["properties"]
    assert pool["nodeTaints"] == ["sku=gpu:NoSchedule"]
    assert propose_add(engine_to(up), WITH_GPU, "gpu").plan.to_do == ()
    more = make_aks({"name": "scans", "pools": {"gpu": {**WITH_GPU.pools["gpu"].model_dump(
        exclude_defaults=True), "max": 8}}})  # fmt: skip
    proposal = propose_add(engine_to(up), more, "gpu")
    assert [change.kind for change in proposal.plan.changes] == [Kind.UPDATE]
    engine_to(up).carry_out(proposal)
    assert cluster(azure, "/agentpools/gpu")["properties"]["maxCount"] == 8
    # What the description of the whole does not name is ours, and stays.
    assert engine_to(up).propose(CLUSTER).plan.to_do == ()


def test_a_pool_joins_the_subnet_that_the_cluster_is_in(door: Door, azure: Azure) -> None:
    with_hub(azure)
    bring(door, make_aks(IN_A_HUB))
    engine = engine_to(door)
    engine.carry_out(propose_add(engine, WITH_GPU, "gpu"))
    assert cluster(azure, "/agentpools/gpu")["properties"]["vnetSubnetID"] == SUBNET


def test_a_size_that_is_not_to_be_had(up: Door) -> None:
    aks = make_aks({"name": "scans", "pools": {"gpu": {"vm_size": "Standard_NC9_v9"}}})
    first, engine = len(up.writes), engine_to(up)
    with pytest.raises(NotOfferedError, match="Standard_NC9_v9"):
        engine.carry_out(propose_add(engine, aks, "gpu"))
    assert len(up.writes) == first


def test_a_pool_is_removed(up: Door, azure: Azure) -> None:
    engine = engine_to(up)
    removal = propose_remove(engine, CLUSTER, "userpool")
    assert len(removal.changes) == 1
    carry_out(engine, removal)
    assert [pool.name for pool in pool_list(engine_to(up), CLUSTER)] == ["system"]
    assert propose_remove(engine_to(up), CLUSTER, "userpool").changes == ()
    bring(up, CLUSTER)  # described, so it comes again
    assert len(pool_list(engine_to(up), CLUSTER)) == 2


def test_pools_that_are_not_removed(up: Door, azure: Azure) -> None:
    with pytest.raises(CloudError, match="system pool"):
        propose_remove(engine_to(up), CLUSTER, "system")
    properties = {"vmSize": "Standard_D4s_v5", "count": 1, "mode": "User"}
    azure.put(f"{cluster(azure)['id']}/agentPools/theirs", {"properties": properties})
    azure.clock.sleep(1000)
    with pytest.raises(CloudError, match="not made by elastron"):
        propose_remove(engine_to(up), CLUSTER, "theirs")
    theirs = make_aks({"name": "scans", "pools": {"theirs": {}}})
    assert propose_add(engine_to(up), theirs, "theirs").plan.refused


def test_no_cluster(door: Door) -> None:
    for call in (
        lambda: pool_list(engine_to(door), CLUSTER),
        lambda: propose_add(engine_to(door), WITH_GPU, "gpu"),
        lambda: propose_remove(engine_to(door), CLUSTER, "userpool"),
    ):
        with pytest.raises(CloudError, match=r"no cluster scans.*elastron aks up -n scans"):
            call()


def test_status(up: Door, azure: Azure) -> None:
    found = look(engine_to(up), CLUSTER)
    assert found.well
    assert (found.state, found.power, found.location) == ("Succeeded", "Running", "westus2")
    assert found.address.endswith(".azmk8s.io")
    assert {pool.name for pool in found.pools} == {"system", "userpool"}
    assert "storage account scanssa" in {part.what for part in found.parts}
    assert all(part.ours for part in found.parts)
    told = found.to_json()
    assert told["well"] is True
    assert told["kubernetesVersion"] == "1.33.3"
    next(i for i in azure.items.values() if "storageAccounts" in i.type).state = "Failed"
    assert not look(engine_to(up), CLUSTER).well


def test_status_of_nothing(door: Door) -> None:
    found = look(engine_to(door), CLUSTER)
    assert (found.state, found.pools, found.parts, found.well) == ("absent", (), (), False)
