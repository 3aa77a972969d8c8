from __future__ import annotations

import base64
import json
import shutil
import subprocess

import pytest
import yaml

from elastron.access.manifest import secret_manifest
from elastron.errors import ConfigError

FILES = {"stunnel.secrets": b"client1:4ZYJY+HoIX1xxZM563VpppejPJNQ4S4Z\n"}


def test_a_new_secret() -> None:
    text = secret_manifest("stunnel", FILES)
    assert yaml.safe_load(text) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "stunnel"},
        "type": "Opaque",
        "data": {"stunnel.secrets": base64.b64encode(FILES["stunnel.secrets"]).decode()},
    }
    assert secret_manifest("stunnel", FILES) == text
    assert secret_manifest("stunnel", FILES, existing=text) == text
    namespaced = yaml.safe_load(secret_manifest("stunnel", FILES, namespace="mri"))
    assert namespaced["metadata"] == {"name": "stunnel", "namespace": "mri"}


def test_bringing_one_up_to_date_keeps_the_rest() -> None:
    existing = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "stunnel",
            "namespace": "mri",
            "labels": {"app": "x"},
            "uid": "1",
            "resourceVersion": "5",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "type": "Opaque",
        "data": {"stunnel.secrets": "b2xk", "other": "b3RoZXI="},
        "stringData": {"stunnel.secrets": "old", "more": "plain"},
    }
    for text in (yaml.safe_dump(existing), json.dumps(existing)):
        fresh = yaml.safe_load(secret_manifest("stunnel", FILES, existing=text))
        assert fresh["metadata"] == {"name": "stunnel", "namespace": "mri", "labels": {"app": "x"}}
        assert base64.b64decode(fresh["data"]["stunnel.secrets"]) == FILES["stunnel.secrets"]
        assert fresh["data"]["other"] == "b3RoZXI="
        assert fresh["stringData"] == {"more": "plain"}


@pytest.mark.parametrize(
    ("existing", "problem"),
    [
        ("a: [", "is no YAML"),
        ("kind: ConfigMap", "is not one Secret"),
        ("- 1", "is not one Secret"),
        ("kind: Secret\nmetadata: {name: other}", "of the secret 'other'"),
        ("kind: Secret\nmetadata: {name: stunnel}\nimmutable: true", "is immutable"),
    ],
)
def test_what_cannot_be_brought_up_to_date(existing: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        secret_manifest("stunnel", FILES, existing=existing)


def test_names_kubernetes_does_not_take() -> None:
    for name in ("", "Stunnel", "a_b", "-a", "a" * 254, "a\nb"):
        with pytest.raises(ConfigError, match="cannot be a secret's name"):
            secret_manifest(name, FILES)
    with pytest.raises(ConfigError, match="cannot be a namespace's name"):
        secret_manifest("a", FILES, namespace="A")
    with pytest.raises(ConfigError, match="cannot be an entry"):
        secret_manifest("a", {"a/b": b""})
    with pytest.raises(ConfigError, match="at most 1 MiB"):
        secret_manifest("a", {"a": b"x" * (1 << 20), "b": b"x"})


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kubectl_reads_it() -> None:
    read = subprocess.run(
        ["kubectl", "label", "--local", "-f", "-", "a=b", "-o", "json"],
        input=secret_manifest("stunnel", FILES).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    secret = json.loads(read.stdout)
    assert base64.b64decode(secret["data"]["stunnel.secrets"]) == FILES["stunnel.secrets"]
