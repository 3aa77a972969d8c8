"""The admin server of a gateway without a data plane, in a thread; and commands that ask it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from typer.testing import CliRunner

from elastron.cli.app import app
from tests.gateway.fake_gateway import FakeGateway, served


def invoke(*args: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


class Live:
    """A gateway that is served, and what to do in its event loop."""

    def __init__(self, gateway: FakeGateway, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.gateway = gateway
        self.url = url
        self._loop = loop

    def run(self, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Call it there, and wait for it."""

        async def called() -> Any:
            result = call(*args, **named)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(60)


@contextlib.contextmanager
def live_gateway(make: Callable[[], FakeGateway]) -> Iterator[Live]:
    """Serve what `make` makes until the end of the block."""
    ready: Future[Live] = Future()
    stop = threading.Event()

    async def serve() -> None:
        gateway = make()
        await gateway.archive.start()
        async with served(gateway) as client:
            ready.set_result(Live(gateway, str(client.base_url), asyncio.get_running_loop()))
            await asyncio.to_thread(stop.wait)
        await gateway.archive.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        yield ready.result(60)
    finally:
        stop.set()
        thread.join(60)
