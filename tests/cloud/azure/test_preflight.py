"""What is found to go wrong before anything is created."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("azure.mgmt.core", reason="of the extra `azure`")

from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.preflight import Finding, Severity, check, judge, may, refuse
from elastron.cloud.azure.preflight_answers import Answers, ask
from elastron.cloud.azure.resource import Facts
from elastron.cloud.azure.resources import resources
from elastron.errors import (
    CloudError,
    LoginError,
    NameTakenError,
    NotAllowedError,
    NotOfferedError,
    QuotaError,
)
from tests.cloud.azure.arm_state import SUBSCRIPTION, TENANT
from tests.cloud.azure.conftest import arm_to

FACTS = Facts(subscription_id=SUBSCRIPTION, tenant_id=TENANT, kubernetes_version="1.34")
GPU = "Standard_NC4as_T4_v3"


def _aks(**changes: Any) -> Aks:
    return make_aks({"name": "mr", "location": "westeurope"} | changes)


def _check(arm, aks: Aks, found: dict[str, Any] | None = None) -> list[Finding]:
    wanted = resources(aks, FACTS)
    return check(aks, arm, FACTS, wanted, found or {})


def _only(findings: list[Finding], about: str, severity: Severity = Severity.ERROR) -> Finding:
    """The one finding; nothing else is wrong."""
    assert [(each.about, each.severity) for each in findings] == [(about, severity)], findings
    return findings[0]


def test_nothing_is_wrong_with_an_ordinary_subscription(arm):
    assert _check(arm, _aks()) == []


def test_everything_at_once(arm):
    aks = _aks(pools={"userpool": {}, "gpu": {"vm_size": GPU, "max": 4, "zones": [1, 2]}})
    assert _check(arm, aks) == []


# --- who is logged in -------------------------------------------------------------------------


def test_a_login_that_has_ended(door):
    with pytest.raises(LoginError, match="az login"):
        _check(arm_to(door, token="old-token"), _aks())  # noqa: S106  - no password


def test_no_such_subscription():
    finding = judge(_aks(), [], Answers(None))[0]
    assert finding.kind is LoginError
    assert "az account list" in finding.message


@pytest.mark.parametrize("state", ["Disabled", "Deleted"])
def test_a_subscription_that_is_shut(state):
    answers = Answers({"state": state, "displayName": "Imaging"})
    finding = _only(judge(_aks(), [], answers), "subscription")
    assert finding.kind is NotAllowedError
    assert "Imaging" in finding.message


@pytest.mark.parametrize("state", ["Warned", "PastDue"])
def test_a_subscription_about_to_be_shut(state):
    findings = judge(_aks(), [], Answers({"state": state, "displayName": "Imaging"}))
    _only(findings, "subscription", Severity.WARNING)


READER = {"actions": ["*/read"], "notActions": []}
CONTRIBUTOR = {
    "actions": ["*"],
    "notActions": ["Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write"],
}
ACCESS = {"actions": ["Microsoft.Authorization/roleAssignments/write", "*/read"], "notActions": []}


def test_a_reader_may_not(arm, azure):
    azure.permissions = [READER]
    finding = _only(_check(arm, _aks()), "permission")
    assert finding.kind is NotAllowedError
    for word in ("resourceGroups/write", "managedClusters/write", "Contributor"):
        assert word in finding.message


def test_a_contributor_may_not_give_roles(arm, azure):
    azure.permissions = [CONTRIBUTOR]
    finding = _only(_check(arm, _aks()), "permission")
    assert "may not do Microsoft.Authorization/roleAssignments/write." in finding.message
    assert "Role Based Access Control Administrator; then" in finding.message


def test_two_roles_together_may(arm, azure):
    azure.permissions = [CONTRIBUTOR, ACCESS]
    assert _check(arm, _aks()) == []


def test_what_is_there_needs_no_permission(arm, azure):
    azure.permissions = [READER]
    wanted = resources(_aks(), FACTS)
    found = {each.key: {"id": each.id, "location": "westeurope"} for each in wanted}
    assert _check(arm, _aks(), found) == []


@pytest.mark.parametrize(
    ("roles", "action", "allowed"),
    [
        ([{"actions": ["*"]}], "Microsoft.Storage/storageAccounts/write", True),
        ([{"actions": ["microsoft.storage/*"]}], "Microsoft.Storage/storageAccounts/write", True),
        ([{"actions": ["Microsoft.Storage/*/read"]}], "Microsoft.Storage/a/write", False),
        ([{"actions": ["*"], "notActions": ["*/write"]}], "Microsoft.Storage/a/write", False),
        ([{"actions": ["*"], "notActions": ["*/write"]}, {"actions": ["*"]}], "a/write", True),
        ([], "a/read", False),
        ([{"actions": None, "notActions": None}], "a/read", False),
    ],
)
def test_how_roles_add_up(roles, action, allowed):
    assert may(roles, action) is allowed


def test_an_unregistered_provider_is_known(arm, azure):
    azure.providers["microsoft.containerservice"] = ("NotRegistered", 0.0)
    wanted = resources(_aks(), FACTS)
    answers = ask(_aks(), arm, FACTS, wanted, {})
    assert "Microsoft.ContainerService" in answers.unregistered
    assert judge(_aks(), wanted, answers) == []  # it can be registered on the way


def test_who_may_not_register_is_told(arm, azure):
    azure.providers["microsoft.containerservice"] = ("NotRegistered", 0.0)
    azure.permissions = [{"actions": ["*/write"]}]
    messages = [x.message for x in _check(arm, _aks()) if x.about == "provider"]
    assert any(
        "az provider register --namespace Microsoft.ContainerService --wait" in x for x in messages
    )


# --- places, sizes, quotas --------------------------------------------------------------------


def test_a_location_that_is_not(arm):
    finding = _only(_check(arm, _aks(location="westeurop")), "location")
    assert "Did you mean westeurope" in finding.message


def test_a_size_the_region_lacks(arm):
    aks = _aks(
        location="germanywestcentral", pools={"gpu": {"vm_size": "Standard_NC24ads_A100_v4"}}
    )
    finding = _only(_check(arm, aks), "size")
    assert finding.kind is NotOfferedError
    assert "az vm list-skus -l germanywestcentral" in finding.message


def test_a_size_that_is_closed_to_the_subscription(arm):
    aks = _aks(pools={"gpu": {"vm_size": "Standard_NC40ads_H100_v5"}})
    assert "NotAvailableForSubscription" in _only(_check(arm, aks), "size").message


def test_zones_the_size_lacks(arm):
    finding = _only(_check(arm, _aks(pools={"userpool": {"zones": [1, 4]}})), "zones")
    assert "zone 4" in finding.message
    assert "1, 2, 3" in finding.message


def test_zones_closed_to_the_subscription(arm):
    aks = _aks(pools={"userpool": {"zones": [1, 2]}})
    answers = ask(aks, arm, FACTS, [], {})
    assert answers.sizes is not None
    closed = {
        "type": "Zone",
        "reasonCode": "NotAvailableForSubscription",
        "restrictionInfo": {"zones": ["2"]},
    }
    sizes = [{**each, "restrictions": [closed]} for each in answers.sizes]
    findings = judge(aks, [], replace(answers, sizes=sizes))
    assert "zone 2" in _only(findings, "zones").message


def test_too_few_cores_for_the_first_nodes(arm, azure):
    azure.places.cores_max["cores"] = 10
    azure.places.cores_used["cores"] = 8
    finding = _only(_check(arm, _aks(pools={})), "quota")
    assert finding.kind is QuotaError
    for words in ("limit 10, in use 8, 2 left", "system need 4", "westeurope"):
        assert words in finding.message


def test_no_cores_of_a_family_at_all(arm, azure):
    azure.places.cores_max["Standard NCASv3_T4 Family"] = 0
    finding = _only(_check(arm, _aks(pools={"gpu": {"vm_size": GPU}})), "quota")
    assert finding.kind is QuotaError
    assert "not one node of pool gpu" in finding.message


def test_too_few_for_all_is_a_warning(arm, azure):
    azure.places.cores_max["cores"] = 40
    finding = _only(_check(arm, _aks()), "quota", Severity.WARNING)
    assert "would need 92" in finding.message  # 3 * 4 + 10 * 8


def test_spot_has_a_quota_of_its_own(arm, azure):
    azure.places.cores_max |= {"lowPriorityCores": 3, "Standard NCASv3_T4 Family": 0}
    aks = _aks(pools={"gpu": {"vm_size": GPU, "spot": True}})
    assert "Spot" in _only(_check(arm, aks), "quota").message


def test_nodes_that_are_there_count_once(arm, azure):
    azure.places.cores_max["cores"] = 12
    azure.places.cores_used["cores"] = 12
    pools = [{"name": "system", "count": 3}]
    found = {"cluster": {"properties": {"agentPoolProfiles": pools}}}
    assert _check(arm, _aks(pools={}), found) == []


@pytest.mark.parametrize(
    ("capabilities", "pool", "word"),
    [
        ({"vCPUs": "1"}, {}, "2 at least"),
        ({"EphemeralOSDiskSupported": "False"}, {"os_disk": "ephemeral"}, "ephemeral"),
        ({"GPUs": "0"}, {"gpu": True}, "no GPU"),
    ],
)
def test_sizes_that_do_not_do(arm, capabilities, pool, word):
    aks = _aks(pools={"userpool": pool})
    answers = ask(aks, arm, FACTS, [], {})
    assert answers.sizes is not None
    sizes = [
        each
        if each["name"] != "Standard_D8s_v5"
        else {**each, "capabilities": [{"name": k, "value": v} for k, v in capabilities.items()]}
        for each in answers.sizes
    ]
    assert word in _only(judge(aks, [], replace(answers, sizes=sizes)), "size").message


# --- names ------------------------------------------------------------------------------------


def test_a_storage_account_of_somebody_else(arm, azure):
    azure.places.taken.add("mrsa")
    finding = _only(_check(arm, _aks()), "name")
    assert finding.kind is NameTakenError
    assert "`storage.account`" in finding.message
    assert "mrsa" in finding.message


def test_our_own_storage_account_is_no_obstacle(arm, azure):
    azure.places.taken.add("mrsa")
    assert _check(arm, _aks(), {"storage": {"id": "x"}}) == []


def test_a_group_elsewhere(arm):
    found = {"group": {"location": "eastus"}}
    finding = _only(_check(arm, _aks(), found), "group")
    assert "--location eastus" in finding.message


def test_a_cluster_of_that_name_elsewhere():
    other = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/other/providers/x/managedClusters/mr"
    answers = Answers({"state": "Enabled"}, clusters=[{"id": other, "name": "MR"}])
    finding = _only(judge(_aks(), [], answers), "cluster", Severity.WARNING)
    assert "in the group other" in finding.message


# --- all together -----------------------------------------------------------------------------


def test_all_errors_are_told_at_once(arm, azure):
    azure.places.taken.add("mrsa")
    azure.permissions = [READER]
    findings = _check(arm, _aks(pools={"gpu": {"vm_size": "Standard_Nope_v1"}}))
    with pytest.raises(NotAllowedError, match="3 things stand against it") as caught:
        refuse(findings)
    for finding in findings:
        assert finding.message in str(caught.value)


def test_warnings_stop_nothing():
    refuse([Finding(Severity.WARNING, "quota", "few")])
    refuse([])
    with pytest.raises(QuotaError, match="none"):
        refuse([Finding(Severity.ERROR, "quota", "none", QuotaError)])


class _Refusing:
    """An Azure that lets nobody look at anything but the subscription."""

    def get(self, path: str, api_version: str, **query: str) -> dict[str, Any] | None:
        if path.count("/") == 2:
            return {"state": "Enabled"}
        raise NotAllowedError("no")

    def list(self, path: str, api_version: str, **query: str) -> list[dict[str, Any]]:
        raise NotAllowedError("no")

    def post(self, path: str, api_version: str, body: Any = None) -> dict[str, Any]:
        raise CloudError("no")


def test_what_may_not_be_asked_is_not_judged():
    assert _check(_Refusing(), _aks()) == []


def test_nothing_is_changed_by_looking(arm, door):
    _check(arm, _aks())
    assert not [seen for seen in door.seen if seen.changes]


@given(limit=st.integers(0, 400), used=st.integers(0, 400), low=st.integers(1, 9))
def test_more_quota_is_never_worse(limit, used, low):
    aks = _aks(pools={"userpool": {"min": low, "max": 10}})
    size = {
        "family": "f",
        "capabilities": [{"name": "vCPUs", "value": "4"}],
        "locationInfo": [],
    }
    sizes = [{**size, "name": name} for name in ("Standard_D4s_v5", "Standard_D8s_v5")]

    def errors(at: int) -> int:
        usage = {"name": {"value": "cores"}, "currentValue": used, "limit": at}
        answers = Answers({"state": "Enabled"}, sizes=sizes, usages=[usage])
        return sum(each.severity is Severity.ERROR for each in judge(aks, [], answers))

    assert errors(limit + 4) <= errors(limit)
    assert errors(used + 4 * (low + 1)) == 0


@pytest.mark.parametrize(
    ("here", "there", "zones", "wrong"),
    [
        ([{"logicalZone": "1"}], [], [1, 2, 3], False),
        ([], [{"logicalZone": "1"}], [1, 2, 3], True),
        ([], [{"logicalZone": "1"}], [], False),
        ([], [], [1, 2, 3], False),  # not told: not judged
    ],
)
def test_zones_of_the_vpns_address(here, there, zones, wrong):
    locations = [
        {"name": "westeurope", "availabilityZoneMappings": here},
        {"name": "eastus", "availabilityZoneMappings": there},
    ]
    answers = Answers({"state": "Enabled"}, locations)
    findings = judge(_aks(vpn={"zones": zones}), [], answers)
    assert [each.about for each in findings] == (["zones"] if wrong else [])
