"""A process of a local fleet: `python -m elastron.cli.child STATE-FOLDER NAME`.

`elastron up` starts it; what it is to be stands in its order in the folder. Without a NAME it is
the nursery: a process that has everything of a node imported and forks one for each name that it
reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from elastron.errors import ElastronError
from elastron.fleet.local.folder import Order, Record, Role, StateFolder
from elastron.fleet.local.lease import lease_ends
from elastron.fleet.local.logs import limit_log

if TYPE_CHECKING:
    from elastron.gateway.server import Gateway

_LOG_LOOK_S = 5.0
_USAGE = "usage: python -m elastron.cli.child STATE-FOLDER [NAME] (elastron up does this)"


def main(words: list[str]) -> None:
    """Be what the order says."""
    match words:
        case [folder, name]:
            be(StateFolder(Path(folder)), name)
        case [folder]:
            nursery(StateFolder(Path(folder)))
        case _:
            sys.exit(_USAGE)


def be(folder: StateFolder, name: str, *, warm: bool = False) -> None:
    """Be process `name` until it ends.

    Args:
        folder: of the fleet.
        name: whose order is there.
        warm: everything of a node is imported, and this process may fork.
    """
    order = folder.order(name)
    if order is None:
        return
    record = folder.sign_in(name, order.role)
    if folder.order(name) is None:  # withdrawn before we were on record: nobody wants us
        folder.forget(name)
        return
    try:
        match order.role:
            case Role.NODE:
                _node(folder, order, record, warm=warm)
            case Role.GATEWAY:
                _gateway(folder, order, record)
            case Role.STUNNEL:
                _stunnel(folder, order, record)
            case Role.STORAGE:
                _storage(folder, order, record)
            case _:
                sys.exit(_USAGE)
    except ElastronError as error:
        sys.exit(f"error: {error}")  # the last line of the log; `elastron up` shows it
    folder.sign_off(name)


def nursery(folder: StateFolder) -> None:
    """Fork a node for each name on stdin; end with it.

    The first line says that the nursery's order is written.
    """
    from elastron.node import NodeSettings  # noqa: PLC0415 - slow, and not everybody's
    from elastron.node.preload import preload, warn_of_threads  # noqa: PLC0415
    from elastron.service.logs import configure_logging  # noqa: PLC0415

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends with its stdin
    with open(0, "rb", buffering=0, closefd=False) as lines:
        if not lines.readline():
            return
        order = folder.order(Role.NURSERY.value)
        settings = NodeSettings.model_validate({} if order is None else order.settings)
        configure_logging(settings.log_format, settings.log_level)
        preload(settings)
        warn_of_threads()
        gc.collect()
        gc.freeze()  # so that a node's garbage collector does not copy all shared pages
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; records tell who lives
        for line in iter(lines.readline, b""):
            name = line.decode().strip()
            if os.fork() == 0:
                _become_node(folder, name)


def _become_node(folder: StateFolder, name: str) -> NoReturn:
    status = 1
    try:
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        log = os.open(folder.log_path(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, standard in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(descriptor, standard)
        for descriptor in {nothing, log} - {0, 1, 2}:
            os.close(descriptor)
        be(folder, name, warm=True)
        status = 0
    except SystemExit as end:
        sys.stderr.write(f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)  # the loop that forked us must never run here


# --- what a process may be -----------------------------------------------------------------------


def _node(folder: StateFolder, order: Order, record: Record, *, warm: bool) -> None:
    from elastron.node import Node, NodeSettings  # noqa: PLC0415 - slow, and not everybody's
    from elastron.node.forked import fork_zygote  # noqa: PLC0415
    from elastron.service.logs import configure_logging  # noqa: PLC0415
    from elastron.service.signals import run_until_signal  # noqa: PLC0415

    settings = NodeSettings.model_validate(order.settings)
    configure_logging(settings.log_format, settings.log_level)
    zygote = fork_zygote() if warm else None

    async def serve() -> None:
        async with Node(settings, zygote) as node:
            tasks = _look_after(folder, order, lambda: not node.running)
            await run_until_signal(
                node.drain, lambda: _serves(folder, record, node.address, node.admin_address)
            )
            for task in tasks:
                task.cancel()

    _run(serve)


def _gateway(folder: StateFolder, order: Order, record: Record) -> None:
    from elastron.gateway.serving import run_gateway  # noqa: PLC0415 - slow, not everybody's
    from elastron.gateway.settings import GatewaySettings  # noqa: PLC0415

    tasks: list[asyncio.Task[None]] = []

    def ready(gateway: Gateway) -> None:
        address = gateway.address or gateway.tls_addresses[0]
        _serves(folder, record, address, gateway.admin_address)
        tasks.extend(_look_after(folder, order, lambda: not gateway.sessions))

    run_gateway(GatewaySettings.model_validate(order.settings), ready)


def _stunnel(folder: StateFolder, order: Order, record: Record) -> None:
    from elastron.access.stunnel_server import (  # noqa: PLC0415 - not everybody's
        StunnelServer,
        StunnelServerSettings,
    )
    from elastron.service.address import Address  # noqa: PLC0415
    from elastron.service.logs import LogFormat, configure_logging  # noqa: PLC0415
    from elastron.service.signals import run_until_signal  # noqa: PLC0415

    told = order.settings
    configure_logging(LogFormat(told["log_format"]), told["log_level"])
    settings = StunnelServerSettings(
        Address.parse(told["listen"]),
        Address.parse(told["connect"]),
        Path(told["keys"]),
        folder.path / "stunnel",
    )

    async def serve() -> None:
        server = StunnelServer(settings)
        await server.start()
        tasks = [asyncio.create_task(server.run()), *_look_after(folder, order, lambda: True)]

        async def end() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.stop()

        await run_until_signal(end, lambda: _serves(folder, record, server.address, None))

    _run(serve)


def _storage(folder: StateFolder, order: Order, record: Record) -> None:
    from elastron.cli.settings import load_settings  # noqa: PLC0415 - slow, not everybody's
    from elastron.storage import (  # noqa: PLC0415
        StorageSettings,
        configure_logging,
        serve,
    )

    flags = dict(order.settings)
    file = flags.pop("file", None)
    settings = load_settings(
        "storage", StorageSettings, file=None if file is None else Path(file), flags=flags
    )
    configure_logging("warn")

    async def serve_storage() -> None:
        tasks = _look_after(folder, order, lambda: True)
        await serve(settings, on_ready=lambda url: _serves(folder, record, url, None))
        for task in tasks:
            task.cancel()

    _run(serve_storage)


def _run(work: Callable[[], Any]) -> None:
    try:
        from uvloop import run  # noqa: PLC0415 - after the fork
    except ImportError:  # Windows
        from asyncio import run  # noqa: PLC0415
    run(work())


def _serves(folder: StateFolder, record: Record, address: object, admin: object) -> None:
    """Put on record where this process serves."""
    folder.write_record(
        replace(record, address=str(address), admin=None if admin is None else str(admin))
    )


def _look_after(
    folder: StateFolder, order: Order, idle: Callable[[], bool]
) -> list[asyncio.Task[None]]:
    """Keep the own log short, and go when the lease has ended; until the loop's end."""
    return [
        asyncio.create_task(_trim(folder.log_path(order.name))),
        asyncio.create_task(_leave(folder, order, idle)),
    ]


async def _leave(folder: StateFolder, order: Order, idle: Callable[[], bool]) -> None:
    await lease_ends(folder, order.role, order.lease_s, idle=idle)
    os.kill(os.getpid(), signal.SIGTERM)  # as if an operator had: in good order


async def _trim(log: Path) -> None:
    while True:
        await asyncio.sleep(_LOG_LOOK_S)
        limit_log(log)


if __name__ == "__main__":
    main(sys.argv[1:])
