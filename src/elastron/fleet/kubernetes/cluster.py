"""The Kubernetes API as the controller needs it, through kr8s (extra `kubernetes`)."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import httpx

from elastron.errors import ConfigError, ConnectError, RemoteError
from elastron.fleet.kubernetes.leadership import DURATION_S, Lease
from elastron.fleet.kubernetes.upkeep import POOL, Pod

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
_SCALERS = "/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
_PODS = "/api/v1/namespaces/{namespace}/pods"
_MERGE = {"Content-Type": "application/merge-patch+json"}
#: Asked to wait (429) or out of order (5xx): so often, so long at most.
_TRIES = 4
_PAUSE_S_MAX = 10.0
_TIMEOUT_S = 10.0
#: A watch ends by itself after so long, and the caller lists anew.
_WATCH_S = 60


class ConflictError(RemoteError):
    """Somebody else wrote first; read again."""


class Cluster:
    """One namespace of a cluster.

    Args:
        namespace: whose objects are meant.
        url: of the API server, for tests; None: from the pod's account or the user's kubeconfig.

    Raises:
        ConfigError: kr8s is not installed.
    """

    def __init__(self, namespace: str, *, url: str | None = None) -> None:
        self.namespace = namespace
        self._url = url
        self._api: Any = None

    # --- pods -----------------------------------------------------------------------------------

    async def pods(self, selector: str) -> list[Pod]:
        """Pods that fit a label selector."""
        body = await self._call("GET", _PODS, params={"labelSelector": selector})
        return [_pod(item) for item in body.get("items") or []]

    async def changes(self, selector: str) -> AsyncIterator[None]:
        """Something about these pods has changed; ends after a while, or with the connection."""
        params = {"labelSelector": selector, "watch": "1", "timeoutSeconds": str(_WATCH_S)}
        path = _PODS.format(namespace=self.namespace)
        timeout = httpx.Timeout(_TIMEOUT_S, read=_WATCH_S + _TIMEOUT_S)
        how = {"stream": True, "params": params, "timeout": timeout}
        with _told():
            try:
                async with await self._request("GET", path, **how) as answer:
                    async for line in answer.aiter_lines():
                        if line:
                            yield None
            except self._kr8s.ServerError as error:  # 410: too old a version; list anew
                raise RemoteError(_refusal("GET", path, error.response.status_code)) from error

    async def annotate(self, pod: str, annotations: dict[str, str]) -> None:
        """Set annotations of a pod; one that is gone is no error."""
        await self._call(
            "PATCH",
            f"{_PODS}/{pod}",
            json={"metadata": {"annotations": annotations}},
            headers=_MERGE,
            missing_ok=True,
        )

    # --- services ---------------------------------------------------------------------------------

    async def addresses(self, service: str) -> list[str]:
        """Addresses of a service's ready endpoints that are not terminating."""
        params = {"labelSelector": f"kubernetes.io/service-name={service}"}
        body = await self._call("GET", _SLICES, params=params)
        hosts: dict[str, str] = {}
        # IPv4 first: of a pod with both, one address is enough.
        for each in sorted(body.get("items") or [], key=lambda each: each.get("addressType", "")):
            for endpoint in each.get("endpoints") or []:
                conditions = endpoint.get("conditions") or {}
                if conditions.get("ready") is False or conditions.get("terminating"):
                    continue
                host = endpoint["addresses"][0]
                hosts.setdefault((endpoint.get("targetRef") or {}).get("name") or host, host)
        return sorted(hosts.values())

    # --- the scheduled minimum --------------------------------------------------------------------

    async def minimum(self, scaler: str) -> int:
        """`minReplicas` of a HorizontalPodAutoscaler."""
        body = await self._call("GET", f"{_SCALERS}/{scaler}")
        return int(body["spec"].get("minReplicas", 1))

    async def set_minimum(self, scaler: str, minimum: int) -> None:
        """Write `minReplicas` of a HorizontalPodAutoscaler."""
        await self._call(
            "PATCH",
            f"{_SCALERS}/{scaler}",
            json={"spec": {"minReplicas": minimum}},
            headers=_MERGE,
        )

    # --- the lease ------------------------------------------------------------------------------

    async def lease(self, name: str) -> Lease | None:
        """A lease; None: there is none yet."""
        body = await self._call("GET", f"{_LEASES}/{name}", missing_ok=True)
        return None if not body else _lease(body)

    async def write_lease(self, name: str, holder: str, known: Lease | None) -> Lease:
        """Take or renew a lease.

        Args:
            name: of the lease.
            holder: who has it from now on; empty gives it back.
            known: as it was read; None: it is made.

        Raises:
            ConflictError: it is not any more as it was read.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        passed = known is not None and known.holder != holder
        transitions = 0 if known is None else known.transitions + passed
        spec: dict[str, Any] = {
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION_S,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        if known is None or passed:
            spec["acquireTime"] = now
        body: dict[str, Any] = {"metadata": {"name": name}, "spec": spec}
        if known is None:
            body |= {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            return _lease(await self._call("POST", _LEASES, json=body))
        body["metadata"]["resourceVersion"] = known.version
        return _lease(await self._call("PATCH", f"{_LEASES}/{name}", json=body, headers=_MERGE))

    # --- HTTP -----------------------------------------------------------------------------------

    async def _call(
        self, method: str, path: str, *, missing_ok: bool = False, **how: Any
    ) -> dict[str, Any]:
        path = path.format(namespace=self.namespace)
        for attempt in range(_TRIES):
            with _told():
                try:
                    async with await self._request(method, path, timeout=_TIMEOUT_S, **how) as done:
                        return done.json()
                except self._kr8s.ServerError as error:
                    refused = error.response
            code = refused.status_code
            if code == httpx.codes.NOT_FOUND and missing_ok:
                return {}
            if code == httpx.codes.CONFLICT:
                raise ConflictError("somebody else wrote first")
            if code != httpx.codes.TOO_MANY_REQUESTS and code < 500:
                raise RemoteError(_refusal(method, path, code))
            pause_s = float(refused.headers.get("Retry-After") or 2**attempt / 4)
            await asyncio.sleep(min(pause_s, _PAUSE_S_MAX))
        raise ConnectError("The Kubernetes API is overloaded or out of order; trying again later.")

    async def _request(self, method: str, path: str, **how: Any) -> Any:
        """A request by kr8s, which renews its token when it is refused."""
        if self._api is None:
            self._api = await self._kr8s.asyncio.api(url=self._url, namespace=self.namespace)
        base, _, last = path.rpartition("/")
        return self._api.call_api(method, base=base, version="", url=last, **how)

    @cached_property
    def _kr8s(self) -> Any:
        try:
            import kr8s.asyncio  # noqa: PLC0415  - an extra
        except ModuleNotFoundError as missing:
            raise ConfigError(
                "Talking to Kubernetes needs kr8s: pip install 'elastron[kubernetes]'"
            ) from missing
        # It warns of servers newer than itself. What is asked of them here is stable.
        warnings.filterwarnings("ignore", ".*Kubernetes version", UserWarning)
        return kr8s


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What goes wrong on the way, in our words."""
    try:
        yield
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        raise ConnectError(
            f"The Kubernetes API does not answer: {type(error).__name__}: {error}"
        ) from error
    except KeyError as error:  # kr8s expects Kubernetes' own form of a refusal
        raise RemoteError("What answers for the Kubernetes API is none.") from error
    except ValueError as error:  # kr8s: no account, no kubeconfig
        raise ConfigError(f"There is no way to a Kubernetes API: {error}") from error


def _refusal(method: str, path: str, code: int) -> str:
    hint = ""
    if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        hint = "; its service account may not do that, see the chart's Role"
    return f"The Kubernetes API answers {code} to {method} {path}{hint}."


def _pod(item: dict[str, Any]) -> Pod:
    meta, status = item["metadata"], item.get("status") or {}
    return Pod(
        name=meta["name"],
        host=status.get("podIP") or "",
        running=status.get("phase") == "Running" and not meta.get("deletionTimestamp"),
        annotations=meta.get("annotations") or {},
        pool=(meta.get("labels") or {}).get(POOL, "default"),
    )


def _lease(body: dict[str, Any]) -> Lease:
    spec = body.get("spec") or {}
    return Lease(
        holder=spec.get("holderIdentity") or "",
        version=body["metadata"].get("resourceVersion", ""),
        renewed=spec.get("renewTime") or "",
        duration_s=float(spec.get("leaseDurationSeconds") or DURATION_S),
        transitions=int(spec.get("leaseTransitions") or 0),
    )
