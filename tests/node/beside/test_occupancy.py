"""What connections tell about scans."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from elastron.node.beside.connections import Connection
from elastron.node.beside.occupancy import Occupancy
from elastron.service.address import Address

OURS = Address("10.0.0.1", 9002)
A, B = (Connection(OURS, Address("10.0.0.2", port)) for port in (40000, 40001))


def test_a_question_is_no_scan() -> None:
    occupancy = Occupancy(settle_s=1)
    occupancy.look([A], 0)
    assert (occupancy.running, occupancy.connected, occupancy.started) == (0, 1, 0)
    occupancy.look([], 0.5)
    occupancy.look([], 1)
    assert (occupancy.running, occupancy.connected, occupancy.started) == (0, 0, 0)


def test_a_scan() -> None:
    occupancy = Occupancy(settle_s=1)
    occupancy.look([], 0)
    assert occupancy.quiet_since == 0
    occupancy.look([A], 1)
    assert occupancy.quiet_since is None
    occupancy.look([A, B], 2)
    assert occupancy.running == 1
    first, second = occupancy.sessions(2.5)
    assert first == {"id": "1", "peer": "10.0.0.2:40000", "state": "STREAM", "seconds": 1.5}
    assert second == {"id": "2", "peer": "10.0.0.2:40001", "state": "CONFIG", "seconds": 0.5}
    occupancy.look([B], 3)
    assert occupancy.running == 1  # the place of A is free at once
    occupancy.look([], 4)
    occupancy.look([], 5)
    assert (occupancy.started, occupancy.connected, occupancy.quiet_since) == (2, 0, 5)


def test_a_row_that_the_kernel_skips_once_is_the_same_scan() -> None:
    occupancy = Occupancy(settle_s=0)
    for now, found in enumerate(([A], [], [A], [], [A])):
        occupancy.look(found, now)
        assert occupancy.connected == 1
    assert occupancy.started == 1


@given(st.lists(st.sets(st.sampled_from([A, B])), max_size=20), st.integers(0, 3))
def test_figures_agree(looks: list[set[Connection]], settle_s: int) -> None:
    occupancy = Occupancy(settle_s)
    started = 0
    for now, found in enumerate(looks):
        occupancy.look(found, now)
        assert 0 <= occupancy.running <= len(found) <= occupancy.connected
        assert occupancy.started >= started
        assert (occupancy.quiet_since is None) == bool(occupancy.connected)
        assert len(occupancy.sessions(now)) == occupancy.connected
        started = occupancy.started
