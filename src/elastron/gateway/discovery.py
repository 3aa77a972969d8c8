"""Finding nodes: a fixed list, a DNS name, a Kubernetes service, a watched file.

A source tells the whole list at every change. When it cannot look (name server or API away, file
half written by somebody's editor), it keeps quiet: the last list stays, nothing is removed blind.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elastron.errors import ConfigError, ElastronError
from elastron.gateway.kubernetes import EndpointSlices
from elastron.service.address import Address

#: A thousand nodes take 150 kB.
_FILE_BYTES_MAX = 4 << 20
_FILE_LOOK_S = 0.2
#: Most nodes one source may tell: a mistake (a wildcard name, say) must not flood the network.
_NODES_MAX = 10_000
#: Between two questions to an API that is away. Nodes that come meanwhile stand idle so long.
_API_PAUSE_S_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """A node as discovery knows it; addresses are HOST:PORT."""

    id: str
    address: str
    admin: str | None = None
    pool: str = "default"
    capabilities: frozenset[str] = frozenset()


Tell = Callable[[list[Found]], None]


class Source(Protocol):
    """One place where nodes are listed."""

    async def watch(self, tell: Tell) -> None:
        """Call `tell` with all nodes, now and at every change, until cancelled."""


# --- the text of `--nodes` -----------------------------------------------------------------------

_SPEC = re.compile(
    r"(?:(?P<kind>dns|kubernetes):)?(?P<rest>[^@]+?)(?:@(?P<pool>[A-Za-z0-9_.-]{1,63}))?"
)
_HOST_PORTS = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:/]+):(?P<port>\d{1,5})(?:/(?P<admin>\d{1,5}))?"
)
_SERVICE = re.compile(
    r"(?P<service>[a-z0-9-]{1,63})(?:\.(?P<namespace>[a-z0-9-]{1,63}))?"
    r"(?::(?P<port>\d{1,5})(?:/(?P<admin>\d{1,5}))?)?"
)
_FORMS = (
    "HOST:PORT[/ADMIN-PORT][@POOL], dns:NAME:PORT[/ADMIN-PORT][@POOL], "
    "kubernetes:SERVICE[.NAMESPACE][:PORT[/ADMIN-PORT]][@POOL] or file:PATH"
)


def parse_source(text: str, *, resolve_interval_s: float = 2.0) -> Source:
    """The source that one item of `--nodes` means.

    Args:
        text: the item.
        resolve_interval_s: how often a DNS name is resolved.

    Raises:
        ConfigError: it is none of the forms.
    """
    if text.startswith("file:") and text != "file:":
        return FileSource(Path(text.removeprefix("file:")))
    spec = _SPEC.fullmatch(text)
    if spec is None:
        raise _not_nodes(text)
    kind, rest, pool = spec["kind"], spec["rest"], spec["pool"] or "default"
    if kind == "kubernetes":
        service = _SERVICE.fullmatch(rest)
        if service is None:
            raise _not_nodes(text)
        return KubernetesSource(
            EndpointSlices(service["service"], service["namespace"]),
            port=_port(text, service["port"]),
            admin_port=_port(text, service["admin"]),
            pool=pool,
        )
    parts = _HOST_PORTS.fullmatch(rest)
    port = None if parts is None else _port(text, parts["port"])
    if parts is None or port is None:
        raise _not_nodes(text)
    host, admin = parts["host"].strip("[]"), _port(text, parts["admin"])
    if kind == "dns":
        return DnsSource(host, port, admin_port=admin, pool=pool, interval_s=resolve_interval_s)
    return StaticSource([_found(host, port, admin, pool)])


def _port(text: str, digits: str | None) -> int | None:
    if digits is None:
        return None
    if not 0 < int(digits) <= 0xFFFF:
        raise _not_nodes(text)
    return int(digits)


def _not_nodes(text: str) -> ConfigError:
    return ConfigError(f"{text[:200]!r} does not say where nodes are. Give {_FORMS}.")


def _found(host: str, port: int, admin: int | None, pool: str, name: str | None = None) -> Found:
    address = str(Address(host, port))
    return Found(
        name or address, address, None if admin is None else str(Address(host, admin)), pool
    )


# --- sources -------------------------------------------------------------------------------------


class StaticSource:
    """Nodes that are always the same."""

    def __init__(self, nodes: Sequence[Found]) -> None:
        self.nodes = list(nodes)

    async def watch(self, tell: Tell) -> None:
        """Tell them once."""
        tell(self.nodes)
        await asyncio.Event().wait()


class DnsSource:
    """Every address of a name, e.g. of a Kubernetes headless service."""

    def __init__(
        self, name: str, port: int, *, admin_port: int | None, pool: str, interval_s: float
    ) -> None:
        self._name = name
        self._port = port
        self._admin_port = admin_port
        self._pool = pool
        self._interval_s = interval_s

    async def watch(self, tell: Tell) -> None:
        """Resolve the name again and again."""
        trouble = _Trouble(f"name {self._name}")
        while True:
            try:
                tell(await self.resolve())
                trouble.over()
            except OSError as error:
                trouble.met(error)
            await asyncio.sleep(self._interval_s)

    async def resolve(self) -> list[Found]:
        """The nodes now.

        Raises:
            OSError: the name servers do not answer.
        """
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            # What a headless service without a ready pod gives; anything else is trouble.
            if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)):
                return []
            raise
        hosts = sorted({str(address[0]) for *_, address in answers})
        return [_found(host, self._port, self._admin_port, self._pool) for host in hosts]


class KubernetesSource:
    """The endpoints of a service; those that terminate are left out."""

    def __init__(
        self, slices: EndpointSlices, *, port: int | None, admin_port: int | None, pool: str
    ) -> None:
        self._slices = slices
        self._port = port
        self._admin_port = admin_port
        self._pool = pool

    async def watch(self, tell: Tell) -> None:
        """List the endpoints, and again whenever the API tells of a change."""
        trouble = _Trouble("the Kubernetes API")
        pause_s = 1.0
        async with self._slices:
            while True:
                try:
                    async for endpoints in self._slices.changes():
                        tell(self._nodes(endpoints))
                        trouble.over()
                        pause_s = 1.0
                except ElastronError as error:
                    trouble.met(error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(_API_PAUSE_S_MAX, pause_s * 2)

    def _nodes(self, endpoints: list[Any]) -> list[Found]:
        found: dict[str, Found] = {}
        for endpoint in endpoints:
            port = self._port or endpoint.port
            admin = self._admin_port or endpoint.admin_port
            if port is not None:
                node = _found(endpoint.host, port, admin, self._pool, endpoint.name)
                found.setdefault(node.id, node)  # of two address families the first
        return list(found.values())


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(min_length=1, max_length=253)
    address: str = Field(max_length=300)
    admin: str | None = Field(None, max_length=300)
    pool: str = Field("default", min_length=1, max_length=63)
    capabilities: frozenset[str] = frozenset()


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    nodes: tuple[_Entry, ...] = Field((), max_length=_NODES_MAX)


class FileSource:
    """A JSON file, `{"nodes": [{"id", "address", "admin", "pool", "capabilities"}]}`, watched."""

    def __init__(self, path: Path, *, look_s: float = _FILE_LOOK_S) -> None:
        self._path = path
        self._look_s = look_s

    async def watch(self, tell: Tell) -> None:
        """Look at the file's date again and again; read it when that has changed."""
        trouble = _Trouble(f"file {self._path}")
        known: tuple[int, int, int] | None = None
        while True:
            try:
                # One stat and a small read of a local file: shorter than a thread's start.
                status = os.stat(self._path)
                stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
                if stamp != known:
                    known = stamp
                    tell(self.read())
                    trouble.over()
            except FileNotFoundError as error:
                if known is None:
                    tell([])  # whoever writes it has not begun
                    known = (0, 0, 0)
                trouble.met(error)
            except (OSError, ValueError) as error:
                trouble.met(error)
            await asyncio.sleep(self._look_s)

    def read(self) -> list[Found]:
        """The nodes in the file now.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not such a file.
        """
        with self._path.open("rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
        if len(data) > _FILE_BYTES_MAX:
            raise ValueError(f"it is longer than {_FILE_BYTES_MAX} bytes")
        try:
            entries = _File.model_validate(json.loads(data)).nodes
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{where}: {first['msg']}") from None
        unique = {entry.id: entry for entry in entries}
        return [
            Found(entry.id, entry.address, entry.admin, entry.pool, entry.capabilities)
            for entry in unique.values()
        ]


class _Trouble:
    """Logs that a source cannot look, once; and that it can again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._log = structlog.get_logger()
        self._met = ""

    def met(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text != self._met:
            self._met = text
            self._log.warning(f"cannot look for nodes in {self._what}", reason=text)

    def over(self) -> None:
        if self._met:
            self._met = ""
            self._log.info(f"nodes are told by {self._what} again")
