"""Charts of others that the fleet needs beside it, by what is described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.description_parts import GpuDriver
from elastron.cloud.azure.description_services import Autoscaler, Metrics
from elastron.errors import ConfigError

_PROMETHEUS = "https://prometheus-community.github.io/helm-charts"
_NVIDIA_PLUGIN = "https://nvidia.github.io/k8s-device-plugin"
_NVIDIA = "https://helm.ngc.nvidia.com/nvidia"
_MONITORING = "monitoring"

_PACKAGE = Path(__file__).parents[2]
#: A wheel carries the adapter's rules beside the charts; a source tree under `deploy`.
_RULES = (
    _PACKAGE / "charts" / "prometheus-adapter.yaml",
    _PACKAGE.parents[1] / "deploy" / "prometheus" / "adapter.yaml",
)


@dataclass(frozen=True)
class Addition:
    """A release of somebody else's chart.

    Attributes:
        release: its name.
        chart: its name in the repository.
        repository: URL.
        namespace: where it goes.
        values: of the chart.
        wait: until it runs; not where its pods wait for nodes that come with the first scan.
    """

    release: str
    chart: str
    repository: str
    namespace: str
    values: Mapping[str, Any] = field(default_factory=dict)
    wait: bool = True


def additions(aks: Aks) -> list[Addition]:
    """What is installed before the fleet, in order.

    KEDA is not among them: AKS brings it.

    Raises:
        ConfigError: this installation lacks the adapter's rules.
    """
    out: list[Addition] = []
    if aks.monitoring.metrics is Metrics.CLUSTER:
        out.append(
            Addition("prometheus", "kube-prometheus-stack", _PROMETHEUS, _MONITORING, _prometheus())
        )
        if aks.autoscaler is Autoscaler.HPA:
            rules = adapter_values()
            out.append(
                Addition(
                    "prometheus-adapter", "prometheus-adapter", _PROMETHEUS, _MONITORING, rules
                )
            )
    gpu = [pool for pool in aks.pools.values() if pool.has_gpu]
    if any(pool.gpu_driver is GpuDriver.OPERATOR for pool in gpu):
        out.append(
            Addition("gpu-operator", "gpu-operator", _NVIDIA, "gpu-operator", _operator(), False)
        )
    elif gpu:
        taints = sorted({taint for pool in gpu for taint in pool.all_taints})
        out.append(
            Addition(
                "nvidia-device-plugin",
                "nvidia-device-plugin",
                _NVIDIA_PLUGIN,
                "nvidia-device-plugin",
                {"tolerations": [_toleration(taint) for taint in taints]},
                wait=False,
            )
        )
    return out


def adapter_values() -> dict[str, Any]:
    """Values of prometheus-adapter: the metrics that the chart's HPA asks for.

    Raises:
        ConfigError: the file is missing from this installation.
    """
    for path in _RULES:
        if path.is_file():
            return yaml.safe_load(path.read_text(encoding="utf-8"))
    raise ConfigError(f"This installation lacks {_RULES[0].name}; install elastron again.")


def _prometheus() -> dict[str, Any]:
    # The fleet's monitors carry labels of their own, not those of this release.
    select = {
        f"{kind}SelectorNilUsesHelmValues": False
        for kind in ("serviceMonitor", "podMonitor", "rule", "probe")
    }
    # AKS runs these where nothing of ours can look at them.
    hidden = ("kubeControllerManager", "kubeScheduler", "kubeEtcd", "kubeProxy")
    return {
        "prometheus": {"prometheusSpec": {**select, "retention": "15d"}},
        **{each: {"enabled": False} for each in hidden},
    }


def _operator() -> dict[str, Any]:
    tolerations = [{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}]
    return {
        "daemonsets": {"tolerations": tolerations},
        "node-feature-discovery": {"worker": {"tolerations": tolerations}},
    }


def _toleration(taint: str) -> dict[str, str]:
    key, _, effect = taint.rpartition(":")
    key, _, value = key.partition("=")
    if not value:
        return {"key": key, "operator": "Exists", "effect": effect}
    return {"key": key, "operator": "Equal", "value": value, "effect": effect}
