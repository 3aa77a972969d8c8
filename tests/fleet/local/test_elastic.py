"""A real fleet on this machine: it grows, shrinks, and loses no scan whatever is killed."""

from __future__ import annotations

import os
import signal
import sys

import psutil

from elastron.fleet.local.folder import Role
from tests.fleet.local.harness import (
    FLEET_YAML,
    PATIENCE_S,
    Fleet,
    burst,
    is_open,
    running_fleet,
    wait_for,
)


def check_gone(fleet: Fleet) -> None:
    """No process, no port, no file of a process is left."""
    ports = [fleet.port, int(fleet.admin.rpartition(":")[2])]
    wait_for(lambda: not fleet.running(), what="the end of all processes")
    assert not any(map(is_open, ports))
    assert os.listdir(fleet.path / "state/processes") == []


def nursery(fleet: Fleet) -> psutil.Process | None:
    """It is on no record, as it ends with `elastron up`."""
    command = [sys.executable, "-m", "elastron.cli.child", str(fleet.folder.path)]
    children = psutil.Process(fleet.process.pid).children()
    found = [each for each in children if each.status() != "zombie" and each.cmdline() == command]
    return found[0] if found else None


def test_a_burst_onto_an_idle_fleet(tmp_path):
    with running_fleet(tmp_path, patient=True) as fleet:
        assert len(fleet.nodes()) == 1
        first = fleet.running(Role.NODE)
        scans = burst(fleet.port, 20, held=True)
        wait_for(lambda: len(fleet.nodes()) == 6, what="six nodes")
        for each in scans:
            each.hold.set()
        for each in scans:
            each.check()
        wait_for(lambda: len(fleet.running(Role.NODE)) == 1, what="one node again")
        # Nobody was disturbed: each scan met one node, and none had to be sent again.
        assert fleet.metric("elastron_replays_total") == 0
        assert fleet.metric("gadgetron_reconstruction_finish_total") == 20
        # The one that has been there longest stays: its caches are warm.
        assert set(fleet.running(Role.NODE)) == set(first)
        assert not fleet.lines("node crashed")
        assert fleet.stop() == 0
        check_gone(fleet)


def test_a_burst_onto_an_empty_fleet(tmp_path):
    with running_fleet(tmp_path, fleet=FLEET_YAML.format(min=0, max=6), patient=True) as fleet:
        assert fleet.running(Role.NODE) == {}
        scans = burst(fleet.port, 20, held=True)
        wait_for(lambda: len(fleet.nodes()) == 6, what="six nodes")
        for each in scans:
            each.hold.set()
        for each in scans:
            each.check()
        wait_for(lambda: not fleet.running(Role.NODE), what="an empty fleet")
        assert fleet.metric("elastron_replays_total") == 0
        (late,) = burst(fleet.port, 1)
        late.check()
        assert fleet.stop(signal.SIGINT) == 0
        check_gone(fleet)


def test_a_killed_up_is_replaced_under_load(tmp_path):
    with running_fleet(tmp_path, patient=True) as fleet:
        scans = burst(fleet.port, 8, held=True)
        wait_for(lambda: len(fleet.nodes("busy")) == 6, what="six busy nodes")
        before = fleet.running()
        fleet.kill_up()
        del before["up"]
        assert fleet.running().keys() >= before.keys()  # they go on without it
        scans += burst(fleet.port, 2)
        fleet.up()
        after = fleet.running()
        assert all(after[name].identity == before[name].identity for name in before)
        for each in scans:
            each.hold.set()
        for each in scans:
            each.check()
        assert fleet.metric("elastron_replays_total") == 0
        wait_for(lambda: len(fleet.running(Role.NODE)) == 1, what="one node again")
        assert fleet.stop() == 0
        check_gone(fleet)


def test_killed_nodes_and_a_killed_gateway_come_back(tmp_path):
    with running_fleet(tmp_path, fleet=FLEET_YAML.format(min=2, max=3), patient=True) as fleet:
        first = nursery(fleet)
        assert first is not None
        first.kill()
        (each,) = burst(fleet.port, 1, held=True)
        (busy,) = wait_for(lambda: fleet.nodes("busy"), what="a busy node")
        fleet.running()[busy].identity.signal(signal.SIGKILL)
        wait_for(lambda: set(fleet.nodes("busy")) - {busy}, what="another busy node")
        each.hold.set()
        each.check()
        # Others are what a busy machine costs: while the other node's answer is late, the scan
        # is tried where it was, in vain.
        replays = fleet.metric("elastron_replays_total")
        failed = wait_for(
            lambda: len(lines := fleet.lines("node failed")) >= replays and lines,
            what="a line for every replay",
        )
        lost = [line for line in failed if "cannot be reached" not in line["reason"]]
        assert [line["node"] for line in lost].count(busy) == 1, failed
        wait_for(lambda: len(fleet.nodes("ready")) == 2, what="two ready nodes")
        assert len(fleet.lines("node crashed")) == 1
        gateway = fleet.running()["gateway"]
        gateway.identity.signal(signal.SIGKILL)
        again = wait_for(
            lambda: (
                (there := fleet.running().get("gateway"))
                and there.ready
                and there.identity != gateway.identity
                and there
            ),
            what="another gateway",
        )
        assert (again.address, again.admin) == (gateway.address, gateway.admin)
        (each,) = burst(fleet.port, 1)
        each.check()
        assert nursery(fleet) not in (None, first)
        assert fleet.stop() == 0
        check_gone(fleet)


def test_an_abandoned_fleet_finishes_and_goes_by_itself(tmp_path):
    with running_fleet(tmp_path, "--lease", "1", patient=True) as fleet:
        (each,) = burst(fleet.port, 1, held=True)
        wait_for(lambda: fleet.nodes("busy"), what="a busy node")
        node = fleet.running(Role.NODE)
        fleet.kill_up()
        each.join(3)  # longer than the lease
        assert fleet.running(Role.NODE) == node
        each.hold.set()
        each.check()
        wait_for(lambda: not fleet.running(), what="the end of all processes")
        assert not is_open(fleet.port)


def test_a_second_signal_stops_at_once(tmp_path):
    with running_fleet(tmp_path, patient=True) as fleet:
        (each,) = burst(fleet.port, 1, held=True)
        wait_for(lambda: fleet.nodes("busy"), what="a busy node")
        fleet.process.send_signal(signal.SIGINT)
        wait_for(lambda: not is_open(fleet.port), what="a closed door")
        assert fleet.process.poll() is None  # the scan goes on
        assert fleet.stop(signal.SIGINT) == 0
        each.hold.set()
        each.join(PATIENCE_S)
        assert not each.is_alive()
        assert "went down" in each.words or "stopped" in each.words or each.error is not None
        check_gone(fleet)
