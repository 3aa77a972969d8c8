"""Run the storage server: open both stores, listen, collect garbage, stop gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator

import structlog
import uvicorn

from elastron.errors import ConfigError, ElastronError
from elastron.service.address import Address
from elastron.service.listening import listen
from elastron.storage.app import App
from elastron.storage.garbage import collect_regularly, remove
from elastron.storage.instants import now_ms
from elastron.storage.metadata import open_metadata
from elastron.storage.metrics import Metrics
from elastron.storage.protocol import Protocol
from elastron.storage.service import Service
from elastron.storage.settings import StorageSettings
from elastron.storage.stores import database_provider, open_objects
from elastron.storage.uploads import Uploads

log = structlog.get_logger(__name__)

PARENT_POLL_S = 0.5


@contextlib.asynccontextmanager
async def storage_app(
    settings: StorageSettings, *, clock: Callable[[], int] = now_ms
) -> AsyncIterator[App]:
    """Both stores open, orphans of crashed processes removed, garbage collection running.

    Raises:
        ConfigError: a setting that cannot be used.
        StorageError: a store that does not answer, or is a newer server's.
    """
    settings.check()
    instance = str(uuid.uuid4())
    password = settings.database_password
    metadata = await open_metadata(
        database_provider(settings),
        settings.database,
        password.get_secret_value() if password else None,
    )
    objects = open_objects(settings)
    uploads = Uploads(
        metadata,
        objects,
        instance=instance,
        clock=clock,
        lease_s=settings.lease_s,
        blob_bytes_max=settings.blob_bytes_max,
        subject_bytes_max=settings.subject_bytes_max,
    )
    metrics = Metrics(lambda: uploads.running)
    service = Service(
        metadata, objects, uploads, metrics, clock=clock, uploads_max=settings.uploads_max
    )
    tasks: list[asyncio.Task[None]] = []
    try:
        dead = await objects.start(instance)
        if dead:
            orphans = await metadata.abandoned(dead)
            removed, _ = await remove(metadata, objects, orphans)
            log.info("cleared after crashed servers", servers=len(dead), uploads=removed)
        tasks.append(asyncio.create_task(uploads.keep_leases()))
        tasks.append(
            asyncio.create_task(
                collect_regularly(
                    metadata,
                    objects,
                    clock=clock,
                    interval_s=settings.garbage_interval_s,
                    report=metrics.collected.inc,
                )
            )
        )
        yield App(service, metrics, settings)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await objects.close()
        await metadata.close()


async def serve(
    settings: StorageSettings,
    *,
    on_ready: Callable[[str], None] | None = None,
    handle_signals: bool = True,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, until `stop` is set, or until the parent process is gone.

    Args:
        settings: what to serve and where.
        on_ready: told the server's URL once it listens.
        handle_signals: False where another one in this process does.
        stop: ends the server gracefully when set.

    Raises:
        ConfigError: a setting that cannot be used, a port that is taken.
        StorageError: a store that does not answer, or is a newer server's.
    """
    async with storage_app(settings) as app:
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=settings.connections_max,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=settings.grace_s,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
            ssl_ca_certs=str(settings.tls_client_ca) if settings.tls_client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if settings.tls_client_ca else ssl.CERT_NONE,
        )
        try:
            config.load()
            # An empty host is every interface, IPv6 and IPv4, as with nodes and gateway.
            everywhere = Address("", settings.port)
            listener = config.bind_socket() if settings.host else listen(everywhere)[0]
            # From here on clients wait instead of being refused, while the server starts.
            listener.listen(config.backlog)
        except (SystemExit, OSError, ElastronError) as error:
            raise ConfigError(
                f"Cannot listen on {settings.host} port {settings.port}, or cannot read the TLS "
                "files. Choose a free port and an address of this machine."
            ) from error
        server = _Server(config, handle_signals=handle_signals)
        watchers = [asyncio.create_task(w) for w in _watchers(settings, server, stop)]
        port = listener.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"{'https' if settings.tls_certificate else 'http'}://{host}:{port}"
        log.info("storage server listens", url=url)
        if on_ready is not None:
            on_ready(url)
        try:
            await server.serve(sockets=[listener])
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
            listener.close()
            log.info("storage server stopped")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, handle_signals: bool) -> None:
        super().__init__(config)
        self._handle_signals = handle_signals

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn raises the signal again when it is done, which would end the process with the
        # signal's status after a graceful stop.
        if not self._handle_signals:
            yield
            return
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


def _watchers(
    settings: StorageSettings, server: _Server, stop: asyncio.Event | None
) -> Iterator[Coroutine[None, None, None]]:
    if stop is not None:
        yield _stop_when(stop, server)
    if settings.require_parent_pid is not None:
        yield _require_parent(settings.require_parent_pid, server)


async def _stop_when(stop: asyncio.Event, server: _Server) -> None:
    await stop.wait()
    server.should_exit = True


async def _require_parent(pid: int, server: _Server) -> None:
    while os.getppid() == pid:  # noqa: ASYNC110 - nothing tells when it ends
        await asyncio.sleep(PARENT_POLL_S)
    log.warning("parent process is gone; stopping")
    server.should_exit = True
    await asyncio.sleep(PARENT_POLL_S)
    server.force_exit = True  # its requests were the parent's, most likely
