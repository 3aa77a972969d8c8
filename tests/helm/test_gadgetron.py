"""What the fleet's chart renders, and what it means to our own programs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from elastron.autoscaler.controller_settings import ControllerSettings, Scaler
from elastron.cli.settings import load_settings
from elastron.gateway.discovery import parse_source
from elastron.gateway.settings import GatewaySettings
from elastron.node.beside import SidecarSettings
from tests.helm.harness import APIS, CHARTS, named, of_kind, refusal, render, values_files

CHART = "gadgetron"
README = CHARTS / CHART / "examples" / "original-readme.yaml"
EVERYTHING = CHARTS / CHART / "examples" / "everything.yaml"
EXAMPLES = CHARTS / CHART / "examples"


def _settings(values: Path | None, name: str) -> str:
    return named(render(CHART, values), "ConfigMap", "gt1-gadgetron-settings")["data"][name]


@pytest.mark.parametrize("values", values_files(CHART), ids=lambda path: path.stem)
def test_the_gateway_takes_its_settings(values: Path, tmp_path: Path):
    file = tmp_path / "gateway.yaml"
    file.write_text(_settings(values, "gateway.yaml"))
    settings = load_settings("gateway", GatewaySettings, file=file)
    services = {each["metadata"]["name"] for each in of_kind(render(CHART, values), "Service")}
    assert settings.registry.nodes
    for text in settings.registry.nodes:
        parse_source(text)
        assert text.removeprefix("kubernetes:").partition(".")[0] in services


@pytest.mark.parametrize("values", values_files(CHART), ids=lambda path: path.stem)
def test_the_controller_takes_its_settings(values: Path, tmp_path: Path):
    file = tmp_path / "controller.yaml"
    file.write_text(_settings(values, "controller.yaml"))
    settings = load_settings("controller", ControllerSettings, file=file)
    objects = render(CHART, values)
    scalers = {each["metadata"]["name"] for each in of_kind(objects, "HorizontalPodAutoscaler")}
    for pool in settings.pools:
        assert pool.scaler is not Scaler.HPA or pool.object in scalers
    pods = named(objects, "Deployment", "gt1-gadgetron-node")["spec"]["template"]["metadata"]
    for text in settings.pods.split(","):
        key, _, value = text.partition("=")
        assert pods["labels"][key] == value
    assert settings.gateways in {each["metadata"]["name"] for each in of_kind(objects, "Service")}


def test_journal_sizes_stay_below_their_volume(tmp_path: Path):
    file = tmp_path / "gateway.yaml"
    file.write_text(_settings(None, "gateway.yaml"))
    journal = load_settings("gateway", GatewaySettings, file=file).journal
    assert journal.memory_bytes_max == 2**30
    assert journal.disk_bytes_max == 18 * 2**30


def test_services_keep_the_names_of_the_original():
    ports = {
        each["metadata"]["name"]: each["spec"]["ports"][0]["port"]
        for each in of_kind(render(CHART), "Service")
    }
    assert ports["gt1-gadgetron"] == 9002
    assert ports["gt1-gadgetron-metrics"] == 8090
    assert ports["gt1-gadgetron-storage"] == 8080


def test_the_originals_example_deploys_what_it_did():
    objects = render(CHART, README)
    node = named(objects, "Deployment", "gt1-gadgetron-node")["spec"]["template"]["spec"]
    gadgetron, sidecar = node["containers"]
    assert gadgetron["image"].endswith(
        "gadgetron_ubuntu_rt_cuda@sha256:"
        "7f55c1fd1cdd45c898884265649dedfe85ac297384ec5f096e3da9298fe61a16"
    )
    assert gadgetron["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert sidecar["image"] == "ghcr.io/elastron/elastron:0.1.0"
    settings = {each["name"]: each.get("value") for each in sidecar["env"]}
    assert settings["ELASTRON_SIDECAR__DRAIN_TIMEOUT_S"] == "3570"
    SidecarSettings.model_validate(
        {name.partition("__")[2].lower(): value or "10.0.0.1" for name, value in settings.items()}
    )
    assert node["nodeSelector"] == {"agentpool": "userpool"}
    assert node["tolerations"][0]["key"] == "sku"
    hpa = named(objects, "HorizontalPodAutoscaler", "gt1-gadgetron-node")["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (1, 20)
    assert hpa["metrics"][0]["pods"]["target"]["averageValue"] == "500m"
    sizes = {
        each["metadata"]["name"]: each["spec"]["resources"]["requests"]["storage"]
        for each in of_kind(objects, "PersistentVolumeClaim")
    }
    assert sizes == {"gt1-gadgetron-data": "1000Gi", "gt1-gadgetron-dependencies": "20Gi"}
    controller = yaml.safe_load(_settings(README, "controller.yaml"))["controller"]
    (rule,) = controller["pools"][0]["schedule"]
    assert rule["up"] == {"cron": "0 7 * * 1-5", "min": 5}
    assert rule["down"] == {"cron": "0 18 * * 1-5", "min": 1}


@pytest.mark.parametrize(
    ("repository", "engine"),
    [
        ("ghcr.io/gadgetron/gadgetron/gadgetron_ubuntu_rt_nocuda", "gadgetron"),
        ("ghcr.io/gadgetron/gadgetron/ubuntu22_cuda_rt@sha256:00", "gadgetron"),
        ("gadgetron/gadgetron", "gadgetron"),
        ("ghcr.io/elastron/elastron", "elastron"),
        ("registry.example/gadgetron/elastron-gpu", "elastron"),
    ],
)
def test_the_image_tells_the_engine(repository: str, engine: str):
    node = named(
        render(CHART, settings=(f"image.repository={repository}",)),
        "Deployment",
        "gt1-gadgetron-node",
    )
    names = [each["name"] for each in node["spec"]["template"]["spec"]["containers"]]
    assert names == (["gadgetron", "sidecar"] if engine == "gadgetron" else ["node"])


def test_engine_wins_over_the_image():
    node = named(
        render(CHART, settings=("image.repository=mine/recon", "engine=gadgetron")),
        "Deployment",
        "gt1-gadgetron-node",
    )
    assert [each["name"] for each in node["spec"]["template"]["spec"]["containers"]] == [
        "gadgetron",
        "sidecar",
    ]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("hpa.maxReplica=3", "maxReplica"),
        ("hpa.schedule.up.schedule=now", "schedule"),
        ("gateway.archive=sometimes", "archive"),
        ("storage.accessMode=Often", "accessMode"),
        ("pools[0].nam=gpu", "nam"),
    ],
)
@pytest.mark.parametrize("version", ["helm3", "helm4"])
def test_misspelt_values_are_named(setting: str, told: str, version: str):
    assert told in refusal(CHART, setting, version=version)


def test_several_storage_servers_need_a_real_database():
    assert "PostgreSQL" in refusal(CHART, "storageServer.replicaCount=2")


def test_nodes_drain_and_have_the_time_for_it():
    objects = render(CHART, settings=("terminationGracePeriodSeconds=600",))
    node = named(objects, "Deployment", "gt1-gadgetron-node")["spec"]["template"]["spec"]
    assert node["terminationGracePeriodSeconds"] == 600
    (container,) = node["containers"]
    assert container["lifecycle"]["preStop"]["exec"]["command"][:2] == ["elastron", "drain"]
    (limit,) = [
        each["value"]
        for each in container["env"]
        if each["name"] == "ELASTRON_NODE__DRAIN_TIMEOUT_S"
    ]
    assert int(limit) < 600


def test_a_mirror_serves_every_image():
    for each in render(CHART, EVERYTHING):
        if each["kind"] == "Deployment":
            for container in each["spec"]["template"]["spec"]["containers"]:
                assert container["image"].startswith("registry.hospital.example/mirror/")


def test_monitoring_comes_where_the_cluster_knows_it():
    assert not of_kind(render(CHART), "ServiceMonitor")
    assert len(of_kind(render(CHART, apis=APIS), "ServiceMonitor")) == 1
    assert len(of_kind(render(CHART, apis=APIS), "PrometheusRule")) == 1


def test_minimal_needs_nothing_of_the_cluster():
    objects = render(CHART, CHARTS / CHART / "values-minimal.yaml", apis=APIS)
    kinds = {each["kind"] for each in objects}
    assert not kinds & {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
    assert not kinds & {"HorizontalPodAutoscaler", "CronJob"}
    for claim in of_kind(objects, "PersistentVolumeClaim"):
        assert "storageClassName" not in claim["spec"]
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_the_controller_may_do_little():
    (role,) = [
        each
        for each in of_kind(render(CHART), "Role")
        if each["metadata"]["name"].endswith("-controller")
    ]
    verbs = {verb for rule in role["rules"] for verb in rule["verbs"]}
    assert not verbs & {"delete", "*", "deletecollection", "escalate"}
    resources = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert resources == {"pods", "endpointslices", "horizontalpodautoscalers", "leases"}


def test_the_originals_test_values_deploy_what_they_did():
    objects = render(CHART, EXAMPLES / "original-test-values.yaml")
    pod = named(objects, "Deployment", "gt1-gadgetron-node")["spec"]["template"]["spec"]
    # They name no image, so it is ours.
    (node,) = pod["containers"]
    assert node["resources"]["requests"] == {"cpu": "2000m", "memory": "25Gi"}
    assert node["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert pod["nodeSelector"] == {"agentpool": "userpool"}
    data = named(objects, "PersistentVolumeClaim", "gt1-gadgetron-data")["spec"]
    assert data["storageClassName"] == "azurefile"
    assert data["resources"]["requests"]["storage"] == "10Gi"


def test_what_the_original_left_in_place_can_be_upgraded():
    """Deployments of its names have labels that cannot change; claims would have to grow."""
    objects = render(CHART)
    names = {each["metadata"]["name"] for each in of_kind(objects, "Deployment")}
    assert not names & {"gt1-gadgetron", "gt1-gadgetron-storage"}
    data = named(objects, "PersistentVolumeClaim", "gt1-gadgetron-data")["spec"]
    assert data["accessModes"] == ["ReadWriteMany"]
    assert data["resources"]["requests"]["storage"] == "100Gi"


def test_helm_test_finds_the_pod_whose_log_it_shows():
    pod = named(render(CHART), "Pod", "gt1-gadgetron-test")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["containers"][0]["args"] == ["check", "gt1-gadgetron:9002"]


def test_gateways_of_one_rollout_go_to_different_machines():
    spec = named(render(CHART), "Deployment", "gt1-gadgetron-gateway")["spec"]
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    # Without it the old pods count as well, and two new ones may end up on one machine.
    assert spread["matchLabelKeys"] == ["pod-template-hash"]
    assert spread["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"]


@pytest.mark.parametrize("values", [None, EXAMPLES / "everything.yaml"])
def test_what_is_told_to_end_while_it_starts_ends(values: Path | None):
    ours = [
        each
        for each in of_kind(render(CHART, values), "Deployment")
        if not each["metadata"]["name"].endswith("-placeholder")
    ]
    assert len(ours) >= 4
    for deployment in ours:
        # Process 1 of a container would not hear SIGTERM before it has asked for it.
        spec = deployment["spec"]["template"]["spec"]
        assert spec["shareProcessNamespace"] is True, deployment["metadata"]["name"]


def _notes(folder: Path, *settings: str) -> str:
    """NOTES.txt, rendered as an object's text: `helm template` leaves it out."""
    chart = folder / CHART
    if not chart.exists():
        shutil.copytree(CHARTS / CHART, chart)
        (chart / "templates" / "NOTES.txt").rename(chart / "notes.txt")
        (chart / "templates" / "notes.yaml").write_text(
            "kind: Notes\nmetadata: {name: notes}\n"
            'text: {{ tpl (.Files.Get "notes.txt") . | quote }}\n'
        )
    (notes,) = of_kind(render(str(chart), settings=settings), "Notes")
    return notes["text"]


def test_notes_tell_three_commands(tmp_path: Path):
    text = _notes(tmp_path)
    commands = re.findall(r"^     (\S.*)$", text, re.MULTILINE)
    assert [each.split()[0] for each in commands] == ["kubectl", "kubectl", "helm"]
    assert "-n imaging" in commands[0]
    assert "service/gt1-gadgetron 9002:9002" in commands[1]
    assert "prometheus-adapter" in text
    assert "prometheus-adapter" not in _notes(tmp_path, "autoscaling.provider=none")


def test_notes_warn_of_an_autoscaler_that_could_never_shrink(tmp_path: Path):
    # Kubernetes shrinks only while every metric of an HPA is known.
    assert "never shrinks" in _notes(tmp_path)
    for without in (
        "prometheusRule.enabled=true",
        "autoscaling.demandMetric=false",
        "autoscaling.provider=none",
    ):
        assert "never shrinks" not in _notes(tmp_path, without)
