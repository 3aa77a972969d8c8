from __future__ import annotations

import asyncio
import os

import pytest

from elastron.fleet.local.folder import Record, Role
from elastron.fleet.local.identity import Identity
from elastron.fleet.local.lease import Lease, lease_ends

GONE = Identity(os.getpid(), "long ago")


def test_a_lease_runs_from_the_first_moment_alone():
    lease = Lease(10)
    assert not lease.expired(supervised=True, now=0)
    assert not lease.expired(supervised=False, now=100)
    assert not lease.expired(supervised=False, now=109)
    assert not lease.expired(supervised=True, now=109.5)  # somebody came
    assert not lease.expired(supervised=False, now=110)
    assert lease.expired(supervised=False, now=120)


async def goes(folder, role: Role, *, idle=lambda: True) -> None:
    """Wait until a process of that role goes."""
    async with asyncio.timeout(60):
        await lease_ends(folder, role, 0.0, idle=idle)


async def stays(folder, role: Role) -> None:
    """It looks around some times, and does not go."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await lease_ends(folder, role, 0.0, idle=lambda: True)


async def test_nobody_goes_while_up_runs(folder):
    folder.sign_in("up", Role.UP)
    await stays(folder, Role.STORAGE)
    folder.write_record(Record("up", Role.UP, GONE, 0))
    await goes(folder, Role.STORAGE)


async def test_a_busy_process_stays(folder):
    busy = [True]
    waiting = asyncio.create_task(goes(folder, Role.GATEWAY, idle=lambda: not busy[0]))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    busy[0] = False
    await waiting


async def test_they_go_one_after_the_other(folder):
    folder.sign_in("gateway", Role.GATEWAY)
    await stays(folder, Role.NODE)
    await stays(folder, Role.STORAGE)
    folder.write_record(Record("gateway", Role.GATEWAY, GONE, 0))
    folder.sign_in("node-1", Role.NODE)
    await goes(folder, Role.NODE)
    await stays(folder, Role.STORAGE)
    folder.forget("node-1")
    await goes(folder, Role.STORAGE)
