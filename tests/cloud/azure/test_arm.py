"""The client against the stand-in: long operations, pages, waiting, refusals, limits."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from azure.core.pipeline.transport import RequestsTransport

from elastron.cloud.azure.arm import OPERATION_S, Arm
from elastron.cloud.azure.operation import Reply, retry_after_s
from elastron.errors import (
    CloudError,
    DeadlineError,
    ElastronError,
    LoginError,
    NotAllowedError,
    QuotaError,
)
from tests.cloud.azure.arm_clock import VirtualClock
from tests.cloud.azure.arm_door import Door, Fault, Seen
from tests.cloud.azure.arm_server import serving
from tests.cloud.azure.arm_state import SUBSCRIPTION, Azure
from tests.cloud.azure.conftest import Credential, arm_to

ROOT = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{ROOT}/resourceGroups/scans-rg"
STORAGE = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/scanssa"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/scanscr"
LOGS = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/scans-logs"
NETWORK = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/scans-net"
GATEWAY = f"{GROUP}/providers/Microsoft.Network/virtualNetworkGateways/scans-vpn"
PLACE = {"location": "westus2"}
ACCOUNT = {**PLACE, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "properties": {}}
VERSION = "2024-01-01"
EAP = {"authenticationMethod": "EAPTLS"}


@pytest.fixture
def group(arm: Arm) -> str:
    arm.put(GROUP, VERSION, PLACE, "group")
    return GROUP


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(STORAGE, ACCOUNT, id="Location"),
        pytest.param(REGISTRY, {**PLACE, "sku": {"name": "Basic"}}, id="Azure-AsyncOperation"),
        pytest.param(LOGS, {**PLACE, "properties": {"sku": {"name": "PerGB2018"}}}, id="own state"),
        pytest.param(f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
                     PLACE, id="at once"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("retry_after", [None, 7])
def test_each_way_of_waiting_ends_with_the_resource(  # noqa: PLR0917
    arm: Arm, door: Door, group: str, path: str, body: dict, retry_after: int | None
) -> None:
    door.retry_after = retry_after
    made = arm.put(path, VERSION, body, "it")
    assert made["id"].lower() == path.lower()
    assert arm.get(path, VERSION) == made
    arm.delete(path, VERSION, "it")
    assert arm.get(path, VERSION) is None
    arm.delete(path, VERSION, "it")  # once more is no error


def test_a_group_goes_with_all_that_is_in_it(arm: Arm, azure: Azure, group: str) -> None:
    arm.put(STORAGE, VERSION, ACCOUNT, "storage")
    arm.delete(group, VERSION, "group")
    assert azure.named() == []


def test_several_operations_go_on_at_once(arm: Arm, azure: Azure, group: str) -> None:
    began = azure.clock.now()
    storage = arm.begin_put(STORAGE, VERSION, ACCOUNT, "storage")
    registry = arm.begin_put(REGISTRY, VERSION, {**PLACE, "sku": {"name": "Basic"}}, "registry")
    assert not storage.done
    assert not registry.done
    arm.wait(storage)
    assert arm.wait(registry)
    assert azure.clock.now() - began <= 50  # not the sum of both


def test_an_operation_that_fails_tells_why(arm: Arm, azure: Azure, group: str) -> None:
    azure.fail["microsoft.containerregistry/registries"] = {
        "code": "QuotaExceeded",
        "message": "Operation could not be completed as it results in exceeding approved quota.",
    }
    with pytest.raises(QuotaError, match=r"Creating registry scanscr.*quota"):
        arm.put(REGISTRY, VERSION, {**PLACE, "sku": {"name": "Basic"}}, "registry scanscr")
    with pytest.raises(CloudError, match="Failed"):
        arm.wait(arm.watch(REGISTRY, VERSION, "registry scanscr"))


def test_an_operation_is_given_up_in_the_end(arm: Arm, azure: Azure, group: str) -> None:
    arm.put(NETWORK, VERSION, {**PLACE, "properties": {}}, "network")
    operation = arm.begin_put(
        GATEWAY, VERSION, {**PLACE, "properties": {"sku": {"name": "VpnGw1AZ"}}}, "gateway"
    )
    for one in azure.operations.values():
        one.ends_at = float("inf")
    with pytest.raises(DeadlineError, match="still under way"):
        arm.wait(operation)


def test_an_operation_that_ended_while_we_stood_still_has_ended(
    arm: Arm, azure: Azure, group: str
) -> None:
    operation = arm.begin_put(NETWORK, VERSION, {**PLACE, "properties": {}}, "network")
    azure.clock.sleep(2 * OPERATION_S)
    made = arm.wait(operation)
    assert made is not None
    assert made["properties"]["provisioningState"] == "Succeeded"


def test_an_action_that_takes_a_while(arm: Arm, door: Door, azure: Azure, gateway: str) -> None:
    began = azure.clock.now()
    url = arm.act(f"{gateway}/generatevpnprofile", VERSION, EAP, "it")
    assert url == door.package_url
    assert azure.clock.now() >= began + 60


def test_an_action_is_given_up_in_the_end(arm: Arm, door: Door, gateway: str) -> None:
    door.fault = lambda seen: (
        Fault(202, headers={"Retry-After": "60"}) if "operationresults" in seen.path else None
    )
    with pytest.raises(DeadlineError, match="has not made it"):
        arm.act(f"{gateway}/generatevpnprofile", VERSION, EAP, "it")


def test_an_action_on_what_is_not_there(arm: Arm, group: str) -> None:
    with pytest.raises(CloudError, match="Asking for it"):
        arm.act(f"{GATEWAY}/generatevpnprofile", VERSION, EAP, "it")


@pytest.fixture
def gateway(arm: Arm, group: str) -> str:
    """A VPN gateway, as far as the stand-in looks at it."""
    place = {**PLACE, "properties": {"sku": {"name": "VpnGw1AZ"}, "ipConfigurations": []}}
    arm.put(GATEWAY, VERSION, place, "gateway")
    return GATEWAY


def test_lists_have_pages(arm: Arm, door: Door) -> None:
    door.page = 4
    sizes = arm.list(
        f"{ROOT}/providers/Microsoft.Compute/skus", VERSION, filter="location eq 'westus2'"
    )
    assert len(sizes) > 20
    assert len({(one["name"], one["resourceType"]) for one in sizes}) > 15
    asked = [seen for seen in door.seen if seen.path.endswith("skus")]
    assert len(asked) == -(-len(sizes) // 4)
    assert {seen.query["$filter"] for seen in asked} == {"location eq 'westus2'"}


def test_a_page_of_another_host_is_not_asked(arm: Arm, door: Door) -> None:
    door.lookups.get = lambda path, query: {  # type: ignore[method-assign]
        "value": [],
        "nextLink": "https://management.azure.com.evil.example/steal",
    }
    with pytest.raises(CloudError, match="another host"):
        arm.list(f"{ROOT}/resources", VERSION)
    assert len(door.seen) == 1


FLAKY = [
    pytest.param(Fault(429, "TooManyRequests", headers={"Retry-After": "17"}), 17, id="429"),
    pytest.param(Fault(503, "ServiceUnavailable"), 1, id="503"),
    pytest.param(Fault(500), 1, id="500"),
    pytest.param(Fault(500, done=True), 1, id="500 though done"),
    pytest.param(Fault(), 1, id="cut"),
    pytest.param(Fault(done=True), 1, id="cut though done"),
]


@pytest.mark.parametrize(("fault", "pause_s"), FLAKY)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_passes_is_waited_for(  # noqa: PLR0917
    arm: Arm, door: Door, azure: Azure, group: str, fault: Fault, pause_s: float, at: int
) -> None:
    first = len(door.seen)
    door.fault = lambda seen: fault if seen.index == first + at else None
    lines: list[str] = []
    arm.tell = lines.append
    assert arm.put(STORAGE, VERSION, ACCOUNT, "storage")["name"] == "scanssa"
    assert len(lines) >= 1
    assert isinstance(azure.clock, VirtualClock)
    assert pause_s in azure.clock.slept
    arm.delete(STORAGE, VERSION, "storage")
    assert arm.get(STORAGE, VERSION) is None


@pytest.mark.parametrize(
    ("fault", "error", "limit_s"),
    [
        (Fault(), DeadlineError, 200),
        (Fault(503, "ServerTimeout"), ElastronError, 200),
        (Fault(429, "TooManyRequests", headers={"Retry-After": "60"}), ElastronError, 1000),
        # an hour is not waited for at all
        (Fault(429, "TooManyRequests", headers={"Retry-After": "3600"}), ElastronError, 1),
        (Fault(409, "OperationNotAllowed", "an in progress operation"), ElastronError, 2800),
        (Fault(400, "PrincipalNotFound", "no such principal"), ElastronError, 310),
    ],
)  # fmt: skip
def test_waiting_has_an_end(  # noqa: PLR0917
    arm: Arm, door: Door, azure: Azure, fault: Fault, error: type[Exception], limit_s: float
) -> None:
    door.fault = lambda seen: fault
    began = azure.clock.now()
    with pytest.raises(error):
        arm.put(GROUP, VERSION, PLACE, "group")
    assert azure.clock.now() - began <= limit_s


def test_a_refusal_is_told_at_once(arm: Arm, door: Door, azure: Azure) -> None:
    door.fault = lambda seen: Fault(403, "AuthorizationFailed", "The client has no authorization.")
    began = azure.clock.now()
    with pytest.raises(NotAllowedError, match="Creating group"):
        arm.put(GROUP, VERSION, PLACE, "group")
    assert azure.clock.now() == began
    assert len(door.seen) == 1


@pytest.mark.parametrize("token", ["old-token", "no-token"])
def test_a_bad_login_is_told(door: Door, token: str) -> None:
    with arm_to(door, token) as arm, pytest.raises(LoginError):
        arm.get(GROUP, VERSION)


def test_an_unknown_subscription_is_not_an_absent_resource(arm: Arm) -> None:
    other = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/x"
    with pytest.raises(CloudError, match="SubscriptionNotFound"):
        arm.get(other, VERSION)


def test_what_was_just_made_may_be_unknown_for_a_while(door: Door, azure: Azure) -> None:
    azure.lag_s = 45
    with arm_to(door) as arm:
        arm.put(GROUP, VERSION, PLACE, "group")
        assert arm.put(STORAGE, VERSION, ACCOUNT, "storage")
    assert azure.clock.now() >= 1045


def test_a_conflict_is_waited_for(arm: Arm, azure: Azure, group: str) -> None:
    arm.begin_put(STORAGE, VERSION, ACCOUNT, "storage")
    made = arm.put(STORAGE, VERSION, {**ACCOUNT, "tags": {"a": "b"}}, "storage")
    assert made["tags"] == {"a": "b"}


def test_no_token_in_logs_or_errors(
    door: Door, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    door.tokens = {"other"}
    with arm_to(door, "secret-token-xyz") as arm, pytest.raises(LoginError) as caught:
        arm.get(GROUP, VERSION)
    everything = caplog.text + str(caught.value) + repr(caught.value) + "".join(capsys.readouterr())
    assert "secret-token-xyz" not in everything


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12),
        ({"retry-after": "-3"}, 0),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "Mon, 01 Jan 2029 00:00:30 GMT",
          "date": "Mon, 01 Jan 2029 00:00:00 GMT"}, 30),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds
    assert Reply(200, None, headers).wait_s(5) == (5 if seconds is None else seconds)


def test_over_a_real_connection(door: Door, azure: Azure, certificate: Path) -> None:
    def cuts(seen: Seen) -> Fault | None:
        return Fault(done=True) if seen.index == 1 else None

    door.fault = cuts
    with serving(door, certificate) as url:
        transport = RequestsTransport(connection_verify=str(certificate))
        with Arm(Credential(), endpoint=url, transport=transport, clock=azure.clock) as arm:
            arm.put(GROUP, VERSION, PLACE, "group")
            arm.put(STORAGE, VERSION, ACCOUNT, "storage")  # cut in the middle, though done
            assert len(arm.list(f"{ROOT}/resources", VERSION)) == 1
            arm.delete(GROUP, VERSION, "group")
        with (
            Arm(Credential(), endpoint=url, clock=azure.clock) as arm,
            pytest.raises(DeadlineError, match="cannot be reached"),
        ):
            arm.get(GROUP, VERSION)  # a certificate that nobody vouches for
    assert azure.named() == []
