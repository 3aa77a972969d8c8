"""Nodes as processes of this machine: started, watched, restarted, drained, stopped.

The autoscaler says how many; this says how. All state that matters is in the folder, so another
backend can go on where this one was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

import structlog

from elastron.fleet.local.affinity import available_cores, pin
from elastron.fleet.local.backoff import Backoff
from elastron.fleet.local.cores import share_of_cores
from elastron.fleet.local.folder import Order, Record, Role, StateFolder
from elastron.fleet.local.health import Health
from elastron.fleet.local.launch import Launcher
from elastron.fleet.local.logs import remove_old_logs
from elastron.fleet.local.member import HEALTH_S, Deed, Member
from elastron.fleet.local.template import NodeTemplate
from elastron.fleet.model import Node

#: How often processes are looked at: while one starts, and otherwise.
_LOOK_BUSY_S, _LOOK_S = 0.05, 0.2
#: A node is killed so long after the end of its own drain limit.
_LEAVE_MARGIN_S = 30.0


class LocalBackend:
    """The node processes of one fleet.

    `async with` adopts what runs and looks after it until the end of the block; it stops nothing.

    Args:
        folder: of the fleet.
        templates: by pool.
        launcher: starts node processes.
        clock: seconds, monotonic.

    Attributes:
        starts: node processes started, by pool.
        crashes: those that ended unasked, by pool.
        start_seconds: called with the time each took from being asked for to taking scans.
    """

    def __init__(
        self,
        folder: StateFolder,
        templates: Mapping[str, NodeTemplate],
        launcher: Launcher,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # With zeros: a rate needs the one before the first.
        self.starts: Counter[str] = Counter(dict.fromkeys(templates, 0))
        self.crashes: Counter[str] = Counter(dict.fromkeys(templates, 0))
        self._ended_s: dict[str, float] = dict.fromkeys(templates, 0.0)
        self.start_seconds: Callable[[str, float], None] = lambda _pool, _seconds: None
        self._folder = folder
        self._templates = dict(templates)
        self._launcher = launcher
        self._clock = clock
        self._log = structlog.get_logger()
        self._members: dict[str, Member] = {}
        self._backoffs = {pool: Backoff() for pool in self._templates}
        self._retiring: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listed: list[dict[str, Any]] | None = None
        self._health = Health()
        self._poke = asyncio.Event()
        self._looked = asyncio.Condition()

    # --- the port -------------------------------------------------------------------------------

    async def nodes(self) -> list[Node]:
        """All node processes, those that are starting or leaving too."""
        return [member.node() for member in self._members.values()]

    async def start(self, pool: str, count: int) -> None:
        """Start `count` more nodes; none while a crash is too recent."""
        now = self._clock()
        if not self._backoffs[pool].ready(now):
            return
        template = self._templates[pool]
        for _ in range(count):
            order = Order(
                name=self._folder.next_node_name(),
                role=Role.NODE,
                pool=pool,
                settings=dict(template.settings),
                lease_s=template.lease_s,
                digest=template.digest,
            )
            self._folder.write_order(order)
            self._members[order.name] = Member(order, now)
            self._launcher.launch(order.name)
            self.starts[pool] += 1
            self._log.info("node starts", node=order.name, pool=pool)
        self._poke.set()

    async def stop(self, ids: Collection[str]) -> None:
        """Take nodes out of service, and end each of them if it runs no scan by then."""
        for name in ids:
            member = self._members.get(name)
            if member is not None and not member.leaving:
                self._withdraw(member, if_idle=True)
        self._list()
        self._poke.set()

    def node_seconds(self) -> dict[str, float]:
        """How long node processes have run, by pool: from being asked for, or adopted, to the end.

        What a fleet costs.
        """
        seconds = dict(self._ended_s)
        for member in self._members.values():
            pool = member.order.pool
            seconds[pool] = seconds.get(pool, 0.0) + self._clock() - member.asked
        return seconds

    # --- life -----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._adopt()
        self._look()
        self._run(self._watch())
        self._run(self._ask())
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._health.__aexit__(*exc)
        self._launcher.close()

    def drain(self, name: str) -> bool:
        """Let a node finish its scans and end, however many they are; False: no such node."""
        member = self._members.get(name)
        if member is None:
            return False
        self._withdraw(member, if_idle=False)
        self._list()
        self._poke.set()
        return True

    async def stop_all(self) -> None:
        """Drain all nodes and wait for their end."""
        for member in self._members.values():
            self._withdraw(member, if_idle=False)
            self._terminate(member)
        self._list()
        await self._emptied()

    def terminate_all(self) -> None:
        """Tell all nodes once more: those that drain stop at once, and tell their clients why."""
        for member in self._members.values():
            self._signal(member, signal.SIGTERM)

    async def _emptied(self) -> None:
        self._poke.set()
        async with self._looked:
            await self._looked.wait_for(lambda: not self._members)

    # --- what is there already ------------------------------------------------------------------

    def _adopt(self) -> None:
        now = self._clock()
        for name in self._folder.names():
            order, record = self._folder.order(name), self._folder.record(name)
            role = record.role if record is not None else order.role if order is not None else None
            if role is not Role.NODE:
                continue
            if record is None:
                self._folder.withdraw_order(name)
                record = self._folder.record(name)  # it may have begun in between
            if record is None or not record.alive:
                self._folder.forget(name)
                if record is not None and not record.ended:
                    self._log.warning("node had died", node=name)
                continue
            member = Member(order or Order(name, Role.NODE), now, record)
            self._members[name] = member
            template = self._templates.get(member.order.pool)
            ours = template is not None and template.digest == member.order.digest
            if ours and not self._folder.leaving(name):
                self._log.info("node adopted", node=name, pool=member.order.pool)
            else:
                self._log.info("node is to go", node=name, pool=member.order.pool)
                self._withdraw(member, if_idle=False)

    # --- watching -------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            self._poke.clear()
            try:
                self._look()
            except OSError as error:  # a full disk, say: what runs goes on
                self._log.error("cannot look after the nodes", reason=str(error))
            async with self._looked:
                self._looked.notify_all()
            hurry = any(not member.serving for member in self._members.values())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_BUSY_S if hurry else _LOOK_S):
                    await self._poke.wait()

    def _look(self) -> None:
        """See how all are, and do what each needs."""
        self._launcher.tend()
        for member in list(self._members.values()):
            self._refresh(member)
            lost = member.record is None and self._launcher.lost(member.name)
            deed = member.deed(
                self._clock(),
                alive=member.record is not None and member.record.alive,
                lost=lost,
                leave_s=self._leave_s(member),
            )
            match deed:
                case Deed.GIVE_UP:
                    self._folder.withdraw_order(member.name)
                    member.record = self._folder.record(member.name)
                    if member.record is None:
                        self._bury(member)
                case Deed.BURY:
                    member.record = self._folder.record(member.name) or member.record
                    self._bury(member)
                case Deed.RETIRE if member.name not in self._retiring:
                    self._retiring.add(member.name)
                    self._run(self._retire(member))
                case Deed.KILL:
                    self._log.error("node hangs; it is killed", node=member.name)
                    self._signal(member, signal.SIGKILL)
                case _:
                    pass
        self._list()

    def _refresh(self, member: Member) -> None:
        if member.record is None or not member.record.ready:
            member.record = self._folder.record(member.name)
            if member.record is not None and member.record.ready:
                seconds = self._clock() - member.asked
                self.start_seconds(member.order.pool, seconds)
                self._log.info(
                    "node takes scans",
                    node=member.name,
                    address=member.record.address,
                    seconds=round(seconds, 3),
                )
        if not member.leaving and self._folder.leaving(member.name):
            self._log.info("node is to go, somebody asked", node=member.name)
            self._withdraw(member, if_idle=False)

    def _bury(self, member: Member) -> None:
        name, pool = member.name, member.order.pool
        ran_s = self._clock() - member.asked
        self._ended_s[pool] = self._ended_s.get(pool, 0.0) + ran_s
        if member.leaving or (member.record is not None and member.record.ended):
            self._log.info("node has left", node=name, pool=pool)
        else:
            self.crashes[pool] += 1
            pause_s = self._backoffs[pool].crashed(self._clock(), ran_s)
            self._log.error(
                "node crashed",
                node=name,
                pool=pool,
                log=str(self._folder.log_path(name)),
                next_start_s=pause_s,
            )
        del self._members[name]
        self._retiring.discard(name)
        self._folder.forget(name)
        remove_old_logs(self._folder, [each.name for each in self._folder.records()])

    async def _ask(self) -> None:
        """Ask the nodes now and then whether they are well."""
        while True:
            await asyncio.sleep(HEALTH_S)
            asked = [member for member in self._members.values() if member.serving]
            answers = await asyncio.gather(*(self._well(member.record) for member in asked))
            for member, well in zip(asked, answers, strict=True):
                member.misses = 0 if well else member.misses + 1
                if member.misses == 2:
                    self._log.warning("node does not answer", node=member.name)

    async def _well(self, record: Record | None) -> bool:
        if record is None or record.admin is None:
            return True
        return await self._health.well(record.admin)

    # --- leaving --------------------------------------------------------------------------------

    def _withdraw(self, member: Member, *, if_idle: bool) -> None:
        """Take a node off the gateway's list at the next writing of it."""
        if not member.leaving:
            member.leaving, member.if_idle = True, if_idle
            member.withdrawn = self._clock()
            self._folder.mark_leaving(member.name)
        elif not if_idle:
            member.if_idle = False

    async def _retire(self, member: Member) -> None:
        """End a withdrawn node; or have it back, should a scan have come in between."""
        record = member.record
        if member.if_idle and record is not None and record.admin is not None:
            running = await self._health.running(record.admin)
            if running and member.if_idle:
                self._log.info("node stays: a scan came", node=member.name, running=running)
                member.leaving = member.if_idle = False
                self._folder.unmark_leaving(member.name)
                self._retiring.discard(member.name)
                self._list()
                return
        self._terminate(member)

    def _terminate(self, member: Member) -> None:
        if member.terminated is None:
            member.terminated = self._clock()
            if member.record is None:
                self._folder.withdraw_order(member.name)
            self._log.info("node drains", node=member.name)
            self._signal(member, signal.SIGTERM)

    def _signal(self, member: Member, number: signal.Signals) -> None:
        member.record = member.record or self._folder.record(member.name)
        if member.record is not None:
            member.record.identity.signal(number)
            # One that is stopped (SIGSTOP) would not hear of it.
            member.record.identity.signal(signal.SIGCONT)

    def _leave_s(self, member: Member) -> float:
        template = self._templates.get(member.order.pool)
        return _LEAVE_MARGIN_S + (3600.0 if template is None else template.drain_s)

    # --- the gateway's list, and cores ----------------------------------------------------------

    def _list(self) -> None:
        """Write the gateway's list and share the cores out, if anything has changed."""
        serving = [member for member in self._members.values() if member.serving]
        listed = [self._entry(member) for member in serving]
        if listed != self._listed:
            self._folder.write(self._folder.nodes_file, {"nodes": listed})
            self._listed = listed
        self._share_cores()

    def _entry(self, member: Member) -> dict[str, Any]:
        template = self._templates.get(member.order.pool)
        node = member.node()
        return {
            "id": node.id,
            "address": node.address,
            "admin": node.admin,
            "pool": node.pool,
            "capabilities": sorted(template.capabilities) if template is not None else [],
        }

    def _share_cores(self) -> None:
        cores = available_cores()
        running = [each for each in self._members.values() if each.record and each.record.ready]
        for index, member in enumerate(running):
            share = share_of_cores(index, len(running), cores) if cores else frozenset()
            # A process begins with all cores.
            if share != (member.cores or frozenset(cores)):
                assert member.record is not None  # noqa: S101 - it is ready
                pin(member.record.identity.pid, share)
            member.cores = share

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
