"""The zygote: one process that has everything imported, and forks a worker whenever asked.

Importing numpy, scipy, the MRD schema and the gadgets takes a second or two; forking the process
that has done so takes milliseconds, and the workers share its memory. It never starts a thread
(threads do not survive a fork), so it is a program of its own: `python -m elastron.node.zygote FD`,
with the supervisor at the other end of socket FD.

    supervisor -> zygote   {"settings": {...}}, then {"fork": n, "hurry": ...} with the worker's
                           socket; hurry: a client waits
    zygote -> supervisor   {"ready": pid}, {"forked": n, "pid": pid}, {"failed": n, "error": ...},
                           {"exited": pid, "status": wait status}

It ends when the supervisor does.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from typing import NoReturn

import structlog

from elastron.node import preload, worker
from elastron.node.control import Channel, Letter
from elastron.node.mapped import Pages, pages_of
from elastron.node.memory import grow_heap
from elastron.node.settings import NodeSettings
from elastron.service.logs import configure_logging


def main(fd: int) -> None:
    """Serve fork requests until the supervisor hangs up."""
    channel = Channel(socket.socket(fileno=fd))
    # A terminal's Ctrl-C and a service manager's SIGTERM go to every process of the group; only
    # the supervisor decides what follows from them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    letter = channel.receive()
    if letter is None:
        return
    settings = NodeSettings.model_validate(letter.body["settings"])
    configure_logging(settings.log_format, settings.log_level)
    preload.preload(settings)
    preload.warn_of_threads()
    pages = pages_of(preload.reconstruct_something)
    grow_heap()
    gc.collect()
    gc.freeze()  # so that a worker's garbage collector does not copy all shared pages
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    channel.send({"ready": os.getpid()})
    poller = select.poll()
    poller.register(channel, select.POLLIN)
    poller.register(wake_read, select.POLLIN)
    while True:
        ready = {event[0] for event in poller.poll()}
        if wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
            _report_exits(channel)
        if channel.fileno() in ready:
            letter = channel.receive()
            if letter is None:
                channel.close()
                return
            _fork(channel, letter, settings, pages, (wake_read, wake_write))


def _report_exits(channel: Channel) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        channel.send({"exited": pid, "status": status})


def _fork(
    channel: Channel,
    order: Letter,
    settings: NodeSettings,
    pages: list[Pages],
    wake: tuple[int, int],
) -> None:
    number, fd = order.body["fork"], order.fds[0]
    try:
        pid = os.fork()
    except OSError as error:  # no memory, or too many processes
        os.close(fd)
        channel.send({"failed": number, "error": str(error)})
        return
    if pid == 0:
        _become_worker(channel, order, settings, pages, wake)
    os.close(fd)
    channel.send({"forked": number, "pid": pid})


def _become_worker(
    channel: Channel,
    order: Letter,
    settings: NodeSettings,
    pages: list[Pages],
    wake: tuple[int, int],
) -> NoReturn:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        channel.close()
        for end in wake:
            os.close(end)
        # Open until the process ends: its end is told so.
        ours = Channel(socket.socket(fileno=order.fds[0]))
        worker.main(ours, settings, pages, hurry=order.body["hurry"])
        status = 0
    except BaseException:  # the zygote's loop must never run in a child
        structlog.get_logger().exception("worker failed")
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)  # no atexit handlers: they are the zygote's


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the supervisor ended while we got ready
        main(int(sys.argv[1]))
