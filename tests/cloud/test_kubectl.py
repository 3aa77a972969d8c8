"""kubectl against an API server that remembers."""

from __future__ import annotations

import sys

import pytest

from elastron.cloud.kubectl import Kubectl
from elastron.cloud.program import ProgramError
from elastron.errors import ConfigError
from tests.cloud.api_world import World
from tests.cloud.conftest import NAMESPACE


def config_map(name: str, **data: str) -> dict:
    meta = {"name": name, "labels": {"of": name}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def test_versions(kubectl: Kubectl, world: World):
    found = kubectl.versions()
    assert found.server == (1, 34)
    assert found.server_text == world.version
    assert found.client >= (1, 20)
    world.broken = True
    assert kubectl.versions().server is None


def test_where_it_stands(kubeconfig, kubectl: Kubectl):
    assert kubectl.current_context() == "stand-in"
    assert kubectl.current_namespace() == "imaging"
    nowhere = Kubectl(kubeconfig=kubeconfig, context="absent", binary=kubectl._program.path)
    with pytest.raises(ProgramError, match="absent"):
        nowhere.raw("/version")


def test_objects_are_applied_found_changed_and_deleted(kubectl: Kubectl, world: World):
    kubectl.apply(config_map("a", one="1"))
    kubectl.apply([config_map("b", one="1"), config_map("c")])
    kubectl.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: d}}")
    assert {each["metadata"]["name"] for each in kubectl.find("configmaps")} == set("abcd")
    (found,) = kubectl.find("configmaps", selector="of=b")
    assert found["data"] == {"one": "1"}
    kubectl.patch("configmap", "b", {"data": {"two": "2"}})
    after = kubectl.get("configmap", "b")
    assert after is not None
    assert after["data"] == {"one": "1", "two": "2"}
    kubectl.delete("configmap", "b")
    kubectl.delete("configmap", "b")
    assert kubectl.get("configmap", "b") is None
    assert ("configmaps", NAMESPACE, "b") not in world.objects


def test_a_trial_changes_nothing(kubectl: Kubectl, world: World):
    kubectl.apply(config_map("a"), dry_run=True)
    assert ("configmaps", NAMESPACE, "a") not in world.objects
    world.refused["a"] = "not here"
    with pytest.raises(ProgramError, match="not here"):
        kubectl.apply(config_map("a"), dry_run=True)


def test_whether_there_is_one_is_asked_without_its_content(kubectl: Kubectl):
    kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    assert kubectl.exists("secret", "s")
    assert not kubectl.exists("secret", "t")


def test_reviews_come_back_with_their_answer(kubectl: Kubectl, world: World):
    world.denied.add("delete pods")
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "resource": "pods"}},
        }
        for verb in ("get", "delete")
    ]
    assert [each["status"]["allowed"] for each in kubectl.create(reviews)] == [True, False]
    (one,) = kubectl.create(reviews[1:])
    assert one["status"]["allowed"] is False
    assert kubectl.create([]) == []


def test_kinds(kubectl: Kubectl):
    found = kubectl.kinds()
    assert found["v1", "Pod"] == ("pods", True)
    assert found["storage.k8s.io/v1", "StorageClass"] == ("storageclasses", False)


def test_raw_paths(kubectl: Kubectl):
    groups = kubectl.raw("/apis")
    assert groups is not None
    assert groups["groups"]
    assert kubectl.raw("/apis/absent.example/v1") is None


def test_waiting(kubectl: Kubectl, world: World):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": NAMESPACE, "labels": {"a": "b"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    world.put(pod)
    kubectl.wait("pod/p", "condition=Ready", timeout_s=60)
    kubectl.wait("pod", "condition=Ready", selector="a=b", timeout_s=60)
    with pytest.raises(ProgramError, match="timed out"):
        kubectl.wait("pod/p", "condition=Happy", timeout_s=1)


def test_secrets_go_by_stdin(tmp_path):
    path = tmp_path / "kubectl"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nopen('{tmp_path}/argv', 'w').write(str(sys.argv))\n"
        f"open('{tmp_path}/stdin', 'w').write(sys.stdin.read())\n"
    )
    path.chmod(0o755)
    stub = Kubectl(binary=str(path))
    stub.apply(config_map("a", password="geheim"))  # noqa: S106
    assert "geheim" not in (tmp_path / "argv").read_text()
    assert "geheim" in (tmp_path / "stdin").read_text()
    stub.patch("configmap", "a", {"data": {"password": "geheim"}})
    assert "geheim" not in (tmp_path / "argv").read_text()


def test_no_kubectl():
    with pytest.raises(ConfigError, match=r"no kubectl .*kubernetes\.io"):
        Kubectl(binary="/nonexistent/kubectl").versions()
