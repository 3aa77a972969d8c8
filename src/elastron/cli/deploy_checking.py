"""Whether a deployed fleet keeps its promises: scans, storage, growing, and a node that dies."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ismrmrd import xsd
from rich.status import Status

from elastron.cli.checking import CONFIGS, Verdict, check_config, compare_images
from elastron.cli.console import print_json, stderr, stdout
from elastron.cli.deploying import finding_line, findings_json
from elastron.cli.fleet_admin import Admin, begun_anew, others, places, session_of
from elastron.cli.fleet_findings import (
    figures,
    grown_finding,
    held_findings,
    scaler_problem,
    verdict_finding,
)
from elastron.cli.held_scan import HeldScan
from elastron.client import Client
from elastron.cloud.checks import Finding, Result, fail, ok, warn
from elastron.cloud.helm import Helm
from elastron.cloud.kubectl import Kubectl
from elastron.cloud.program import ProgramError
from elastron.cloud.release import Fleet, Pool, find_fleet, pods
from elastron.errors import ConfigError, ConnectError, ElastronError, RemoteError
from elastron.mrd.acquisition import AcquisitionFlag
from elastron.pipeline import reconstruct
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions

_NOISE_CONFIG = "default_measurement_dependencies.xml"
_SCAN_CONFIG = "Generic_Cartesian_FFT.xml"
#: Nothing may stand still for so long, where no scan is held on purpose.
_SILENCE_S = 120.0
_LOOK_S = 2.0
#: More than a pool's places, so that one waits.
_MORE = 1
#: Metrics are scraped, adapted and looked at, each every so often.
_METRIC_LAG_S = 120.0


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the check found, and how long it took in seconds."""

    part: str
    finding: Finding
    seconds: float


class FleetCheck:
    """The check of one release.

    Args:
        helm: for tests inside the cluster.
        kubectl: for everything else.
        release: name of the fleet.
        timeout_s: for each thing that is waited for.
        json: one document on stdout at the end.
    """

    def __init__(
        self, helm: Helm, kubectl: Kubectl, release: str, *, timeout_s: float, json: bool
    ) -> None:
        self._helm = helm
        self._kubectl = kubectl
        self._release = release
        self._timeout_s = timeout_s
        self._json = json
        self._found: list[Part] = []
        self._status: Status | None = None

    def run(
        self,
        parts: Sequence[str],
        *,
        configs: Sequence[str] | None,
        pool: str,
        scans: int | None,
        in_cluster: bool,
    ) -> bool:
        """Try these parts one after the other.

        Args:
            parts: of `scan`, `storage`, `scale`, `kill`.
            configs: for `scan`; None: common ones.
            pool: for `scale` and `kill`.
            scans: at once for `scale`; None: more than there are places.
            in_cluster: `helm test` too.

        Returns:
            Nothing failed.

        Raises:
            ConfigError: there is no such fleet or pool.
            RemoteError: the cluster refuses.
        """
        fleet = find_fleet(self._kubectl, self._release)
        _pool(fleet, pool)
        doings: dict[str, Callable[[], Iterator[Finding]]] = {
            "scan": lambda: self._scan(fleet, configs or CONFIGS),
            "storage": lambda: self._storage(fleet),
            "in-cluster": self._in_cluster,
            "scale": lambda: self._scale(fleet, pool, scans),
            "kill": lambda: self._kill(fleet, pool),
        }
        wanted = [*parts, *(["in-cluster"] if in_cluster else [])]
        with stderr().status("") as self._status:
            for part, doing in doings.items():
                if part in wanted:
                    self._try(part, doing)
        if self._json:
            print_json(
                [
                    {"part": each.part, **findings_json(each.finding), "seconds": each.seconds}
                    for each in self._found
                ]
            )
        return all(each.finding.result is not Result.FAIL for each in self._found)

    def _try(self, part: str, doing: Callable[[], Iterator[Finding]]) -> None:
        self._say(f"{part} …")
        began = time.monotonic()
        findings = doing()
        while True:
            try:
                finding = next(findings, None)
            except ElastronError as error:  # this part is over, the next ones may tell more
                finding = fail(str(error), f"kubectl -n {self._kubectl.namespace} get pods")
                findings = iter(())
            if finding is None:
                return
            now = time.monotonic()
            self._found.append(Part(part, finding, round(now - began, 3)))
            began = now
            if not self._json:
                stdout().print(finding_line(finding), soft_wrap=True)

    def _say(self, words: str) -> None:
        if self._status is not None:
            self._status.update(words)

    # --- scans ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _client(self, target: str, port: int | str, timeout_s: float) -> Iterator[Client]:
        with self._kubectl.port_forward(target, port) as forward:
            yield Client(forward.host, forward.port, timeout=timeout_s)

    def _scan(self, fleet: Fleet, configs: Sequence[str]) -> Iterator[Finding]:
        with self._client(f"service/{fleet.service}", fleet.port, _SILENCE_S) as client:
            for config in configs:
                try:
                    verdict = check_config(client, config)
                except ConnectError as error:
                    yield fail(str(error), f"kubectl get endpoints {fleet.service}")
                    return
                yield verdict_finding(verdict)

    def _storage(self, fleet: Fleet) -> Iterator[Finding]:
        """A noise scan, and a scan that depends on it, as scanners send them."""
        settings = PhantomSettings(matrix=64, coils=4, noise_readouts=256, seed=time.time_ns())
        header, batches = phantom_acquisitions(settings)
        items = list(batches)
        noise = [
            each for each in items if each.any_flag(AcquisitionFlag.IS_NOISE_MEASUREMENT).all()
        ]
        rest = items[len(noise) :]
        dependent = copy.deepcopy(header)
        information = dependent.measurementInformation
        assert information is not None  # noqa: S101  - phantoms have it
        noise_id = str(information.measurementID)
        information.measurementID = f"{noise_id}-2"
        information.measurementDependency = [
            xsd.measurementDependencyType(dependencyType="Noise", measurementID=noise_id)
        ]
        with self._client(f"service/{fleet.service}", fleet.port, _SILENCE_S) as client:
            client.send((header, noise), _NOISE_CONFIG)
            result = client.send((dependent, rest), _SCAN_CONFIG)
        ours = reconstruct(items, _SCAN_CONFIG, header=header)
        difference, problem = compare_images(result.images, ours)
        problem = "; ".join([*([problem] if problem else []), *result.texts])
        verdict = Verdict(_SCAN_CONFIG, len(result.images), difference, result.seconds, problem)
        if problem:
            yield fail(
                f"a scan that needs a stored noise scan: {problem}",
                "look at the storage server: kubectl logs -l app.kubernetes.io/component=storage",
            )
        else:
            yield ok(f"a scan found its noise scan in storage ({figures(verdict)})")

    def _in_cluster(self) -> Iterator[Finding]:
        namespace = self._kubectl.namespace or "default"
        try:
            self._helm.test(self._release, namespace, timeout_s=self._timeout_s)
        except ProgramError as error:
            selector = f"app.kubernetes.io/instance={self._release},elastron.dev/role=test"
            log = self._kubectl.logs_of(selector, lines=10)
            yield fail(f"helm test: {error.complaint}\n{log}".strip(), "see the pod's log above")
        else:
            yield ok("helm test: scans from inside the cluster are right")

    # --- growing and shrinking ------------------------------------------------------------------

    def _scale(self, fleet: Fleet, name: str, scans: int | None) -> Iterator[Finding]:
        before = _pool(fleet, name)
        if before.scaler is None:
            yield warn(
                f"pool {name} has no autoscaler, so it was not tried", "autoscaling.provider"
            )
            return
        if before.wanted >= before.scaler.maximum:
            yield warn(
                f"pool {name} is at its limit of {before.scaler.maximum} nodes already",
                "raise hpa.maxReplicas, or try when less is going on",
            )
            return
        with (
            self._gateway(fleet) as (client, admin),
            _held(client, scans or places(admin, name) + _MORE) as held,
        ):
            words = f"{len(held)} scans at once: pool {name}"
            grown = self._wait_pool(name, lambda pool: pool.wanted > before.wanted, words)
            if grown.wanted > before.wanted:
                grown = self._wait_pool(name, lambda pool: pool.ready > before.ready, words)
            yield grown_finding(before, grown, len(held))
            for each in held:  # all of them: one that waits in the queue needs another's place
                each.finish()
            verdicts = [each.result(self._timeout_s) for each in held]
        yield from held_findings(verdicts)
        if grown.wanted <= before.wanted:
            return
        patience_s = before.scaler.shrink_after_s + _METRIC_LAG_S + self._timeout_s
        began = time.monotonic()
        shrunk = self._wait_pool(
            name, lambda pool: pool.wanted <= before.wanted, f"pool {name} shrinks", patience_s
        )
        seconds = time.monotonic() - began
        if shrunk.wanted > before.wanted:
            yield fail(
                f"pool {name} still has {shrunk.wanted} nodes {seconds:.0f} s after the scans"
                + scaler_problem(shrunk),
                f"kubectl describe hpa {before.workload}",
            )
        else:
            yield ok(f"pool {name} shrank to {shrunk.wanted} again within {seconds:.0f} s")

    def _wait_pool(
        self, name: str, done: Callable[[Pool], bool], words: str, timeout_s: float | None = None
    ) -> Pool:
        """Look until it is so or time is over; the pool as it was then."""
        deadline = time.monotonic() + (timeout_s or self._timeout_s)
        while True:
            pool = _pool(find_fleet(self._kubectl, self._release), name)
            self._say(f"{words}: {pool.ready} of {pool.wanted} nodes ready")
            if done(pool) or time.monotonic() > deadline:
                return pool
            time.sleep(_LOOK_S)

    # --- a node that dies -----------------------------------------------------------------------

    def _kill(self, fleet: Fleet, name: str) -> Iterator[Finding]:
        pool = _pool(fleet, name)
        with self._gateway(fleet) as (client, admin), _held(client, 1) as (scan,):
            self._say("a scan finds a node …")
            session = self._until(lambda: session_of(admin, scan), scan)
            if session is None:
                yield fail(
                    "the scan found no node" + _why(scan), "see the gateway's /fleet and /queue"
                )
                return
            victim = self._pod_of(pool, admin, session["node"])
            if victim is None:
                yield warn(
                    f"the scan runs on {session['node']}, no pod of pool {name}: nothing killed",
                    "choose by --pool the pool that default.xml goes to",
                )
                return
            if more := others(admin, session):
                yield warn(
                    f"{more} more scans run on {victim}; it was not killed",
                    "try when less is going on",
                )
                return
            self._kubectl.delete("pod", victim, grace_s=0, wait=False)
            self._say(f"{victim} is killed; the scan is begun anew …")
            again = self._until(lambda: begun_anew(admin, session["id"], session["attempt"]), scan)
            verdict = scan.result(self._timeout_s)
        if verdict is None or verdict.problem:
            why = "it did not end in time" if verdict is None else verdict.problem
            yield fail(f"{victim} was killed, and the scan was lost: {why}", "see kubectl logs")
        elif again is None:
            yield warn(
                f"{victim} was killed, and the scan ended well before that mattered", "try again"
            )
        else:
            yield ok(
                f"{victim} was killed in the middle of a scan; on {again['node']} it came to its "
                f"end ({figures(verdict)})"
            )

    def _until(
        self, look: Callable[[], dict[str, Any] | None], scan: HeldScan
    ) -> dict[str, Any] | None:
        """What is looked for; None: not in time, or the scan ended before."""
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline and scan.over is None:
            if (found := look()) is not None:
                return found
            time.sleep(_LOOK_S / 8)
        return None

    def _pod_of(self, pool: Pool, admin: Admin, node: str) -> str | None:
        address = next(
            (each["address"] for each in admin.get("/fleet")["nodes"] if each["id"] == node), node
        )
        host = address.rpartition(":")[0].strip("[]")
        there = pods(self._kubectl, pool.selector)
        # The gateway calls a node by its pod, unless it knows it by DNS.
        return next((pod.name for pod in there if node == pod.name), None) or next(
            (pod.name for pod in there if pod.host and pod.host == host), None
        )

    # --- the gateway ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _gateway(self, fleet: Fleet) -> Iterator[tuple[Client, Admin]]:
        """Scans and admin pages of the same gateway: each knows its own sessions only."""
        ready = [each for each in pods(self._kubectl, fleet.gateways) if each.ready]
        if not ready:
            raise RemoteError("No gateway is ready.")
        pod = f"pod/{ready[0].name}"
        silence_s = 2 * self._timeout_s + _SILENCE_S
        with (
            self._client(pod, "scans", silence_s) as client,
            self._kubectl.port_forward(pod, "admin") as admin,
        ):
            yield client, Admin(f"http://{admin.address}")


@contextlib.contextmanager
def _held(client: Client, count: int) -> Iterator[list[HeldScan]]:
    """Scans that stand still in the middle; none is left behind."""
    scans = [HeldScan(client, seed) for seed in range(count)]
    try:
        for each in scans:
            each.start()
        yield scans
    finally:
        for each in scans:
            each.finish()


def _pool(fleet: Fleet, name: str) -> Pool:
    for pool in fleet.pools:
        if pool.name == name:
            return pool
    raise ConfigError(
        f"The fleet {fleet.release} has no pool {name}; it has "
        f"{', '.join(each.name for each in fleet.pools) or 'none'}."
    )


def _why(scan: HeldScan) -> str:
    return f": {scan.over.problem}" if scan.over is not None else ""
