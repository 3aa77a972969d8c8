"""A gateway's admin pages, seen from outside."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from elastron.cli.held_scan import HeldScan
from elastron.errors import ConnectError

_TIMEOUT_S = 10.0
#: A readout that was sent has come to the gateway's count after so many looks.
_LOOKS = 50
_LOOK_S = 0.1


class Admin:
    """A gateway's admin pages."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str) -> dict[str, Any]:
        """A page of them.

        Raises:
            ConnectError: they do not answer as they should.
        """
        try:
            answer = httpx.get(self._url + path, timeout=_TIMEOUT_S, trust_env=False)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ConnectError(f"The gateway's page {path} does not answer: {error}") from error


def places(admin: Admin, pool: str) -> int:
    """Scans that a pool can take at once now."""
    nodes = admin.get("/fleet")["nodes"]
    return sum(each["capacity"] for each in nodes if each["pool"] == pool) or 1


def session_of(admin: Admin, scan: HeldScan) -> dict[str, Any] | None:
    """The gateway's word on our scan, once it is on a node; others' scans are not ours to kill.

    Ours is known by its readouts: as many as we sent, and one more when we send one more.
    """
    there = {each["id"]: each for each in admin.get("/sessions")["sessions"]}
    before = scan.readouts
    ours = {name for name, each in there.items() if each["acquisitions"] == before}
    if not any(there[name]["node"] for name in ours):
        return None
    scan.go_on(1)
    for _ in range(_LOOKS):
        time.sleep(_LOOK_S)
        there = {each["id"]: each for each in admin.get("/sessions")["sessions"]}
        found = [there[name] for name in ours & there.keys()]
        moved = [each for each in found if each["acquisitions"] == before + 1]
        if len(moved) == 1 and moved[0]["node"]:
            return moved[0]
    return None


def begun_anew(admin: Admin, session: str, attempt: int) -> dict[str, Any] | None:
    """A session that is on another attempt than that one; None: not yet."""
    for each in admin.get("/sessions")["sessions"]:
        if each["id"] == session and each["attempt"] > attempt and each["node"]:
            return each
    return None


def others(admin: Admin, session: Mapping[str, Any]) -> int:
    """Scans beside ours on its node."""
    for each in admin.get("/fleet")["nodes"]:
        if each["id"] == session["node"]:
            return max(0, max(each["running"], each["placed"]) - 1)
    return 0
