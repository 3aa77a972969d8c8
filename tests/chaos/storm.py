"""A storm: clients send scans, faults strike nodes, and everything is counted."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from .fleet import ChaosFleet, ChaosNode, running_fleet
from .scans import Answer, Difference, Scan, compare, kinds, send

#: How often each kind of scan is sent, in the order of `kinds`.
_WEIGHTS = (6, 3, 6, 2, 2, 2, 1)


@dataclass
class Report:
    """What a storm did, and what the clients saw.

    Attributes:
        seed: of its plan.
        scans: sent, by kind.
        faults: injected, by kind.
        replays: by reason, as the gateway counts them.
        differences: of scans whose client did not get everything once; (kind, what, client port).
        delays_s: of each scan, beyond what it takes undisturbed.
        messages: that the clients got.
        seconds: it lasted.
        memory_bytes: of the gateway, at most.
    """

    seed: int
    scans: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    replays: dict[str, float] = field(default_factory=dict)
    differences: list[tuple[str, Difference, int]] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    messages: int = 0
    seconds: float = 0.0
    memory_bytes: int = 0

    def total(self, what: str) -> int:
        """Messages lost, duplicated, differing or foreign, over all scans."""
        return sum(getattr(difference, what) for _, difference, _ in self.differences)

    def lines(self) -> list[str]:
        """For people."""
        delays = sorted(self.delays_s) or [0.0]
        replays = {reason: int(count) for reason, count in self.replays.items() if count}
        counted = [
            f"{self.total(what)} {what}" for what in ("lost", "duplicated", "differing", "foreign")
        ]
        return [
            f"seed {self.seed}, {self.seconds:.0f} s",
            f"scans      {self.scans.total()}: {_listed(self.scans)}",
            f"faults     {self.faults.total()}: {_listed(self.faults)}",
            f"replays    {sum(replays.values())}: {_listed(replays)}",
            f"messages   {self.messages}; {', '.join(counted)}",
            f"troubled   {len(self.differences)} scans",
            f"delay      median {delays[len(delays) // 2]:.2f} s, "
            f"95 % {delays[int(0.95 * (len(delays) - 1))]:.2f} s, worst {delays[-1]:.2f} s",
            f"gateway    {self.memory_bytes / 2**20:.0f} MiB at most",
            *(f"  {kind}, client port {port}: {what}" for kind, what, port in self.differences),
        ]


def _listed(counts: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


# Faults. Each does its harm and mends it; False: there was nothing to harm.


async def _kill(node: ChaosNode, dice: random.Random) -> bool:
    down_s = dice.uniform(0, 2)
    await node.kill()
    await asyncio.sleep(down_s)
    await node.start()
    return True


async def _kill_worker(node: ChaosNode, dice: random.Random) -> bool:
    return await asyncio.to_thread(node.kill_worker)


async def _stop(node: ChaosNode, dice: random.Random) -> bool:
    await node.pause(dice.uniform(0.2, 8))
    return True


async def _drain(node: ChaosNode, dice: random.Random) -> bool:
    await node.drain()
    await node.start()
    return True


async def _cut(node: ChaosNode, dice: random.Random) -> bool:
    return node.scans.cut() > 0


async def _cut_in_a_message(node: ChaosNode, dice: random.Random) -> bool:
    node.scans.cut_after(dice.randrange(1, 400_000))
    return True


async def _hold(node: ChaosNode, dice: random.Random) -> bool:
    seconds = dice.uniform(0.2, 6)
    await asyncio.gather(node.scans.hold(seconds), node.admin.hold(seconds))
    return True


async def _refuse(node: ChaosNode, dice: random.Random) -> bool:
    process = node.process
    if process is None:
        return False
    node.scans.refuse()
    await asyncio.sleep(dice.uniform(0.1, 2))
    node.scans.open(process.port)
    return True


Fault = Callable[[ChaosNode, random.Random], Awaitable[bool]]
FAULTS: dict[str, Fault] = {
    "killed": _kill,
    "worker killed": _kill_worker,
    "stopped": _stop,
    "drained and restarted": _drain,
    "cut off": _cut,
    "cut in a message": _cut_in_a_message,
    "silenced": _hold,
    "refusing": _refuse,
}


class Storm:
    """One run.

    Args:
        fleet: to be hurt.
        seed: of the plan: which client sends what, which fault strikes which node when.
        scans: in all.
        clients: at once.
        fault_every_s: mean pause between two faults; 0: none.
    """

    def __init__(
        self, fleet: ChaosFleet, *, seed: int, scans: int, clients: int, fault_every_s: float
    ) -> None:
        self.report = Report(seed)
        self._fleet = fleet
        self._seed = seed
        self._clients = clients
        self._fault_every_s = fault_every_s
        self._kinds = kinds()
        dice = random.Random(seed)
        self._plan = dice.choices(self._kinds, _WEIGHTS, k=scans)
        self._undisturbed: dict[str, Answer] = {}
        self._mending: set[asyncio.Task[None]] = set()

    async def run(self) -> Report:
        """Everything; the fleet is whole again at the end."""
        await self._learn()
        began = time.monotonic()
        faults = asyncio.create_task(self._strike())
        watching = asyncio.create_task(self._watch())
        queue = iter(self._plan)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._clients):
                    group.create_task(self._client(queue))
        finally:
            faults.cancel()
            watching.cancel()
            await asyncio.gather(faults, watching, return_exceptions=True)
            await asyncio.gather(*self._mending)
        self.report.seconds = time.monotonic() - began
        self.report.replays = await asyncio.to_thread(
            self._fleet.gateway.metrics, "elastron_replays_total"
        )
        return self.report

    async def _learn(self) -> None:
        """What each kind of scan gives when nothing happens, straight from a node."""
        process = self._fleet.nodes[0].process
        if process is None:
            raise AssertionError("the fleet is down before the storm")
        for scan in self._kinds:
            answer = await send(scan, process.port)
            if answer.trouble or answer.texts() or not answer.messages:
                raise AssertionError(f"{scan.name}: {answer.trouble} {answer.texts()}")
            self._undisturbed[scan.name] = answer

    async def _client(self, queue: object) -> None:
        for scan in queue:  # type: ignore[attr-defined]
            answer = await send(scan, self._fleet.gateway.port)
            self._judge(scan, answer)

    def _judge(self, scan: Scan, answer: Answer) -> None:
        undisturbed = self._undisturbed[scan.name]
        self.report.scans[scan.name] += 1
        self.report.messages += len(answer.messages)
        self.report.delays_s.append(max(0.0, answer.seconds - undisturbed.seconds))
        if difference := compare(answer, undisturbed):
            self.report.differences.append((scan.name, difference, answer.port))

    async def _strike(self) -> None:
        if not self._fault_every_s:
            return
        dice = random.Random(self._seed + 1)
        while True:
            await asyncio.sleep(dice.expovariate(1 / self._fault_every_s))
            names, its_dice = list(FAULTS), random.Random(dice.random())
            dice.shuffle(names)
            idle = [node for node in self._fleet.nodes if not node.busy and node.process]
            if idle:
                task = asyncio.create_task(self._harm(dice.choice(idle), names, its_dice))
                self._mending.add(task)

    async def _harm(self, node: ChaosNode, names: list[str], dice: random.Random) -> None:
        """Do the first of these faults for which there is something to harm."""
        node.busy = True
        try:
            for name in names:
                if await FAULTS[name](node, dice):
                    self.report.faults[name] += 1
                    return
        finally:
            node.busy = False

    async def _watch(self) -> None:
        while True:
            used = await asyncio.to_thread(self._fleet.gateway.memory_bytes)
            self.report.memory_bytes = max(self.report.memory_bytes, used)
            await asyncio.sleep(0.5)


async def storm(
    folder: Path,
    *,
    seed: int,
    scans: int = 1000,
    clients: int = 8,
    nodes: int = 4,
    fault_every_s: float = 1.0,
) -> Report:
    """Start a fleet, let a storm go over it, and report."""
    async with running_fleet(folder, nodes=nodes) as fleet:
        run = Storm(fleet, seed=seed, scans=scans, clients=clients, fault_every_s=fault_every_s)
        return await run.run()
