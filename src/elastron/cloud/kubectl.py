"""A cluster by kubectl: whatever way of logging in a kubeconfig names works here as well."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastron.cloud.port_forward import PortForward, Target
from elastron.cloud.program import Program, ProgramError, cluster_arguments
from elastron.errors import RemoteError

Object = dict[str, Any]

_HINT = "Install kubectl: https://kubernetes.io/docs/tasks/tools/"
#: For one request to the API server.
REQUEST_S = 20.0


@dataclass(frozen=True, slots=True)
class Versions:
    """Major and minor versions.

    Attributes:
        client: of kubectl.
        server: of the cluster; None: it does not answer.
        server_text: as the cluster says it, `v1.34.2-gke.1`.
    """

    client: tuple[int, int]
    server: tuple[int, int] | None
    server_text: str = ""


class Kubectl:
    """kubectl against one cluster.

    Args:
        kubeconfig: a file; None: as kubectl finds it (KUBECONFIG, ~/.kube/config).
        context: of the kubeconfig; None: the current one.
        namespace: where no other is named; None: the context's.
        binary: kubectl's path; None: looked for on the PATH.
    """

    def __init__(
        self,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        namespace: str | None = None,
        binary: str | None = None,
    ) -> None:
        self.namespace = namespace
        always = cluster_arguments(kubeconfig, context, context_option="--context")
        self._program = Program("kubectl", _HINT, binary=binary, always=always)

    # --- the cluster ----------------------------------------------------------------------------

    def versions(self) -> Versions:
        """Versions of kubectl and of the cluster.

        Raises:
            ConfigError: there is no kubectl.
        """
        # Without a cluster it fails, and tells its own version all the same; but not where the
        # kubeconfig or its context is missing.
        said = self._call("version", "-o", "json", codes=(0, 1))
        told = json.loads(said or self._program.run("version", "--client", "-o", "json"))
        server = told.get("serverVersion")
        return Versions(
            client=_version(told["clientVersion"]),
            server=_version(server) if server else None,
            server_text=server["gitVersion"] if server else "",
        )

    def current_context(self) -> str:
        """Name of the kubeconfig's current context; empty: none."""
        try:
            return self._program.run("config", "current-context").strip()
        except ProgramError:
            return ""

    def current_namespace(self) -> str:
        """Namespace of the context in use."""
        view = ("config", "view", "--minify", "-o", "jsonpath={..namespace}")
        try:
            return self._program.run(*view).strip() or "default"
        except ProgramError:
            return "default"

    def raw(self, path: str) -> Object | None:
        """What the API server answers to a GET of a path; None: 404."""
        try:
            return json.loads(self._call("get", "--raw", path))
        except ProgramError as error:
            if "NotFound" in error.complaint or "could not find" in error.complaint:
                return None
            raise

    def kinds(self) -> dict[tuple[str, str], tuple[str, bool]]:
        """Kinds in the versions that the cluster prefers.

        Returns:
            (`group/version`, kind) to the resource's name and whether it lies in a namespace.
        """
        # One group that is out of order makes it fail; the others are told all the same.
        said = self._call("api-resources", "--no-headers", "--cached=false", codes=(0, 1))
        found: dict[tuple[str, str], tuple[str, bool]] = {}
        for line in said.splitlines():
            words = line.split()  # name, perhaps short names, version, namespaced, kind
            if len(words) >= 4 and words[-2] in ("true", "false"):
                found[words[-3], words[-1]] = (words[0], words[-2] == "true")
        return found

    # --- objects --------------------------------------------------------------------------------

    def get(self, kind: str, name: str, *, namespace: str | None = None) -> Object | None:
        """One object; None: there is none of this name.

        Args:
            kind: as kubectl knows it: `deployment`, `hpa`, `scaledobjects.keda.sh`.
            name: of the object.
            namespace: None: the usual one.
        """
        said = self._call(
            "get", kind, name, "-o", "json", "--ignore-not-found", *self._where(namespace)
        )
        return json.loads(said) if said.strip() else None

    def exists(self, kind: str, name: str, *, namespace: str | None = None) -> bool:
        """Whether there is an object of this name; its content stays where it is."""
        return bool(
            self._call(
                "get", kind, name, "-o", "name", "--ignore-not-found", *self._where(namespace)
            ).strip()
        )

    def find(
        self,
        kinds: str,
        *,
        selector: str | None = None,
        namespace: str | None = None,
        everywhere: bool = False,
    ) -> list[Object]:
        """Objects of a kind, or of several with commas between them.

        Args:
            kinds: as kubectl knows them.
            selector: on labels.
            namespace: None: the usual one.
            everywhere: in all namespaces, or kinds of none.
        """
        where = ["--all-namespaces"] if everywhere else self._where(namespace)
        if selector is not None:
            where += ["--selector", selector]
        return json.loads(self._call("get", kinds, "-o", "json", *where)).get("items") or []

    def apply(
        self,
        manifest: str | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        dry_run: bool = False,
        force: bool = False,
    ) -> None:
        """Bring objects to what the manifest says, by server-side apply.

        Args:
            manifest: YAML, an object or several; it goes by stdin, so Secrets may be in it.
            namespace: of objects that name none; None: the usual one.
            dry_run: only ask whether the cluster would take it.
            force: take over fields that others manage.
        """
        more = ["--dry-run=server"] if dry_run else []
        if force:
            more.append("--force-conflicts")
        self._call(
            *("apply", "--server-side", "--field-manager=elastron", "-f", "-"),
            *self._where(namespace),
            *more,
            stdin=_document(manifest),
        )

    def create(
        self, objects: Sequence[Mapping[str, Any]], *, namespace: str | None = None
    ) -> list[Object]:
        """Create objects; returns them as the cluster answers, reviews with their status."""
        if not objects:
            return []
        said = self._call(
            *("create", "-f", "-", "-o", "json", *self._where(namespace)),
            stdin=_document(objects),
        )
        decoder, found, at = json.JSONDecoder(), [], 0
        while at < len(said.rstrip()):  # one document after the other, or one List
            answer, at = decoder.raw_decode(said, at + _blank(said[at:]))
            found += answer["items"] if answer.get("kind") == "List" else [answer]
        return found

    def patch(
        self, kind: str, name: str, patch: Mapping[str, Any], *, namespace: str | None = None
    ) -> None:
        """Merge fields into an object."""
        self._call(
            *("patch", kind, name, "--type=merge", "--patch-file=/dev/stdin"),
            *self._where(namespace),
            stdin=json.dumps(patch),
        )

    def delete(
        self,
        kind: str,
        name: str,
        *,
        namespace: str | None = None,
        grace_s: int | None = None,
        wait: bool = True,
        timeout_s: float = 300.0,
    ) -> None:
        """Delete an object; one that is not there is no error.

        Args:
            kind: as kubectl knows it.
            name: of the object.
            namespace: None: the usual one.
            grace_s: how long a pod may take to end; 0: it is killed at once.
            wait: until it is gone.
            timeout_s: for so long.
        """
        more = [] if grace_s is None else [f"--grace-period={grace_s}"]
        if grace_s == 0:
            more.append("--force")
        self._program.run(
            *("delete", kind, name, "--ignore-not-found", f"--wait={str(wait).lower()}"),
            *(f"--timeout={max(1, round(timeout_s))}s", *self._where(namespace), *more),
            timeout_s=timeout_s + REQUEST_S,
        )

    def wait(
        self,
        what: str,
        condition: str,
        *,
        selector: str | None = None,
        namespace: str | None = None,
        timeout_s: float = 300.0,
    ) -> None:
        """Wait for a condition.

        Args:
            what: `deployment/NAME`, or a kind with `selector`.
            condition: as kubectl's `--for`: `condition=Available`, `delete`, `jsonpath=...`.
            selector: on labels.
            namespace: None: the usual one.
            timeout_s: for so long.

        Raises:
            ProgramError: it did not come true in time.
        """
        more = [] if selector is None else ["--selector", selector]
        self._program.run(
            *("wait", what, f"--for={condition}", f"--timeout={max(1, round(timeout_s))}s"),
            *self._where(namespace),
            *more,
            timeout_s=timeout_s + REQUEST_S,
        )

    def rollout(
        self, workload: str, *, namespace: str | None = None, timeout_s: float = 300.0
    ) -> None:
        """Wait until a workload (`deployment/NAME`) runs as it is written.

        Raises:
            ProgramError: it does not in time.
        """
        self._program.run(
            *("rollout", "status", workload, f"--timeout={max(1, round(timeout_s))}s"),
            *self._where(namespace),
            timeout_s=timeout_s + REQUEST_S,
        )

    def logs(self, what: str, *, lines: int = 50, namespace: str | None = None) -> str:
        """The last lines of a pod's (or `job/NAME`'s) log."""
        return self._call(
            "logs", what, f"--tail={lines}", "--all-containers", *self._where(namespace)
        )

    def logs_of(self, selector: str, *, lines: int = 50, namespace: str | None = None) -> str:
        """The last lines of the logs of pods that fit labels."""
        return self._call(
            *("logs", "--selector", selector, f"--tail={lines}", "--all-containers"),
            *self._where(namespace),
        )

    @contextmanager
    def port_forward(
        self,
        target: str,
        port: int | str,
        *,
        local_port: int = 0,
        namespace: str | None = None,
        host: str = "127.0.0.1",
    ) -> Iterator[PortForward]:
        """A port of this machine that leads to one of the cluster, for as long as the context.

        Connections go to a pod that is ready; when it leaves, new ones go to another.

        Args:
            target: `service/NAME` or `pod/NAME`.
            port: there, by number or name.
            local_port: here; 0: a free one.
            namespace: None: the usual one.
            host: address of this machine to listen at.

        Raises:
            RemoteError: there is no such target, no pod of it is ready, or the port is taken.
            DeadlineError: it does not begin in time.
        """
        where = tuple(self._where(namespace))
        kind, _, name = target.partition("/")
        if kind == "pod":

            def choose() -> Target:
                return Target(name, str(port), where)
        else:

            def choose() -> Target:
                return self._pod_of_service(name, str(port), namespace)

        with PortForward(self._program, choose, local_port=local_port, host=host) as forward:
            yield forward

    def _pod_of_service(self, name: str, port: str, namespace: str | None) -> Target:
        """A ready pod behind a service, and the pod's port."""
        service = self.get("service", name, namespace=namespace)
        if service is None:
            raise RemoteError(f"There is no service {name} in the namespace.")
        ports = [
            each
            for each in service["spec"].get("ports") or []
            if port in (str(each["port"]), each.get("name"))
        ]
        if not ports:
            raise RemoteError(f"Service {name} has no port {port}.")
        selector = ",".join(f"{k}={v}" for k, v in service["spec"].get("selector", {}).items())
        for pod in self.find("pods", selector=selector, namespace=namespace):
            conditions = (pod.get("status") or {}).get("conditions") or []
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            if ready and not pod["metadata"].get("deletionTimestamp"):
                there = str(ports[0].get("targetPort", port))
                return Target(pod["metadata"]["name"], there, tuple(self._where(namespace)))
        raise RemoteError(f"No pod of service {name} is ready.")

    # --- calls ----------------------------------------------------------------------------------

    def _where(self, namespace: str | None) -> list[str]:
        found = namespace or self.namespace
        return [] if found is None else ["--namespace", found]

    def _call(
        self, *arguments: str, stdin: str | None = None, codes: tuple[int, ...] = (0,)
    ) -> str:
        return self._program.run(
            *arguments,
            f"--request-timeout={REQUEST_S:g}s",
            stdin=stdin,
            timeout_s=3 * REQUEST_S,
            codes=codes,
        )


def _document(manifest: str | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(manifest, str):
        return manifest
    if isinstance(manifest, Mapping):
        return json.dumps(manifest)
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifest)})


def _blank(text: str) -> int:
    return len(text) - len(text.lstrip())


def _version(told: Mapping[str, Any]) -> tuple[int, int]:
    """From `{"major": "1", "minor": "34+"}`."""
    digits = "".join(each for each in str(told["minor"]) if each.isdigit())
    return int(told["major"]), int(digits or 0)
