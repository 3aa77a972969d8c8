"""The Grafana board on a cluster: every panel asks for what is there.

`tests/fleet/local/test_prometheus.py` asks a real Prometheus that scrapes a fleet on one machine.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from elastron.fleet.model import Demand, Node, NodeState
from elastron.gateway.metrics import Metrics, Readings
from elastron.node.metrics import NodeMetrics
from elastron.storage.metrics import Metrics as StorageMetrics
from tests.helm.harness import CHARTS, named, render

#: Of kube-state-metrics, which comes with Prometheus's operator.
OF_KUBERNETES = {
    "kube_deployment_status_replicas",
    "kube_horizontalpodautoscaler_spec_min_replicas",
    "kube_horizontalpodautoscaler_status_desired_replicas",
    "kube_pod_container_status_restarts_total",
    "kube_pod_created",
    "kube_pod_status_ready_time",
}


def _board() -> dict[str, Any]:
    objects = render("gadgetron", CHARTS / "gadgetron" / "examples" / "everything.yaml")
    board = named(objects, "ConfigMap", "gt1-gadgetron-dashboard")
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    return json.loads(board["data"]["elastron.json"])


def _expressions() -> dict[str, str]:
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$pool", ".+")
        for panel in _board()["panels"]
        for target in panel.get("targets", [])
    }


def _known() -> set[str]:
    """Metrics that a cluster with a fleet has."""
    node = Node("n", "127.0.0.1:1", state=NodeState.READY)
    readings = Readings(nodes=[node], demand={"default": Demand(1, 1)}, archive_bytes=0)
    nodes = NodeMetrics(
        capacity=1, running=lambda: 0, traffic=lambda: (0, 0), idle_workers=lambda: 0
    )
    text = Metrics(lambda: readings).exposition() + generate_latest(nodes.registry)
    text += StorageMetrics(lambda: 0).text()
    names = set(re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE))
    return names | {f"{name}_bucket" for name in names} | OF_KUBERNETES


@pytest.mark.parametrize("where", sorted(_expressions()))
def test_a_panel_shows_something_on_a_cluster(where: str):
    alternatives = [
        set(re.findall(r"\b(?:elastron|gadgetron|kube)_\w+", each))
        for each in _expressions()[where].split(" or ")
    ]
    known = _known()
    assert any(names and names <= known for names in alternatives), alternatives


def _promtool(folder: Path, *arguments: str) -> str:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; .ci/run brings it with prometheus")
    done = subprocess.run(
        [promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_reads_every_expression(tmp_path: Path):
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(_expressions().values())
    ]
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]})
    )
    _promtool(tmp_path, "check", "rules", "rules.yaml")


#: Two gateways that know the same three nodes, one of them busy; one scan waits at each gateway.
GATEWAYS = [f'namespace="imaging",service="gt1-gadgetron-metrics",pod="g{i}"' for i in (1, 2)]
SERIES = {
    **{f'elastron_demand{{{each},pool="default"}}': "2x20" for each in GATEWAYS},
    **{f'elastron_queue_length{{{each},pool="default"}}': "1x20" for each in GATEWAYS},
    **{f'elastron_capacity{{{each},pool="default"}}': "3x20" for each in GATEWAYS},
    **{f'elastron_nodes{{{each},pool="default",state="ready"}}': "2x20" for each in GATEWAYS},
    **{f'elastron_nodes{{{each},pool="default",state="busy"}}': "1x20" for each in GATEWAYS},
    'elastron_capacity{namespace="imaging",service="gt1-gadgetron-node",pod="n1"}': "1x20",
    'kube_pod_created{namespace="imaging",pod="gt1-gadgetron-node-1-a"}': "100x20",
    'kube_pod_status_ready_time{namespace="imaging",pod="gt1-gadgetron-node-1-a"}': "130x20",
    'kube_deployment_status_replicas{namespace="imaging",deployment="gt1-gadgetron-node"}': "4x20",
    'kube_deployment_status_replicas{namespace="imaging",deployment="gt1-gadgetron-gateway"}': (
        "2x20"
    ),
}

#: What panels say then.
SHOWN = {
    "Scans A": 3,
    "Waiting A": 2,
    "Nodes A": 3,
    "Places A": 3,
    "Start of a node A": 30,
    "Node hours in 1 h A": 4,
}


@pytest.mark.parametrize("where", sorted(SHOWN))
def test_several_gateways_count_a_node_once(where: str, tmp_path: Path):
    test = {
        "rule_files": [],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in SERIES.items()],
                "promql_expr_test": [
                    {
                        "expr": f"sum({_expressions()[where]})",
                        "eval_time": "5m",
                        "exp_samples": [{"labels": "{}", "value": SHOWN[where]}],
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    _promtool(tmp_path, "test", "rules", "test.yaml")
