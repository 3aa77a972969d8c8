"""Distributed chains over real nodes: the images of the local chain, whatever befalls a node."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.image import Image
from elastron.node.peer_settings import PeerSettings
from elastron.pipeline import parse_config, serialize_config
from elastron.wire.messages import Close, ConfigName, ConfigXml, Error, HeaderXml, Message, Text
from tests.chaos.fleet import GatewayProcess
from tests.node.harness import (
    HEADER,
    NodeProcess,
    Peer,
    images,
    running_node,
    scan,
    texts,
    wait_for,
)

REPETITIONS = 6


@dataclass
class Fleet:
    """Nodes that all know each other through one discovery command, which tests may change."""

    nodes: list[NodeProcess]
    folder: Path

    @property
    def parent(self) -> NodeProcess:
        return self.nodes[0]

    @property
    def workers(self) -> list[NodeProcess]:
        return self.nodes[1:]

    def list(self, *nodes: NodeProcess) -> None:
        """The command prints these from now on."""
        addresses = json.dumps([f"127.0.0.1:{node.port}" for node in nodes])
        self.discover_by(f"echo '{addresses}'")

    def discover_by(self, command: str) -> None:
        # In one step: a session may be running it.
        new = self.folder / "discover.new"
        new.write_text(f"#!/bin/sh\n{command}\n")
        new.chmod(0o755)
        new.rename(self.folder / "discover")

    def settings(self) -> PeerSettings:
        # Patient: a node, or the command, that a busy machine keeps waiting has not failed.
        return PeerSettings(
            command=str(self.folder / "discover"),
            discovery_pause_s=0.05,
            discovery_timeout_s=60,
            connect_timeout_s=60,
            idle_s=60,
        )

    @contextlib.contextmanager
    def another(self, name: str) -> Iterator[NodeProcess]:
        folder = self.folder / name
        folder.mkdir()
        with running_node(folder, capacity=2, peers=self.settings()) as node:
            yield node


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    fleet = Fleet([], folder)
    with contextlib.ExitStack() as stack:
        for i in range(5):
            fleet.nodes.append(stack.enter_context(fleet.another(f"node-{i}")))
        yield fleet


def ask(node: NodeProcess | GatewayProcess, config: Message, *data: Message) -> list[Message]:
    """All that a node answers."""
    with Peer(node.port) as peer:
        # A thread: neither side may wait for the other with its buffers full.
        sending = threading.Thread(target=peer.send, args=(config, HeaderXml(HEADER), *data))
        sending.start()
        answer = peer.receive()
        sending.join()
    assert isinstance(answer[-1], Close)
    return answer


def reconstruct(node: NodeProcess | GatewayProcess, config: str, *data: Message) -> list[Image]:
    answer = ask(node, ConfigName(config), *(data or (scan(REPETITIONS),)), Close())
    assert not texts(answer)
    return images(answer)


@pytest.fixture(scope="module")
def expected(fleet: Fleet) -> list[Image]:
    found = reconstruct(fleet.parent, "default.xml")
    assert len(found) == REPETITIONS
    return found


def assert_same(found: list[Image], expected: list[Image]) -> None:
    """Bit for bit, headers included."""
    assert [image.header for image in found] == [image.header for image in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.data, other.data, strict=True)


def sessions_served(node: NodeProcess) -> int:
    return len(node.events('"event": "session begins"'))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_images_of_the_local_chain(fleet: Fleet, expected: list[Image], count: int) -> None:
    fleet.list(*fleet.workers[:count])
    before = [sessions_served(node) for node in fleet.workers]

    def worked() -> list[bool]:
        after = [sessions_served(node) for node in fleet.workers]
        return [now > then for now, then in zip(after, before, strict=True)]

    for _ in range(20):  # one that is quick may do the work of one that is kept waiting
        assert_same(reconstruct(fleet.parent, "distributed_default.xml"), expected)
        if all(worked()[:count]):
            break
    assert worked() == [i < count for i in range(4)]


def test_items_one_by_one(fleet: Fleet, expected: list[Image]) -> None:
    fleet.list(*fleet.workers[:2])
    assert_same(reconstruct(fleet.parent, "distributed_image_default.xml"), expected)


def test_buffers(fleet: Fleet, expected: list[Image]) -> None:
    fleet.list(*fleet.workers[:2])
    found = reconstruct(fleet.parent, "distributed_generic_default.xml")
    assert [image.header for image in found] == [image.header for image in expected]
    for one, other in zip(found, expected, strict=True):
        # The readout goes back to k-space for the wire: rounding differs.
        np.testing.assert_allclose(one.data, other.data, rtol=0, atol=1e-6 * other.data.max())


def test_the_cloud_chain_gives_the_images_of_its_local_twin(fleet: Fleet) -> None:
    fleet.list(*fleet.workers[:3])
    data = [_as_slice(scan(1, first=i)) for i in range(3)]
    local = reconstruct(fleet.parent, "Generic_Cartesian_Grappa_RealTimeCine.xml", *data)
    found = reconstruct(fleet.parent, "Generic_Cartesian_Grappa_RealTimeCine_Cloud.xml", *data)
    assert len(local) == 3
    assert_same(found, local)


def _as_slice(item: AcquisitionBatch) -> AcquisitionBatch:
    headers = item.headers.copy()
    headers["idx"]["slice"], headers["idx"]["repetition"] = item.counter("repetition"), 0
    return replace(item, headers=headers)


# --- failures -------------------------------------------------------------------------------------


class OpenScan:
    """A scan through the parent, half of whose first repetition has been sent."""

    def __init__(self, fleet: Fleet, worker: NodeProcess) -> None:
        whole = scan(REPETITIONS)
        self._peer = fleet.parent.connect()
        self._peer.send(ConfigName("distributed_default.xml"), HeaderXml(HEADER))
        self._peer.send(whole.select(slice(16)))
        self._rest = whole.select(slice(16, None))
        self.session = wait_for(
            lambda: next((s for s in worker.sessions() if s["acquisitions"] >= 16), None),
            what="the first part at its worker",
        )

    def finish(self) -> list[Image]:
        with self._peer as peer:
            peer.send(self._rest, Close())
            answer = peer.receive()
        assert not texts(answer)
        return images(answer)


def test_a_killed_node_changes_nothing(fleet: Fleet, expected: list[Image]) -> None:
    with fleet.another("victim") as victim:
        fleet.list(victim, fleet.workers[0])
        open_scan = OpenScan(fleet, victim)
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait()
        assert_same(open_scan.finish(), expected)
    failed = [line["peer"] for line in fleet.parent.events("a peer failed")]
    assert f"127.0.0.1:{victim.port}" in failed


def test_a_killed_process_changes_nothing(fleet: Fleet, expected: list[Image]) -> None:
    worker = fleet.workers[0]
    fleet.list(worker, fleet.workers[1])
    open_scan = OpenScan(fleet, worker)
    os.kill(open_scan.session["pid"], signal.SIGKILL)
    assert_same(open_scan.finish(), expected)


def test_a_draining_node_finishes_its_part_and_gets_no_more(
    fleet: Fleet, expected: list[Image]
) -> None:
    with fleet.another("leaving") as leaving:
        fleet.list(leaving, fleet.workers[0])
        open_scan = OpenScan(fleet, leaving)
        draining = threading.Thread(
            target=lambda: httpx.post(f"{leaving.admin}/drain", timeout=60, trust_env=False)
        )
        draining.start()
        leaving.wait_for_log("draining")
        assert_same(open_scan.finish(), expected)
        draining.join()
        assert sessions_served(leaving) == 1
        assert leaving.events("session ended")[-1]["outcome"] == "ok"


def test_a_node_that_comes_while_the_scan_runs_is_used(fleet: Fleet) -> None:
    first, second = fleet.workers[:2]
    fleet.list(first)
    before = [sessions_served(node) for node in (first, second)]
    sent: list[AcquisitionBatch] = []

    def send_one(peer: Peer) -> None:
        sent.append(scan(first=len(sent)))
        peer.send(sent[-1])

    with fleet.parent.connect() as peer:
        peer.send(ConfigName("distributed_default.xml"), HeaderXml(HEADER))
        send_one(peer)
        wait_for(lambda: sessions_served(first) > before[0], what="a part at the first node")
        assert sessions_served(second) == before[1]
        fleet.list(second)

        def used() -> bool:
            send_one(peer)
            time.sleep(0.05)
            return sessions_served(second) > before[1]

        wait_for(used, what="a part at the second node")
        answer = peer.send(Close()).receive()
    assert not texts(answer)
    assert_same(images(answer), reconstruct(fleet.parent, "default.xml", *sent))


def test_no_node_at_all(fleet: Fleet, expected: list[Image]) -> None:
    fleet.list()
    assert_same(reconstruct(fleet.parent, "distributed_default.xml"), expected)
    assert fleet.parent.events("works on it itself")


def test_nodes_that_are_all_parents_do_not_wait_for_each_other(
    fleet: Fleet, expected: list[Image]
) -> None:
    """Every place of every node is a parent's, so at first nobody takes a part of another's."""
    parents = fleet.nodes[:3]
    fleet.list(*parents)
    found: dict[int, list[Image]] = {}

    def send(number: int, peer: Peer) -> None:
        answer = peer.send(scan(REPETITIONS), Close()).receive()
        assert not texts(answer)
        found[number] = images(answer)

    def at_each(count: int) -> bool:
        return all(len(node.sessions()) == count for node in parents)

    with contextlib.ExitStack() as stack:
        wait_for(lambda: at_each(0), what="the end of what was there before")
        peers = [stack.enter_context(node.connect()) for node in 2 * parents]
        for peer in peers:
            peer.send(ConfigName("distributed_default.xml"), HeaderXml(HEADER))
        wait_for(lambda: at_each(2), what="two parents at each node")
        threads = [threading.Thread(target=send, args=each) for each in enumerate(peers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert len(found) == 6
    for each in found.values():
        assert_same(each, expected)


def test_behind_a_gateway(fleet: Fleet, expected: list[Image]) -> None:
    """The parent is placed by the gateway, and asks it for the others with `elastron workers`."""
    nodes = [f"127.0.0.1:{node.port}/{node.admin.rpartition(':')[2]}" for node in fleet.nodes]
    folder = fleet.folder / "gateway"
    folder.mkdir()
    gateway = GatewayProcess(folder, registry={"nodes": nodes, "poll_timeout_s": 30})
    try:
        wait_for(lambda: len(gateway.get("/workers").json()) == 5, what="all nodes at the gateway")
        fleet.discover_by(f"exec {sys.executable} -m elastron workers --gateway {gateway.admin}")
        before = [sessions_served(node) for node in fleet.nodes]
        assert_same(reconstruct(gateway, "distributed_default.xml"), expected)
        after = [sessions_served(node) for node in fleet.nodes]
        assert sum(after) - sum(before) == 1 + REPETITIONS
    finally:
        gateway.stop()


# --- errors ---------------------------------------------------------------------------------------

FAILING = """<configuration><version>2</version>{link}<stream>{stream}</stream></configuration>"""
LINK = (
    "<readers><reader><classname>AcquisitionReader</classname></reader>"
    "<reader><classname>ImageReader</classname></reader></readers>"
    "<writers><writer><classname>ImageWriter</classname></writer>"
    "<writer><classname>AcquisitionWriter</classname></writer></writers>"
)
FAIL = "<gadget><name>Fail</name><classname>FailGadget</classname></gadget>"
DISTRIBUTED = (
    f"<distributed>{LINK}<distributor><name>D</name><classname>AcquisitionDistributor</classname>"
    f"</distributor><stream>{FAIL}</stream></distributed>"
)


def test_a_workers_own_words_reach_the_client(fleet: Fleet) -> None:
    fleet.list(fleet.workers[0])
    config = FAILING.format(link=LINK, stream=DISTRIBUTED).encode()
    said = texts(ask(fleet.parent, ConfigXml(config), scan(), Close()))
    assert f"node 127.0.0.1:{fleet.workers[0].port}" in said
    assert "the gadget's own reason" in said
    assert said.startswith("[Connection Main Thread/Stream/D] ERROR: ")


def test_clients_get_errors_as_text_and_nodes_as_error(fleet: Fleet) -> None:
    written_by_people = FAILING.format(link=LINK, stream=FAIL).encode()
    written_by_a_node = serialize_config(parse_config(written_by_people))
    for xml, kind in ((written_by_people, Text), (written_by_a_node, Error)):
        answer = ask(fleet.parent, ConfigXml(xml), scan(), Close())
        (said,) = [message for message in answer if isinstance(message, (Text, Error))]
        assert type(said) is kind
        assert "the gadget's own reason" in said.text


def test_a_parent_that_leaves_ends_its_workers_sessions(fleet: Fleet) -> None:
    worker = fleet.workers[0]
    fleet.list(worker)
    with Peer(fleet.parent.port) as peer:
        peer.send(ConfigName("distributed_default.xml"), HeaderXml(HEADER))
        peer.send(scan().select(slice(16)))
        wait_for(worker.sessions, what="the part at its worker")
        peer.vanish()
    wait_for(lambda: not worker.sessions(), what="the end of the worker's session")
