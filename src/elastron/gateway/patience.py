"""How long a session waits for what: pure, time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from elastron.errors import DeadlineError
from elastron.gateway.settings import GatewaySettings

#: Nodes have the same limits and words of their own; they shall speak first.
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a session last saw; times are monotonic seconds.

    Attributes:
        connected: when the client connected.
        complete: config and header are there.
        input_over: nothing more is expected of the client.
        incomplete: since when (s) a message has been incomplete, and its bytes; None: none is.
        last_byte: when the client last sent something.
        held_back: it is we who do not read from it.
        on_node: a node has the scan.
        node_waits: the node has all there is.
        node_moved: when the node last took or gave something, or was given nothing.
        output_waits: images wait for the client.
        output_moved: when the client last took something.
    """

    connected: float
    complete: bool
    input_over: bool
    incomplete: tuple[float, int] | None
    last_byte: float
    held_back: bool
    on_node: bool
    node_waits: bool
    node_moved: float
    output_waits: bool
    output_moved: float


def client_fault(settings: GatewaySettings, seen: Progress, now: float) -> DeadlineError | None:
    """What the client did too slowly, in a node's words; None: nothing."""
    grace_s = _GRACE_S if seen.on_node else 0.0
    if not seen.complete and now - seen.connected > settings.handshake_timeout_s + grace_s:
        return DeadlineError(
            f"no complete config and header within {settings.handshake_timeout_s:g} s of connecting"
        )
    if seen.incomplete is not None:
        elapsed_s, count = seen.incomplete
        allowed_s = settings.message_timeout_s
        if settings.rate_min > 0:
            allowed_s = max(allowed_s, count / settings.rate_min)
        if elapsed_s > allowed_s + grace_s:
            return DeadlineError(
                f"a message is still incomplete after {elapsed_s:.0f} s and {count} bytes"
            )
    idle_s = settings.idle_timeout_s
    wanted = not seen.input_over and not seen.held_back and (seen.node_waits or not seen.on_node)
    since = max(seen.last_byte, seen.node_moved) if seen.on_node else seen.last_byte
    if wanted and now - since > idle_s + grace_s:
        return DeadlineError(
            f"the client sent nothing for {idle_s:g} s and did not close its stream"
        )
    return None


def reader_fault(settings: GatewaySettings, seen: Progress, now: float) -> str | None:
    """Why the client counts as gone; None: it does not."""
    if seen.output_waits and now - seen.output_moved > settings.idle_timeout_s:
        return f"the client took none of its results for {settings.idle_timeout_s:g} s"
    return None


def node_stalled(settings: GatewaySettings, seen: Progress, now: float) -> bool:
    """The node neither takes what waits for it nor gives anything."""
    expected = seen.on_node and (not seen.node_waits or seen.input_over)
    return expected and now - seen.node_moved > settings.stall_timeout_s
