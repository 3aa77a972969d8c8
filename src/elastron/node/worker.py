"""A worker process: waits for a session, serves it, reports, ends or waits for one of its kind."""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import random
import resource
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from elastron.mrd.header import parse_header
from elastron.node.control import Channel, Letter
from elastron.node.mapped import Pages, map_pages
from elastron.node.memory import PeakMemory, available_bytes, limit_memory
from elastron.node.outcome import Outcome
from elastron.node.preload import rehearsal, warmup_header
from elastron.node.scoreboard import Scoreboard
from elastron.node.session import Session
from elastron.node.settings import NodeSettings

# When memory runs out the kernel should take a worker, never the supervisor.
_OOM_SCORE = "500"
_OUR_THREADS = 2  # the main one, and one that listens to the supervisor


def main(
    channel: Channel, settings: NodeSettings, pages: list[Pages], *, hurry: bool = False
) -> None:
    """Serve a session of the supervisor at the other end of `channel`.

    After a part of another node's scan, wait for a next one of the same scan.

    Args:
        channel: to the supervisor.
        settings: of the node.
        pages: of files that sessions use.
        hurry: a client waits; begin as you are.
    """
    _be_different()
    if not hurry:
        rehearse(settings)
        map_pages(pages)
    limit_memory(settings.session_memory_bytes_max or available_bytes())
    memory = PeakMemory()
    channel.send({"ready": os.getpid()})
    letter = channel.receive()
    if letter is None:
        return
    supervisor = _Supervisor(channel)
    while True:
        report = _serve(letter, supervisor, settings)
        report["memory_bytes"] = memory.growth()
        # Not if a gadget has left threads behind, or an error who knows what.
        stays = letter.body["session"]["part"] and report["outcome"] == Outcome.OK
        report["stays"] = stays and threading.active_count() <= _OUR_THREADS
        with contextlib.suppress(OSError):
            channel.send({"finished": report})
        if not report["stays"]:
            return
        gc.collect()  # nobody waits now
        memory.reset()
        letter = supervisor.orders.get()


def _serve(letter: Letter, supervisor: _Supervisor, settings: NodeSettings) -> dict[str, Any]:
    """Serve one session; returns what came of it."""
    order = letter.body["session"]
    before_s = _cpu_seconds()
    client, page = letter.fds
    board = Scoreboard(page)
    session = Session(
        socket.socket(fileno=client),
        settings,
        board,
        threads=order["threads"],
        status=order["status"],
        log=structlog.get_logger().bind(session=order["id"]),
    )
    supervisor.watch(session)
    report = session.run()
    supervisor.session = None
    board.close()
    report["cpu_seconds"] = round(_cpu_seconds() - before_s, 3)
    return report


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class _Supervisor:
    """What the supervisor says while a session runs, and after it.

    Attributes:
        session: the running one.
        orders: the next.
    """

    def __init__(self, channel: Channel) -> None:
        self.session: Session | None = None
        self.orders: queue.SimpleQueue[Letter] = queue.SimpleQueue()
        self._channel = channel
        self._thread: threading.Thread | None = None

    def watch(self, session: Session) -> None:
        """Let the supervisor cancel this session."""
        self.session = session
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="supervisor", daemon=True)
            self._thread.start()

    def _listen(self) -> None:
        while True:
            letter = self._channel.receive()
            session = self.session
            if letter is None:
                # Without a session we are not needed; with one nobody counts or can stop us.
                os._exit(0 if session is None else 1)
            if "session" in letter.body:
                self.orders.put(letter)
            elif session is not None:
                session.cancel(letter.body["cancel"])


def rehearse(settings: NodeSettings) -> None:
    """Serve a tiny scan from ourselves.

    A forked process copies each page of memory when it first writes to it, and starts with no
    memory of its own. Doing so before a client waits makes a first image a fifth faster.
    """
    parse_header(warmup_header())  # has parts that the scan's header lacks
    settings = settings.model_copy(update={"config_folders": (), "storage_url": None})
    ours, theirs = socket.socketpair()
    ours.sendall(rehearsal())
    silent = structlog.wrap_logger(structlog.testing.CapturingLogger())
    board = Scoreboard()
    session = Session(theirs, settings, board, threads=1, status={}, log=silent)
    session.run()
    ours.close()
    board.close()


def _be_different() -> None:
    """Undo what forked siblings share and must not."""
    random.seed()
    # Gadgets of others may use the global generator. A number: without one it takes a millisecond.
    np.random.seed(random.getrandbits(32))  # noqa: NPY002
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
