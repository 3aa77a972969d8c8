"""Files as a Kubernetes Secret: a manifest for `kubectl apply`, new or brought up to date."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import yaml

from elastron.errors import ConfigError

#: Names of objects (RFC 1123 subdomain) and of a secret's entries, as Kubernetes takes them.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
#: Kubernetes takes 1 MiB.
_BYTES_MAX = 1 << 20
#: What the cluster adds and does not want back.
_CLUSTERS_OWN = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


def secret_manifest(
    name: str,
    files: Mapping[str, bytes],
    *,
    namespace: str | None = None,
    existing: str | None = None,
) -> str:
    """A Secret that holds `files`; the same input gives the same text.

    Args:
        files: content by name.
        namespace: None: the one kubectl is set to.
        existing: a manifest (YAML or JSON, as `kubectl get secret NAME -o yaml` prints it) to bring
            up to date: its labels, annotations and other entries stay.

    Raises:
        ConfigError: a name Kubernetes does not take, too much content, or `existing` is not a
            Secret of that name.
    """
    for kind, text, pattern in (("secret", name, _NAME), ("namespace", namespace, _NAME)):
        if text is not None and (len(text) > 253 or not pattern.fullmatch(text)):
            raise ConfigError(
                f"{text!r} cannot be a {kind}'s name: small letters, digits, '-' and '.'."
            )
    for entry in files:
        if not _KEY.fullmatch(entry):
            raise ConfigError(f"{entry!r} cannot be an entry of a secret: letters, digits, '-._'.")
    if sum(map(len, files.values())) > _BYTES_MAX:
        raise ConfigError("A secret holds at most 1 MiB.")
    secret = _parsed(existing, name) if existing is not None else {}
    metadata: dict[str, Any] = dict(secret.get("metadata") or {})
    metadata["name"] = name
    if namespace is not None:
        metadata["namespace"] = namespace
    for key in _CLUSTERS_OWN:
        metadata.pop(key, None)
    data = dict(secret.get("data") or {})
    data.update({entry: base64.b64encode(content).decode() for entry, content in files.items()})
    plain = {k: v for k, v in (secret.get("stringData") or {}).items() if k not in files}
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": secret.get("type", "Opaque"),
        "data": data,
        **({"stringData": plain} if plain else {}),
    }
    return yaml.safe_dump(manifest, sort_keys=False, width=10_000)


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        secret = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError("The manifest to bring up to date is no YAML.") from error
    if not isinstance(secret, dict) or secret.get("kind") != "Secret":
        raise ConfigError("The manifest to bring up to date is not one Secret.")
    found = (secret.get("metadata") or {}).get("name")
    if found != name:
        raise ConfigError(f"The manifest to bring up to date is of the secret {found!r}.")
    if secret.get("immutable"):
        raise ConfigError(f"The secret {name} is immutable; make one of another name.")
    return secret
