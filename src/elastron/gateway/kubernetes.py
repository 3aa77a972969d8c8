"""The endpoints of a Kubernetes service, from the API, with the pod's own service account.

It needs `list` and `watch` of `endpointslices` (discovery.k8s.io/v1) in the service's namespace;
a Role is enough.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from elastron.errors import ConfigError, ConnectError, RemoteError

#: Where Kubernetes puts token, ca.crt and namespace into every pod.
ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")

#: 1,000 endpoints take about 600 kB.
_ANSWER_BYTES_MAX = 32 << 20
_TIMEOUT_S = 10.0
#: A watch ends after so long and everything is listed anew, so that no lost event matters for long.
_WATCH_S = 60
#: Events come in bursts; one listing serves all of a burst.
_GATHER_S = 0.1
_ADMIN_PORT_NAMES = ("admin", "http-admin", "metrics")
_SCAN_PORT_NAMES = ("gadgetron", "scan", "scans", "mrd")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a service.

    Attributes:
        name: of the pod; empty: the endpoint is no pod.
        host: IP address.
        port: the scan port by its name, else the first one; None: the service names no port.
        admin_port: the admin port by its name.
    """

    name: str
    host: str
    port: int | None
    admin_port: int | None


class EndpointSlices:
    """The endpoint slices of one service.

    Args:
        service: its name.
        namespace: None: our own.
        url: of the API; None: as the pod's environment says.
        folder: with token, ca.crt and namespace.
    """

    def __init__(
        self,
        service: str,
        namespace: str | None = None,
        *,
        url: str | None = None,
        folder: Path = ACCOUNT_FOLDER,
    ) -> None:
        self._service = service
        self._namespace = namespace
        self._url = url
        self._folder = folder
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def changes(self) -> AsyncIterator[list[Endpoint]]:
        """The endpoints, now and after every change; ends only with an error.

        Raises:
            ConfigError: this is no pod of a cluster, or its account is not mounted.
            ConnectError: the API cannot be reached.
            RemoteError: it refuses, or answers nonsense.
        """
        while True:
            endpoints, version = await self.list()
            yield endpoints
            await self._wait_for_change(version)

    async def list(self) -> tuple[list[Endpoint], str]:
        """The endpoints now, and the version a watch goes on from.

        Raises:
            ConfigError, ConnectError, RemoteError: as `changes`.
        """
        try:
            async with self._request({}) as answer:
                data = bytearray()
                async for piece in answer.aiter_bytes():
                    data += piece
                    if len(data) > _ANSWER_BYTES_MAX:
                        raise RemoteError(
                            f"The Kubernetes API answers with more than {_ANSWER_BYTES_MAX} bytes."
                        )
            body = json.loads(data)
            return _endpoints(body), str(body["metadata"]["resourceVersion"])
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RemoteError(
                "The Kubernetes API's answer is no list of endpoint slices."
            ) from error

    async def _wait_for_change(self, version: str) -> None:
        watch = {
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_S),
        }
        try:
            async with self._request(watch) as answer:
                async for line in answer.aiter_raw():
                    if line:
                        break
        except httpx.ReadTimeout:
            return  # quiet beyond the time asked for: list again
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        await asyncio.sleep(_GATHER_S)

    def _request(self, parameters: dict[str, str]) -> Any:
        client = self._connected()
        namespace = self._namespace or self._read("namespace")
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        selector = {"labelSelector": f"kubernetes.io/service-name={self._service}"}
        # The token is read anew each time: Kubernetes replaces it every hour.
        headers = {"Authorization": f"Bearer {self._read('token')}"}
        timeout = _TIMEOUT_S + (_WATCH_S if "watch" in parameters else 0)
        return _Checked(
            client.stream(
                "GET",
                path,
                params=selector | parameters,
                headers=headers,
                timeout=httpx.Timeout(_TIMEOUT_S, read=timeout),
            ),
            namespace,
        )

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            try:
                context = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
            except OSError as error:
                raise self._no_account(error) from error
            self._client = httpx.AsyncClient(
                base_url=self._url or _cluster_url(), verify=context, trust_env=False
            )
        return self._client

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text().strip()
        except OSError as error:
            raise self._no_account(error) from error

    def _no_account(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"No service account in {self._folder} ({error.strerror}). Nodes can be found by "
            "kubernetes:SERVICE only from inside a pod with its account mounted."
        )

    @staticmethod
    def _unreachable(error: httpx.HTTPError) -> ConnectError:
        return ConnectError(f"The Kubernetes API does not answer: {type(error).__name__}: {error}")


class _Checked:
    """A streamed answer whose status is looked at first."""

    def __init__(self, stream: Any, namespace: str) -> None:
        self._stream = stream
        self._namespace = namespace

    async def __aenter__(self) -> httpx.Response:
        answer: httpx.Response = await self._stream.__aenter__()
        if not answer.is_success:
            await self._stream.__aexit__(None, None, None)
            hint = ""
            if answer.status_code in (401, 403):
                hint = (
                    ". Let the pod's service account list and watch endpointslices "
                    f"(discovery.k8s.io) in namespace {self._namespace}"
                )
            raise RemoteError(f"The Kubernetes API answers {answer.status_code}{hint}.")
        return answer

    async def __aexit__(self, *what: Any) -> None:
        await self._stream.__aexit__(*what)


def _cluster_url() -> str:
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    if not host:
        raise ConfigError(
            "KUBERNETES_SERVICE_HOST is not set: kubernetes:SERVICE works only inside a cluster."
        )
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _endpoints(body: dict[str, Any]) -> list[Endpoint]:
    found: list[Endpoint] = []
    # IPv4 first: of a pod with both, the first is taken.
    for each in sorted(body.get("items") or [], key=lambda each: each.get("addressType", "")):
        ports = {port.get("name") or "": port.get("port") for port in each.get("ports") or []}
        scan = _named(ports, _SCAN_PORT_NAMES) or next(iter(ports.values()), None)
        admin = _named(ports, _ADMIN_PORT_NAMES)
        for endpoint in each.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("terminating"):
                continue
            host = endpoint["addresses"][0]
            name = (endpoint.get("targetRef") or {}).get("name") or ""
            found.append(Endpoint(name, host, scan, admin))
    return found


def _named(ports: dict[str, int | None], names: tuple[str, ...]) -> int | None:
    return next((ports[name] for name in names if name in ports), None)
