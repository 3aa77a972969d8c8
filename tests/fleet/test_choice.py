from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from elastron.fleet.choice import Need, attainable, choose, memory_wanted, suits, to_clear
from elastron.fleet.model import Node, NodeState

from .strategies import fleets, needs

NOW = 50.0


def ready(name: str, **what: object) -> Node:
    return replace(Node(name, f"{name}:9002", state=NodeState.READY, capacity=4), **what)


def chosen(nodes: list[Node], need: Need | None = None, **options: object) -> str | None:
    need = need or Need()
    node = choose(need, nodes, now=NOW, memory_bytes=memory_wanted(need, nodes), **options)
    return None if node is None else node.id


def test_least_loaded_relative_to_capacity() -> None:
    small, large = ready("small", capacity=2, running=1), ready("large", capacity=8, running=3)
    assert chosen([small, large]) == "large"


def test_of_idle_nodes_the_larger() -> None:
    assert chosen([ready("small", capacity=2), ready("large", capacity=8)]) == "large"


def test_equal_nodes_take_turns() -> None:
    nodes = {name: ready(name, capacity=100) for name in "abc"}
    order = []
    for number in range(1, 7):
        name = chosen(list(nodes.values()))
        order.append(name)
        nodes[name] = replace(nodes[name], used=number)
    assert order == list("abcabc")


def test_pool_capabilities_and_exclusion() -> None:
    nodes = [ready("a"), ready("b", pool="gpu"), ready("c", capabilities=frozenset({"gpu"}))]
    assert chosen(nodes, Need(pool="gpu")) == "b"
    assert chosen(nodes, Need(capabilities=frozenset({"gpu"}))) == "c"
    assert chosen(nodes, Need(exclude=frozenset({"a"}))) == "c"
    assert chosen(nodes, Need(exclude=frozenset({"a", "c"}))) is None
    assert chosen(nodes, reserved={"a", "c"}) is None


def test_exclusions_hold_as_long_as_there_are_others() -> None:
    need = Need(exclude=frozenset({"a"}))
    assert attainable(need, [ready("a"), ready("b", running=4)]) == need
    for others in ([], [ready("b", pool="gpu")], [ready("b", state=NodeState.DEAD)]):
        assert attainable(need, [ready("a"), *others]) == Need()


def test_a_node_where_a_scan_failed_is_the_last_choice() -> None:
    bad = ready("bad", avoid_until=NOW + 1)
    assert chosen([bad, ready("good", running=3)]) == "good"
    assert chosen([bad, ready("full", running=4)]) == "bad"
    assert chosen([replace(bad, avoid_until=NOW), ready("good", running=3)]) == "bad"


def test_memory() -> None:
    nodes = [
        ready("a", memory_bytes=100, memory_used_bytes=50),
        ready("b", memory_bytes=100, memory_used_bytes=10, running=3),
    ]
    assert chosen(nodes, Need(memory_bytes=40)) == "a"
    assert chosen(nodes, Need(memory_bytes=60)) == "b"
    assert chosen(nodes, Need(memory_bytes=95)) is None


def test_a_scan_larger_than_every_node_goes_to_the_largest_when_that_is_empty() -> None:
    small, large = ready("small", memory_bytes=50), ready("large", memory_bytes=100)
    need = Need(memory_bytes=1000)
    assert memory_wanted(need, [small, large]) == 100
    assert chosen([small, large], need) == "large"
    assert chosen([small, replace(large, memory_used_bytes=1)], need) is None


def test_unknown_memory_is_enough() -> None:
    assert chosen([ready("a", memory_bytes=10), ready("b")], Need(memory_bytes=99)) == "b"


def test_the_node_to_clear_is_the_one_nearest_to_fitting() -> None:
    need = Need(memory_bytes=90)
    nodes = [
        ready("a", memory_bytes=100, memory_used_bytes=80),
        ready("b", memory_bytes=100, memory_used_bytes=40),
        ready("tiny", memory_bytes=60),
        ready("other", memory_bytes=200, pool="gpu"),
    ]
    assert to_clear(need, nodes, memory_bytes=90).id == "b"
    assert to_clear(need, nodes, memory_bytes=90, reserved={"b"}).id == "a"
    assert to_clear(Need(pool="none"), nodes, memory_bytes=90) is None


@given(fleets(), needs(), st.sets(st.sampled_from(["n0", "n1"])))
def test_the_chosen_node_may_take_it(nodes: list[Node], need: Need, reserved: set[str]) -> None:
    wanted = memory_wanted(need, nodes)
    node = choose(need, nodes, now=NOW, memory_bytes=wanted, reserved=reserved)
    able = [
        each
        for each in nodes
        if suits(need, each)
        and each.state is NodeState.READY
        and each.running < each.capacity
        and each.id not in reserved
        and (
            each.memory_bytes is None
            or each.memory_bytes - each.memory_used_bytes >= wanted
            or wanted == 0
        )
    ]
    if node is None:
        assert not able
        return
    assert node in able
    assert need.capabilities <= node.capabilities
    assert node.id not in need.exclude
    good = [each for each in able if each.avoid_until <= NOW]
    assert not good or node in good
    assert all(
        node.running / node.capacity <= each.running / each.capacity for each in good or able
    )


@given(fleets(), needs())
def test_every_suitable_fleet_can_take_every_scan_once_it_is_empty(
    nodes: list[Node], need: Need
) -> None:
    """No estimate shuts a scan out for ever."""
    suitable = [node for node in nodes if suits(need, node)]
    empty = [
        replace(node, state=NodeState.READY, running=0, memory_used_bytes=0) for node in suitable
    ]
    node = choose(need, empty, now=NOW, memory_bytes=memory_wanted(need, empty))
    assert (node is None) == (not suitable)


@given(fleets(), needs(), st.randoms())
def test_the_order_of_the_nodes_matters_only_between_equals(
    nodes: list[Node], need: Need, random: object
) -> None:
    def key(node: Node | None) -> object:
        return node and (node.avoid_until, node.running / node.capacity, node.free, node.used)

    shuffled = list(nodes)
    random.shuffle(shuffled)
    wanted = memory_wanted(need, nodes)
    assert memory_wanted(need, shuffled) == wanted
    first = choose(need, nodes, now=NOW, memory_bytes=wanted)
    second = choose(need, shuffled, now=NOW, memory_bytes=wanted)
    assert key(first) == key(second)
