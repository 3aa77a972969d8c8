"""What the chart is told fits the chart: rendered with the real helm."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from elastron.cloud.azure.chart_values import (
    SHARE_CLASS,
    fleet_fullname,
    fleet_values,
    share_class,
)
from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.plan import plan
from elastron.cloud.azure.resources import resources
from elastron.errors import ConfigError
from tests.cloud.azure.descriptions import FACTS, Memory, everything
from tests.helm.harness import Object, helm, named, of_kind, pod_of

CHART = Path(__file__).parents[3] / "helm/gadgetron"


def answers(aks: Aks) -> dict[str, dict]:
    azure = Memory()
    azure.apply(plan(resources(aks, FACTS), {}))
    return azure.by_key


def rendered(aks: Aks, tmp_path: Path) -> tuple[Object, ...]:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(fleet_values(aks, answers(aks))))
    release = ("template", aks.fleet.release, str(CHART), "-n", aks.fleet.namespace)
    result = helm(*release, "--api-versions", "keda.sh/v1alpha1", "-f", str(values))
    assert result.returncode == 0, result.stderr
    return tuple(each for each in yaml.safe_load_all(result.stdout) if each)


def test_the_storage_server_acts_as_its_identity(tmp_path):
    aks = make_aks({"name": "mrrecon"})
    objects = rendered(aks, tmp_path)
    account = named(objects, "ServiceAccount", "gt1-gadgetron-storage")
    told = answers(aks)
    client_id = told["identity/storage"]["properties"]["clientId"]
    assert account["metadata"]["annotations"]["azure.workload.identity/client-id"] == client_id
    # The federated credential is for exactly this service account.
    subject = told["identity/storage/federation"]["properties"]["subject"]
    assert subject == f"system:serviceaccount:default:{account['metadata']['name']}"
    server = named(objects, "Deployment", "gt1-gadgetron-storage-server")
    template = server["spec"]["template"]
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert template["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert "azure://mrreconsa/storage" in yaml.safe_dump(server)
    assert "storageserversa" not in yaml.safe_dump(server)


def test_nodes_run_on_the_pool_for_scans_and_tolerate_its_taints(tmp_path):
    pool = {"vm_size": "Standard_NC4as_T4_v3", "spot": True, "taints": ["scans:NoExecute"]}
    aks = make_aks({"name": "mrrecon", "pools": {"gpu": pool}})
    node = named(rendered(aks, tmp_path), "Deployment", "gt1-gadgetron-node")
    found = pod_of(node)
    assert found is not None
    spec = found
    assert spec["nodeSelector"] == {"agentpool": "gpu"}
    assert {(each["key"], each.get("value"), each["effect"]) for each in spec["tolerations"]} >= {
        ("sku", "gpu", "NoSchedule"),
        ("kubernetes.azure.com/scalesetpriority", "spot", "NoSchedule"),
        ("scans", None, "NoExecute"),
    }
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


@pytest.mark.parametrize(
    ("size", "cores", "pods"),
    [
        ("Standard_D8s_v5", "2", 3),
        ("Standard_D4s_v5", "1", 3),
        ("Standard_D32s_v5", "8", 3),
        ("Standard_F2s_v2", "1", 1),
        ("Standard_NC4as_T4_v3", None, 1),
        ("Standard_Strange", "1", 1),
    ],
)
def test_pods_ask_for_so_much_that_machines_are_added(size, cores, pods):
    aks = make_aks({"name": "mrrecon", "pools": {"p": {"vm_size": size, "max": 4}}})
    values = fleet_values(aks, answers(aks))
    assert values["resources"].get("requests", {}).get("cpu") == cores
    assert values["hpa"]["maxReplicas"] == 4 * pods


def test_with_keda_nothing_runs_while_nobody_scans_and_gpus_are_a_pool_of_their_own(tmp_path):
    gpu = {"vm_size": "Standard_NC4as_T4_v3", "max": 2}
    aks = make_aks(
        {
            "name": "mrrecon",
            "pools": {"userpool": {}, "gpu": gpu},
            "fleet": {"autoscaler": "keda"},
        }
    )
    scaled = {
        each["metadata"]["name"]: each["spec"]
        for each in of_kind(rendered(aks, tmp_path), "ScaledObject")
    }
    assert set(scaled) == {"gt1-gadgetron-node", "gt1-gadgetron-node-gpu"}
    assert scaled["gt1-gadgetron-node"]["idleReplicaCount"] == 0
    assert scaled["gt1-gadgetron-node-gpu"]["minReplicaCount"] == 0
    assert scaled["gt1-gadgetron-node-gpu"]["maxReplicaCount"] == 2
    node = named(rendered(aks, tmp_path), "Deployment", "gt1-gadgetron-node-gpu")
    spec = pod_of(node)
    assert spec is not None
    assert spec["nodeSelector"] == {"agentpool": "gpu"}
    assert spec["tolerations"][0]["value"] == "gpu"
    # The HPA would keep a machine with a GPU for nobody.
    assert "pools" not in fleet_values(
        make_aks({"name": "mrrecon", "pools": {"a": {}, "b": gpu}}), answers(aks)
    )


@pytest.mark.parametrize("share", ["smb", "nfs", "none"])
def test_volumes_are_of_the_class_that_is_made(tmp_path, share):
    aks = make_aks({"name": "mrrecon", "storage": {"share": share}})
    claim = named(rendered(aks, tmp_path), "PersistentVolumeClaim", "gt1-gadgetron-data")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    used = claim["spec"].get("storageClassName")
    made = share_class(aks)
    if share == "none":
        assert made is None
        assert used is None
        return
    assert made is not None
    assert used == SHARE_CLASS == made["metadata"]["name"]
    assert made["provisioner"] == "file.csi.azure.com"
    assert made["parameters"]["resourceGroup"] == aks.group
    assert all(isinstance(value, str) for value in made["parameters"].values())


def test_shares_are_mounted_without_keys():
    smb = share_class(make_aks({"name": "mrrecon"}))
    assert smb is not None
    assert smb["parameters"]["storageAccount"] == "mrreconsa"
    assert smb["parameters"]["mountWithManagedIdentity"] == "true"
    assert "uid=10001" in smb["mountOptions"]
    nfs = share_class(make_aks({"name": "mrrecon", "storage": {"share": "nfs"}}))
    assert nfs is not None
    assert nfs["parameters"]["storageAccount"] == "mrreconnfs"
    assert nfs["parameters"]["protocol"] == "nfs"
    assert smb["reclaimPolicy"] == nfs["reclaimPolicy"] == "Retain"


def test_values_of_the_description_win(tmp_path):
    aks = everything(
        fleet={
            "release": "mr",
            "namespace": "imaging",
            "values": {"hpa": {"maxReplicas": 3}, "nodeSelector": {"agentpool": "gpu"}},
        }
    )
    values = fleet_values(aks, answers(aks))
    assert values["hpa"]["maxReplicas"] == 3
    assert values["nodeSelector"] == {"agentpool": "gpu"}
    assert values["storageServer"]["blobs"] == "azure://mrreconsa/storage"
    rendered(aks, tmp_path)


@pytest.mark.parametrize(
    ("release", "values"),
    [
        ("gt1", {}),
        ("gadgetron", {}),
        ("my-gadgetron-2", {}),
        ("a" * 50, {}),
        ("x", {"nameOverride": "fleet"}),
        ("x", {"fullnameOverride": "all"}),
    ],
)
def test_the_name_is_the_charts(tmp_path, release, values):
    aks = make_aks({"name": "mrrecon", "fleet": {"release": release, "values": values}})
    services = {each["metadata"]["name"] for each in of_kind(rendered(aks, tmp_path), "Service")}
    assert f"{fleet_fullname(aks)}-storage" in services


@pytest.mark.parametrize(
    ("values", "provider"),
    [
        ({}, "hpa"),
        ({"fleet": {"autoscaler": "keda"}}, "keda"),
        ({"monitoring": {"metrics": "managed"}}, "keda"),
        ({"monitoring": {"metrics": "none"}, "fleet": {"autoscaler": "keda"}}, "keda"),
    ],
)
def test_the_fleet_is_scaled_by_what_there_is(values, provider):
    aks = make_aks({"name": "mrrecon", **values})
    assert fleet_values(aks, answers(aks))["autoscaling"]["provider"] == provider


def test_the_door_is_inside_the_cluster_or_has_an_address_of_the_network(tmp_path):
    inside = named(rendered(make_aks({"name": "mrrecon"}), tmp_path), "Service", "gt1-gadgetron")
    assert inside["spec"]["type"] == "ClusterIP"
    aks = make_aks({"name": "mrrecon", "network": {"internal_load_balancer": True}})
    door = named(rendered(aks, tmp_path), "Service", "gt1-gadgetron")
    assert door["spec"]["type"] == "LoadBalancer"
    annotations = door["metadata"]["annotations"]
    assert annotations["service.beta.kubernetes.io/azure-load-balancer-internal"] == "true"


def test_before_the_identity_is_there_nothing_is_told():
    with pytest.raises(ConfigError, match=r"properties\.clientId of identity/storage"):
        fleet_values(make_aks({"name": "mrrecon"}), {})
