"""One client's scan in the gateway, from its first byte to the last of its images.

    client ──> ClientSide ──> journal ──> NodeSide ──> node
    client <── Output <────── journal <── NodeSide <── node

The Relay decides; the session does what the client's side asks for, its Attempts what the nodes'
side does. Callbacks move the bytes, so that none waits for a task to be woken; one task places,
connects and says goodbye.
"""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from elastron.errors import ConnectionLostError, DeadlineError, JournalFullError
from elastron.gateway import patience
from elastron.gateway.answers import Answers
from elastron.gateway.attempts import Attempts
from elastron.gateway.client_side import ClientSide
from elastron.gateway.ending import PROBE, Ended, conclude
from elastron.gateway.estimate import session_memory_bytes
from elastron.gateway.goodbye import Goodbye
from elastron.gateway.links import Link
from elastron.gateway.placement import Request
from elastron.gateway.pools import Class, classify
from elastron.gateway.relay import Outcome, Phase, Relay
from elastron.gateway.settings import WhenFull
from elastron.wire.faults import LOCATION
from elastron.wire.messages import ConfigName, ConfigXml, Query

if TYPE_CHECKING:
    from elastron.gateway.server import Gateway

_INPUT = f"{LOCATION}/Connection Input Thread"
#: Config and header come together; a client that waits in between waits for a word on its config.
_HEADER_WAIT_S = 0.5


class SessionState(StrEnum):
    """Where a session is."""

    CONFIG = "config"  # a config is waited for
    HEADER = "header"  # an MRD header is waited for
    QUEUED = "queued"  # a node is waited for
    CONNECTING = "connecting"
    RUNNING = "running"  # on a node
    ENDING = "ending"  # the client is given what it has not taken yet


class Session:
    """One connection of a client.

    Args:
        session_id: for logs and the admin.
        peer: the client's address.
        link: to the client; closed with the session.
        gateway: whose parts are used.
        tenant: whose scans come over this connection.

    Attributes:
        config: name of the config asked for, `<inline>` for one by value; empty before.
        outcome: how it ended; None before.
    """

    def __init__(
        self, session_id: str, peer: str, link: Link, gateway: Gateway, *, tenant: str = ""
    ) -> None:
        self.id = session_id
        self.peer = peer
        self.tenant = tenant
        self.config = ""
        self.outcome: str | None = None
        self.log = gateway.log.bind(session=session_id)
        self._gateway = gateway
        self._settings = settings = gateway.settings
        self._link = link
        self._input = gateway.journal_space.open()
        self._client = ClientSide(link, self._input, settings.limits, self)
        self._relay = Relay(
            crashes_max=settings.crashes_max,
            attempts_max=settings.attempts_max,
            hint="The scan is kept in the archive" if gateway.archive.wants("failed") else "",
        )
        self._attempts = Attempts(
            self, gateway, link, relay=self._relay, client=self._client, journal=self._input
        )
        self._output = self._attempts.output
        self._answers = Answers(gateway, session_id, self._output)
        self._goodbye = Goodbye(link, self._client, self._output, settings)
        self._class = Class()
        self._connected = time.monotonic()
        self._asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._received: float | None = None
        self._words: str | None = None

    # --- for the admin --------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """Where it is."""
        if self._goodbye.begun or self._relay.ended:
            return SessionState.ENDING
        if not self._client.started:
            return SessionState.HEADER if self._client.config else SessionState.CONFIG
        match self._relay.phase:
            case Phase.CONNECTING:
                return SessionState.CONNECTING
            case Phase.RUNNING:
                return SessionState.RUNNING
            case _:
                return SessionState.QUEUED

    @property
    def bytes_in(self) -> int:
        """Received from the client."""
        return self._client.bytes

    @property
    def bytes_out(self) -> int:
        """Sent to the client."""
        return self._output.pump.at

    def describe(self) -> dict[str, Any]:
        """For `/sessions`; nothing of the patient.

        Times are in seconds since the first byte: `received_s` when the client had sent all,
        `placed_s` when the first node was found; `waited_s` in queues. None: not yet.
        """
        attempts = self._attempts
        return {
            "id": self.id,
            "state": self.state.value,
            "pool": self._class.pool,
            "node": self._relay.node,
            "attempt": self._relay.attempt,
            "peer": self.peer,
            "tenant": self.tenant,
            "config": self.config,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "acquisitions": self._client.acquisitions,
            "images": self._output.images,
            "seconds": self._since(time.monotonic()),
            "received_s": self._since(self._received),
            "placed_s": self._since(attempts.placed),
            "waited_s": None if attempts.placed is None else round(attempts.waited_s, 3),
            "queue_position": self._gateway.placer.position(self.id),
        }

    def _since(self, time_s: float | None) -> float | None:
        return None if time_s is None else round(time_s - self._connected, 3)

    def cancel(self, reason: str, outcome: Outcome = Outcome.CANCELLED) -> None:
        """End it, telling the client why."""
        self.log.warning("session is stopped", reason=reason)
        if not self._client.started:
            self._no_scan(outcome, f"[{LOCATION}] ERROR: {reason}")
        else:
            self._attempts.act(self._relay.cancel(reason, outcome))

    def abort(self) -> None:
        """End it at once; its client is told if it takes a word."""
        self._goodbye.unheard = True
        self.cancel("the gateway is stopped")
        self._goodbye.end()

    def leave_if_silent(self, reason: str) -> None:
        """End it, telling the client why, if that has said nothing yet."""
        if not self._client.bytes:
            self._no_scan(PROBE, f"[{LOCATION}] ERROR: {reason}")

    # --- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the client; never raises."""
        try:
            self._client.start()
            if await self._asked:
                await self._scan()
            self._goodbye.begun = True
            self.outcome = self.outcome or self._relay.outcome or Outcome.OK
            self.changed()
            await self._goodbye.say(self._relay.words or self._words)
        except Exception:
            self.outcome = Outcome.FAILED
            self.log.exception("session failed in the gateway")
        finally:
            await self._end()

    async def _scan(self) -> None:
        header = self._client.header
        await self._attempts.run(
            Request(
                session=self.id,
                pool=self._class.pool,
                needs=self._class.needs,
                memory_bytes=0 if header is None else session_memory_bytes(header.xml, self.config),
                tenant=self.tenant,
                priority=self._class.priority,
            )
        )

    async def _end(self) -> None:
        self._client.stop()
        self._output.stop()
        self._link.close()
        self._goodbye.end()
        # What a client that leaves was sent may never be read: for it nothing counts as taken.
        stayed = not (self._output.client_left or self._relay.detached)
        ended = Ended(
            id=self.id,
            described=self.describe(),
            outcome=self.outcome or Outcome.OK,
            placed=self._attempts.placed is not None,
            kept=self._client.started and self._relay.protected,
            taken=stayed and self._output.pump.idle,
            log=self.log,
        )
        try:
            await conclude(self._gateway, ended, self._input, self._output)
        finally:
            self._gateway.ended(self)

    # --- what the client does -------------------------------------------------------------------

    def asked(self) -> None:
        """See `client_side.Owner`."""
        config = self._client.config
        name = config.name if isinstance(config, ConfigName) else ""
        xml = config.xml if isinstance(config, ConfigXml) else None
        self.config = name or "<inline>"
        self._class = classify(
            self._settings.pools, config_name=name, config_xml=xml, tenant=self.tenant
        )
        self._asked.set_result(True)

    def nothing_asked(self) -> None:
        """See `client_side.Owner`."""
        self._no_scan(Outcome.OK, None)

    def preamble_failed(self, error: Exception) -> None:
        """See `client_side.Owner`."""
        if isinstance(error, ConnectionLostError) and self._client.bytes == 0:
            self._goodbye.unheard = True
            self._no_scan(PROBE, None)
            return
        self.log.warning(str(error))
        outcome = Outcome.ERROR
        if isinstance(error, ConnectionLostError):
            outcome = Outcome.LOST
        elif isinstance(error, DeadlineError):
            outcome = Outcome.TIMEOUT
        self._no_scan(outcome, f"[{_INPUT}] ERROR: {error}")

    def query(self, query: Query) -> None:
        """See `client_side.Owner`."""
        self._answers.query(query)

    def data_came(self) -> None:
        """See `client_side.Owner`."""
        self._relay.client_data(self._client.whole)
        self._attempts.feed()

    def input_over(self) -> None:
        """See `client_side.Owner`."""
        client = self._client
        self._received = time.monotonic()
        if client.failed is not None:
            self.log.warning(str(client.failed))
            self._relay.client_failed(f"[{_INPUT}] ERROR: {client.failed}")
        else:
            self._relay.client_data(client.whole, ended=True)
        if client.closed:
            self._relay.detached = self._answers.all_received()
        self._attempts.feed()

    def client_ended(self) -> None:
        """See `client_side.Owner`."""
        self._goodbye.client_ended()

    def journal_full(self, error: JournalFullError) -> None:
        """See `client_side.Owner`."""
        if self._settings.journal.when_full is WhenFull.REFUSE:
            self._gateway.metrics.refused("journal")
            self._attempts.act(self._relay.cancel(str(error), Outcome.FAILED))
            return
        if self._attempts.node is not None and self._relay.protected:
            self.log.warning("the scan goes on without protection", reason=str(error))
            self._relay.protected = False
        self._attempts.release_sent()
        if self._gateway.journal_space.has_room(self._input):
            self._client.retry()  # else when the node has taken more

    def gone(self, reason: str) -> None:
        """See `client_side.Owner`."""
        self._output.client_left = True
        self._output.pump.stop()
        self._link.close()
        self._goodbye.end()
        if not self._client.started:
            self._goodbye.unheard = True
            self._no_scan(Outcome.LOST if self._client.bytes else PROBE, None)
            return
        if not self._relay.ended:
            self.log.info("client left", reason=reason)
        self._attempts.act(self._relay.client_gone())
        self._attempts.output_room()

    def client_writable(self) -> None:
        """See `client_side.Owner`."""
        self._output.pump.go()

    # --- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look at the time-outs; about once a second."""
        self._goodbye.check_flood()
        if self._goodbye.over:
            return
        config_came = self._client.config_came
        if config_came is not None and now - config_came > _HEADER_WAIT_S:
            self._client.begin_without_header()
        seen = self._progress(now)
        if (reason := patience.reader_fault(self._settings, seen, now)) is not None:
            self.log.warning("client gave up on", reason=reason)
            self.gone(reason)
        elif self._goodbye.begun:
            return
        elif (error := patience.client_fault(self._settings, seen, now)) is not None:
            self._client.fail(error)
        elif patience.node_stalled(self._settings, seen, now):
            self._attempts.act(self._relay.stalled(self._settings.stall_timeout_s))
        elif now - self._connected > self._settings.total_timeout_s:
            limit_s = self._settings.total_timeout_s
            self.cancel(f"session lasted longer than {limit_s:g} s", Outcome.TIMEOUT)

    def _progress(self, now: float) -> patience.Progress:
        client, node, pump = self._client, self._attempts.node, self._output.pump
        return patience.Progress(
            connected=self._connected,
            complete=client.complete,
            input_over=client.over,
            incomplete=client.incomplete_s(now),
            last_byte=client.last_byte,
            held_back=client.waits_for_room,
            on_node=node is not None,
            node_waits=node is not None and node.pump.idle,
            node_moved=now if node is None else node.last_moved,
            output_waits=not pump.idle and not self._output.client_left,
            output_moved=pump.last_sent,
        )

    # Inside

    def changed(self) -> None:
        """See `attempts.Owner`."""
        if self._gateway.events.subscribers:
            self._gateway.events.publish("session", self.describe())

    def _no_scan(self, outcome: str, words: str | None) -> None:
        """Nothing is to be reconstructed."""
        if not self._asked.done():
            self.outcome, self._words = outcome, words
            self._asked.set_result(False)
