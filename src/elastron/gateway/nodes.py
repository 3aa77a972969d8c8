"""The registry: which nodes there are, what state each is in, how much each runs.

Discovery tells which nodes there are. Each is asked again and again how it is, and a fault that a
scan meets is a reason to ask at once. A node that does not answer twice in a row is dead: its scans
are told (`Registry.reserve`), and it is asked again after pauses that double.

How many scans run on a node is the gateway's own count, plus what the node tells beyond it: other
gateways may use it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from elastron.errors import ElastronError
from elastron.fleet.model import Node
from elastron.gateway.discovery import Found, Source, StaticSource, parse_source
from elastron.gateway.events import Events
from elastron.gateway.member import Member, describe
from elastron.gateway.node_settings import RegistrySettings
from elastron.gateway.probing import Prober

__all__ = ["Registry", "RegistrySettings"]

#: Pauses are spread by so much, or all nodes would be asked at the same moment.
_JITTER = 0.1


@dataclass(slots=True, eq=False)
class _Watch:
    """A member, and who looks after it."""

    member: Member
    node: Node
    told: tuple[Node, str] | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    poke: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Registry:
    """The nodes, and what is known of them. All methods belong to the event loop.

    Args:
        settings: how nodes are found and asked.
        events: told of every change.
        clock: seconds, monotonic; the placer must use the same.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        events: Events,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._settings = settings
        self._events = events
        self._log = structlog.get_logger()
        self._sources = _sources(settings)
        self._told: dict[str, list[Found]] = {}
        self._watches: dict[str, _Watch] = {}
        self._listeners: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._prober: Prober | None = None
        self._used = 0

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Find the nodes and ask each once, for `start_wait_s` at most; then go on in tasks."""
        settings = self._settings
        self._prober = Prober(
            timeout_s=settings.poll_timeout_s, connections_max=settings.polls_at_once_max
        )
        told = [asyncio.Event() for _ in self._sources]
        for (name, source), event in zip(self._sources.items(), told, strict=True):
            self._run(self._discover(name, source, event))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.start_wait_s):
                for event in told:
                    await event.wait()
                for watch in list(self._watches.values()):
                    await watch.asked.wait()

    async def stop(self) -> None:
        """End discovery and questions."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._prober is not None:
            await self._prober.close()
            self._prober = None

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- what is known --------------------------------------------------------------------------

    def nodes(self) -> list[Node]:
        """All nodes known now."""
        return [watch.node for watch in self._watches.values()]

    def describe(self) -> list[dict[str, Any]]:
        """The nodes as `GET /fleet` tells them."""
        return [describe(watch.node, watch.member) for watch in self._watches.values()]

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change of a node."""
        self._listeners.append(listener)

    # --- what scans meet ------------------------------------------------------------------------

    def failed(self, node_id: str, reason: str, *, unreachable: bool = False) -> None:
        """A scan met a fault of this node: it is avoided for a while, and asked at once.

        Args:
            node_id: a node that has left is no error.
            reason: for people; no patient data.
            unreachable: no connection could be made: nothing is placed there until a pause
                (longer with each failure in a row) is over and it answers again.
        """
        if (watch := self._watches.get(node_id)) is not None:
            self._log.warning("a scan met a fault of its node", node=node_id, reason=reason)
            watch.member.scan_failed(reason, self.clock(), unreachable=unreachable)
            watch.poke.set()
            self._changed(watch)

    def full(self, node_id: str) -> None:
        """It refused a scan as full (another gateway uses it too): busy until it says otherwise."""
        if (watch := self._watches.get(node_id)) is not None:
            watch.member.refused_full(self.clock())
            watch.poke.set()
            self._changed(watch)

    def draining(self, node_id: str) -> None:
        """It refused a scan as draining: nothing goes there until it says otherwise."""
        if (watch := self._watches.get(node_id)) is not None:
            watch.member.refused_draining()
            watch.poke.set()
            self._changed(watch)

    def succeeded(self, node_id: str) -> None:
        """A scan there came to its end: earlier faults are forgotten."""
        if (watch := self._watches.get(node_id)) is not None:
            watch.member.scan_succeeded()
            self._changed(watch)

    # --- places ---------------------------------------------------------------------------------

    def reserve(self, node_id: str, memory_bytes: int) -> asyncio.Future[str]:
        """Count one more scan there.

        Args:
            node_id: one of `nodes`.
            memory_bytes: estimate of what the scan will take.

        Returns:
            A future that resolves with a reason when the node is found dead.
        """
        watch = self._watches[node_id]
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._used += 1
        watch.member.take(lost, memory_bytes, self._used)
        self._changed(watch)
        return lost

    def release(self, node_id: str, lost: asyncio.Future[str]) -> None:
        """Count the scan no more whose `reserve` gave `lost`."""
        lost.cancel()
        if (watch := self._watches.get(node_id)) is not None:
            watch.member.give_back(lost)
            if watch.member.removed and not watch.member.own:
                self._forget(watch)
            else:
                self._changed(watch)

    # --- discovery ------------------------------------------------------------------------------

    async def _discover(self, name: str, source: Source, told: asyncio.Event) -> None:
        def tell(found: list[Found]) -> None:
            self._told[name] = found
            self._discovered()
            told.set()

        try:
            await source.watch(tell)
        except Exception:
            self._log.exception("discovery of nodes has ended", source=name)

    def _discovered(self) -> None:
        found: dict[str, Found] = {}
        for told in self._told.values():
            for each in told:
                found.setdefault(each.id, each)
        if (count := len(found)) > self._settings.nodes_max:
            self._log.error(
                "more nodes than nodes_max; the rest is left out",
                found=count,
                nodes_max=self._settings.nodes_max,
            )
            found = dict(list(found.items())[: self._settings.nodes_max])
        for node_id, watch in list(self._watches.items()):
            if node_id not in found:
                self._gone(watch)
        for each in found.values():
            self._known(each)

    def _known(self, found: Found) -> None:
        watch = self._watches.get(found.id)
        if watch is None:
            now = self.clock()
            member = Member(found, self._settings, now)
            watch = self._watches[found.id] = _Watch(member, member.node(now, None))
            watch.task = self._run(self._look_after(watch))
            self._changed(watch)
        elif watch.member.found != found or watch.member.removed:
            watch.member.rediscovered(found, self.clock())
            watch.poke.set()
            self._changed(watch)

    def _gone(self, watch: _Watch) -> None:
        watch.member.removed = True
        if watch.member.own:
            self._changed(watch)
        else:
            self._forget(watch)

    def _forget(self, watch: _Watch) -> None:
        del self._watches[watch.node.id]
        if watch.task is not None:
            watch.task.cancel()
        self._log.info("node has left", node=watch.node.id, address=watch.node.address)
        self._events.publish("node", describe(watch.node, watch.member) | {"removed": True})
        self._tell()

    # --- questions ------------------------------------------------------------------------------

    async def _look_after(self, watch: _Watch) -> None:
        """Ask one node again and again, until it is forgotten."""
        prober, member = self._prober, watch.member
        assert prober is not None  # noqa: S101 - start() made it
        while True:
            watch.poke.clear()
            found, own = member.found, member.own
            status, reason = None, ""
            try:
                status = await prober.ask(found.address, found.admin)
            except ElastronError as error:
                reason = str(error)
            except Exception as error:  # the others must be asked all the same
                self._log.exception("asking a node failed", node=found.id)
                reason = f"it cannot be asked ({type(error).__name__})"
            if found != member.found:
                pass  # it has moved meanwhile
            elif status is None:
                member.unanswered(reason)
            else:
                member.answered(status, own_before=own)
            watch.asked.set()
            self._changed(watch)
            # In a large fleet each is asked less often, so that all together stay bounded.
            least_s = len(self._watches) / self._settings.polls_per_second_max
            pause_s = member.pause_s(self.clock(), least_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s * random.uniform(1 - _JITTER, 1 + _JITTER)):
                    await watch.poke.wait()

    # --- telling --------------------------------------------------------------------------------

    def _changed(self, watch: _Watch) -> None:
        member, before = watch.member, watch.node
        node = member.node(self.clock(), before)
        if (node, member.error) == watch.told:
            return
        new = watch.told is None or before.state is not node.state
        both_live = before.live and node.live  # comes and goes with each scan
        watch.node, watch.told = node, (node, member.error)
        if new:
            log = self._log.debug if both_live else self._log.info
            log(
                "node is " + node.state.value,
                node=node.id,
                address=node.address,
                pool=node.pool,
                reason=member.error or None,
            )
        self._events.publish("node", describe(node, member))
        if member.lost:
            for place in list(member.places):
                if isinstance(place, asyncio.Future) and not place.done():
                    place.set_result(member.error)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _sources(settings: RegistrySettings) -> dict[str, Source]:
    """Where to look for nodes, by what the settings say; fixed nodes make one source together."""
    sources: dict[str, Source] = {}
    fixed: list[Found] = []
    for text in settings.nodes:
        source = parse_source(text, resolve_interval_s=settings.resolve_interval_s)
        if isinstance(source, StaticSource):
            fixed += source.nodes
        else:
            sources[text] = source
    return {"fixed nodes": StaticSource(fixed)} | sources if fixed else sources
