"""Makes the changes of a plan: in order, several long ones at once, and nothing else.

Nothing is noted anywhere but in Azure itself. Whoever dies in between runs the command again: the
plan is then made from what is there, and what is still under way is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elastron.cloud.azure.arm import Arm
from elastron.cloud.azure.events import Event, Progress, Step, note, silent
from elastron.cloud.azure.operation import Operation, is_busy
from elastron.cloud.azure.plan import Change, Kind
from elastron.cloud.azure.resource import resolve
from elastron.cloud.azure.survey import describe
from elastron.errors import CloudError, ElastronError

_TELL_S = 30.0
#: The same role for the same holder, under a name that is not ours.
_ROLE_THERE = "RoleAssignmentExists"

Answers = dict[str, dict[str, Any]]


@dataclass
class _Running:
    """A change under way."""

    change: Change
    operation: Operation
    began: float
    told: float
    number: int
    deleting_first: bool = False  # of a REPLACE: its creation comes next


class Applying:
    """The work on one list of changes.

    Args:
        arm: does it.
        changes: in an order in which each comes after those it depends on.
        found: what Azure answered before, by key.
        progress: is told.
    """

    def __init__(
        self,
        arm: Arm,
        changes: Sequence[Change],
        found: Mapping[str, dict[str, Any] | None],
        progress: Progress = silent,
    ) -> None:
        self._arm = arm
        self._progress = progress
        self.answers: Answers = {key: body for key, body in found.items() if body is not None}
        self._waiting = [one for one in changes if one.kind is not Kind.KEEP or self._busy(one)]
        self._numbers = {
            id(one): number
            for number, one in enumerate((c for c in changes if c.kind is not Kind.KEEP), 1)
        }
        self._running: dict[str, _Running] = {}

    def run(self) -> Answers:
        """Make all changes.

        Returns:
            What Azure has now, by key.

        Raises:
            ElastronError: one failed; others may still be under way at Azure.
        """
        try:
            while self._waiting or self._running:
                self._start_what_can()
                if not self._running and self._waiting:
                    raise RuntimeError("changes wait for each other: a bug in their order")
                self._look()
        except (ElastronError, KeyboardInterrupt):
            going_on = ", ".join(describe(one.change.resource) for one in self._running.values())
            if going_on:
                self._progress(note(f"Still under way at Azure, and not stopped: {going_on}."))
            raise
        return self.answers

    def _busy(self, change: Change) -> bool:
        return is_busy(self.answers.get(change.resource.key, {}))

    def _start_what_can(self) -> None:
        for change in list(self._waiting):
            if self._may_start(change):
                self._waiting.remove(change)
                self._start(change)

    def _may_start(self, change: Change) -> bool:
        unfinished = [one for one in self._waiting if one is not change]
        unfinished += [one.change for one in self._running.values()]
        if change.kind is Kind.DELETE:  # after all that comes before it
            earlier = self._waiting[: self._waiting.index(change)]
            return not earlier and not self._running
        keys = {one.resource.key for one in unfinished}
        if keys & set(change.resource.depends_on):
            return False
        # Azure refuses a second operation on a cluster or network, also on what is in it.
        place = _whole(change.resource.id)
        return all(_whole(one.change.resource.id) != place for one in self._running.values())

    def _start(self, change: Change) -> None:
        resource, now = change.resource, self._arm.clock.now()
        number = self._numbers.get(id(change), 0)
        what = describe(resource)
        self._progress(Event(Step.BEGUN, what, _word(change), 0, number, len(self._numbers)))
        deleting_first = change.kind is Kind.REPLACE
        if change.kind is Kind.KEEP:
            operation = self._arm.watch(resource.id, resource.api_version, what)
        elif change.kind is Kind.DELETE or deleting_first:
            operation = self._arm.begin_delete(resource.id, resource.api_version, what)
        else:
            operation = self._put(change)
        running = _Running(change, operation, now, now, number, deleting_first)
        self._running[resource.key] = running
        self._follow(running)

    def _put(self, change: Change) -> Operation:
        resource = change.resource
        body = resolve(change.body, self.answers)
        new = change.kind is not Kind.UPDATE
        what = describe(resource)
        try:
            return self._arm.begin_put(resource.id, resource.api_version, body, what, new=new)
        except CloudError as error:
            if error.code != _ROLE_THERE:
                raise
            self._progress(note(f"{what} was given by somebody else already, and is left so."))
            operation = self._arm.watch(resource.id, resource.api_version, what)
            operation.end({"id": resource.id, **body})
            return operation

    def _look(self) -> None:
        """Wait until the first of those under way wants to be looked at, and look."""
        if not self._running:
            return
        first = min(one.operation.look_at for one in self._running.values())
        self._arm.clock.sleep(max(0.0, first - self._arm.clock.now()))
        for running in list(self._running.values()):
            self._arm.look(running.operation)
            self._follow(running)

    def _follow(self, running: _Running) -> None:
        change, operation, now = running.change, running.operation, self._arm.clock.now()
        elapsed_s = now - running.began
        total = len(self._numbers)
        what = describe(change.resource)
        if not operation.done:
            if now - running.told >= _TELL_S:
                running.told = now
                word = _word(change)
                self._progress(Event(Step.GOES_ON, what, word, elapsed_s, running.number, total))
            return
        if running.deleting_first:
            running.deleting_first = False
            running.operation = self._put(change)
            self._follow(running)
            return
        del self._running[change.resource.key]
        if operation.answer is None:
            self.answers.pop(change.resource.key, None)
        else:
            self.answers[change.resource.key] = operation.answer
        self._progress(Event(Step.DONE, what, _word(change), elapsed_s, running.number, total))


def _whole(resource_id: str) -> str:
    """The top-level resource that an id is of or in; for a group the group."""
    parts = resource_id.lower().split("/")
    return "/".join(parts[:9])


def _word(change: Change) -> str:
    return "wait" if change.kind is Kind.KEEP else change.kind.value
