"""Renders charts with the real helm, both versions."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "helm"
PARTS = Path(os.environ.get("ELASTRON_TEST_PARTS", "/opt/elastron-test-parts"))

#: For a program that takes a second on a machine of its own.
PATIENCE_S = 180

#: Custom resources that a cluster with everything has.
APIS = ("monitoring.coreos.com/v1", "custom.metrics.k8s.io/v1beta1")

#: A cluster of today; each helm has another opinion of its own.
KUBERNETES = "1.37.0"

Object = dict[str, Any]


def program(name: str) -> str:
    """A binary of the test parts, or of the path.

    Skips the test where there is none: `.ci/kubernetes-parts.sh` installs it.
    """
    path = PARTS / "bin" / name
    found = str(path) if path.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; .ci/kubernetes-parts.sh brings it")
    return found


def helm(*arguments: str, version: str = "helm4") -> subprocess.CompletedProcess[str]:
    """Run helm with a home of its own."""
    return subprocess.run(
        [program(version), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "HELM_NO_PLUGINS": "1"},
    )


@cache
def render(
    chart: str,
    values: Path | None = None,
    *,
    settings: tuple[str, ...] = (),
    version: str = "helm4",
    apis: tuple[str, ...] = (),
    kubernetes: str = KUBERNETES,
) -> tuple[Object, ...]:
    """The objects of a release named gt1 in the namespace imaging."""
    arguments = ["template", "gt1", str(CHARTS / chart), "--namespace", "imaging"]
    arguments += ["--kube-version", kubernetes]
    if values is not None:
        arguments += ["--values", str(values)]
    for setting in settings:
        arguments += ["--set", setting]
    for api in apis:
        arguments += ["--api-versions", api]
    done = helm(*arguments, version=version)
    assert done.returncode == 0, done.stderr
    return tuple(each for each in yaml.safe_load_all(done.stdout) if each)


def refusal(chart: str, *settings: str, version: str = "helm4") -> str:
    """What helm says to values that it does not take."""
    arguments = ["template", "gt1", str(CHARTS / chart)]
    for setting in settings:
        arguments += ["--set", setting]
    done = helm(*arguments, version=version)
    assert done.returncode != 0, "these values were taken"
    return done.stderr


def values_files(chart: str) -> list[Path]:
    """Every values file that ships with a chart."""
    folder = CHARTS / chart
    return sorted([*folder.glob("values*.yaml"), *folder.glob("examples/*.yaml")])


def of_kind(objects: tuple[Object, ...], kind: str) -> list[Object]:
    """Those of one kind."""
    return [each for each in objects if each["kind"] == kind]


def named(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    """The one of this kind and name."""
    (found,) = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found


def pod_of(each: Object) -> Object | None:
    """The pod template's spec of a workload."""
    if each["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        return each["spec"]["template"]["spec"]
    if each["kind"] == "CronJob":
        return each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return each["spec"] if each["kind"] == "Pod" else None
