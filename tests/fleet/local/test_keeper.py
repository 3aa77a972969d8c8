from __future__ import annotations

import asyncio
import os
import signal

import pytest

from elastron.errors import ElastronError
from elastron.fleet.local.folder import Record, Role
from elastron.fleet.local.keeper import Keeper
from elastron.fleet.local.stopping import stop_fleet
from tests.patience import Patience


@pytest.fixture
def make(folder, launcher):
    def keeper(role: Role = Role.GATEWAY, **settings: object) -> Keeper:
        return Keeper(
            folder,
            role,
            settings,
            launcher,
            lease_s=600,
            pin=lambda values, record: values | {"listen": record.address},
        )

    return keeper


async def until(condition) -> None:
    patience = Patience(60)
    while not condition():
        assert patience.lasts()
        await asyncio.sleep(0.01)


async def test_it_runs_and_ends(folder, make):
    keeper = make()
    await keeper.begin()
    record = await keeper.ready(60)
    assert record.ready
    assert keeper.alive
    await keeper.stop()
    assert not record.alive
    assert folder.names() == []


async def test_it_is_started_again_where_it_was(folder, make):
    keeper = make()
    await keeper.begin()
    first = await keeper.ready(60)
    keeping = asyncio.create_task(keeper.keep())
    first.identity.signal(signal.SIGKILL)
    await until(lambda: keeper.restarts == 1)
    second = await keeper.ready(60)
    assert second.identity != first.identity
    order = folder.order("gateway")
    assert order.settings == {"listen": first.address}
    keeping.cancel()
    # One that was told to go is not started again.
    keeping = asyncio.create_task(keeper.keep())
    await keeper.stop()
    keeping.cancel()
    assert keeper.restarts == 1


async def test_what_runs_is_adopted_unless_it_was_told_otherwise(make):
    first = make(listen="x")
    await first.begin()
    pid = (await first.ready(60)).identity.pid
    second = make(listen="x")
    await second.begin()
    assert (await second.ready(60)).identity.pid == pid
    third = make(listen="y")
    await third.begin()
    assert (await third.ready(60)).identity.pid != pid
    await third.stop()


async def test_one_that_does_not_start_says_why(folder, make):
    keeper = make(how="crashes")
    folder.log_path("gateway").write_text("the port is taken\n")
    await keeper.begin()
    with pytest.raises(ElastronError, match=r"The gateway did not start.*the port is taken"):
        await keeper.ready(60)
    await keeper.stop()


async def test_a_fleet_without_its_up_can_be_ended(folder, make):
    for role in (Role.STORAGE, Role.GATEWAY):
        keeper = make(role)
        await keeper.begin()
        await keeper.ready(60)
    folder.write_record(Record("node-1", Role.NODE, folder.record("gateway").identity, 0))
    said: list[str] = []
    assert await asyncio.to_thread(stop_fleet, folder, now=False, say=said.append) == 2
    assert said == ["gateway ends", "storage ends"]
    assert folder.names() == []
    assert os.listdir(folder.path / "processes") == []


async def test_a_fleet_can_be_ended_at_once(folder, make, launcher):
    keeper = make()
    await keeper.begin()
    await keeper.ready(60)
    (folder.path / "gateway.busy").touch()
    make(Role.STORAGE)._start()  # which is about to begin
    assert await asyncio.to_thread(stop_fleet, folder, now=True) >= 1
    await until(lambda: launcher.lost("storage"))
    assert not any(record.alive for record in folder.records())
