"""A scan's way from node to node, until one has finished it or the relay gives up.

One task places and connects; what the nodes and the output report is acted upon in callbacks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from elastron.errors import CapacityError, ConnectError, JournalFullError, ProtocolError
from elastron.gateway import node_side
from elastron.gateway.client_side import ClientSide
from elastron.gateway.journal import Journal
from elastron.gateway.links import Link, SocketLink
from elastron.gateway.node_side import NodeSide
from elastron.gateway.output import Output
from elastron.gateway.placement import Placement, Request
from elastron.gateway.relay import Failure, Outcome, Reason, Relay, Step
from elastron.wire.framing import Frame

if TYPE_CHECKING:
    from elastron.gateway.server import Gateway

_T = TypeVar("_T")


class Owner(Protocol):
    """Whose scan it is.

    Attributes:
        log: of the session.
    """

    log: Any

    def changed(self) -> None:
        """The scan waits for a node, or has one."""
        ...


class Attempts:
    """Places, connects and waits, as the relay says.

    Args:
        owner: whose scan it is.
        gateway: whose parts are used.
        link: to the client, for the output.
        relay: decides.
        client: whose scan goes to the nodes.
        journal: of the client's input.

    Attributes:
        output: to the client.
        node: that has the scan now.
        placed: when the first node was found (monotonic, s); None before.
        waited_s: in queues so far.
    """

    def __init__(
        self,
        owner: Owner,
        gateway: Gateway,
        link: Link,
        *,
        relay: Relay,
        client: ClientSide,
        journal: Journal,
    ) -> None:
        self._gateway = gateway
        self._relay = relay
        self._client = client
        self._journal = journal
        self._owner = owner
        self._waiting: asyncio.Task[Any] | None = None
        self._attempt_over: asyncio.Future[None] | None = None
        self._unreachable = False
        self.output = Output(
            link,
            gateway.journal_space.open(),
            gateway.settings.limits,
            waiting_bytes_max=gateway.settings.output_bytes_max,
            owner=self,
        )
        self.output.recorded = gateway.archive.records_images
        self.node: NodeSide | None = None
        self.placed: float | None = None
        self.waited_s = 0.0

    async def run(self, request: Request) -> None:
        """Return when the relay has ended; nothing is left open then."""
        relay = self._relay
        while not relay.ended:
            if relay.pause_s:
                await self._unless_over(asyncio.sleep(relay.pause_s))
            placement = await self._place(replace(request, exclude=relay.avoid))
            if placement is None:
                return
            failures = len(relay.failures)
            try:
                await self._attempt(placement)
            finally:
                placement.release()
            self._tell(placement, relay.failures[failures:])
            request = replace(request, after=placement)

    def act(self, step: Step) -> Step:
        """Go on as the relay says."""
        if step in (Step.PLACE, Step.FINISH, Step.END):
            if self._attempt_over is not None and not self._attempt_over.done():
                self._attempt_over.set_result(None)
            if self._waiting is not None and self._relay.ended:
                self._waiting.cancel()
                self._waiting = None
        return step

    def feed(self) -> None:
        """Let the node have what the client has sent."""
        client = self._client
        if self.node is not None and not self._relay.ended:
            self.node.go(client.may_go, half_close=client.over and not client.closed)

    def release_sent(self) -> None:
        """Give back what the node has taken, if it need not be sent again."""
        if self.node is not None and not self._relay.protected:
            self._journal.release(self.node.pump.at)

    # --- what the node does ---------------------------------------------------------------------

    def node_took(self) -> None:
        """See `node_side.Owner`."""
        self.release_sent()
        self._client.retry()

    def node_lost(self, reason: str) -> None:
        """See `node_side.Owner`."""
        untouched = self.node is not None and self.node.pump.at == 0
        self.act(self._relay.lost(reason, untouched=untouched))

    def input_lost(self, error: OSError) -> None:
        """See `node_side.Owner`."""
        words = f"the gateway's journal cannot be read: {error.strerror}; send the scan again"
        self.act(self._relay.cancel(words, Outcome.FAILED))

    # --- what becomes of its output -------------------------------------------------------------

    def output_came(self, frame: Frame, text: str) -> Step:
        """See `output.Owner`."""
        return self.act(self._relay.output(frame, text))

    def output_garbled(self, error: ProtocolError) -> None:
        """See `output.Owner`."""
        self.act(self._relay.lost(f"it sent what is no message: {error}"))

    def output_room(self) -> None:
        """See `output.Owner`."""
        if self.node is not None:
            self.node.resume()

    def output_full(self, error: JournalFullError) -> None:
        """See `output.Owner`."""
        if self.output.recorded and not self.output.client_left:
            self._owner.log.warning("images are not kept for a later fetch", reason=str(error))
            self.output.recorded = False
            self.output.forget_sent()
            self.output_room()
        else:
            self.act(self._relay.cancel(str(error), Outcome.FAILED))

    def output_failed(self, error: OSError) -> None:
        """See `output.Owner`."""
        self.input_lost(error)

    # --- one attempt ----------------------------------------------------------------------------

    async def _place(self, request: Request) -> Placement | None:
        self._owner.changed()
        try:
            placement = await self._unless_over(self._gateway.placer.place(request))
        except CapacityError as error:
            self._gateway.metrics.refused("queue")
            self._relay.not_placed(str(error))
            return None
        if placement is None:
            return None
        if self._relay.ended:
            placement.release()
            return None
        self.waited_s += placement.waited_s
        if self.placed is None:
            self.placed = time.monotonic()
            self._gateway.metrics.queued(seconds=placement.waited_s, pool=request.pool)
            self._gateway.metrics.session_started()
        self._relay.placed(placement.node.id)
        return placement

    async def _attempt(self, placement: Placement) -> None:
        self._unreachable = False
        timeout_s = self._gateway.settings.connect_timeout_s
        address = placement.node.address
        try:
            sock = await self._unless_over(
                node_side.connect(address, self._gateway.poller, timeout_s=timeout_s)
            )
        except ConnectError as error:
            self._unreachable = True
            self._relay.refused(str(error))
            return
        if sock is None:
            return
        if self._relay.ended:
            sock.close()
            return
        self._relay.connected()
        self._owner.changed()
        link = SocketLink(sock, self._gateway.poller)
        self._attempt_over = over = asyncio.get_running_loop().create_future()
        self.node = node = NodeSide(link, self._journal, self.output, self)
        placement.lost.add_done_callback(self._node_dead)
        try:
            node.start()
            self.feed()
            self._owner.log.info(
                "scan goes to a node", node=placement.node.id, attempt=self._relay.attempt
            )
            await over
        finally:
            placement.lost.remove_done_callback(self._node_dead)
            self.node = self._attempt_over = None
            node.close(finished=self._relay.outcome in (Outcome.OK, Outcome.ERROR))

    def _tell(self, placement: Placement, failures: list[Failure]) -> None:
        registry, node_id = self._gateway.registry, placement.node.id
        if not failures:
            registry.succeeded(node_id)
        for failure in failures:
            self._owner.log.warning("node failed", node=failure.node, reason=failure.words)
            if not self._relay.ended:
                self._gateway.metrics.replayed(failure.reason.value)
            match failure.reason:
                case Reason.FULL:
                    registry.full(node_id)
                case Reason.DRAINING:
                    registry.draining(node_id)
                case Reason.RECOUNT:
                    pass
                case _:
                    registry.failed(node_id, failure.words, unreachable=self._unreachable)

    def _node_dead(self, lost: asyncio.Future[str]) -> None:
        if not lost.cancelled():
            self.act(self._relay.lost(lost.result(), Reason.DEAD))

    async def _unless_over(self, work: Awaitable[_T]) -> _T | None:
        """The result of `work`; None if the scan is over before."""
        self._waiting = task = asyncio.current_task()
        try:
            return await work
        except asyncio.CancelledError:
            if task is None or self._waiting is task:
                raise  # not by `act`
            task.uncancel()
            return None
        finally:
            self._waiting = None
