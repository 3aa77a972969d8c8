from __future__ import annotations

import asyncio
import os

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


async def soon(folder, role: Role, *, idle=lambda: True) -> bool:
    """Whether a process of that role goes now."""
    try:
        async with asyncio.timeout(1):
            await lease_ends(folder, role, 0.0, idle=idle)
    except TimeoutError:
        return False
    return True


async def test_nobody_goes_while_up_runs(folder):
    folder.sign_in("up", Role.UP)
    assert not await soon(folder, Role.STORAGE)
    folder.write_record(Record("up", Role.UP, GONE, 0))
    assert await soon(folder, Role.STORAGE)


async def test_a_busy_process_stays(folder):
    busy = [True]
    waiting = asyncio.create_task(soon(folder, Role.GATEWAY, idle=lambda: not busy[0]))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    busy[0] = False
    assert await waiting


async def test_they_go_one_after_the_other(folder):
    folder.sign_in("gateway", Role.GATEWAY)
    assert not await soon(folder, Role.NODE)
    assert not await soon(folder, Role.STORAGE)
    folder.write_record(Record("gateway", Role.GATEWAY, GONE, 0))
    folder.sign_in("node-1", Role.NODE)
    assert await soon(folder, Role.NODE)
    assert not await soon(folder, Role.STORAGE)
    folder.forget("node-1")
    assert await soon(folder, Role.STORAGE)
