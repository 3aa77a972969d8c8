"""Values that say what a cluster has: storage, load balancers, IP families, priorities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helm.harness import CHARTS, Object, named, of_kind, refusal, render

CHART = "gadgetron"
EXAMPLES = CHARTS / CHART / "examples"


def _storage(objects: tuple[Object, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pod and container of the storage server."""
    deployment = named(objects, "Deployment", "gt1-gadgetron-storage-server")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


def _secrets(pod: dict[str, Any]) -> dict[str, bool]:
    """Names of the secrets a pod mounts, and whether it starts without them."""
    return {
        each["secret"]["secretName"]: each["secret"].get("optional", False)
        for each in pod["volumes"]
        if "secret" in each
    }


def _env(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container["env"]}


def _claims(objects: tuple[Object, ...]) -> dict[str, dict[str, Any]]:
    return {
        each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "PersistentVolumeClaim")
    }


def test_sqlite_lies_on_a_disk_of_its_own():
    claims = _claims(render(CHART, settings=("storage.storageClass=azurefile",)))
    assert claims["gt1-gadgetron-data"]["accessModes"] == ["ReadWriteMany"]
    assert claims["gt1-gadgetron-data"]["storageClassName"] == "azurefile"
    assert claims["gt1-gadgetron-dependencies"]["accessModes"] == ["ReadWriteOnce"]
    assert "storageClassName" not in claims["gt1-gadgetron-dependencies"]


def test_the_account_of_the_original_is_used_where_it_is():
    pod, container = _storage(render(CHART))
    assert _secrets(pod) == {"storageserversa": True}
    assert "/secrets/account/connectionString" in container["args"][0]


def test_the_originals_server_gets_what_it_reads():
    """It has no shell, and knows the variables with _FILE."""
    objects = render(CHART, EXAMPLES / "original-values.yaml")
    pod, container = _storage(objects)
    service = named(objects, "Service", "gt1-gadgetron-storage")
    assert "elastron.dev/scrape" not in service["metadata"]["labels"]  # it tells no metrics
    assert container["image"] == "ghcr.io/ismrmrd/mrd-storage-server:v0.0.8"
    assert not {"command", "args"} & set(container)
    env = _env(container)
    assert env["MRD_STORAGE_SERVER_PORT"] == "8080"
    assert env["MRD_STORAGE_SERVER_STORAGE_PROVIDER"] == "azureblob"
    assert (
        env["MRD_STORAGE_SERVER_STORAGE_CONNECTION_STRING_FILE"]
        == "/secrets/account/connectionString"
    )
    assert env["MRD_STORAGE_SERVER_DATABASE_PROVIDER"] == "sqlite"
    assert _secrets(pod) == {"storageserversa": False}


def test_several_servers_share_everything():
    settings = ("storageServer.replicaCount=3", "storageServer.databaseSecretName=db")
    objects = render(CHART, settings=settings)
    pod, container = _storage(objects)
    assert _secrets(pod) == {"db": False, "storageserversa": False}
    assert "gt1-gadgetron-dependencies" not in _claims(objects)
    assert not [each for each in pod["volumes"] if "persistentVolumeClaim" in each]
    assert "[ -s" not in container["args"][0]
    assert named(objects, "PodDisruptionBudget", "gt1-gadgetron-storage")
    told = refusal(CHART, *settings, "storageServer.storageAccountConnectionStringSecretName=")
    assert "all replicas reach" in told


@pytest.mark.parametrize(
    ("values", "annotation", "label"),
    [
        ("aks.yaml", "azure.workload.identity/client-id", "azure.workload.identity/use"),
        ("eks.yaml", "eks.amazonaws.com/role-arn", None),
    ],
)
def test_a_workload_identity_needs_no_secret(values: str, annotation: str, label: str | None):
    objects = render(CHART, EXAMPLES / values)
    pod, container = _storage(objects)
    assert _secrets(pod) == {}
    assert "STORAGE_CONNECTION_STRING=" in container["args"][0]
    account = named(objects, "ServiceAccount", pod["serviceAccountName"])
    assert account["metadata"]["annotations"][annotation]
    template = named(objects, "Deployment", "gt1-gadgetron-storage-server")["spec"]["template"]
    assert label is None or template["metadata"]["labels"][label] == "true"


def test_keys_of_a_bucket_come_as_files():
    pod, container = _storage(render(CHART, EXAMPLES / "everything-keda.yaml"))
    assert _secrets(pod) == {"storage-database": False, "storage-keys": False}
    assert 'AWS_SECRET_ACCESS_KEY="$(cat /secrets/blobs/secretAccessKey)"' in container["args"][0]


@pytest.mark.parametrize("blobs", ["ftp://x", "s3://b'; rm -rf /"])
def test_odd_blob_urls_are_refused(blobs: str):
    assert "blobs" in refusal(CHART, f"storageServer.blobs={blobs}")


def test_an_internal_load_balancer_has_every_clouds_words():
    door = named(render(CHART, EXAMPLES / "everything.yaml"), "Service", "gt1-gadgetron")
    annotations = door["metadata"]["annotations"]
    assert annotations["service.beta.kubernetes.io/azure-load-balancer-internal"] == "true"
    assert annotations["service.beta.kubernetes.io/aws-load-balancer-scheme"] == "internal"
    assert annotations["networking.gke.io/load-balancer-type"] == "Internal"
    # Azure forgets silent connections after four minutes otherwise.
    assert annotations["service.beta.kubernetes.io/azure-load-balancer-tcp-idle-timeout"] == "30"
    assert annotations["example.com/team"] == "imaging"
    assert door["spec"]["externalTrafficPolicy"] == "Local"
    assert door["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/8"]


def test_source_ranges_hold_in_the_network_policy_too():
    policy = named(
        render(CHART, EXAMPLES / "everything.yaml"), "NetworkPolicy", "gt1-gadgetron-gateway"
    )
    outside = [
        rule
        for rule in policy["spec"]["ingress"]
        if any("ipBlock" in each for each in rule.get("from", []))
    ]
    assert [each["from"] for each in outside] == [[{"ipBlock": {"cidr": "10.0.0.0/8"}}]]


@pytest.mark.parametrize(
    ("values", "policy", "families"),
    [
        (None, "PreferDualStack", None),
        (EXAMPLES / "everything.yaml", "RequireDualStack", ["IPv6", "IPv4"]),
        (EXAMPLES / "everything-keda.yaml", "SingleStack", ["IPv6"]),
    ],
)
def test_ip_families_are_those_of_every_service(
    values: Path | None, policy: str, families: list[str] | None
):
    for each in of_kind(render(CHART, values), "Service"):
        assert each["spec"]["ipFamilyPolicy"] == policy
        assert each["spec"].get("ipFamilies") == families


def test_nothing_listens_on_one_family_only():
    for values in (None, EXAMPLES / "everything-keda.yaml"):
        for each in render(CHART, values):
            assert "0.0.0.0" not in str(each), each["metadata"]["name"]  # noqa: S104


def test_placeholders_may_bring_their_priority():
    objects = render(CHART, EXAMPLES / "gpu-pool.yaml")
    (priority,) = of_kind(objects, "PriorityClass")
    assert priority["value"] < 0
    placeholder = named(objects, "Deployment", "gt1-gadgetron-node-gpu-placeholder")
    spec = placeholder["spec"]["template"]["spec"]
    assert spec["priorityClassName"] == priority["metadata"]["name"]
    node = named(objects, "Deployment", "gt1-gadgetron-node-gpu")["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == node["nodeSelector"]
    assert spec["tolerations"] == node["tolerations"]
    wanted, held = (each["containers"][0]["resources"]["requests"] for each in (node, spec))
    assert held == wanted
    assert "priorityClassName" in refusal(CHART, "placeholders.replicas=1")


def test_a_lone_gateway_does_not_hold_up_a_machine():
    lone = render(CHART, settings=("gateway.replicas=1",))
    assert "gt1-gadgetron-gateway" not in {
        each["metadata"]["name"] for each in of_kind(lone, "PodDisruptionBudget")
    }


def test_an_image_may_be_pinned_anywhere():
    digest = "sha256:" + "1" * 64
    objects = render(
        CHART,
        settings=(
            f"image.digest={digest}",
            "pools[0].name=gpu",
            f"pools[0].image.repository=mirror.example/gpu@{digest}",
            f"storageServer.image=mirror.example/store@{digest}",
        ),
    )
    images = {
        container["image"]
        for each in of_kind(objects, "Deployment")
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images == {
        f"ghcr.io/elastron/elastron@{digest}",
        f"mirror.example/gpu@{digest}",
        f"mirror.example/store@{digest}",
    }
