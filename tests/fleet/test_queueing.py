from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.fleet.choice import Need, attainable, memory_wanted, suits
from elastron.fleet.model import Node, NodeState
from elastron.fleet.queueing import Priority, Queue, QueuePolicy, Turn

from .strategies import POOLS


class Fleet:
    """Nodes that run what the queue gives them; time is a number."""

    def __init__(self, *nodes: Node, policy: QueuePolicy | None = None) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.queue = Queue(policy)
        self.running: dict[str, Turn] = {}
        self.loads: Counter[tuple[str, str]] = Counter()
        self.now = 0.0
        self.placed = 0

    def add(self, session: str, need: Need | None = None, **options: object) -> None:
        self.queue.add(session, need or Need(), now=self.now, **options)

    def step(self) -> str | None:
        """Place the next scan; its session."""
        turn = self.queue.next(list(self.nodes.values()), self.loads, self.now)
        if turn is None:
            return None
        self.placed += 1
        self._change(turn, +1)
        self.running[turn.waiting.session] = turn
        return turn.waiting.session

    def place(self) -> list[str]:
        """Place whoever can be; their sessions in order."""
        return list(iter(self.step, None))

    def end(self, session: str) -> None:
        self._change(self.running.pop(session), -1)

    def _change(self, turn: Turn, by: int) -> None:
        need = turn.waiting.need
        node = self.nodes[turn.node.id]
        self.nodes[node.id] = replace(
            node,
            running=node.running + by,
            memory_used_bytes=node.memory_used_bytes + by * need.memory_bytes,
            used=self.placed if by > 0 else node.used,
        )
        self.loads[need.pool, turn.waiting.tenant] += by

    def order(self, pool: str = "default") -> list[str]:
        return [each.session for each in self.queue.order(pool, self.loads, self.now)]


def ready(name: str = "a", capacity: int = 1, **what: object) -> Node:
    return replace(Node(name, f"{name}:9002", state=NodeState.READY), capacity=capacity, **what)


# --- by example ----------------------------------------------------------------------------------


def test_first_come_first_served() -> None:
    fleet = Fleet(ready())
    for session in "123":
        fleet.add(session)
    assert fleet.place() == ["1"]
    fleet.end("1")
    assert fleet.order() == ["2", "3"]
    assert fleet.place() == ["2"]


def test_inline_before_offline() -> None:
    fleet = Fleet(ready(capacity=2))
    fleet.add("offline", priority=Priority.OFFLINE)
    fleet.add("inline 1")
    fleet.add("inline 2")
    assert fleet.order() == ["inline 1", "inline 2", "offline"]
    assert fleet.place() == ["inline 1", "inline 2"]


def test_an_offline_scan_that_has_waited_long_counts_as_inline() -> None:
    fleet = Fleet(ready(), policy=QueuePolicy(offline_wait_s_max=60))
    fleet.add("offline", priority=Priority.OFFLINE)
    fleet.now = 59.0
    fleet.add("inline")
    assert fleet.order() == ["inline", "offline"]
    fleet.now = 60.0
    assert fleet.order() == ["offline", "inline"]


def test_a_flood_of_one_tenant_does_not_hold_up_another() -> None:
    fleet = Fleet(ready(capacity=4))
    for number in range(20):
        fleet.add(f"flood {number}", tenant="flood")
    assert len(fleet.place()) == 4
    fleet.add("small", tenant="small")
    assert fleet.order()[0] == "small"
    fleet.end("flood 2")
    assert fleet.place() == ["small"]


def test_a_full_fleet_is_shared_equally() -> None:
    fleet = Fleet(ready(capacity=6))
    for tenant in "abc":
        for number in range(9):
            fleet.add(f"{tenant}{number}", tenant=tenant)
    assert fleet.place() == ["a0", "b0", "c0", "a1", "b1", "c1"]
    assert fleet.order()[:4] == ["a2", "b2", "c2", "a3"]


def test_pools_do_not_wait_for_each_other() -> None:
    fleet = Fleet(ready("a", running=1), ready("g", pool="gpu"))
    fleet.add("1")
    fleet.add("2", Need(pool="gpu"))
    fleet.add("3", Need(pool="nobody's"))
    assert fleet.place() == ["2"]
    assert fleet.queue.pools == ["default", "nobody's"]


def test_a_scan_that_does_not_fit_is_passed() -> None:
    fleet = Fleet(ready("a"), ready("g", capabilities=frozenset({"gpu"}), running=1))
    fleet.add("needs gpu", Need(capabilities=frozenset({"gpu"})))
    fleet.add("excludes a", Need(exclude=frozenset({"a"})))
    fleet.add("any")
    assert fleet.place() == ["any"]


def test_a_node_is_kept_clear_for_a_large_scan_that_was_passed_often() -> None:
    fleet = Fleet(
        ready("a", capacity=2, memory_bytes=100),
        ready("b", capacity=2, memory_bytes=100),
        policy=QueuePolicy(overtaken_max=3),
    )
    small = Need(memory_bytes=40)
    for number in range(4):
        fleet.add(f"small {number}", small)
    assert len(fleet.place()) == 4
    fleet.add("large", Need(memory_bytes=90))
    for number in range(4, 20):
        fleet.add(f"small {number}", small)
    passed = 0
    while "large" not in fleet.running:
        fleet.end(min(fleet.running, key=lambda each: int(each.split()[1])))
        passed += sum(session != "large" for session in fleet.place())
    # Three passed it; then one node emptied while the other one went on.
    assert passed <= 3 + 2
    assert fleet.order()[0] == f"small {4 + passed}"


def test_a_second_large_scan_has_a_node_kept_of_its_own() -> None:
    policy = QueuePolicy(overtaken_max=1)
    fleet = Fleet(*(ready(name, 2, memory_bytes=100) for name in "ab"), policy=policy)
    for number in range(4):
        fleet.add(f"small {number}", Need(memory_bytes=50))
    fleet.place()
    for session in ("large 1", "large 2"):
        fleet.add(session, Need(memory_bytes=100), tenant=session)
    for number in range(4, 8):
        fleet.add(f"small {number}", Need(memory_bytes=50))
    fleet.end("small 0")
    assert fleet.place() == ["small 4"]  # passes both; no other may
    for number in (1, 2, 3):
        fleet.end(f"small {number}")
        assert not [each for each in fleet.place() if each.startswith("small")]
    fleet.end("small 4")
    fleet.place()
    assert list(fleet.running) == ["large 1", "large 2"]


def test_a_scan_comes_back_to_its_old_place() -> None:
    fleet = Fleet(ready())
    for session in "123":
        fleet.add(session)
    fleet.place()
    first = fleet.running["1"].waiting
    fleet.end("1")
    fleet.add("1", Need(exclude=frozenset({"x"})), place=first)
    assert fleet.order() == ["1", "2", "3"]
    assert fleet.place() == ["1"]


def test_leaving_the_queue() -> None:
    fleet = Fleet(ready(running=1))
    for session in "123":
        fleet.add(session)
    assert fleet.queue.remove("2").session == "2"
    assert fleet.queue.remove("2") is None
    assert fleet.order() == ["1", "3"]
    assert len(fleet.queue) == fleet.queue.length("default") == 2
    assert "1" in fleet.queue
    assert "2" not in fleet.queue
    with pytest.raises(ValueError, match="waits already"):
        fleet.add("1")


# --- by property ---------------------------------------------------------------------------------

_NEEDS = st.builds(
    Need,
    pool=st.sampled_from(POOLS),
    capabilities=st.sampled_from([frozenset(), frozenset(), frozenset({"big"})]),
    memory_bytes=st.sampled_from([0, 0, 20, 60, 150]),
    exclude=st.frozensets(st.sampled_from("abc"), max_size=2),
)
_ADD = st.tuples(st.just("add"), _NEEDS, st.sampled_from("xyz"), st.sampled_from(list(Priority)))
_END = st.tuples(st.just("end"), st.integers(0, 20))
_LEAVE = st.tuples(st.just("leave"), st.integers(0, 20))
_NODES = st.builds(
    lambda parts: [
        ready(
            name,
            capacity,
            pool=pool,
            memory_bytes=memory,
            capabilities=frozenset({"big"}) if big else frozenset(),
        )
        for name, (capacity, pool, memory, big) in zip("abc", parts, strict=False)
    ],
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.sampled_from(POOLS),
            st.sampled_from([None, 80, 200]),
            st.booleans(),
        ),
        min_size=1,
        max_size=3,
    ),
)


def _check_laws(fleet: Fleet, turn: Turn) -> None:
    """What must hold for a scan that is about to be placed."""
    waiting, need = turn.waiting, turn.waiting.need
    node = fleet.nodes[turn.node.id]
    assert node.running < node.capacity
    assert suits(attainable(need, fleet.nodes.values()), node)
    nodes = list(fleet.nodes.values())
    if node.memory_bytes is not None and need.memory_bytes:
        assert node.memory_used_bytes + memory_wanted(need, nodes) <= node.memory_bytes
    for pool in fleet.queue.pools:
        for other in fleet.queue.order(pool, fleet.loads, fleet.now):
            same = other.need == need and other.tenant == waiting.tenant
            if same and other.priority is waiting.priority:
                assert other.number > waiting.number  # first come, first served
            fits = other.need == need and not other.overtaken
            if fits and not waiting.overtaken and pool == need.pool:
                # Equal needs: only the better claim goes first.
                assert (other.priority is Priority.OFFLINE) >= (
                    waiting.priority is Priority.OFFLINE
                )
                if other.priority is waiting.priority:
                    mine = fleet.loads[pool, waiting.tenant]
                    assert mine <= fleet.loads[pool, other.tenant]


@given(_NODES, st.lists(_ADD | _ADD | _END | _LEAVE, max_size=60))
@settings(max_examples=300)
def test_laws_hold_in_any_course_of_events(nodes: list[Node], events: list[tuple]) -> None:
    fleet = Fleet(*nodes, policy=QueuePolicy(overtaken_max=3))
    for number, event in enumerate(events):
        fleet.now += 1
        if event[0] == "add":
            _, need, tenant, priority = event
            fleet.add(str(number), need, tenant=tenant, priority=priority)
        elif event[0] == "end" and fleet.running:
            fleet.end(list(fleet.running)[event[1] % len(fleet.running)])
        elif event[0] == "leave" and len(fleet.queue):
            waiting = [each for pool in fleet.queue.pools for each in fleet.order(pool)]
            fleet.queue.remove(waiting[event[1] % len(waiting)])
        while turn := fleet.queue.next(list(fleet.nodes.values()), fleet.loads, fleet.now):
            _check_laws(fleet, turn)
            fleet.placed += 1
            fleet._change(turn, +1)
            fleet.running[turn.waiting.session] = turn
        # Nothing that could run waits, unless a node is kept clear for somebody.
        kept = any(
            each.overtaken >= 3
            for pool in fleet.queue.pools
            for each in fleet.queue.order(pool, fleet.loads, fleet.now)
        )
        if not kept:
            _check_nobody_waits_in_vain(fleet)
    _check_all_are_placed(fleet)


def _check_nobody_waits_in_vain(fleet: Fleet) -> None:
    nodes = list(fleet.nodes.values())
    for pool in fleet.queue.pools:
        for waiting in fleet.queue.order(pool, fleet.loads, fleet.now):
            wanted = memory_wanted(waiting.need, nodes)
            for node in nodes:
                if suits(waiting.need, node) and node.running < node.capacity:
                    assert node.memory_bytes is not None
                    assert node.memory_used_bytes + wanted > node.memory_bytes


def _check_all_are_placed(fleet: Fleet) -> None:
    """Once running scans end, whoever has a node that suits gets it."""
    while fleet.running or fleet.place():
        for session in list(fleet.running):
            fleet.end(session)
        fleet.place()
    for pool in fleet.queue.pools:
        for waiting in fleet.queue.order(pool, fleet.loads, fleet.now):
            assert not any(suits(waiting.need, node) for node in fleet.nodes.values())


@given(
    capacities=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    memory=st.sampled_from([None, 100]),
    wanted=st.sampled_from([0, 50, 100]),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=10),
    tenants=st.sampled_from(["a", "ab", "abc"]),
    own=st.sampled_from(["a", "z"]),
    overtaken_max=st.integers(1, 5),
)
def test_nobody_starves_under_an_endless_stream_of_others(
    *,
    capacities: list[int],
    memory: int | None,
    wanted: int,
    lengths: list[int],
    tenants: str,
    own: str,
    overtaken_max: int,
) -> None:
    fleet = Fleet(
        *(
            ready(f"n{index}", capacity, memory_bytes=memory)
            for index, capacity in enumerate(capacities)
        ),
        policy=QueuePolicy(overtaken_max=overtaken_max),
    )
    ends: dict[str, float] = {}
    others = 0

    def go_on() -> None:
        nonlocal others
        for session in [each for each in fleet.running if ends[each] <= fleet.now]:
            fleet.end(session)
        while fleet.queue.length("default") < 12:  # there is always somebody else waiting
            tenant = tenants[others % len(tenants)]
            fleet.add(f"other {others}", Need(memory_bytes=10), tenant=tenant)
            others += 1
        for session in fleet.place():
            ends[session] = fleet.now + lengths[len(ends) % len(lengths)]

    for _ in range(20):
        fleet.now += 1
        go_on()
    fleet.add("ours", Need(memory_bytes=wanted), tenant=own)
    before = fleet.placed
    deadline = fleet.now + 5000
    while "ours" not in fleet.running:
        fleet.now += 1
        go_on()
        assert fleet.now < deadline
    placed_before = fleet.placed - before - 1
    places = sum(capacities)
    # Those that were there before, a round of the places while it may be passed, and one more
    # while its node is cleared.
    longest, shortest = max(lengths), min(lengths)
    assert placed_before <= 12 + (overtaken_max + 1 + longest // shortest) * (places + 1) * 3


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 8)), min_size=1, max_size=80),
)
def test_fair_share(capacity: int, scans: list[tuple[str, int]]) -> None:
    """While two tenants both wait, neither gets more than one place above the other's share."""
    fleet = Fleet(ready(capacity=capacity))
    for number, (tenant, _) in enumerate(scans):
        fleet.add(str(number), tenant=tenant)
    ends: dict[str, float] = {}
    while len(fleet.queue) or fleet.running:
        for session in [each for each in fleet.running if ends[each] <= fleet.now]:
            fleet.end(session)
        while (session := fleet.step()) is not None:
            ends[session] = fleet.now + scans[int(session)][1]
            got = fleet.loads["default", scans[int(session)][0]]
            waiting = {each.tenant for each in fleet.queue.order("default", fleet.loads, fleet.now)}
            for tenant in waiting:
                assert got <= fleet.loads["default", tenant] + 1
        fleet.now += 1


@given(st.lists(_ADD, max_size=40))
def test_the_order_told_is_the_order_kept(events: list[tuple]) -> None:
    """With equal needs and places that become free one by one."""
    fleet = Fleet(ready(capacity=len(events) + 1))
    for number, (_, _, tenant, priority) in enumerate(events):
        fleet.add(str(number), tenant=tenant, priority=priority)
    told = fleet.order()
    assert sorted(told, key=int) == [str(number) for number in range(len(events))]
    assert fleet.place() == told
