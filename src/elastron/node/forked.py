"""A zygote forked from a process that has everything imported, instead of started anew.

A node of its own needs two seconds, nearly all of them imports. The local fleet forks its nodes
from a warm process, and each of these forks its zygote before it does anything else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NoReturn

from elastron.node.control import Channel


class ForkedZygote:
    """The zygote's process and our end of its channel; the methods are those of `Popen`.

    Attributes:
        pid: its process id.
        channel: where it is told to fork workers.
    """

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its wait status, or None while it runs."""
        self._wait(os.WNOHANG)
        return self._status

    def wait(self) -> int:
        """Its wait status, once it has ended."""
        while self._status is None:
            self._wait(0)
        return self._status

    def kill(self) -> None:
        """Kill it, if it has not ended by itself."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _wait(self, options: int) -> None:
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # somebody else has waited for it
                self._status = 0
                return
            if pid:
                self._status = status


def fork_zygote() -> ForkedZygote:
    """Fork a zygote from this process.

    Call it before this process has threads, an event loop or open files that matter: the first two
    do not survive a fork, and the zygote keeps the third.

    Raises:
        OSError: no memory, or too many processes.
    """
    ours, theirs = Channel.pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become_zygote(theirs)
    theirs.close()
    return ForkedZygote(pid, ours)


def _become_zygote(channel: Channel) -> NoReturn:
    # Not above: it is a program, and must not be imported before it is run.
    from elastron.node import zygote  # noqa: PLC0415

    status = 1
    try:
        os.setsid()
        with contextlib.suppress(BrokenPipeError):  # the supervisor has ended meanwhile
            zygote.main(channel.socket.detach())
        status = 0
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)
