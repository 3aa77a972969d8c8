"""A worker process: waits for a session, serves it, reports, ends."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import socket
import threading
from pathlib import Path

import numpy as np
import structlog

from elastron.node.control import Channel
from elastron.node.memory import PeakMemory, available_bytes, limit_memory
from elastron.node.preload import warmup_header
from elastron.node.scoreboard import Scoreboard
from elastron.node.session import Session
from elastron.node.settings import NodeSettings
from elastron.wire import encode
from elastron.wire.messages import Close, ConfigName, HeaderXml

# When memory runs out the kernel should take a worker, never the supervisor.
_OOM_SCORE = "500"


def main(channel: Channel, settings: NodeSettings) -> None:
    """Serve one session of the supervisor at the other end of `channel`."""
    _be_different()
    rehearse(settings)
    limit_memory(settings.session_memory_bytes_max or available_bytes())
    memory = PeakMemory()
    channel.send({"ready": os.getpid()})
    letter = channel.receive()
    if letter is None:
        return
    order = letter.body["session"]
    client, page = letter.fds
    session = Session(
        socket.socket(fileno=client),
        settings,
        Scoreboard(page),
        threads=order["threads"],
        status=order["status"],
        log=structlog.get_logger().bind(session=order["id"]),
    )
    threading.Thread(
        target=_listen, args=(channel, session), name="supervisor", daemon=True
    ).start()
    report = session.run()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report["memory_bytes"] = memory.growth()
    report["cpu_seconds"] = round(usage.ru_utime + usage.ru_stime, 3)
    with contextlib.suppress(OSError):
        channel.send({"finished": report})


def rehearse(settings: NodeSettings) -> None:
    """Serve a liveness check from ourselves.

    A forked process copies each page of memory when it first writes to it. Doing so before a client
    waits makes the first message of a session three times as fast.
    """
    ours, theirs = socket.socketpair()
    messages = (ConfigName("isalive.xml"), HeaderXml(warmup_header()), Close())
    ours.sendall(b"".join(bytes(each) for message in messages for each in encode(message)))
    silent = structlog.wrap_logger(structlog.testing.CapturingLogger())
    board = Scoreboard()
    session = Session(theirs, settings, board, threads=1, status={}, log=silent)
    session.run()
    ours.close()
    board.close()


def _be_different() -> None:
    """Undo what forked siblings share and must not."""
    random.seed()
    np.random.seed()  # noqa: NPY002 - gadgets of others may use the global generator
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def _listen(channel: Channel, session: Session) -> None:
    while True:
        letter = channel.receive()
        if letter is None:  # the supervisor is gone: nobody counts or can stop us any more
            os._exit(1)
        if "cancel" in letter.body:
            session.cancel(letter.body["cancel"])
