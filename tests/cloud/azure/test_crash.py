"""Death and failure at every single step: the next `up` or `down` goes on, and arrives."""

from __future__ import annotations

import copy
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count, cycle, islice
from pathlib import Path

import pytest

from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.down import carry_out, propose_down
from elastron.errors import ElastronError
from tests.cloud.azure.arm_clock import FastClock
from tests.cloud.azure.arm_door import DeathError, Door, Fault, Seen
from tests.cloud.azure.arm_ids import key, parse
from tests.cloud.azure.arm_server import serving
from tests.cloud.azure.arm_state import Azure
from tests.cloud.azure.conftest import engine_to
from tests.cloud.azure.test_engine import EVERYTHING

LEAST = make_aks({"name": "scans"})
WHOLE = make_aks(EVERYTHING)
# Waiting is looked at once or twice in place of a hundred times.
PACE = 0.05

At = Callable[[Seen], Fault | None]


def fresh() -> Door:
    return Door(Azure(pace=PACE))


def up(door: Door, aks: Aks) -> None:
    engine = engine_to(door)  # knows nothing of any run before
    engine.carry_out(engine.propose(aks))


def assert_arrived(door: Door, aks: Aks, names: list[str], again: bool = True) -> None:
    """All is there, once, at rest, and a further run (`again`) changes nothing."""
    azure = door.azure
    assert azure.named() == names
    assert all(item.busy is None and item.state == "Succeeded" for item in azure.items.values())
    if again:
        before = len(door.writes)
        up(door, aks)
        assert len(door.writes) == before


def course(aks: Aks) -> tuple[list[Seen], list[str]]:
    """The requests of an undisturbed run, and what there is after it."""
    door = fresh()
    up(door, aks)
    return door.seen, door.azure.named()


def at(index: int, fault: Fault) -> At:
    return lambda seen: fault if seen.index == index else None


def deaths(aks: Aks, step: int = 1) -> Iterator[tuple[int, Fault]]:
    """Before each request, and after each one that changes something."""
    for seen in course(aks)[0][::step]:
        yield seen.index, Fault(death=True)
        if seen.changes:
            yield seen.index, Fault(death=True, done=True)


@pytest.mark.parametrize(("aks", "step"), [(LEAST, 1), (WHOLE, 5)], ids=["least", "everything"])
def test_death_at_any_request_then_up(aks: Aks, step: int) -> None:
    names = course(aks)[1]
    died = 0
    for index, fault in deaths(aks, step):
        door = fresh()
        door.fault = at(index, fault)
        with pytest.raises(DeathError):
            up(door, aks)
        died += 1
        door.fault = lambda seen: None
        up(door, aks)
        assert_arrived(door, aks, names, again=died % 4 == 0)
    assert died > 20


def test_death_again_and_again() -> None:
    """Every run dies five requests after the last one; still it arrives."""
    door, names = fresh(), course(LEAST)[1]
    for lives in count(1):
        first = len(door.seen)
        limit = first + 8 + lives
        door.fault = lambda seen, limit=limit: Fault(death=True) if seen.index == limit else None
        try:
            up(door, LEAST)
        except DeathError:
            assert lives < 60
            continue
        break
    assert lives > 3
    door.fault = lambda seen: None
    assert_arrived(door, LEAST, names)


PASSING = [
    Fault(),
    Fault(done=True),
    Fault(500),
    Fault(503, "ServiceUnavailable", done=True),
    Fault(429, "TooManyRequests", headers={"Retry-After": "3"}),
    Fault(409, "OperationNotAllowed", "there's an in progress operation"),
]


def test_a_failure_that_passes_at_any_request_is_waited_for() -> None:
    names, faults = course(LEAST)[1], cycle(PASSING)
    for seen in course(LEAST)[0]:
        for fault in islice(faults, 3 if seen.changes else 1):
            if fault.status == 409 and not seen.changes:
                continue
            door = fresh()
            door.fault = at(seen.index, fault)
            up(door, LEAST)
            assert door.azure.named() == names, (seen.line, fault)


LASTING = [
    Fault(),
    Fault(500, done=True),
    Fault(400, "InvalidParameter", "The value of parameter x is invalid."),
    Fault(403, "AuthorizationFailed", "The client does not have authorization."),
    Fault(409, "Conflict", "There is a conflict."),
    Fault(429, "TooManyRequests", headers={"Retry-After": "7200"}),
]


def test_a_failure_that_lasts_is_told_and_the_next_up_arrives() -> None:
    names, faults = course(LEAST)[1], cycle(LASTING)
    for seen in course(LEAST)[0]:
        fault = next(faults)
        door = fresh()
        door.fault = lambda now, seen=seen, fault=fault: (
            fault if (now.method, now.path) == (seen.method, seen.path) else None
        )
        try:
            up(door, LEAST)
        except ElastronError as error:
            told = str(error)
            assert len(told) > 30, told
            assert "Traceback" not in told
        else:  # e.g. the status of an operation was asked elsewhere
            assert not seen.changes, seen.line
        door.fault = lambda seen: None
        up(door, LEAST)
        assert_arrived(door, LEAST, names, again=seen.changes)


def test_an_operation_that_fails_at_azure_then_up() -> None:
    names = course(WHOLE)[1]
    kinds = {seen.path for seen in course(WHOLE)[0] if seen.method == "PUT"}
    types = sorted({parsed.type.lower() for parsed in map(parse, kinds) if parsed is not None})
    failed: list[str] = []
    for kind in types:
        door = fresh()
        door.azure.fail[kind] = {"code": "AllocationFailed", "message": "No capacity now."}
        try:
            up(door, WHOLE)
        except ElastronError as error:
            failed.append(str(error))
        up(door, WHOLE)
        assert_arrived(door, WHOLE, names)
    assert len(failed) >= 5
    for told in failed:
        assert "AllocationFailed" in told or "activity log" in told


@pytest.mark.parametrize("seed", range(4))
def test_up_and_down_on_a_bad_day(seed: int) -> None:
    """One request in four goes wrong, and what was just made is known late; still both arrive."""
    chance = random.Random(seed)
    door = Door(Azure(pace=PACE, lag_s=30))
    bad = [fault for fault in PASSING if fault.status != 409]
    door.fault = lambda seen: chance.choice(bad) if chance.random() < 0.25 else None
    up(door, WHOLE)
    engine = engine_to(door)
    assert not engine.propose(WHOLE).plan.to_do
    carry_out(engine, propose_down(engine, WHOLE.name, WHOLE))
    assert door.azure.named() == []
    assert len([seen for seen in door.seen if seen.status >= 400]) > 20


def _end_state() -> Azure:
    door = fresh()
    up(door, WHOLE)
    return door.azure


_DONE = _end_state()
_IDS = [one for one in _DONE.named() if "-nodes" not in one and "/system" not in one]


@pytest.mark.parametrize("seed", range(40))
def test_up_from_any_half_done_state(seed: int) -> None:
    """Things missing with all that depends on them, failed, or still under way."""
    chance = random.Random(seed)
    azure = copy.deepcopy(_DONE)
    for one in chance.sample(_IDS, chance.randint(0, 6)):
        item = azure.items.get(key(one))
        if item is not None:
            azure.remove(item)
    _without_dangling(azure)  # what names something that is gone could not have been made
    told = [
        item
        for item in azure.items.values()
        if "provisioningState" in item.body.get("properties", {})
        and item.type != "Microsoft.Resources/resourceGroups"
        and "-nodes/" not in item.id  # AKS's own affair
    ]
    for item in chance.sample(told, min(len(told), chance.randint(0, 5))):
        if chance.random() < 0.5:
            item.state = "Failed"
        else:
            item.state = "Creating"
            azure.begin(item, "create", 200)
    door = Door(azure)
    up(door, WHOLE)
    wanted = {one for one in _DONE.named() if "-nodes/" not in one}
    assert wanted <= set(azure.named())
    assert_arrived(door, WHOLE, azure.named())


def _without_dangling(azure: Azure) -> None:
    from tests.cloud.azure.arm_state import ids_in

    removed = True
    while removed:
        removed = False
        for item in list(azure.items.values()):
            for reference in ids_in({**item.body, "id": None}):
                parsed = parse(reference)
                known = key(reference) in azure.items or azure.implied(reference)
                if parsed is not None and not known and key(item.id) in azure.items:
                    # no cluster without its first pool
                    system = item.id.endswith("/agentPools/system")
                    azure.remove(azure.items[key(item.id.rsplit("/", 2)[0])] if system else item)
                    removed = True


CHILD = """
import sys
from azure.core.pipeline.transport import RequestsTransport
from elastron.cloud.azure import arm
from elastron.cloud.azure.description import make_aks
from elastron.cloud.azure.engine import Engine
from tests.cloud.azure.arm_clock import FastClock
from tests.cloud.azure.conftest import LOGIN, Credential
url, certificate = sys.argv[1:]
transport = RequestsTransport(connection_verify=certificate)
azure = arm.Arm(Credential(), endpoint=url, transport=transport, clock=FastClock())
engine = Engine(azure, LOGIN)
engine.carry_out(engine.propose(make_aks({"name": "scans"})))
print("arrived")
"""


def test_a_process_that_is_killed(certificate: Path) -> None:
    """Killed in the middle of a request, by SIGKILL, twice; the third one arrives."""
    door = Door(Azure(clock=FastClock(), pace=PACE))
    child: list[subprocess.Popen[bytes]] = []
    kill_at = [0]

    def kill(seen: Seen) -> Fault | None:
        if kill_at and seen.index == kill_at[0]:
            os.kill(child[-1].pid, signal.SIGKILL)
        return None

    door.fault = kill
    with serving(door, certificate) as url:
        for _ in range(2):
            kill_at[0] = len(door.seen) + 24
            command = [sys.executable, "-c", CHILD, url, str(certificate)]
            child.append(subprocess.Popen(command, stdout=subprocess.PIPE))
            out, _ = child[-1].communicate(timeout=120)
            assert child[-1].returncode == -signal.SIGKILL
            assert out == b""
        kill_at.clear()
        child.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        out, _ = child[-1].communicate(timeout=120)
    assert out.strip() == b"arrived"
    assert door.azure.named() == course(LEAST)[1]
    methods = [seen.method for seen in door.writes]
    assert set(methods) == {"PUT"}
