"""The deadlines, with a clock of our own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from elastron.errors import ConnectionLostError, DeadlineError, ProtocolError
from elastron.node import reading
from elastron.node.reading import MessageReader
from elastron.node.settings import NodeSettings
from elastron.wire import Decoder
from elastron.wire.messages import Close, ConfigName, ConfigXml, HeaderXml, Message

from .harness import wire_bytes

SETTINGS = NodeSettings(
    handshake_timeout_s=10, message_timeout_s=20, idle_timeout_s=100, rate_min=1000
)


class Script:
    """A client: (seconds later, bytes), then silence; it stands in for socket and clock."""

    def __init__(self, *steps: tuple[float, bytes], end: bool = False) -> None:
        self.now = 0.0
        self.steps = list(steps)
        self.end = end

    def monotonic(self) -> float:
        return self.now

    def receive_into(self, view: memoryview, *, timeout_s: float) -> int:
        if not self.steps and self.end:
            return 0
        if not self.steps or self.steps[0][0] > self.now + timeout_s:
            self.now += timeout_s
            raise TimeoutError
        at, data = self.steps.pop(0)
        self.now = max(self.now, at)
        if len(data) > len(view):
            self.steps.insert(0, (self.now, data[len(view) :]))
        count = min(len(data), len(view))
        view[:count] = data[:count]
        return count


def read(
    monkeypatch: pytest.MonkeyPatch,
    script: Script,
    waiting_since: Callable[[], float | None] = lambda: 0.0,
    *,
    handshake: bool = False,
) -> tuple[list[Message], Exception | None]:
    monkeypatch.setattr(reading, "time", script)
    reader = MessageReader(script, Decoder(), SETTINGS, waiting_since=waiting_since)  # type: ignore[arg-type]
    if not handshake:
        reader.handshake_done(0)
    messages = []
    try:
        messages.extend(reader.messages())
    except (DeadlineError, ProtocolError, ConnectionLostError) as error:
        return messages, error
    return messages, None


CONFIG = wire_bytes(ConfigName("a.xml"))


def test_messages_then_the_end(monkeypatch) -> None:
    script = Script((1, CONFIG), (2, wire_bytes(Close())), end=True)
    assert read(monkeypatch, script) == ([ConfigName("a.xml"), Close()], None)


def test_handshake(monkeypatch) -> None:
    script = Script((9, CONFIG), (11, wire_bytes(HeaderXml(b"x"))))
    messages, error = read(monkeypatch, script, handshake=True)
    assert messages == [ConfigName("a.xml")]
    assert "within 10 s of connecting" in str(error)
    assert script.now == pytest.approx(10)


def test_silence(monkeypatch) -> None:
    script = Script((50, CONFIG))
    messages, error = read(monkeypatch, script)
    assert len(messages) == 1
    assert "sent nothing for 100 s" in str(error)
    assert script.now == pytest.approx(150)


def test_silence_while_the_chain_works_is_no_fault(monkeypatch) -> None:
    script = Script((0, CONFIG), (5000, wire_bytes(Close())), end=True)
    messages, error = read(monkeypatch, script, lambda: None)
    assert error is None
    assert len(messages) == 2


def test_silence_counts_from_when_the_chain_began_to_wait(monkeypatch) -> None:
    script = Script((0, CONFIG))

    def waiting_since() -> float | None:
        return 1000.0 if script.now >= 1000 else None

    _, error = read(monkeypatch, script, waiting_since)
    assert isinstance(error, DeadlineError)
    assert script.now == pytest.approx(1100)


def test_the_time_others_take_over_a_message_is_not_the_clients(monkeypatch) -> None:
    rest = wire_bytes(Close())
    script = Script((0, CONFIG + rest[:1]), (1010, rest[1:]), end=True)
    monkeypatch.setattr(reading, "time", script)
    reader = MessageReader(script, Decoder(), SETTINGS, waiting_since=lambda: 0.0)  # type: ignore[arg-type]
    reader.handshake_done(0)
    messages = []
    for message in reader.messages():
        messages.append(message)
        script.now += 1000  # more than any deadline
    assert messages == [ConfigName("a.xml"), Close()]


def test_byte_after_byte(monkeypatch) -> None:
    script = Script(*((float(i), bytes([byte])) for i, byte in enumerate(CONFIG)))
    messages, error = read(monkeypatch, script)
    assert messages == []
    assert "a message is still incomplete after" in str(error)
    assert script.now == pytest.approx(20, abs=1)


def test_a_drip_behind_a_whole_message(monkeypatch) -> None:
    drip = ((float(i), bytes([byte])) for i, byte in enumerate(CONFIG, start=1))
    messages, error = read(monkeypatch, Script((0, CONFIG + CONFIG[:10]), *drip))
    assert len(messages) == 1
    assert "still incomplete" in str(error)


def test_a_large_message_may_take_long_at_a_good_rate(monkeypatch) -> None:
    xml = b"x" * 200_000
    data = wire_bytes(ConfigXml(xml))
    pieces = [data[i : i + 2000] for i in range(0, len(data), 2000)]
    script = Script(*((float(i), piece) for i, piece in enumerate(pieces)), end=True)
    assert read(monkeypatch, script) == ([ConfigXml(xml)], None)  # 100 s, 2000 bytes/s


def test_a_large_message_at_a_bad_rate(monkeypatch) -> None:
    data = wire_bytes(ConfigXml(b"x" * 200_000))
    pieces = [data[i : i + 500] for i in range(0, len(data), 500)]
    script = Script(*((float(i), piece) for i, piece in enumerate(pieces)))
    _, error = read(monkeypatch, script)
    assert "still incomplete" in str(error)
    assert script.now < 30


def test_many_small_messages_in_one_drop_each(monkeypatch) -> None:
    """Whole messages, ever so slow, are a slow scan and no drip."""
    script = Script(*((i * 90.0, CONFIG) for i in range(5)), end=True)
    messages, error = read(monkeypatch, script)
    assert (len(messages), error) == (5, None)


def test_what_came_before_an_error_comes_first(monkeypatch) -> None:
    messages, error = read(monkeypatch, Script((0, CONFIG + b"\x99\x99\x99\x99")))
    assert messages == [ConfigName("a.xml")]
    assert isinstance(error, ProtocolError)


def test_an_end_within_a_message(monkeypatch) -> None:
    messages, error = read(monkeypatch, Script((0, CONFIG[:100]), end=True))
    assert messages == []
    assert isinstance(error, ConnectionLostError)
