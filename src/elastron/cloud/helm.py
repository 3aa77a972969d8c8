"""Helm, 3 and 4, by its own program."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from elastron.cloud.program import Program, ProgramError, cluster_arguments
from elastron.errors import ConfigError

#: A file, or values themselves (secrets may be among them).
Values = Path | Mapping[str, Any]

VERSION_MIN = (3, 13)  # the first whose dry run asks the cluster
_HINT = "Install helm 3 or 4: https://helm.sh/docs/intro/install/"
#: For helm to say that it gave up, after its own time is over.
_GRACE_S = 30.0
_ABSENT = re.compile(r"release: not found|has no deployed releases")


@dataclass(frozen=True, slots=True)
class Release:
    """A release as the cluster knows it, or as it would become.

    Attributes:
        name: of the release.
        namespace: where it is.
        revision: counts installs, upgrades and rollbacks.
        status: `deployed`, `failed`, `pending-upgrade`, ...
        chart: `gadgetron-1.2.3`; empty where helm does not tell.
        manifest: its objects without hooks, YAML.
        notes: what the chart tells after an install.
    """

    name: str
    namespace: str
    revision: int
    status: str
    chart: str = ""
    manifest: str = ""
    notes: str = ""

    @property
    def pending(self) -> bool:
        """Another helm works on it, or died while it did."""
        return self.status.startswith("pending") or self.status == "uninstalling"


class Helm:
    """Helm against one cluster.

    Args:
        kubeconfig: a file; None: as kubectl finds it (KUBECONFIG, ~/.kube/config).
        context: of the kubeconfig; None: the current one.
        binary: helm's path; None: looked for on the PATH.
    """

    def __init__(
        self,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        binary: str | None = None,
    ) -> None:
        always = cluster_arguments(kubeconfig, context, context_option="--kube-context")
        self._program = Program("helm", _HINT, binary=binary, always=always)

    @cached_property
    def version(self) -> tuple[int, int]:
        """Major and minor version of the program.

        Raises:
            ConfigError: there is none, or it is no helm.
        """
        said = self._program.run("version", "--template", "{{.Version}}")
        found = re.match(r"v?(\d+)\.(\d+)\.", said.strip())
        if found is None:
            raise ConfigError(f"{self._program.path} does not tell helm's version.")
        return int(found[1]), int(found[2])

    # --- charts ---------------------------------------------------------------------------------

    def lint(self, chart: Path | str, values: Sequence[Values] = ()) -> None:
        """Check a chart and values against each other.

        Raises:
            ConfigError: they do not fit; says where.
        """
        with _files(values) as given:
            try:
                self._program.run("lint", str(chart), *given)
            except ProgramError as error:
                raise ConfigError(f"{chart} and its values: {_lint_reason(error)}") from error

    def template(
        self,
        release: str,
        chart: Path | str,
        namespace: str,
        values: Sequence[Values] = (),
        *,
        sets: Sequence[str] = (),
        apis: Sequence[str] = (),
        kube_version: str | None = None,
        hooks: bool = True,
        lookups: bool = False,
    ) -> str:
        """The objects of a chart as YAML.

        Args:
            release: its name.
            chart: folder, archive or reference.
            namespace: where it would go.
            values: later ones win.
            sets: `key=value` each; never secrets.
            apis: `group/version` that the cluster is taken to have.
            kube_version: that the cluster is taken to have.
            hooks: those too, as `helm test`'s; a release's manifest is without.
            lookups: the chart may look into the cluster; all its kinds must be known there.

        Raises:
            ConfigError: the values do not fit.
        """
        more = [word for api in apis for word in ("--api-versions", api)]
        if kube_version is not None:
            more += ["--kube-version", kube_version]
        if not hooks:
            more.append("--no-hooks")
        if lookups:
            more.append("--dry-run=server")
        with _files(values) as given:
            try:
                return self._program.run(
                    "template", release, str(chart), "-n", namespace, *given, *_sets(sets), *more
                )
            except ProgramError as error:
                raise ConfigError(f"{chart} and its values: {_reason(error)}") from error

    # --- releases -------------------------------------------------------------------------------

    def upgrade(
        self,
        release: str,
        chart: Path | str,
        namespace: str,
        values: Sequence[Values] = (),
        *,
        sets: Sequence[str] = (),
        wait_s: float | None = None,
        create_namespace: bool = True,
        dry_run: bool = False,
        timeout_s: float = 300.0,
        version: str | None = None,
        repository: str | None = None,
    ) -> Release:
        """Install a chart, or bring a release to what chart and values say now.

        Values of the release before are not reused: what is installed is what the files say.

        Args:
            release: its name.
            chart: folder, archive or reference.
            namespace: where it is or goes.
            values: later ones win; mappings reach helm by files only we can read.
            sets: `key=value` each; never secrets.
            wait_s: until its objects are ready, so long at most; None: do not wait.
            create_namespace: if it is not there.
            dry_run: change nothing; the answer has the manifest, Secrets included.
            timeout_s: for hooks, where `wait_s` is None.
            version: of a chart from a repository.
            repository: URL of a chart repository where the chart is looked for by name.

        Raises:
            ConfigError: the values do not fit, or the chart is not to be had.
            RemoteError: the cluster refused.
            DeadlineError: it lasted too long.
        """
        limit_s = timeout_s if wait_s is None else wait_s
        more = ["--timeout", f"{max(1, round(limit_s))}s", "-o", "json"]
        if wait_s is not None and not dry_run:
            more.append("--wait")
        if create_namespace and not dry_run:
            more.append("--create-namespace")
        if dry_run:
            more.append("--dry-run=server")
        if version is not None:
            more += ["--version", version]
        if repository is not None:
            more += ["--repo", repository]
        if self.version >= (4, 0):
            # Helm 4 would stop at fields that controllers have written since, as an autoscaler's
            # minimum; helm 3 writes over them.
            more.append("--force-conflicts")
        with _files(values) as given:
            said = self._program.run(
                *("upgrade", release, str(chart), "--install", "-n", namespace),
                *given,
                *_sets(sets),
                *more,
                timeout_s=limit_s + _GRACE_S,
            )
        return _release(_json(said))

    def status(self, release: str, namespace: str) -> Release | None:
        """A release as it is installed, its manifest included; None: there is none."""
        try:
            said = self._program.run("status", release, "-n", namespace, "-o", "json")
        except ProgramError as error:
            if _ABSENT.search(error.complaint):
                return None
            raise
        return _release(_json(said))

    def manifest(self, release: str, namespace: str) -> str:
        """The objects of a release as installed, YAML."""
        return self._program.run("get", "manifest", release, "-n", namespace)

    def values(self, release: str, namespace: str, *, all_values: bool = False) -> dict[str, Any]:
        """The values a release was given; secrets may be among them.

        Args:
            release: its name.
            namespace: where it is.
            all_values: with those of the chart.
        """
        more = ["--all"] if all_values else []
        said = self._program.run("get", "values", release, "-n", namespace, "-o", "json", *more)
        return json.loads(said) or {}

    def releases(self, namespace: str | None = None) -> list[Release]:
        """Releases of a namespace (None: of all), without their manifests."""
        where = ["--all-namespaces"] if namespace is None else ["-n", namespace]
        if self.version < (4, 0):  # later ones list all anyway
            where.append("--all")
        listed = json.loads(self._program.run("list", "-o", "json", *where)) or []
        return [
            Release(
                name=each["name"],
                namespace=each["namespace"],
                revision=int(each["revision"]),
                status=each["status"],
                chart=each["chart"],
            )
            for each in listed
        ]

    def uninstall(self, release: str, namespace: str, *, wait_s: float | None = None) -> None:
        """Take a release away; one that is not there is no error."""
        more: list[str] = []
        if wait_s is not None:
            more = ["--wait", "--timeout", f"{max(1, round(wait_s))}s"]
        self._program.run(
            *("uninstall", release, "-n", namespace, "--ignore-not-found", *more),
            timeout_s=(wait_s or 300.0) + _GRACE_S,
        )

    def test(self, release: str, namespace: str, *, timeout_s: float = 600.0) -> str:
        """Run a release's tests (`helm test`).

        Returns:
            What helm and the tests say.

        Raises:
            ProgramError: a test failed.
        """
        return self._program.run(
            *("test", release, "-n", namespace, "--timeout", f"{round(timeout_s)}s"),
            timeout_s=timeout_s + _GRACE_S,
        )


@contextmanager
def _files(values: Sequence[Values]) -> Iterator[list[str]]:
    """Arguments that name these values; mappings lie in files of ours for as long."""
    with tempfile.TemporaryDirectory(prefix="elastron-values-") as folder:  # of mode 0700
        arguments: list[str] = []
        for number, each in enumerate(values):
            path = each
            if not isinstance(path, Path):
                path = Path(folder) / f"{number}.json"  # JSON is YAML
                path.write_text(json.dumps(each))
            arguments += ["--values", str(path)]
        yield arguments


def _sets(sets: Sequence[str]) -> list[str]:
    return [word for each in sets for word in ("--set", each)]


def _reason(error: ProgramError) -> str:
    """What helm says of a chart, without its own preamble."""
    lines = [
        line.strip()
        for line in error.complaint.splitlines()
        if line.strip() and not line.startswith(("WARNING", "Use --debug", "level="))
    ]
    return "\n".join(lines).removeprefix("Error: ") or str(error)


def _lint_reason(error: ProgramError) -> str:
    """Lint writes what it finds to stdout; of several lines with the same start the last counts."""
    kept = [part for part in re.split(r"\n(?=\[)", error.output) if part.startswith("[ERROR]")]
    return "\n".join(kept).partition("\n\nError:")[0].strip() or _reason(error)


def _json(said: str) -> dict[str, Any]:
    """The JSON of an answer; some versions write lines before it."""
    return json.loads(said[said.index("{") :])


def _release(answer: Mapping[str, Any]) -> Release:
    info = answer.get("info") or {}
    meta = (answer.get("chart") or {}).get("metadata") or {}
    chart = f"{meta['name']}-{meta['version']}" if meta else ""
    return Release(
        name=answer["name"],
        namespace=answer.get("namespace", ""),
        revision=int(answer.get("version", 0)),
        status=info.get("status", ""),
        chart=chart,
        manifest=answer.get("manifest", ""),
        notes=info.get("notes", ""),
    )
