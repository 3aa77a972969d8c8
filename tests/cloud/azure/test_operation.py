"""What answers mean, whatever they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.cloud.azure.operation import (
    POLL_S_MAX,
    Operation,
    Reply,
    Watch,
    has_failed,
    is_at_rest,
    is_busy,
    provisioning_state,
)
from elastron.cloud.azure.patience import Why, is_absence, why_wait

TEXT = st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
STATES = ["Succeeded", "Creating", "Updating", "Deleting", "Failed", "Canceled", "Accepted"]
BODIES = JSON | st.builds(
    lambda state: {"properties": {"provisioningState": state}}, st.sampled_from(STATES)
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "location", "azure-asyncoperation", "date"]),
    TEXT | st.integers(-5, 10**9).map(str),
)


def operation(delete: bool = False) -> Operation:
    return Operation("it", "making it", delete, "/subscriptions/s", "2024-01-01", 100.0)


@given(status=st.sampled_from([200, 201, 202, 204]), body=BODIES, headers=HEADERS,
       delete=st.booleans())  # fmt: skip
def test_any_answer_can_be_gone_on_with(
    status: int, body: Any, headers: dict[str, str], delete: bool
) -> None:
    one = operation(delete)
    one.begin(Reply(status, body, headers), now=50.0)
    assert 50.0 <= one.look_at <= 50.0 + POLL_S_MAX
    assert (one.url is not None) == (one.watch in (Watch.STATUS, Watch.LOCATION))
    if one.done and not delete:
        assert is_at_rest(body)
    if status == 202:
        assert not one.done


@given(BODIES)
def test_a_state_is_one_of_three(body: Any) -> None:
    failed = has_failed(provisioning_state(body))
    assert not (failed and is_busy(body))
    if isinstance(body, dict):
        assert is_at_rest(body) + failed + is_busy(body) == 1


@pytest.mark.parametrize(
    ("reply", "watch"),
    [
        (Reply(201, {}, {"azure-asyncoperation": "https://x"}), Watch.STATUS),
        (Reply(202, None, {"location": "https://x"}), Watch.LOCATION),
        (Reply(202, None), Watch.RESOURCE),
        (Reply(201, {"properties": {"provisioningState": "Creating"}}), Watch.RESOURCE),
        # of a resource that is made already, a Location is only its address
        (Reply(201, {"id": "1"}, {"location": "https://x"}), Watch.ENDED),
        (Reply(200, {"properties": {}}), Watch.ENDED),
    ],
)
def test_what_tells_how_far_it_is(reply: Reply, watch: Watch) -> None:
    one = operation()
    one.begin(reply, 0.0)
    assert one.watch is watch


@given(status=st.integers(400, 599), body=JSON, builds_on=st.booleans())
def test_no_refusal_is_beyond_us(status: int, body: Any, builds_on: bool) -> None:
    reply = Reply(status, body)
    why = why_wait(reply, builds_on=builds_on)
    assert is_absence(reply) in (True, False)
    if status == 429 or status in (500, 502, 503, 504):
        assert why is not None
    if status in (401, 410, 422):
        assert why is None


def refusal(status: int, code: str, message: str = "") -> Reply:
    return Reply(status, {"error": {"code": code, "message": message}})


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (refusal(409, "OperationNotAllowed", "there's an in progress create operation"), Why.BUSY),
        (refusal(409, "AnotherOperationInProgress"), Why.BUSY),
        (refusal(409, "Conflict", "The specified share is being deleted. Try later."), Why.BUSY),
        (refusal(409, "StorageAccountAlreadyTaken", "The name is already taken."), None),
        (refusal(409, "ScopeLocked", "Please remove the lock and try again."), None),
        (refusal(409, "AllocationFailed", "No capacity. Please try again later."), None),
        (refusal(409, "ResourceGroupBeingDeleted", "The group is being deleted."), None),
        (refusal(400, "PrincipalNotFound"), Why.UNSEEN),
        (refusal(404, "ParentResourceNotFound"), Why.UNSEEN),
        (refusal(400, "InvalidParameter"), None),
        (refusal(403, "AuthorizationFailed"), None),
    ],
)
def test_what_goes_away_by_waiting(reply: Reply, why: Why | None) -> None:
    assert why_wait(reply, builds_on=True) is why
    if why is Why.UNSEEN:
        assert why_wait(reply, builds_on=False) is None
