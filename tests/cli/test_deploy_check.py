"""`elastron deploy check` on a fleet that really runs, grows, shrinks and loses nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from elastron.cli import cluster_options
from elastron.cli.fleet_admin import Admin, session_of
from elastron.cli.held_scan import HeldScan
from elastron.client import Client, parse_address
from elastron.errors import ConnectError
from tests.cli.conftest import PATIENCE_S, RunningServer
from tests.cli.local_cluster import RELEASE, LocalCluster
from tests.patience import wait_for

FLEET = """
poll_s: 0.1
pools:
  default: {min: 1, max: 2, capacity: 1}
scaling:
  scale_down: {stabilisation_window_s: 1}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    path = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    path.write_text(FLEET)
    server = RunningServer("-f", str(path))
    yield server
    server.stop()


class Helm:
    """Its test says what it is told to."""

    def test(self, *_: Any, **__: Any) -> str:
        return "fine"


@pytest.fixture
def cluster(running: RunningServer, monkeypatch: pytest.MonkeyPatch) -> LocalCluster:
    found = LocalCluster(running, maximum=2)
    monkeypatch.setattr(cluster_options, "open_cluster", lambda *_: (Helm(), found, "imaging"))
    return found


def test_all_promises_are_kept(run, cluster: LocalCluster):
    options = ("--timeout", str(PATIENCE_S), "--in-cluster", "--json")
    found = json.loads(run("deploy", "check", RELEASE, *options).stdout)
    assert all(each["result"] == "ok" for each in found), found
    said = {part: [] for part in ("scan", "storage", "in-cluster", "scale", "kill")}
    for each in found:
        said[each["part"]].append(each["what"])
    assert len(said["scan"]) == 3
    assert "difference" in said["scan"][0]
    assert "found its noise scan" in said["storage"][0]
    assert said["scale"][0] == "pool default grew from 1 to 2 nodes"
    assert said["scale"][1].endswith("scans are right")
    assert "shrank to 1" in said["scale"][2]
    assert len(cluster.killed) == 1
    assert said["kill"][0].startswith(f"{cluster.killed[0]} was killed in the middle of a scan")


def test_some_parts_for_people(run, cluster: LocalCluster):
    cluster.scaler = None
    done = run("deploy", "check", RELEASE, "--only", "scan, scale", "-c", "default.xml")
    assert "✓ default.xml: 1 image" in done.stdout
    assert "! pool default has no autoscaler" in done.stdout


def test_a_pool_at_its_limit_is_not_tried(run, cluster: LocalCluster):
    cluster.scaler = {"maxReplicas": 1}
    done = run("deploy", "check", RELEASE, "--only", "scale")
    assert "at its limit of 1 nodes" in done.stdout


def test_a_pool_that_does_not_grow(run, cluster: LocalCluster, monkeypatch):
    monkeypatch.setattr(cluster, "_wanted", lambda: 1)
    cluster.problem = "FailedGetPodsMetric"
    # Only growing is given up soon.
    result = HeldScan.result
    monkeypatch.setattr(HeldScan, "result", lambda scan, _timeout_s: result(scan, PATIENCE_S))
    options = ("--only", "scale", "--timeout", "1", "--scans", "1", "--json")
    found = json.loads(run("deploy", "check", RELEASE, *options, code=1).stdout)
    assert [each["result"] for each in found] == ["fail", "ok"]
    assert "stays at 1 nodes: FailedGetPodsMetric" in found[0]["what"]


def test_what_fails_does_not_stop_the_rest(run, cluster: LocalCluster, monkeypatch):
    def broken(*_: Any, **__: Any) -> None:
        raise ConnectError("no way")

    monkeypatch.setattr(cluster, "delete", broken)
    options = ("--only", "kill,scan", "-c", "nosuch.xml", "--json")
    found = json.loads(run("deploy", "check", RELEASE, *options, code=1).stdout)
    assert [each["part"] for each in found] == ["scan", "kill"]
    assert {each["result"] for each in found} == {"fail"}
    assert found[1]["what"] == "no way"


def test_only_our_own_scan_is_taken_for_ours(running: RunningServer):
    """Somebody else's scan of as many readouts must not lose its node."""
    host, port = parse_address(running.address)
    admin = Admin(running.ready["admin"])
    other = HeldScan(Client(host, port, timeout=PATIENCE_S), seed=1).start()
    ours = HeldScan(Client(host, port, timeout=PATIENCE_S), seed=2).start()

    def counts() -> list[int]:
        return [each["acquisitions"] for each in admin.get("/sessions")["sessions"]]

    try:
        wait_for(
            lambda: len(counts()) == 2 and len(set(counts())) == 1,
            what="both",
            timeout_s=PATIENCE_S,
        )
        found: list[dict[str, Any]] = []
        wait_for(
            lambda: found.append(session_of(admin, ours) or {}) or bool(found[-1]),
            what="ours",
            timeout_s=PATIENCE_S,
        )
        assert found[-1]["acquisitions"] == ours.readouts > other.readouts
    finally:
        verdicts = [each.result(PATIENCE_S) for each in (other, ours)]
    assert all(each is not None and not each.problem for each in verdicts)


def test_names_that_are_none(run, cluster: LocalCluster):
    assert "no fleet absent" in run("deploy", "check", "absent", code=1).stderr
    assert "has no pool gpu" in run("deploy", "check", RELEASE, "--pool", "gpu", code=1).stderr
    assert "there are scan" in run("deploy", "check", RELEASE, "--only", "luck", code=2).output
