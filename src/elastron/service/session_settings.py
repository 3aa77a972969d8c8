"""Settings that whoever takes scans has: how long a client may take for what."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

_GIB = 2**30


class SessionSettings(BaseModel):
    """Time limits of a session. A gateway's are no shorter than its nodes'."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    handshake_timeout_s: float = Field(
        60,
        gt=0,
        description="From connecting to a complete config and header. A client sends both at "
        "once; who is silent for a minute is a port scanner or broken.",
    )
    message_timeout_s: float = Field(
        60,
        gt=0,
        description="A message that has begun must be complete within this time, or arrive at "
        "`rate_min` or faster. Stops senders that drip bytes.",
    )
    rate_min: float = Field(
        16 * 1024,
        ge=0,
        description="Bytes/s a large message may not fall below; a DSL line is far above it.",
    )
    idle_timeout_s: float = Field(
        900,
        gt=0,
        description="No byte from the client while one is waited for, or no byte taken by it "
        "while images wait. Long enough for breath-holds and table moves.",
    )
    drain_timeout_s: float = Field(
        3600,
        ge=0,
        description="How long a drain waits for running scans before it cancels them. Keep it "
        "below the pod's termination grace.",
    )
    linger_timeout_s: float = Field(
        10,
        ge=0,
        description="After an error: how long the client's remaining data is read and thrown "
        "away, so that a TCP reset does not swallow the error text.",
    )
    linger_bytes_max: int = Field(_GIB, ge=0, description="The same, in bytes.")
