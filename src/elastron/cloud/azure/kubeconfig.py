"""Credentials for a cluster, and the file in which kubectl looks for them."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from elastron.cloud.azure.build import api_version
from elastron.errors import CloudError, ConfigError

if TYPE_CHECKING:
    from elastron.cloud.azure.arm import Arm

_BYTES_MAX = 4 << 20
_TABLES = ("clusters", "users", "contexts")


def default_path() -> Path:
    """Where kubectl writes: the first file of KUBECONFIG, else ~/.kube/config."""
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(listed[0]).expanduser() if listed else Path.home() / ".kube" / "config"


def fetch(arm: Arm, cluster_id: str, *, admin: bool = False) -> str:
    """A kubeconfig for a cluster. It is a secret: never log it.

    Args:
        arm: Azure Resource Manager.
        cluster_id: full id.
        admin: the cluster's own administrator in place of whoever is logged in.

    Raises:
        CloudError: there is no such cluster, or it gives no credentials.
    """
    action = "listClusterAdminCredential" if admin else "listClusterUserCredential"
    version = api_version("Microsoft.ContainerService")
    answer = arm.post(f"{cluster_id}/{action}", version, format="exec")
    for entry in answer.get("kubeconfigs") or []:
        with contextlib.suppress(binascii.Error, UnicodeDecodeError, KeyError, TypeError):
            text = base64.b64decode(entry["value"], validate=True).decode()
            _parsed(text, "Azure's kubeconfig")
            return text
    raise CloudError(f"Azure gives no credentials for {cluster_id.rsplit('/', 1)[-1]}.")


def merge(path: Path, text: str, *, overwrite: bool = False) -> str:
    """Put a kubeconfig's entries into a file, and make its context the current one.

    The file is written whole and at once, readable by its owner only; what else is in it stays.

    Args:
        path: the file; it and its folder are made if they are missing.
        text: from `fetch`.
        overwrite: also replace entries of the same name that lead to another cluster.

    Returns:
        The context's name.

    Raises:
        ConfigError: the file is no kubeconfig or cannot be written, or has entries of the same
            name for another cluster.
    """
    new = _parsed(text, "Azure's kubeconfig")
    old = _load(path)
    if not overwrite:
        _refuse_others(old, new, path)
    for table in _TABLES:
        entries = {one.get("name"): one for one in old.get(table) or []}
        entries |= {one.get("name"): one for one in new.get(table) or []}
        old[table] = list(entries.values())
    context = str(new.get("current-context") or "")
    old["current-context"] = context
    _write(path, {"apiVersion": "v1", "kind": "Config", **old})
    return context


def remove(path: Path, name: str) -> bool:
    """Take the entries of a cluster at Azure out of a file.

    Args:
        path: the file; one that is not there has none.
        name: of the cluster, and so of its contexts `NAME` and `NAME-admin`.

    Returns:
        Whether there were any.

    Raises:
        ConfigError: the file is no kubeconfig or cannot be written.
    """
    if not path.exists():
        return False
    old = _load(path)
    cluster = next((one for one in old.get("clusters") or [] if one.get("name") == name), None)
    if cluster is None or ".azmk8s." not in _host(cluster):
        return False
    contexts = [
        one
        for one in old.get("contexts") or []
        if (one.get("context") or {}).get("cluster") == name
    ]
    names = {one.get("name") for one in contexts}
    users = {(one.get("context") or {}).get("user") for one in contexts}
    kept_users = {
        (one.get("context") or {}).get("user")
        for one in old.get("contexts") or []
        if one not in contexts
    }
    gone = {"clusters": {name}, "contexts": names, "users": users - kept_users}
    for table in _TABLES:
        old[table] = [one for one in old.get(table) or [] if one.get("name") not in gone[table]]
    if old.get("current-context") in names:
        old["current-context"] = ""
    _write(path, old)
    return True


def with_cli_login(text: str) -> str:
    """The same kubeconfig, where kubelogin is to ask the azure-cli and nobody else.

    For programs that cannot answer a question; a kubeconfig without kubelogin stays as it is.
    """
    config = _parsed(text, "Azure's kubeconfig")
    for user in config.get("users") or []:
        call = (user.get("user") or {}).get("exec")
        if not isinstance(call, dict) or "kubelogin" not in str(call.get("command")):
            continue
        words = [str(word) for word in call.get("args") or []]
        for option in ("--login", "-l"):
            if option in words[:-1]:
                words[words.index(option) + 1] = "azurecli"
                break
        else:
            words += ["--login", "azurecli"]
        call["args"] = words
    return yaml.safe_dump(config, sort_keys=False)


def _load(path: Path) -> dict[str, Any]:
    try:
        if not path.exists() or path.stat().st_size == 0:
            return {}
        if path.stat().st_size > _BYTES_MAX:
            raise ConfigError(f"{path} is too large to be a kubeconfig.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}.") from error
    return _parsed(text, str(path))


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        config = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        config = None  # the parser's own words would quote secrets
    if isinstance(config, dict):
        tables = [config.get(table) or [] for table in _TABLES]
        if all(isinstance(t, list) and all(isinstance(one, dict) for one in t) for t in tables):
            return config
    raise ConfigError(f"{source} is no kubeconfig; nothing was changed.")


def _refuse_others(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    there = {one.get("name"): _host(one) for one in old.get("clusters") or []}
    for one in new.get("clusters") or []:
        name, host = one.get("name"), _host(one)
        if name in there and there[name] != host and not _made_again(there[name], host):
            raise ConfigError(
                f"{path} has a cluster {name} already, which is another ({there[name] or 'no'} "
                "address). Say --overwrite, or name another file with --kubeconfig."
            )


def _made_again(old: str, new: str) -> bool:
    """Whether two addresses are of one cluster that was deleted and made again."""
    first, _, rest = old.partition(".")
    other, _, other_rest = new.partition(".")
    same = first.rpartition("-")[0] == other.rpartition("-")[0] != ""
    return same and rest == other_rest and ".azmk8s." in f".{rest}"


def _host(entry: dict[str, Any]) -> str:
    return urlsplit(str((entry.get("cluster") or {}).get("server", ""))).hostname or ""


def _write(path: Path, config: dict[str, Any]) -> None:
    target = path.resolve()  # a link stays one
    temporary = ""
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".kubeconfig-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:  # mkstemp's mode is 0600
            yaml.safe_dump(config, file, sort_keys=False)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
