"""What `elastron up` does: storage, gateway and nodes here, one supervisor for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import structlog

from elastron.autoscaler import Autoscaler, GatewaySource
from elastron.autoscaler.admin import admin_server
from elastron.autoscaler.metrics import AutoscalerMetrics
from elastron.cli.announcing import Whereabouts
from elastron.cli.child_command import CHILD
from elastron.cli.exposing import Exposure, stunnel_before
from elastron.cli.fleet_plan import plan_gateway, plan_nodes
from elastron.cli.log_relay import relay_logs
from elastron.cli.trace_recorder import record_trace
from elastron.errors import ElastronError, StorageUnavailableError
from elastron.fleet.local.backend import LocalBackend
from elastron.fleet.local.folder import Order, Record, Role, StateFolder
from elastron.fleet.local.keeper import Keeper
from elastron.fleet.local.launch import Nursery, ProgramLauncher
from elastron.fleet.local.stopping import clear, stop_fleet
from elastron.fleet.local.targets import keep_targets
from elastron.fleet.local.wishes import read_pins, write_pools
from elastron.fleet.settings import FleetSettings
from elastron.gateway.settings import GatewaySettings
from elastron.node import NodeSettings
from elastron.service.address import Address
from elastron.service.logs import configure_logging
from elastron.service.signals import signals

#: Where a storage server listens, and ours too if nobody does; else at one of so many ports after
#: it, which the kernel, unlike those of its own choice, gives to no connection meanwhile.
STORAGE_PORT, _STORAGE_PORTS = 3333, 1000
#: A database of a slow disk is migrated in less.
START_S = 120.0
#: After a second signal: how long processes may take to tell their clients, before they are killed.
GRACE_S = 10.0
#: Nodes that crash in a row while the fleet starts: something is wrong with all of them.
_CRASHES_MAX = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wish:
    """What `elastron up` was asked for.

    Attributes:
        name: of the fleet.
        fleet: pools and how they grow.
        gateway: in front of them.
        node: common to all nodes.
        data: folder of the storage server.
        own_storage: start a storage server, unless `node` names one.
        lease_s: how long processes go on without us once they have nothing to do.
        settings_file: for the storage server's own section.
        trace: file for a record of all scans, for `elastron simulate`.
        exposure: the door to the outside, if there is one.
    """

    name: str
    fleet: FleetSettings
    gateway: GatewaySettings
    node: NodeSettings
    data: Path
    own_storage: bool
    lease_s: float
    settings_file: Path | None = None
    trace: Path | None = None
    exposure: Exposure | None = None


def serve_here(
    wish: Wish,
    folder: StateFolder,
    own: Record,
    nursery: Nursery,
    say: Callable[[Whereabouts], None],
) -> None:
    """Run a fleet until a signal ends it; say where it is once it takes scans.

    Args:
        wish: what it is to be.
        folder: of the fleet, which this process is in charge of.
        own: record of this process.
        nursery: where nodes are forked.
        say: told where the fleet is.

    Raises:
        ElastronError: a part of it does not start; what was started has been ended.
    """
    configure_logging(wish.node.log_format, wish.node.log_level)
    asyncio.run(_Fleet(wish, folder, own, nursery).run(say))


class _Fleet:
    """Storage, gateway, nodes and autoscaler of one fleet."""

    def __init__(self, wish: Wish, folder: StateFolder, own: Record, nursery: Nursery) -> None:
        self._wish = wish
        self._folder = folder
        self._own = own
        self._log = structlog.get_logger()
        self._nursery = nursery
        self._program = program = ProgramLauncher(folder, CHILD, os.environ)
        self._storage_url = wish.node.storage_url
        self._storage: Keeper | None = None
        if wish.own_storage and self._storage_url is None:
            self._storage, self._storage_url = self._storage_keeper()
        gateway = plan_gateway(
            wish.gateway, wish.fleet, nodes_file=folder.nodes_file, journal=folder.path / "journal"
        )
        self._gateway = Keeper(
            folder,
            Role.GATEWAY,
            gateway.model_dump(mode="json"),
            program,
            lease_s=wish.lease_s,
            pin=_pin_gateway,
        )
        self._stunnel: Keeper | None = None
        self._backend: LocalBackend | None = None
        write_pools(folder, wish.fleet.pools)

    def _storage_keeper(self) -> tuple[Keeper, str]:
        """The storage server's keeper, and its URL: that of one that runs, or a free port's."""
        record = self._folder.record(Role.STORAGE.value)
        if record is not None and record.alive and record.address is not None:
            url = record.address
        else:
            url = f"http://127.0.0.1:{_free_port(STORAGE_PORT)}"
        data = self._wish.data.absolute()
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = {
            "host": "127.0.0.1",
            "port": int(url.rpartition(":")[2]),
            "database": str(data / "metadata.db"),
            "blobs": str(data / "blobs"),
            "file": None if self._wish.settings_file is None else str(self._wish.settings_file),
        }
        return self._keeper(Role.STORAGE, settings), url

    def _keeper(self, role: Role, settings: Mapping[str, Any]) -> Keeper:
        """Of a process whose settings say where it listens."""
        return Keeper(
            self._folder,
            role,
            settings,
            self._program,
            lease_s=self._wish.lease_s,
            pin=lambda values, _record: values,
        )

    async def run(self, say: Callable[[Whereabouts], None]) -> None:
        """Start everything, look after it, and end it after a signal.

        Raises:
            ElastronError: a part does not start.
        """
        with signals() as (first, second), _hang_up_ends():
            async with _background(relay_logs(self._folder)):
                living = asyncio.create_task(self._live(say, first))
                try:
                    await _unless(second, living)
                    if not living.done():
                        await self._stop_at_once(living)
                    living.result()
                except (ElastronError, asyncio.CancelledError) as error:
                    await asyncio.to_thread(stop_fleet, self._folder, now=True)
                    if isinstance(error, ElastronError):
                        raise
        self._program.close()
        clear(self._folder)

    async def _live(self, say: Callable[[Whereabouts], None], until: asyncio.Event) -> None:
        """From the start to the end in good order, which begins with `until`."""
        try:
            gateway = await _unless(until, asyncio.create_task(self._start()), cancel=True)
            if gateway is not None:
                await self._look_after(gateway, say, until)
        finally:
            self._nursery.close()
        # Each of them may still be needed by those before it.
        await self._gateway.stop()
        await asyncio.to_thread(stop_fleet, self._folder, now=False)

    # --- the beginning --------------------------------------------------------------------------

    async def _start(self) -> Record:
        """Start, or adopt, storage and gateway; the gateway's record once both serve.

        Raises:
            ElastronError: one of them does not start.
        """
        node = plan_nodes(self._wish.node, self._wish.fleet, storage_url=self._storage_url)
        warm = dict(next(iter(node.values())).settings)
        self._folder.write_order(Order(Role.NURSERY.value, Role.NURSERY, settings=warm))
        self._nursery.ready()
        if self._storage is not None:
            await self._storage.begin()
        if not self._folder.nodes_file.exists():
            self._folder.write(self._folder.nodes_file, {"nodes": []})
        await self._gateway.begin()
        if self._storage is not None:
            try:
                await self._storage.ready(START_S)
            except ElastronError as error:
                raise StorageUnavailableError(
                    f"{error} Mend it, name another with --storage URL, or do without: "
                    "--storage none."
                ) from error
        gateway_record = await self._gateway.ready(START_S)
        self._stunnel = await stunnel_before(
            gateway_record, (self._wish.exposure, self._wish.gateway), self._keeper
        )
        return gateway_record

    async def _look_after(
        self, gateway: Record, say: Callable[[Whereabouts], None], until: asyncio.Event
    ) -> None:
        """Keep everything as it should be until `until`, and on until all nodes have ended."""
        admin = f"http://{gateway.admin}"
        templates = plan_nodes(
            self._wish.node,
            self._wish.fleet,
            storage_url=self._storage_url,
            gateway_admin=admin,
            lease_s=self._wish.lease_s,
        )
        backend = self._backend = LocalBackend(self._folder, templates, self._nursery)
        metrics = AutoscalerMetrics(
            lambda: backend.starts, lambda: backend.crashes, backend.node_seconds
        )
        backend.start_seconds = lambda pool, seconds: metrics.start_seconds.labels(pool).observe(
            seconds
        )
        source = GatewaySource(admin)
        autoscaler = Autoscaler(
            backend,
            source,
            self._wish.fleet,
            pins=lambda: read_pins(self._folder),
            metrics=metrics,
        )
        async with backend, contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(source.close)
            own_admin = await stack.enter_async_context(
                admin_server(autoscaler, metrics, Address("127.0.0.1", 0))
            )
            self._folder.write_record(replace(self._own, admin=str(own_admin)))
            await stack.enter_async_context(_background(keep_targets(self._folder)))
            if self._storage is not None:
                await stack.enter_async_context(_background(self._storage.keep()))
            if self._stunnel is not None:
                await stack.enter_async_context(_background(self._stunnel.keep()))
            if self._wish.trace is not None:
                trace = record_trace(admin, self._wish.trace)
                await stack.enter_async_context(_background(trace))
            async with _background(self._gateway.keep()), _background(autoscaler.run()):
                waiting = asyncio.create_task(self._minimum(backend, source))
                if await _unless(until, waiting, cancel=True):
                    say(self._whereabouts(gateway, own_admin))
                    await until.wait()
                # Scans that run or wait may need more nodes still.
                await self._gateway.stop()
            await backend.stop_all()

    async def _minimum(self, backend: LocalBackend, source: GatewaySource) -> bool:
        """Wait until the gateway has as many nodes as there shall be at least.

        Raises:
            ElastronError: nodes crash, or do not come.
        """
        wanted = {name: min(1, pool.min) for name, pool in self._wish.fleet.pools.items()}
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(ElastronError):
                loads = (await source.read()).loads
                pools = {node.id: node.pool for node in await backend.nodes()}
                for name, load in loads.items():
                    if load.state in ("ready", "busy") and name in pools:
                        wanted[pools[name]] = 0
                if not any(wanted.values()):
                    return True
            crashed = [pool for pool in wanted if backend.crashes[pool] >= _CRASHES_MAX]
            if crashed:
                raise ElastronError(
                    f"Nodes of pool {crashed[0]} crash at their start; the log above says why."
                )
            await asyncio.sleep(0.02)
        raise ElastronError(f"No node came up within {START_S:g} s; the log above says why.")

    def _whereabouts(self, gateway: Record, own_admin: Address) -> Whereabouts:
        exposure = self._wish.exposure
        return Whereabouts(
            name=self._wish.name,
            state=self._folder.path,
            scans=str(gateway.address),
            admin=f"http://{gateway.admin}",
            gateway_pid=gateway.identity.pid,
            storage=self._storage_url,
            autoscaler=f"http://{own_admin}",
            exposed=None if exposure is None else str(exposure.address),
            pools={
                name: {"min": pool.min, "max": pool.max, "capacity": pool.capacity}
                for name, pool in self._wish.fleet.pools.items()
            },
        )

    # --- the end --------------------------------------------------------------------------------

    async def _stop_at_once(self, living: asyncio.Task[None]) -> None:
        """A second signal: running scans are told, then everything is killed."""
        self._gateway.terminate()
        if self._backend is not None:
            self._backend.terminate_all()
        await asyncio.wait({living}, timeout=GRACE_S)
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)


async def _unless(event: asyncio.Event, task: asyncio.Task[T], *, cancel: bool = False) -> T | None:
    """The task's result; None if the event comes first.

    Args:
        event: what may come first.
        task: what is waited for.
        cancel: cancel it then.
    """
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if task.done():
        return task.result()
    if cancel:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return None


@contextlib.asynccontextmanager
async def _background(work: Any) -> AsyncIterator[None]:
    """Do `work` beside the block; it ends with it."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def _hang_up_ends() -> Iterator[None]:
    """A terminal that is closed ends the fleet in good order, unless told not to (nohup)."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, os.kill, os.getpid(), signal.SIGTERM)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _pin_gateway(settings: Mapping[str, Any], record: Record) -> dict[str, Any]:
    listen = None if settings["listen"] is None else record.address
    return {**settings, "listen": listen, "admin": record.admin}


def data_folder() -> Path:
    """Where this user's data lie (XDG base directories)."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "elastron"


def _free_port(wanted: int) -> int:
    """`wanted`, or another free port of loopback; each of two fleets that start at once its own."""
    for port in (wanted, *random.sample(range(wanted + 1, wanted + _STORAGE_PORTS), 50), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
    raise StorageUnavailableError("No port of 127.0.0.1 is free.")
