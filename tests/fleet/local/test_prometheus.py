"""A real Prometheus scrapes a real fleet; dashboard and alerts ask for what is there."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from elastron.fleet.local.folder import Record, Role
from elastron.fleet.local.identity import Identity
from elastron.fleet.local.targets import scrape_targets
from tests.fleet.local.harness import FLEET_YAML, Fleet, burst, wait_for
from tests.ports import free_port

DEPLOY = Path(__file__).parents[3] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/elastron.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())

#: There with an archive only.
OPTIONAL = {"elastron_archive_bytes"}

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="Prometheus is not installed (Debian: apt-get install prometheus)",
)


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Every expression of dashboard and rules, by where it stands."""
    found = {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$pool", ".+")
        for panel in panels()
        for target in panel["targets"]
    }
    for group in RULES["groups"]:
        found |= {rule["alert"]: rule["expr"] for rule in group["rules"]}
    return found


class Prometheus:
    """Debian's, with our configuration, but impatient."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        folder.mkdir()
        config = (DEPLOY / "prometheus/prometheus.yml").read_text()
        targets = fleet.path / "state/prometheus.json"
        config = config.replace("/var/lib/elastron/state/prometheus.json", str(targets))
        (folder / "prometheus.yml").write_text(re.sub(r": 5s", ": 1s", config))
        shutil.copy(DEPLOY / "prometheus/rules.yml", folder)
        address = f"127.0.0.1:{free_port()}"
        self._api = f"http://{address}/api/v1"
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *("prometheus", f"--config.file={folder / 'prometheus.yml'}"),
                    *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"),
                ],
                stdout=log,
                stderr=log,
            )

    def get(self, path: str, **query: str) -> Any:
        told = httpx.get(f"{self._api}/{path}", params=query, timeout=60, trust_env=False)
        answer = told.raise_for_status().json()  # it says 503 until it has read its log
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        return self.get("query", query=expression)["result"]

    def value(self, expression: str) -> float | None:
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None

    def wait_for(self, expression: str, value: float) -> None:
        """Until it has this value; one look may fall on a scrape that came too late."""
        wait_for(lambda: self.value(expression) == value, what=f"{expression} of {value:g}")

    def jobs_up(self) -> set[str]:
        with contextlib.suppress(httpx.HTTPError):
            return {each["metric"]["job"] for each in self.query("up == 1")}
        return set()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("scraped")
    # Of a fixed size: nodes that leave take their counters along.
    size = FLEET_YAML.format(min=2, max=2)
    data = ("--data", str(folder / "data"))
    fleet = Fleet(folder, *data, fleet=size, storage=True, patient=True)
    yield fleet
    fleet.stop()
    fleet.clean_up()


@pytest.fixture(scope="module")
def prometheus(fleet, tmp_path_factory) -> Iterator[Prometheus]:
    server = Prometheus(fleet, tmp_path_factory.mktemp("prometheus") / "p")
    yield server
    server.process.terminate()
    server.process.wait()


@needs_prometheus
def test_prometheus_sees_every_process_of_the_fleet(fleet, prometheus):
    wait_for(
        lambda: prometheus.jobs_up() == {"gateway", "node", "storage", "autoscaler"},
        what="all jobs",
    )
    for each in burst(fleet.port, 3):
        each.check()
    prometheus.wait_for('sum(gadgetron_reconstruction_finish_total{job="node"})', 3)
    prometheus.wait_for('sum(elastron_sessions_total{job="gateway",outcome="ok"})', 3)
    for expression in (
        "elastron_desired_nodes",
        'sum(elastron_nodes{state="ready"})',
        'sum(up{job="node"})',
    ):
        prometheus.wait_for(expression, 2)


@needs_prometheus
def test_dashboard_and_alerts_ask_for_what_is_there(fleet, prometheus):
    wait_for(lambda: "gateway" in prometheus.jobs_up(), what="the gateway")
    for each in burst(fleet.port, 1):
        each.check()
    names = set().union(
        *(re.findall(r"\b(?:elastron|gadgetron)_\w+", each) for each in expressions().values())
    )
    assert len(names) >= 25
    wait_for(
        lambda: names - OPTIONAL <= set(prometheus.get("label/__name__/values")),
        what=f"{names - OPTIONAL - set(prometheus.get('label/__name__/values'))}",
    )
    for where, expression in expressions().items():
        for name, label in re.findall(r"(\w+)\{(\w+)[!=~]", expression):
            if name in OPTIONAL or name.startswith("kube_"):
                continue  # of a cluster (tests/helm/test_dashboard.py)
            # A label that the metric does not have would leave the panel empty.
            labelled = f'count({name}{{{label}!=""}})'
            wait_for(
                lambda labelled=labelled: prometheus.query(labelled),
                what=f"{where}: label {label} of {name}",
            )
        prometheus.query(expression)
    for panel in panels():
        asked = [target["expr"].replace("$pool", ".+") for target in panel["targets"]]
        wait_for(
            lambda asked=asked: any(prometheus.query(each) for each in asked),
            what=f"something that {panel['title']} shows",
        )


@needs_prometheus
def test_configuration_and_rules_are_valid(tmp_path):
    for path in (DEPLOY / "prometheus/prometheus.yml", DEPLOY / "prometheus/rules.yml"):
        shutil.copy(path, tmp_path)
    for what, name in (("config", "prometheus.yml"), ("rules", "rules.yml")):
        done = subprocess.run(
            ["promtool", "check", what, name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_whole():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (column, line)
            for column in range(at["x"], at["x"] + at["w"])
            for line in range(at["y"], at["y"] + at["h"])
        }
        assert not places & cells, f"{panel['title']} covers another panel"
        assert at["x"] + at["w"] <= 24
        places |= cells
    for panel in panels():
        assert all(each["datasource"]["uid"] == "${datasource}" for each in panel["targets"])
        if panel["type"] == "timeseries" and len(panel["targets"]) > 1:
            assert all(each["legendFormat"] for each in panel["targets"])


def test_what_runs_is_a_target():
    here = Identity.own()
    records = [
        Record("up", Role.UP, here, 0, admin="127.0.0.1:1"),
        Record("gateway", Role.GATEWAY, here, 0, address="127.0.0.1:2", admin="127.0.0.1:3"),
        Record("storage", Role.STORAGE, here, 0, address="http://127.0.0.1:4"),
        Record("node-1", Role.NODE, here, 0, address="127.0.0.1:5", admin="127.0.0.1:6"),
        Record("node-2", Role.NODE, here, 0),  # starts
        Record("node-3", Role.NODE, Identity(here.pid, "then"), 0, address="a:1", admin="a:2"),
    ]
    found = {each["labels"]["job"]: each["targets"] for each in scrape_targets(records)}
    assert found == {
        "autoscaler": ["127.0.0.1:1"],
        "gateway": ["127.0.0.1:3"],
        "storage": ["127.0.0.1:4"],
        "node": ["127.0.0.1:6"],
    }
