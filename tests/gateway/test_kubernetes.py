from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from elastron.errors import ConfigError, ConnectError, RemoteError
from elastron.gateway.discovery import KubernetesSource
from elastron.gateway.kubernetes import Endpoint, EndpointSlices

from .stand_ins import until
from .test_discovery import watched

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")

TOKEN = "first-token"  # noqa: S105


def make_certificate(folder: Path, name: str = "localhost") -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "1", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.crt")],
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder)
    return folder


class Api:
    """As much of a Kubernetes API server as a watch of endpoint slices needs, over HTTPS."""

    def __init__(self) -> None:
        self.slices: list[dict[str, Any]] = []
        self.version = 1
        self.token = TOKEN
        self.requests: list[str] = []
        self.watches = 0
        self.code = 200
        self._changed = asyncio.Event()

    def change(self, *slices: dict[str, Any]) -> None:
        self.slices = list(slices)
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                url = urlsplit(head.split(" ")[1])
                self.requests.append(head)
                parameters = {key: each[0] for key, each in parse_qs(url.query).items()}
                if f"authorization: bearer {self.token}" not in head.lower():
                    self._write(writer, 401, {"kind": "Status"})
                elif self.code != 200:
                    self._write(writer, self.code, {"kind": "Status"})
                elif url.path != "/apis/discovery.k8s.io/v1/namespaces/fleet/endpointslices":
                    self._write(writer, 404, {})
                elif "watch" in parameters:
                    await self._watch(writer, int(parameters["resourceVersion"]))
                else:
                    assert parameters == {"labelSelector": "kubernetes.io/service-name=nodes"}
                    metadata = {"resourceVersion": str(self.version)}
                    self._write(writer, 200, {"metadata": metadata, "items": self.slices})
        writer.close()

    async def _watch(self, writer: asyncio.StreamWriter, version: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.watches += 1
        if version == self.version:
            await self._changed.wait()
        line = json.dumps({"type": "MODIFIED", "object": {}}).encode() + b"\n"
        writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(line), line))

    @staticmethod
    def _write(writer: asyncio.StreamWriter, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (code, len(data)) + data)


@contextlib.asynccontextmanager
async def serving(certificate: Path) -> AsyncIterator[tuple[Api, str]]:
    api = Api()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.crt", certificate / "key.pem")
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(api.serve(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield api, f"https://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def account(tmp_path: Path, certificate: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "namespace").write_text("fleet")
    shutil.copy(certificate / "ca.crt", tmp_path)
    return tmp_path


def endpoint(host: str, pod: str | None = None, **conditions: bool) -> dict[str, Any]:
    reference = {} if pod is None else {"targetRef": {"kind": "Pod", "name": pod}}
    return {"addresses": [host], "conditions": conditions} | reference


def endpoint_slice(
    *endpoints: dict[str, Any], ports: dict[str, int] | None = None, kind: str = "IPv4"
) -> dict[str, Any]:
    ports = {"admin": 9080, "gadgetron": 9002} if ports is None else ports
    named = [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()]
    return {"addressType": kind, "endpoints": list(endpoints), "ports": named}


async def test_a_service_is_watched(certificate: Path, account: Path) -> None:
    async with serving(certificate) as (api, url):
        api.slices = [
            endpoint_slice(
                endpoint("10.0.0.1", "node-a", ready=True),
                endpoint("10.0.0.2", "node-b", ready=False),  # we ask ourselves
                endpoint("10.0.0.3", "node-c", ready=False, terminating=True),
            ),
            endpoint_slice(endpoint("10.0.0.4")),
            endpoint_slice(endpoint("fd00::1", "node-a"), kind="IPv6"),
        ]
        source = KubernetesSource(
            EndpointSlices("nodes", url=url, folder=account), port=None, admin_port=None, pool="p"
        )
        async with watched(source) as told:
            await until(lambda: told, "a first list")
            assert [(node.id, node.address, node.admin, node.pool) for node in told[0]] == [
                ("node-a", "10.0.0.1:9002", "10.0.0.1:9080", "p"),
                ("node-b", "10.0.0.2:9002", "10.0.0.2:9080", "p"),
                ("10.0.0.4:9002", "10.0.0.4:9002", "10.0.0.4:9080", "p"),
            ]
            await until(lambda: api.watches, "a watch")
            api.change(endpoint_slice(endpoint("10.0.0.9", "node-d")))
            await until(lambda: [node.id for node in told[-1]] == ["node-d"], "the change")
            # Kubernetes replaces the token now and then.
            api.token = "second-token"  # noqa: S105
            (account / "token").write_text("second-token")
            api.change(endpoint_slice(endpoint("10.0.0.8", "node-e")))
            await until(lambda: [node.id for node in told[-1]] == ["node-e"], "the new token")


async def test_ports_by_name_or_by_the_settings(certificate: Path, account: Path) -> None:
    async with (
        serving(certificate) as (api, url),
        EndpointSlices("nodes", url=url, folder=account) as slices,
    ):
        api.slices = [
            endpoint_slice(endpoint("10.0.0.1", "a"), ports={"other": 1}),
            endpoint_slice(endpoint("10.0.0.2", "b"), ports={}),
        ]
        endpoints, version = await slices.list()
        assert endpoints == [
            Endpoint("a", "10.0.0.1", 1, None),
            Endpoint("b", "10.0.0.2", None, None),
        ]
        assert version == "1"
        source = KubernetesSource(slices, port=7, admin_port=8, pool="p")
        assert [node.address for node in source._nodes(endpoints)] == ["10.0.0.1:7", "10.0.0.2:7"]
        source = KubernetesSource(slices, port=None, admin_port=None, pool="p")
        assert [node.address for node in source._nodes(endpoints)] == ["10.0.0.1:1"]


async def test_an_api_that_refuses_removes_nothing(certificate: Path, account: Path) -> None:
    async with serving(certificate) as (api, url):
        api.slices = [endpoint_slice(endpoint("10.0.0.1", "a"))]
        slices = EndpointSlices("nodes", url=url, folder=account)
        source = KubernetesSource(slices, port=None, admin_port=None, pool="p")
        async with watched(source) as told:
            await until(lambda: api.watches, "a watch")
            api.code = 503
            seen = len(api.requests)
            api.change()
            await until(lambda: len(api.requests) > seen, "another question")
            assert len(told) == 1
            api.code = 200
            await until(lambda: told[-1] == [], "the empty list, once it is sure")


async def test_an_api_that_was_away_for_long_is_soon_asked_again(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            raise asyncio.CancelledError

    slices = EndpointSlices("nodes", url="https://127.0.0.1:1", folder=account)
    source = KubernetesSource(slices, port=None, admin_port=None, pool="p")
    monkeypatch.setattr("elastron.gateway.discovery.asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        await source.watch(lambda _: None)
    assert pauses[0] == 1
    assert max(pauses) <= 5


async def test_missing_rights(certificate: Path, account: Path) -> None:
    async with serving(certificate) as (api, url):
        api.code = 403
        async with EndpointSlices("nodes", url=url, folder=account) as slices:
            with pytest.raises(RemoteError, match=r"403.*list and watch endpointslices.*fleet"):
                await slices.list()


@pytest.mark.parametrize("body", [{}, {"items": 7, "metadata": {"resourceVersion": "1"}}])
async def test_nonsense(certificate: Path, account: Path, body: dict[str, Any]) -> None:
    async with serving(certificate) as (api, url):
        api._write = lambda writer, code, _: Api._write(writer, code, body)  # type: ignore[method-assign]
        async with EndpointSlices("nodes", url=url, folder=account) as slices:
            with pytest.raises(RemoteError, match="no list of endpoint slices"):
                await slices.list()


async def test_another_authority_is_not_believed(certificate: Path, account: Path) -> None:
    make_certificate(account, "other")
    async with (
        serving(certificate) as (_, url),
        EndpointSlices("nodes", url=url, folder=account) as slices,
    ):
        with pytest.raises(ConnectError, match="does not answer"):
            await slices.list()


async def test_outside_a_cluster(
    tmp_path: Path, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with EndpointSlices("nodes", folder=tmp_path / "none") as slices:
        with pytest.raises(ConfigError, match="No service account"):
            await slices.list()
    async with EndpointSlices("nodes", folder=account) as slices:
        with pytest.raises(ConfigError, match="only inside a cluster"):
            await slices.list()
