"""Become a program that finds its listening socket open.

    python -m elastron.access.activation DESCRIPTOR PROGRAM ARGUMENT...

As systemd does it (sd_listen_fds(3)): the socket is descriptor 3, and LISTEN_FDS and LISTEN_PID say
so. The program ends when whoever started it does, and may have as many descriptors as the system
allows: each client takes two.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import NoReturn

_FIRST = 3
#: Enough for 30,000 clients; stunnel counts wrong with those of a system that knows no limit.
_DESCRIPTORS_MAX = 65536
_PR_SET_PDEATHSIG = 1


def main(words: list[str]) -> NoReturn:
    """Replace this process by the program."""
    socket, program = int(words[0]), words[1:]
    # Its SIGHUP comes to mean something only when it is ready for it; until then it must not kill.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = min(hard, _DESCRIPTORS_MAX) if hard > 0 else _DESCRIPTORS_MAX
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if socket == _FIRST:
        os.set_inheritable(socket, True)
    else:
        os.dup2(socket, _FIRST)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    os.execv(program[0], program)  # noqa: S606 - our own words, and no shell


if __name__ == "__main__":
    main(sys.argv[1:])
