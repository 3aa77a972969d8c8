"""Alerts and recorded demand, judged by the real promtool."""

from __future__ import annotations

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
from tests.helm.harness import APIS, CHARTS, of_kind, render

GATEWAY = 'namespace="imaging",service="gt1-gadgetron-metrics"'
STORAGE = 'namespace="imaging",service="gt1-gadgetron-storage"'
NODE = 'namespace="imaging",service="gt1-gadgetron-node"'

#: Of kube-state-metrics, which comes with Prometheus's operator.
OF_KUBERNETES = {
    "kube_horizontalpodautoscaler_status_current_replicas",
    "kube_deployment_status_replicas_available",
}


def _spec() -> dict[str, Any]:
    (rule,) = of_kind(render("gadgetron", apis=APIS), "PrometheusRule")
    return rule["spec"]


def _promtool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; .ci/run brings it with prometheus")
    (folder / "rules.yaml").write_text(yaml.safe_dump(_spec()))
    return subprocess.run(
        [promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_promtool_takes_the_rules(tmp_path: Path):
    done = _promtool(tmp_path, "check", "rules", "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


#: An alert, the series that set it off, and those that do not.
CASES = {
    "ElastronQueueStands": (
        {f'elastron_queue_length{{{GATEWAY},pool="default"}}': "2x60"},
        {f'elastron_queue_length{{{GATEWAY},pool="default"}}': " ".join(["2", "0"] * 30)},
    ),
    "ElastronReplays": (
        {f'elastron_replays_total{{{GATEWAY},reason="worker"}}': "0+1x60"},
        {f'elastron_replays_total{{{GATEWAY},reason="worker"}}': "0x30 1x30"},
    ),
    "ElastronScansFail": (
        {f'elastron_sessions_total{{{GATEWAY},outcome="failed"}}': "0x50 1x10"},
        {f'elastron_sessions_total{{{GATEWAY},outcome="error"}}': "0+1x60"},
    ),
    "ElastronNodesDead": (
        {f'elastron_nodes{{{GATEWAY},pool="default",state="dead"}}': "1x60"},
        {f'elastron_nodes{{{GATEWAY},pool="default",state="dead"}}': "0x60"},
    ),
    "ElastronNoNode": (
        {
            f'elastron_queue_length{{{GATEWAY},pool="default"}}': "1x60",
            f'elastron_capacity{{{GATEWAY},pool="default"}}': "0x60",
        },
        {
            f'elastron_queue_length{{{GATEWAY},pool="default"}}': "1x60",
            f'elastron_capacity{{{GATEWAY},pool="default"}}': "4x60",
        },
    ),
    "ElastronAtItsLimit": (
        {
            'kube_horizontalpodautoscaler_status_current_replicas{namespace="imaging",'
            'horizontalpodautoscaler="gt1-gadgetron-node"}': "20x60"
        },
        {
            'kube_horizontalpodautoscaler_status_current_replicas{namespace="imaging",'
            'horizontalpodautoscaler="gt1-gadgetron-node"}': "19x60"
        },
    ),
    "ElastronStorageAway": (
        {
            'kube_deployment_status_replicas_available{namespace="imaging",'
            'deployment="gt1-gadgetron-storage-server"}': "0x60"
        },
        {
            'kube_deployment_status_replicas_available{namespace="imaging",'
            'deployment="gt1-gadgetron-storage-server"}': "1x60"
        },
    ),
    "ElastronStorageFails": (
        {f'elastron_storage_requests_total{{{STORAGE},route="/v1/blobs",status="503"}}': "0+1x60"},
        {f'elastron_storage_requests_total{{{STORAGE},route="/v1/blobs",status="200"}}': "0+1x60"},
    ),
    "ElastronJournalFull": (
        {f'elastron_journal_bytes{{{GATEWAY},place="disk"}}': f"{39 * 2**30}x60"},
        {f'elastron_journal_bytes{{{GATEWAY},place="disk"}}': f"{10 * 2**30}x60"},
    ),
    "ElastronScansWait": (
        {
            f'elastron_queue_seconds_bucket{{{GATEWAY},pool="default",le="60"}}': "0x60",
            f'elastron_queue_seconds_bucket{{{GATEWAY},pool="default",le="600"}}': "0+5x60",
            f'elastron_queue_seconds_bucket{{{GATEWAY},pool="default",le="+Inf"}}': "0+5x60",
        },
        {
            f'elastron_queue_seconds_bucket{{{GATEWAY},pool="default",le="60"}}': "0+5x60",
            f'elastron_queue_seconds_bucket{{{GATEWAY},pool="default",le="600"}}': "0+5x60",
            f'elastron_queue_seconds_bucket{{{GATEWAY},pool="default",le="+Inf"}}': "0+5x60",
        },
    ),
}


def test_every_alert_has_a_case():
    alerts = {
        rule["alert"] for group in _spec()["groups"] for rule in group["rules"] if "alert" in rule
    }
    assert alerts == set(CASES)


def _firing(folder: Path, series: dict[str, str], alert: str) -> bool:
    """Whether the alert fires after 55 min of these series, by promtool's own judgement."""
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                # No alert is expected: promtool tells us if there is one.
                "alert_rule_test": [{"eval_time": "55m", "alertname": alert, "exp_alerts": []}],
            }
        ],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    done = _promtool(folder, "test", "rules", "test.yaml")
    assert "SUCCESS" in done.stdout or f"alertname: {alert}" in done.stdout + done.stderr, (
        done.stdout + done.stderr
    )
    return done.returncode != 0


@pytest.mark.parametrize("alert", sorted(CASES))
def test_alerts_fire_when_they_should(alert: str, tmp_path: Path):
    bad, _ = CASES[alert]
    assert _firing(tmp_path, bad, alert)


@pytest.mark.parametrize("alert", sorted(CASES))
def test_alerts_are_silent_when_all_is_well(alert: str, tmp_path: Path):
    _, good = CASES[alert]
    assert not _firing(tmp_path, good, alert)


@pytest.mark.parametrize("families", [1, 2])
def test_the_demand_of_several_gateways_and_nodes_adds_up(tmp_path: Path, families: int):
    # With two families of addresses Prometheus finds each pod twice.
    def everywhere(series: dict[str, str]) -> dict[str, str]:
        return {
            key.replace("}", f',instance="{address}:9080"}}'): value
            for key, value in series.items()
            for address in ("10.0.0.1", "[fd00::1]")[:families]
        }

    series = everywhere(
        {
            f'gadgetron_activity{{{NODE},pod="a"}}': "2x10",
            f'gadgetron_activity{{{NODE},pod="b"}}': "1x10",
            'gadgetron_activity{namespace="imaging",service="other",pod="c"}': "9x10",
            f'elastron_queue_length{{{GATEWAY},pool="default",pod="g1"}}': "4x10",
            f'elastron_queue_length{{{GATEWAY},pool="default",pod="g2"}}': "1x10",
        }
    )
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "5s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "promql_expr_test": [
                    {
                        "expr": "sum(elastron_demand_part) by (namespace, node_service)",
                        "eval_time": "5m",
                        "exp_samples": [
                            {
                                "labels": '{namespace="imaging",node_service="gt1-gadgetron-node"}',
                                "value": 8,
                            }
                        ],
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    done = _promtool(tmp_path, "test", "rules", "test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_series_asked_for_exists():
    node = Node("n", "127.0.0.1:1", state=NodeState.READY)
    readings = Readings(nodes=[node], demand={"default": Demand(1, 1)}, archive_bytes=0)
    gateway = Metrics(lambda: readings)
    nodes = NodeMetrics(
        capacity=1, running=lambda: 0, traffic=lambda: (0, 0), idle_workers=lambda: 0
    )
    exposed = gateway.exposition() + generate_latest(nodes.registry)
    exposed += StorageMetrics(lambda: 0).text()
    known = set(re.findall(r"^# TYPE (\S+)", exposed.decode(), re.MULTILINE)) | OF_KUBERNETES
    known |= {f"{name}_bucket" for name in known}
    text = " ".join(str(rule["expr"]) for group in _spec()["groups"] for rule in group["rules"])
    used = set(re.findall(r"\b((?:elastron|gadgetron|kube)_[a-z_]+)\s*\{", text))
    assert used <= known


def test_the_adapter_asks_for_what_the_hpa_names():
    adapter = yaml.safe_load((CHARTS.parent / "deploy/prometheus/adapter.yaml").read_text())
    names = {rule["name"]["as"] for rule in adapter["rules"]["custom"]}
    (hpa,) = of_kind(render("gadgetron"), "HorizontalPodAutoscaler")
    asked = {metric[metric["type"].lower()]["metric"]["name"] for metric in hpa["spec"]["metrics"]}
    assert asked == names
