from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elastron.cloud.azure.compare import Rules, differences, merged
from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.plan import Kind, Plan, deletions, plan
from elastron.cloud.azure.resource import Later, Resource
from elastron.cloud.azure.resources import resources
from tests.cloud.azure.descriptions import FACTS, Memory, descriptions, everything

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def made(aks: Aks) -> tuple[list[Resource], Memory]:
    """Azure after `up`."""
    wanted = resources(aks, FACTS)
    azure = Memory()
    azure.apply(plan(wanted, azure.found(wanted)))
    return wanted, azure


def kinds(result: Plan) -> dict[str, Kind]:
    return {change.resource.key: change.kind for change in result.to_do}


def why(result: Plan) -> dict[str, tuple[Any, Any]]:
    return {d.path: (d.found, d.wanted) for change in result.to_do for d in change.differences}


@few
@given(descriptions)
def test_from_nothing_all_is_created_in_order(aks):
    wanted = resources(aks, FACTS)
    result = plan(wanted, {})
    assert [change.resource for change in result.changes] == wanted
    assert {change.kind for change in result.changes} == {Kind.CREATE}
    done: set[str] = set()
    for change in result.changes:
        assert set(change.resource.depends_on) <= done
        done.add(change.resource.key)


@few
@given(descriptions)
def test_what_was_applied_needs_no_change(aks):
    wanted, azure = made(aks)
    result = plan(wanted, azure.found(wanted))
    assert result.to_do == ()
    assert len(result.changes) == len(wanted)


@few
@given(descriptions, descriptions)
def test_one_description_after_the_other_converges_or_is_refused(first, second):
    second = second.model_copy(update={"name": first.name, "resource_group": first.resource_group})
    wanted, azure = made(first)
    wanted = resources(second, FACTS)
    found = azure.found(wanted)
    result = plan(wanted, found)
    assert plan(wanted, copy.deepcopy(found)) == result
    if result.refused:
        return
    azure.apply(result)
    again = plan(wanted, azure.found(wanted))
    assert again.to_do == ()


@few
@given(descriptions, st.data())
def test_from_any_half_done_state_the_rest_is_created(aks, data):
    wanted, azure = made(aks)
    lost = data.draw(st.integers(0, len(wanted)))
    for resource in wanted[lost:]:
        azure.by_key.pop(resource.key)
    result = plan(wanted, azure.found(wanted))
    assert [change.resource.key for change in result.to_do] == [r.key for r in wanted[lost:]]
    azure.apply(result)
    assert plan(wanted, azure.found(wanted)).to_do == ()


def test_a_pool_that_grows_is_updated_and_its_count_is_left_to_the_autoscaler():
    wanted, azure = made(everything())
    azure.by_key["pool/userpool"]["properties"]["count"] = 7
    azure.by_key["pool/userpool"]["properties"]["powerState"] = {"code": "Running"}
    assert plan(wanted, azure.found(wanted)).to_do == ()
    larger = everything()
    larger = larger.model_copy(
        update={
            "pools": {
                **larger.pools,
                "userpool": larger.pools["userpool"].model_copy(update={"max": 30}),
            }
        }
    )
    result = plan(resources(larger, FACTS), azure.found(wanted))
    assert kinds(result) == {"pool/userpool": Kind.UPDATE}
    assert why(result) == {"properties.maxCount": (20, 30)}
    (change,) = result.to_do
    assert change.body is not None
    assert change.body["properties"]["maxCount"] == 30
    assert change.body["properties"]["count"] == 7
    assert change.body["properties"]["powerState"] == {"code": "Running"}
    assert "provisioningState" not in change.body["properties"]
    assert "etag" not in change.body


def test_the_system_pools_count_and_others_pools_stay_when_the_cluster_changes():
    wanted, azure = made(everything())
    properties = azure.by_key["cluster"]["properties"]
    properties["agentPoolProfiles"][0]["count"] = 3
    properties["agentPoolProfiles"].append({"name": "theirs", "count": 2, "vmSize": "Standard_D2"})
    result = plan(resources(everything(tier="Free"), FACTS), azure.found(wanted))
    assert why(result) == {"sku.tier": ("STANDARD", "Free")}
    (change,) = result.to_do
    assert change.body is not None
    profiles = change.body["properties"]["agentPoolProfiles"]
    assert [(p["name"], p["count"]) for p in profiles] == [("system", 3), ("theirs", 2)]


def test_subnets_of_others_stay():
    wanted, azure = made(everything())
    others = {"name": "theirs", "properties": {"addressPrefix": "10.224.128.0/24"}}
    azure.by_key["network"]["properties"]["subnets"].append(others)
    assert plan(wanted, azure.found(wanted)).to_do == ()
    azure.by_key["network"]["tags"]["cost centre"] = "1"
    result = plan(wanted, azure.found(wanted))
    (change,) = result.to_do
    assert change.body is not None
    assert others in change.body["properties"]["subnets"]
    assert change.body["tags"] == {"elastron": "mrrecon", "cost centre": "4711"}


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"location": "uksouth"}, "location"),
        ({"network": {"private_cluster": True}}, "apiServerAccessProfile.enablePrivateCluster"),
        ({"network": {"pods_range": "10.248.0.0/16"}}, "networkProfile.podCidr"),
        ({"system_pool": {"vm_size": "Standard_D8s_v5"}}, "agentPoolProfiles[system].vmSize"),
        ({"pools": {"userpool": {"vm_size": "Standard_F8s_v2"}}}, "vmSize"),
    ],
)
def test_what_azure_never_changes_is_refused(changed, path):
    wanted, azure = made(everything())
    result = plan(resources(everything(**changed), FACTS), azure.found(wanted))
    assert result.refused
    assert any(d.path.endswith(path) for change in result.refused for d in change.differences)
    assert all(change.body is None for change in result.refused)


def test_a_role_of_an_identity_made_anew_is_replaced():
    wanted, azure = made(everything())
    del azure.by_key["identity/storage"]
    result = plan(wanted, azure.found(wanted))
    assert kinds(result) == {"identity/storage": Kind.CREATE, "role/storage-blobs": Kind.REPLACE}
    (difference,) = result.to_do[1].differences
    assert difference.wanted == Later("identity/storage", "properties.principalId")
    azure.apply(result)
    assert plan(wanted, azure.found(wanted)).to_do == ()


@pytest.mark.parametrize("state", ["Failed", "Canceled", "failed"])
def test_what_failed_is_sent_again(state):
    wanted, azure = made(everything())
    azure.by_key["pool/gpu"]["properties"]["provisioningState"] = state
    result = plan(wanted, azure.found(wanted))
    assert kinds(result) == {"pool/gpu": Kind.UPDATE}
    assert why(result) == {"properties.provisioningState": (state, "Succeeded")}


@pytest.mark.parametrize("state", ["Succeeded", "Updating", "Creating", None])
def test_what_goes_well_is_left(state):
    wanted, azure = made(everything())
    azure.by_key["pool/gpu"]["properties"]["provisioningState"] = state
    assert plan(wanted, azure.found(wanted)).to_do == ()


@pytest.mark.parametrize(
    ("asked", "there", "upgraded"),
    [
        ("1.34", "1.34.6", False),
        ("1.34.2", "1.34.2", False),
        ("1.34", "1.35.1", False),  # Azure upgraded it; nothing is downgraded
        ("1.35", "1.34.6", True),
        ("1.34.7", "1.34.6", True),
    ],
)
def test_kubernetes_is_upgraded_where_asked_and_never_downgraded(asked, there, upgraded):
    wanted, azure = made(everything(kubernetes_version="1.33"))
    azure.by_key["cluster"]["properties"]["kubernetesVersion"] = there
    for profile in azure.by_key["cluster"]["properties"]["agentPoolProfiles"]:
        profile["orchestratorVersion"] = there
    for key in ("pool/userpool", "pool/gpu", "pool/operator"):
        azure.by_key[key]["properties"]["orchestratorVersion"] = there
    wanted = resources(everything(kubernetes_version=asked, tier="Free"), FACTS)
    result = plan(wanted, azure.found(wanted))
    assert ("properties.kubernetesVersion" in why(result)) is upgraded
    (cluster,) = (change for change in result.to_do if change.resource.key == "cluster")
    assert cluster.body is not None
    version = asked if upgraded else there
    assert cluster.body["properties"]["kubernetesVersion"] == version
    assert ("pool/gpu" in kinds(result)) is upgraded


def test_without_a_version_of_its_own_a_cluster_keeps_what_it_has():
    wanted, azure = made(everything(kubernetes_version=None))
    newer = replace(FACTS, kubernetes_version="1.36")
    wanted = resources(everything(kubernetes_version=None), newer)
    assert plan(wanted, azure.found(wanted)).to_do == ()


def test_a_label_taken_out_is_taken_off():
    wanted, azure = made(everything())
    azure.by_key["pool/userpool"]["properties"]["nodeLabels"]["old"] = "yes"
    result = plan(wanted, azure.found(wanted))
    assert why(result) == {"properties.nodeLabels.old": ("yes", None)}
    (change,) = result.to_do
    assert change.body is not None
    assert change.body["properties"]["nodeLabels"] == {"site": "north"}


def test_pools_that_are_not_described_are_listed_and_only_deleted_when_asked():
    wanted, azure = made(everything())
    fewer = make_aks({"name": "mrrecon", "location": "westeurope", "pools": {}})
    extra = [resource for resource in wanted if resource.key.startswith("pool/")]
    small = resources(fewer, FACTS)
    listed = plan(small, azure.found(small), extra)
    assert [resource.key for resource in listed.unlisted] == [
        "pool/gpu",
        "pool/operator",
        "pool/userpool",
    ]
    assert Kind.DELETE not in kinds(listed).values()
    pruned = plan(small, azure.found(small), [*extra, *extra], prune=True)
    assert pruned.unlisted == ()
    deleted = [c.resource.key for c in pruned.changes if c.kind is Kind.DELETE]
    assert deleted == ["pool/userpool", "pool/operator", "pool/gpu"]
    assert plan(wanted, azure.found(wanted), extra, prune=True).to_do == ()


@few
@given(descriptions, st.booleans())
def test_down_deletes_everything_dependants_first(aks, whole_group):
    wanted, azure = made(aks)
    changes = deletions(wanted, azure.found(wanted), whole_group=whole_group)
    gone = {change.resource.key for change in changes}
    assert gone == {r.key for r in wanted if whole_group or r.key != "group"}
    assert {change.kind for change in changes} == {Kind.DELETE}
    own = [change.resource for change in changes if change.goes_with is None]
    left = {resource.key for resource in own}
    for resource in own:
        left.remove(resource.key)
        # Nothing that is deleted later needs it.
        assert not any(resource.key in other.depends_on for other in own if other.key in left)
    if whole_group:
        assert own[-1].key == "group"
        assert all(not r.id.startswith(own[-1].id + "/") for r in own)
    for change in changes:
        if change.goes_with is not None:
            assert change.goes_with in gone


def test_down_of_a_group_with_others_in_it_deletes_only_what_is_ours():
    wanted, azure = made(everything())
    changes = deletions(wanted, azure.found(wanted), whole_group=False)
    with_parent = {c.resource.key: c.goes_with for c in changes if c.goes_with}
    assert with_parent["pool/gpu"] == "cluster"
    assert with_parent["storage/blobs/archive"] == "storage/blobs"
    assert with_parent["storage/blobs"] == "storage"
    assert "role/registry-pull" not in with_parent
    assert "logs/link" not in with_parent
    assert "group" not in {c.resource.key for c in changes}


def test_of_what_is_gone_nothing_is_deleted():
    wanted = resources(everything(), FACTS)
    assert deletions(wanted, {}, whole_group=True) == ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "B", "x/y"]),
    lambda inner: (
        st.lists(st.sampled_from(["p", "q", "r"]), max_size=3)
        | st.dictionaries(st.sampled_from(["k", "l", "nodeLabels", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)
tables = st.dictionaries(st.sampled_from(["a", "b", "tags"]), json_values, max_size=3)


@settings(max_examples=200, deadline=None)
@given(tables, tables)
def test_what_is_merged_has_no_difference_left(wanted, found):
    rules = Rules()
    sent = merged(wanted, found, rules)
    assert list(differences(wanted, sent, rules)) == []
    assert list(differences(wanted, wanted, rules)) == []
    assert merged(wanted, sent, rules) == sent


def test_case_counts_only_in_what_people_wrote():
    found = {"kind": "LINUX", "tags": {"Owner": "mr"}}
    assert not list(differences({"kind": "Linux", "tags": {"Owner": "mr"}}, found, Rules()))
    (difference,) = differences({"tags": {"Owner": "MR"}}, found, Rules())
    assert (difference.path, difference.found, difference.wanted) == ("tags.Owner", "mr", "MR")


def test_an_identity_that_is_not_there_is_a_difference():
    wanted = {"userAssignedIdentities": {"/subscriptions/A/x": {}}}
    found = {"userAssignedIdentities": {"/subscriptions/a/X": {"clientId": "1"}}}
    assert not list(differences(wanted, found, Rules()))
    assert list(differences(wanted, {"userAssignedIdentities": {}}, Rules()))


def test_entries_of_closed_lists_that_nobody_asked_for_are_differences():
    wanted = {"rules": [{"id": "/subscriptions/a", "action": "Allow"}]}
    found = {"rules": [{"id": "/Subscriptions/A", "action": "allow"}, {"id": "/other"}]}
    (difference,) = differences(wanted, found, Rules())
    assert difference.path == "rules[/other]"
    assert merged(wanted, found, Rules())["rules"] == [found["rules"][0]]
    assert not list(differences(wanted, found, Rules(open_lists=("rules",))))
    assert merged(wanted, found, Rules(open_lists=("rules",)))["rules"] == found["rules"]
