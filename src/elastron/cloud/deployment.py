"""One release of a chart onto one cluster: what is to be done, whether it can be, and doing it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastron.cloud import checks, facts, manifest
from elastron.cloud.charts import FLEET, find_chart
from elastron.cloud.checks import Finding, Result
from elastron.cloud.diff import Difference, differences
from elastron.cloud.helm import VERSION_MIN, Helm, Release, Values
from elastron.cloud.kubectl import Kubectl
from elastron.cloud.release import progress
from elastron.errors import DeadlineError, ElastronError, RemoteError

#: Between looks at what comes up.
LOOK_S = 2.0
_PENDING_TODO = (
    "if no other helm works on it now: helm rollback {release} -n {namespace}, or for a first "
    "install helm uninstall {release} -n {namespace}; then deploy again"
)

#: Told now and then: ready and wanted pods by workload, and what pods suffer from.
OnProgress = Callable[[Mapping[str, tuple[int, int]], list[str]], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be deployed.

    Attributes:
        release: its name.
        namespace: where to.
        chart: one of ours by name, a folder, an archive or a reference.
        values: later ones win; secrets only in mappings and files.
        sets: `key=value` each.
        wait_s: until everything runs; None: not at all.
        context: of the kubeconfig, to be named in commands; None: the current one.
    """

    release: str
    namespace: str
    chart: str = FLEET
    values: tuple[Values, ...] = ()
    sets: tuple[str, ...] = ()
    wait_s: float | None = 600.0
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to do.

    Attributes:
        wish: that it is for.
        chart: where it is.
        cluster: its version; empty: it does not answer.
        findings: of all checks.
        installed: the release as it is; None: it is new.
        differences: that helm will make; empty where the cluster does not answer.
    """

    wish: Wish
    chart: Path | str
    cluster: str
    findings: tuple[Finding, ...]
    installed: Release | None
    differences: tuple[Difference, ...]

    @property
    def possible(self) -> bool:
        """No check failed."""
        return all(each.result is not Result.FAIL for each in self.findings)


def prepare(helm: Helm, kubectl: Kubectl, wish: Wish) -> Plan:
    """Look at chart, values and cluster, and change nothing.

    Raises:
        ConfigError: chart and values do not fit, or a program is missing.
        RemoteError, DeadlineError: the cluster breaks off in the middle.
    """
    chart = find_chart(wish.chart)
    findings = [_helm_finding(helm)]
    # Values that do not fit are told before any cluster is asked.
    _render(helm, wish, chart)
    versions, problem = facts.reach(kubectl)
    if problem:
        unreached = facts.Facts(versions, problem, wish.namespace)
        findings += checks.reachable(unreached)
        return Plan(wish, chart, "", tuple(findings), None, ())
    apis = facts.api_versions(kubectl)
    given = {"apis": sorted(apis), "kube_version": versions.server_text}
    objects = manifest.objects_of(_render(helm, wish, chart, **given))
    needs = manifest.needs(objects)
    known = facts.gather(kubectl, wish.namespace, needs, objects, versions=versions, apis=apis)
    findings += checks.judge(known, needs)
    installed = None
    if known.namespace_labels is not None:
        installed = helm.status(wish.release, wish.namespace)
    if installed is not None and installed.pending:
        what = f"release {wish.release} is {installed.status}"
        where = {"release": wish.release, "namespace": wish.namespace}
        findings.append(checks.fail(what, _PENDING_TODO.format(**where)))
    if installed is not None and installed.status == "failed":
        findings.append(
            checks.warn(
                f"revision {installed.revision} failed: what is installed may not be all of it, "
                "and more may change than is shown",
                "deploying again puts it right",
            )
        )
    before: list[manifest.Object] = []
    if installed is not None:
        before = manifest.objects_of(installed.manifest)
        # The chart looks at what is there already, as at a volume's class.
        with contextlib.suppress(ElastronError):  # a kind that lacks is among the findings
            objects = manifest.objects_of(_render(helm, wish, chart, lookups=True, **given))
    return Plan(
        wish,
        chart,
        versions.server_text,
        tuple(findings),
        installed,
        tuple(differences(before, objects)),
    )


def carry_out(
    helm: Helm, kubectl: Kubectl, plan: Plan, on_progress: OnProgress | None = None
) -> Release:
    """Install or upgrade, and wait if that is wished.

    Args:
        helm: to do it by.
        kubectl: to look on by.
        plan: of `prepare`.
        on_progress: called from another thread.

    Raises:
        ConfigError: the values do not fit.
        RemoteError, DeadlineError: it failed; says what the pods suffer from.
    """
    wish = plan.wish
    with contextlib.ExitStack() as stack:
        if on_progress is not None and wish.wait_s is not None:
            stack.enter_context(_looking(kubectl, wish.release, on_progress))
        try:
            return helm.upgrade(
                wish.release,
                plan.chart,
                wish.namespace,
                wish.values,
                sets=wish.sets,
                wait_s=wish.wait_s,
            )
        except (RemoteError, DeadlineError) as error:
            problems = _problems(kubectl, wish.release)
            if not problems:
                raise
            raise RemoteError("\n".join([str(error), *problems])) from error


def _helm_finding(helm: Helm) -> Finding:
    version = ".".join(map(str, helm.version))
    if helm.version < VERSION_MIN:
        return checks.fail(f"helm {version} is too old", "install helm 3.13 or newer, or helm 4")
    return checks.ok(f"helm {version}")


def _render(
    helm: Helm,
    wish: Wish,
    chart: Path | str,
    **given: Any,
) -> str:
    return helm.template(
        wish.release,
        chart,
        wish.namespace,
        wish.values,
        sets=wish.sets,
        hooks=False,
        **given,
    )


@contextlib.contextmanager
def _looking(kubectl: Kubectl, release: str, on_progress: OnProgress) -> Iterator[None]:
    done = threading.Event()

    def look() -> None:
        while not done.wait(LOOK_S):
            # Only for show: helm itself says in the end how it went.
            with contextlib.suppress(ElastronError):
                on_progress(*progress(kubectl, release))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _problems(kubectl: Kubectl, release: str) -> list[str]:
    try:
        counts, problems = progress(kubectl, release)
    except ElastronError:
        return []
    behind = [
        f"{name}: {ready} of {wanted} pods are ready"
        for name, (ready, wanted) in sorted(counts.items())
        if ready < wanted
    ]
    return [*behind, *problems]
