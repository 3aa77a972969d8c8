"""Helm 3 and 4, against an API server that remembers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from elastron.cloud.helm import Helm
from elastron.cloud.program import ProgramError
from elastron.errors import ConfigError, ElastronError
from tests.cloud.api_world import World
from tests.cloud.conftest import NAMESPACE
from tests.helm.harness import CHARTS

IPERF = CHARTS / "iperf3"
FLEET = CHARTS / "gadgetron"
MINIMAL = FLEET / "values-minimal.yaml"


def test_versions(any_helm: Helm):
    assert any_helm.version[0] in (3, 4)


def test_something_else_is_no_helm(tmp_path):
    path = tmp_path / "helm"
    path.write_text(f"#!{sys.executable}\nprint('I am no helm')\n")
    path.chmod(0o755)
    with pytest.raises(ConfigError, match="does not tell"):
        _ = Helm(binary=str(path)).version


def test_values_are_checked_against_the_chart(any_helm: Helm):
    any_helm.lint(FLEET, [MINIMAL])
    for doing in (any_helm.lint, lambda c, v: any_helm.template("gt1", c, NAMESPACE, v)):
        with pytest.raises(ConfigError, match="replicaCont"):
            doing(FLEET, [MINIMAL, {"replicaCont": 2}])


def test_the_last_values_win(any_helm: Helm):
    rendered = any_helm.template(
        "gt1", FLEET, NAMESPACE, [MINIMAL, {"replicaCount": 3}, {"replicaCount": 5}], hooks=False
    )
    assert "replicas: 5" in rendered
    assert "helm.sh/hook" not in rendered
    assert "helm.sh/hook" in any_helm.template("gt1", FLEET, NAMESPACE, [MINIMAL])


def test_what_a_cluster_is_taken_to_have(any_helm: Helm):
    apis = ["monitoring.coreos.com/v1"]
    rendered = any_helm.template("gt1", FLEET, NAMESPACE, apis=apis, kube_version="v1.30.1")
    assert "kind: ServiceMonitor" in rendered
    with pytest.raises(ConfigError, match=r"1\.20"):
        any_helm.template("gt1", FLEET, NAMESPACE, kube_version="v1.20.0")


def test_values_reach_helm_by_files_and_not_by_its_arguments(tmp_path):
    """Every user of a machine sees arguments."""
    path = tmp_path / "helm"
    path.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "files = [sys.argv[i + 1] for i, a in enumerate(sys.argv) if a == '--values']\n"
        "folder = os.path.dirname(files[0])\n"
        "print(sys.argv, open(files[0]).read(), oct(os.stat(folder).st_mode), folder)\n"
    )
    path.chmod(0o755)
    said = Helm(binary=str(path)).template("a", "b", "c", [{"password": "geheim"}])
    arguments, _, rest = said.partition("]")
    assert "geheim" not in arguments
    assert "geheim" in rest
    assert "0o40700" in rest
    assert not Path(rest.split()[-1]).exists()


def test_the_life_of_a_release(any_helm: Helm, world: World):
    assert any_helm.status("net", NAMESPACE) is None
    made = any_helm.upgrade("net", IPERF, NAMESPACE, wait_s=60)
    assert (made.revision, made.status, made.pending) == (1, "deployed", False)
    assert made.chart.startswith("iperf3-")
    (name,) = {name for kind, _, name in world.objects if kind == "deployments"}
    changed = any_helm.upgrade("net", IPERF, NAMESPACE, [{"nodeSelector": {"a": "b"}}])
    assert changed.revision == 2
    spec = world.named("deployments", name)["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"a": "b"}
    assert any_helm.values("net", NAMESPACE) == {"nodeSelector": {"a": "b"}}
    assert "image" in str(any_helm.values("net", NAMESPACE, all_values=True))
    found = any_helm.status("net", NAMESPACE)
    assert found is not None
    assert found.revision == 2
    assert "kind: Deployment" in found.manifest
    assert found.manifest.strip() == any_helm.manifest("net", NAMESPACE).strip()
    assert [each.name for each in any_helm.releases(NAMESPACE)] == ["net"]
    assert [each.namespace for each in any_helm.releases()] == [NAMESPACE]
    any_helm.uninstall("net", NAMESPACE)
    assert ("deployments", NAMESPACE, name) not in world.objects
    any_helm.uninstall("net", NAMESPACE)


def test_a_dry_run_changes_nothing(any_helm: Helm, world: World):
    before = set(world.objects)
    would = any_helm.upgrade("net", IPERF, NAMESPACE, dry_run=True)
    assert "kind: Deployment" in would.manifest
    assert set(world.objects) == before


@pytest.mark.parametrize(("version", "told"), [("v3.17.2", False), ("v4.1.4", True)])
def test_an_upgrade_writes_over_what_controllers_wrote(tmp_path, version, told):
    """Helm 4 would stop at an autoscaler's minimum that the schedule has set; helm 3 does not."""
    path = tmp_path / "helm"
    path.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"if sys.argv[1] == 'version': sys.exit(print('{version}'))\n"
        f"open('{tmp_path}/argv', 'w').write(' '.join(sys.argv))\n"
        'print(\'{"name": "gt1"}\')\n'
    )
    path.chmod(0o755)
    Helm(binary=str(path)).upgrade("gt1", FLEET, NAMESPACE)
    assert ("--force-conflicts" in (tmp_path / "argv").read_text()) is told


def test_a_namespace_is_made_if_wished(any_helm: Helm, world: World):
    with pytest.raises(ElastronError, match="not found"):
        any_helm.upgrade("net", IPERF, "elsewhere", create_namespace=False)
    any_helm.upgrade("net", IPERF, "elsewhere")
    assert ("namespaces", "", "elsewhere") in world.objects


def test_a_cluster_that_is_out_of_order(helm: Helm, world: World):
    world.broken = True
    with pytest.raises(ProgramError):
        helm.status("net", NAMESPACE)
