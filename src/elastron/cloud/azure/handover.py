"""After Azure is done: credentials, and what goes into the cluster, with Helm.

Each step looks first and does nothing where what is there is as wanted, so that a second run
changes nothing, and one that was cut off is gone on with.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastron.cloud import deployment
from elastron.cloud.azure.additions import Addition, additions
from elastron.cloud.azure.arm import Arm
from elastron.cloud.azure.chart_values import fleet_values, share_class
from elastron.cloud.azure.clock import Clock, SystemClock
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.description_services import Autoscaler
from elastron.cloud.azure.events import Event, Progress, Step, note, silent
from elastron.cloud.azure.kubeconfig import default_path, fetch, merge, with_cli_login
from elastron.cloud.azure.session import Login
from elastron.cloud.checks import Finding, Result
from elastron.cloud.facts import api_versions, reach
from elastron.cloud.helm import Helm
from elastron.cloud.kubectl import Kubectl
from elastron.errors import CloudError, DeadlineError

Json = Mapping[str, Any]

_ADDITION_S = 900.0
#: The first scan node has to be bought and started: some minutes; images are large.
_FLEET_S = 1800.0
_TEST_S = 1200.0
_KEDA_S = 600.0
_LOOK_S = 10.0
_KEDA_API = "keda.sh/v1alpha1"


@dataclass(frozen=True)
class Done:
    """What was handed over.

    Attributes:
        kubeconfig: the file in which the credentials are.
        context: its context for the cluster.
        steps: what was looked after in the cluster, each with `installed` or `kept`.
        release: of the fleet; None: none was wanted.
        namespace: of the fleet.
    """

    kubeconfig: Path
    context: str
    steps: tuple[tuple[str, str], ...] = ()
    release: str | None = None
    namespace: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "kubeconfig": str(self.kubeconfig),
            "context": self.context,
            "steps": [{"what": what, "result": result} for what, result in self.steps],
            "release": self.release,
            "namespace": self.namespace,
        }


def hand_over(
    aks: Aks,
    answers: Mapping[str, Json],
    arm: Arm,
    login: Login,
    *,
    kubeconfig: Path | None = None,
    progress: Progress = silent,
    test: bool = True,
) -> Done:
    """Fetch credentials, and install what the description says into the cluster.

    Args:
        aks: the description.
        answers: what Azure has, by key, from `Engine.carry_out`.
        arm: for the credentials.
        login: who asks.
        kubeconfig: where credentials go; None: where kubectl looks.
        progress: is told.
        test: send a scan through the fleet in the end.

    Raises:
        CloudError: the cluster cannot be reached, or something stands against the fleet there.
        ConfigError: helm or kubectl is missing, or the values do not fit.
        RemoteError, DeadlineError: the cluster refused, or takes too long.
    """
    text = fetch(arm, str(answers["cluster"]["id"]))
    where = kubeconfig or default_path()
    context = merge(where, text)
    progress(note(f"{context} is the current context of {where}."))
    if not aks.fleet.install:
        return Done(where, context)
    with _own(text) as own:
        into = Into(Helm(kubeconfig=own), Kubectl(kubeconfig=own), progress, arm.clock)
        steps = into.bring(aks, answers, test=test)
    return Done(where, context, steps, aks.fleet.release, aks.fleet.namespace)


@contextlib.contextmanager
def _own(text: str) -> Iterator[Path]:
    """A kubeconfig of our own: the user may change the current context meanwhile."""
    with tempfile.TemporaryDirectory(prefix="elastron-aks-") as folder:  # of mode 0700
        path = Path(folder) / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(with_cli_login(text), encoding="utf-8")
        yield path


class Into:
    """What is put into a cluster.

    Args:
        helm: against it.
        kubectl: against it.
        progress: is told.
        clock: for pauses.
    """

    def __init__(
        self,
        helm: Helm,
        kubectl: Kubectl,
        progress: Progress = silent,
        clock: Clock | None = None,
    ) -> None:
        self._helm = helm
        self._kubectl = kubectl
        self._progress = progress
        self._clock = clock or SystemClock()
        self._steps: list[tuple[str, str]] = []

    def bring(
        self, aks: Aks, answers: Mapping[str, Json], *, test: bool
    ) -> tuple[tuple[str, str], ...]:
        """Bring the cluster to what is described; see `hand_over`."""
        self._reach(aks)
        self.share(aks)
        for addition in additions(aks):
            self._add(addition)
        if aks.autoscaler is Autoscaler.KEDA:
            self.await_keda()
        changed = self._fleet(aks, answers)
        if test and changed:
            with self._step("test scan", "send"):
                self._helm.test(aks.fleet.release, aks.fleet.namespace, timeout_s=_TEST_S)
        return tuple(self._steps)

    def _reach(self, aks: Aks) -> None:
        _, problem = reach(self._kubectl)
        if not problem:
            return
        if aks.network.private_cluster:
            raise CloudError(
                f"The cluster {aks.name} is made, but its Kubernetes API is private and not to be "
                f"reached from here ({problem}). Join its network (elastron aks vpn client, or a "
                "peered network), then run the command again: it goes on with the fleet."
            )
        raise CloudError(
            f"The cluster {aks.name} is made, but its Kubernetes API is not to be reached from "
            f"here: {problem}. Is this machine within network.authorized_ranges? Then run the "
            "command again: it goes on with the fleet."
        )

    def share(self, aks: Aks) -> None:
        """Make the class of shared volumes, or make it again where it is to be another."""
        wanted = share_class(aks)
        if wanted is None:
            return
        name = wanted["metadata"]["name"]
        there = self._kubectl.get("storageclass", name)
        if there is not None and all(there.get(key) == wanted[key] for key in _CLASS_KEYS):
            self._kept(f"storage class {name}")
            return
        with self._step(f"storage class {name}", "install"):
            if there is not None:  # nothing in a class can be changed; volumes do not mind
                self._kubectl.delete("storageclass", name)
            self._kubectl.apply(wanted)

    def await_keda(self) -> None:
        """Wait for KEDA, which AKS installs some time after the cluster is there."""
        until = self._clock.now() + _KEDA_S
        while _KEDA_API not in api_versions(self._kubectl):
            if self._clock.now() > until:
                raise DeadlineError(
                    f"The cluster still has no KEDA after {_KEDA_S / 60:.0f} minutes, which AKS "
                    "installs by itself (az aks show: workloadAutoScalerProfile). Run the command "
                    "again, or say fleet.autoscaler=hpa."
                )
            self._clock.sleep(_LOOK_S)

    def _add(self, addition: Addition) -> None:
        there = self._helm.status(addition.release, addition.namespace)
        what = f"{addition.chart} as {addition.release}"
        if there is not None and there.status == "deployed":
            values = self._helm.values(addition.release, addition.namespace)
            if values == addition.values:
                self._kept(what)
                return
        with self._step(what, "install"):
            self._helm.upgrade(
                addition.release,
                addition.chart,
                addition.namespace,
                [addition.values],
                repository=addition.repository,
                wait_s=_ADDITION_S if addition.wait else None,
            )

    def _fleet(self, aks: Aks, answers: Mapping[str, Json]) -> bool:
        fleet = aks.fleet
        values = fleet_values(aks, answers)
        wish = deployment.Wish(fleet.release, fleet.namespace, values=(values,), wait_s=_FLEET_S)
        prepared = deployment.prepare(self._helm, self._kubectl, wish)
        what = f"fleet {fleet.release}"
        for finding in prepared.findings:
            if finding.result is Result.WARN:
                self._progress(note(_said(finding)))
        if not prepared.possible:
            failed = [one for one in prepared.findings if one.result is Result.FAIL]
            raise CloudError(
                f"The cluster {aks.name} is made; the fleet cannot be installed yet: "
                + " | ".join(map(_said, failed))
            )
        there = prepared.installed
        if there is not None and there.status == "deployed" and not prepared.differences:
            self._kept(what)
            return False
        with self._step(what, "install"):
            deployment.carry_out(self._helm, self._kubectl, prepared)
        return True

    def _kept(self, what: str) -> None:
        self._steps.append((what, "kept"))

    @contextlib.contextmanager
    def _step(self, what: str, doing: str) -> Iterator[None]:
        self._progress(Event(Step.BEGUN, what, doing))
        yield
        self._progress(Event(Step.DONE, what, doing))
        self._steps.append((what, "installed"))


_CLASS_KEYS = (
    "provisioner",
    "parameters",
    "mountOptions",
    "reclaimPolicy",
    "volumeBindingMode",
    "allowVolumeExpansion",
)


def _said(finding: Finding) -> str:
    return f"{finding.what}: {finding.todo}" if finding.todo else finding.what
