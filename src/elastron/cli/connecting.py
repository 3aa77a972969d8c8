"""Holding port-forwards to a fleet."""

from __future__ import annotations

import contextlib
import json as json_module
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from elastron.cli.console import show_remark, stdout
from elastron.cloud.kubectl import Kubectl
from elastron.cloud.port_forward import PortForward
from elastron.cloud.release import find_fleet


def hold_connection(
    kubectl: Kubectl, release: str, port: int, admin_port: int | None, *, json: bool
) -> None:
    """Lead ports here to a fleet until SIGINT or SIGTERM.

    Args:
        kubectl: to do it by.
        release: name of the fleet.
        port: here for scans; 0: a free one.
        admin_port: here for the admin pages; None: none.
        json: print the addresses as one line of JSON.

    Raises:
        ConfigError: there is no such fleet.
        RemoteError, DeadlineError: the port cannot be had, or the cluster is in the way.
    """
    fleet = find_fleet(kubectl, release)
    with contextlib.ExitStack() as stack:
        ended = stack.enter_context(_signals())
        scans = stack.enter_context(
            kubectl.port_forward(f"service/{fleet.service}", fleet.port, local_port=port)
        )
        scans.on_change = _told(scans, "scans")
        addresses = {"scans": scans.address}
        if admin_port is not None:
            pages = stack.enter_context(
                kubectl.port_forward(
                    f"service/{fleet.admin}", fleet.admin_port, local_port=admin_port
                )
            )
            pages.on_change = _told(pages, "admin pages")
            addresses["admin"] = pages.address
        if json:
            sys.stdout.write(json_module.dumps(addresses) + "\n")
            sys.stdout.flush()
        else:
            _show(release, addresses)
        ended.wait()


def _show(release: str, addresses: dict[str, str]) -> None:
    out = stdout()
    where = addresses["scans"].replace("127.0.0.1", "localhost")
    out.print(f"{where} leads to the fleet {release}; Ctrl-C ends it.", soft_wrap=True)
    out.print(f"Send a scan:  elastron send SCAN.h5 -a {where}", soft_wrap=True)
    out.print(f"Check it:     elastron check {where}", soft_wrap=True)
    if admin := addresses.get("admin"):
        out.print(f"Admin pages:  http://{admin}/fleet", soft_wrap=True)


def _told(forward: PortForward, name: str) -> Callable[[], None]:
    """Says what becomes of a port-forward."""

    def say() -> None:
        if forward.problem:
            show_remark(f"{name}: the connection broke ({forward.problem}); beginning anew")
        else:
            show_remark(f"{name}: connected again at {forward.address}")

    return say


@contextlib.contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets."""
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
