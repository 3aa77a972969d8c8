from __future__ import annotations

import os

import pytest

from elastron.fleet.local.folder import Order, Record, Role
from elastron.fleet.local.identity import Identity
from elastron.fleet.local.member import BEGIN_S, MISSES_MAX, START_S, WITHDRAW_S, Deed, Member
from elastron.fleet.model import NodeState

ORDER = Order("node-1", Role.NODE, pool="gpu", settings={"capacity": 3})
BEGUN = Record("node-1", Role.NODE, Identity(os.getpid(), "now"), since=0)
READY = Record("node-1", Role.NODE, BEGUN.identity, since=0, address="a:1", admin="a:2")


def deed(member: Member, now: float, *, alive=True, lost=False) -> Deed:
    return member.deed(now, alive=alive, lost=lost, leave_s=100)


def test_one_that_has_not_begun():
    member = Member(ORDER, asked=10)
    assert deed(member, 11, alive=False) is Deed.NOTHING
    assert deed(member, 11, alive=False, lost=True) is Deed.GIVE_UP
    assert deed(member, 11 + BEGIN_S, alive=False) is Deed.GIVE_UP
    assert member.node().state is NodeState.STARTING
    assert not member.serving


def test_one_that_starts():
    member = Member(ORDER, asked=10, record=BEGUN)
    assert deed(member, 11) is Deed.NOTHING
    assert deed(member, 11 + START_S) is Deed.KILL
    assert deed(member, 11, alive=False) is Deed.BURY
    assert member.node().state is NodeState.STARTING


def test_one_that_serves():
    member = Member(ORDER, asked=10, record=READY)
    assert member.serving
    node = member.node()
    assert (node.state, node.pool, node.capacity) == (NodeState.READY, "gpu", 3)
    assert (node.address, node.admin) == ("a:1", "a:2")
    assert deed(member, 10_000) is Deed.NOTHING
    member.misses = MISSES_MAX
    assert deed(member, 11) is Deed.KILL


def test_one_that_leaves():
    member = Member(ORDER, asked=10, record=READY, leaving=True, withdrawn=50)
    assert not member.serving
    assert member.node().state is NodeState.DRAINING
    assert deed(member, 50) is Deed.NOTHING  # the gateway may still send scans
    assert deed(member, 50 + WITHDRAW_S) is Deed.RETIRE
    member.terminated = 60
    assert deed(member, 61) is Deed.NOTHING
    assert deed(member, 161) is Deed.KILL
    assert deed(member, 161, alive=False) is Deed.BURY


@pytest.mark.parametrize("leaving", [True, False])
def test_who_has_ended_is_buried_whatever_else(leaving):
    member = Member(ORDER, asked=0, record=READY, leaving=leaving, misses=99)
    assert deed(member, 1, alive=False) is Deed.BURY
