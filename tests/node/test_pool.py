from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator

import psutil
import pytest

from elastron.node import pool as pools
from elastron.node.control import Channel
from elastron.node.pool import Worker, WorkerPool, WorkerState
from elastron.node.scoreboard import Scoreboard, SessionState
from elastron.node.settings import NodeSettings
from elastron.wire import encode
from elastron.wire.messages import Close

SESSION = {"id": "test", "threads": 1, "status": {}}


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerPool]:
    monkeypatch.setattr(pools, "_STAY_S", 300)  # as long as a test takes
    pool = WorkerPool(NodeSettings(capacity=4, warm_workers=1, log_level="error"))
    await pool.start()
    yield pool
    await pool.close()


@pytest.fixture
async def single() -> AsyncIterator[WorkerPool]:
    """Of a node with one place."""
    pool = WorkerPool(NodeSettings(capacity=1, warm_workers=1, log_level="error"))
    await pool.start()
    yield pool
    await pool.close()


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.01)


async def test_a_worker_serves_one_session_and_ends(pool: WorkerPool) -> None:
    worker = await pool.take()
    assert worker.state is WorkerState.BUSY
    ours, theirs = socket.socketpair()
    board = Scoreboard()
    assert worker.begin(SESSION, [theirs.fileno(), board.fd])
    theirs.close()
    ours.sendall(bytes(encode(Close())[0]))
    report = await worker.report
    assert report is not None
    assert report["outcome"] == "ok"
    assert report["memory_bytes"] >= 0
    assert ours.recv(10) == bytes(encode(Close())[0])
    assert board.state is SessionState.LINGER
    assert await worker.status == 0
    await until(lambda: worker.pid is not None and not psutil.pid_exists(worker.pid))
    ours.close()
    board.close()


async def serve(worker: Worker) -> None:
    """A session whose client says CLOSE at once."""
    ours, theirs = socket.socketpair()
    board = Scoreboard()
    assert worker.begin(SESSION, [theirs.fileno(), board.fd])
    theirs.close()
    ours.sendall(bytes(encode(Close())[0]))
    report = await worker.report
    assert report is not None
    assert report["outcome"] == "ok"
    assert report["memory_bytes"] >= 0
    ours.close()
    board.close()


async def test_a_worker_stays_for_parts_of_its_scan(pool: WorkerPool) -> None:
    first = await pool.take("one scan")
    for _ in range(3):
        await serve(first)
        assert first.state is WorkerState.STAYING
        other = await pool.take()
        another = await pool.take("another scan")
        assert len({first.pid, other.pid, another.pid}) == 3
        assert await pool.take("one scan") is first
        assert first.state is WorkerState.BUSY
        assert await pool.take("one scan") is not first  # two parts at once
    await serve(other)
    assert await other.status == 0


async def test_a_worker_does_not_stay_for_ever(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_STAY_S", 0.05)
    worker = await pool.take("scan")
    await serve(worker)
    assert await worker.status == 0
    assert worker.state is WorkerState.GONE
    assert await pool.take("scan") is not worker


async def test_no_more_stay_than_there_are_places(pool: WorkerPool) -> None:
    workers = [await pool.take(f"scan {number}") for number in range(5)]
    for worker in workers:
        await serve(worker)
    assert pool.count(WorkerState.STAYING) == 4
    assert workers[0].state is WorkerState.GONE


async def test_a_worker_that_dies_while_it_stays(pool: WorkerPool) -> None:
    worker = await pool.take("scan")
    await serve(worker)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    await until(lambda: worker.state is WorkerState.GONE)
    assert await pool.take("scan") is not worker


async def test_more_are_made_when_asked_for(pool: WorkerPool) -> None:
    workers = [await pool.take() for _ in range(4)]
    assert len({worker.pid for worker in workers}) == 4
    await until(lambda: pool.count(WorkerState.IDLE) == 1)
    assert pool.count(WorkerState.BUSY) == 4


async def test_another_is_made_at_once_if_another_session_may_come(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_REFILL_PAUSE_S", 300)
    await pool.take()
    await until(lambda: pool.count(WorkerState.IDLE) == 1)


async def test_a_full_node_makes_another_when_a_session_ends(
    single: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_REFILL_PAUSE_S", 300)
    worker = await single.take()
    await asyncio.sleep(0.2)
    assert single.count(WorkerState.IDLE) + single.count(WorkerState.STARTING) == 0
    await serve(worker)
    await until(lambda: single.count(WorkerState.IDLE) == 1)


async def test_a_full_node_makes_another_while_a_session_lasts(
    single: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_REFILL_PAUSE_S", 0.1)
    await single.take()
    await until(lambda: single.count(WorkerState.IDLE) == 1)


async def test_only_one_that_somebody_waits_for_is_to_hurry(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = []
    send = Channel.send
    monkeypatch.setattr(
        Channel, "send", lambda self, body, fds=(): (orders.append(body), send(self, body, fds))
    )
    await pool.take()
    taken = await pool.take()  # there was one
    await until(lambda: pool.count(WorkerState.IDLE) == 1)
    assert [order["hurry"] for order in orders if "fork" in order].count(True) == 1
    await serve(taken)


async def test_how_a_worker_died(pool: WorkerPool) -> None:
    worker = await pool.take()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSEGV)
    assert await worker.report is None
    assert await worker.death() == "signal 11, SIGSEGV"
    assert not worker.begin(SESSION, [])
    worker.kill()  # does nothing: the number may belong to somebody else by now


async def test_death_of_an_orphan(pool: WorkerPool) -> None:
    """The zygote died before: nobody knows how its workers ended."""
    worker = await pool.take()
    assert pool.zygote_pid is not None
    before = pool.zygote_pid
    os.kill(before, signal.SIGKILL)
    await until(lambda: pool.zygote_pid != before)
    worker.kill()
    assert await worker.report is None
    assert await worker.death() == "cause unknown"
    assert pool.count(WorkerState.GONE) == 0  # nobody will tell of its end: it is not kept
    await pool.take()


async def test_closing_leaves_no_process() -> None:
    pool = WorkerPool(NodeSettings(capacity=2, log_level="error"))
    await pool.start()
    assert pool.zygote_pid is not None
    zygote = psutil.Process(pool.zygote_pid)
    busy = await pool.take()
    processes = [zygote, *zygote.children()]
    await pool.close()
    assert await busy.report is None
    await until(lambda: not any(process.is_running() for process in processes))
