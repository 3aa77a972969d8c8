"""Scans with known results, and clients that compare what they get with it, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from elastron.errors import ElastronError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.dataset import Dataset
from elastron.wire.framing import Framer
from elastron.wire.messages import Close, ConfigName, ConfigXml, HeaderXml, MessageId
from tests.node.harness import HEADER, LINES, scan, stream_config, wire_bytes

DATA = Path(__file__).parents[1] / "data"
_TIMEOUT_S = 300
_HEADER_BYTES = 2 + 194


@dataclass(frozen=True)
class Scan:
    """What a client sends: pieces with pauses between them.

    Attributes:
        name: of the kind.
        pieces: whole messages.
        pause_s: between two pieces.
    """

    name: str
    pieces: tuple[bytes, ...]
    pause_s: float = 0.0


def _repetitions(name: str, config: ConfigName | ConfigXml, count: int, pause_s: float) -> Scan:
    """A scan that gives an image after each repetition, or echoes, as the config says."""
    begin = wire_bytes(config, HeaderXml(HEADER))
    batches = [scan(first=number) for number in range(count)]
    middle = [
        wire_bytes(AcquisitionBatch(each.headers, (number + 1) * each.data))
        for number, each in enumerate(batches)
    ]
    return Scan(name, (begin, *middle, wire_bytes(Close())), pause_s)


def _large(name: str, size: int, count: int) -> Scan:
    """Images of `size` x `size` pixels: long enough to be cut in the middle."""
    header = HEADER
    for old, new in (("<x>64<", f"<x>{2 * size}<"), ("<y>32<", f"<y>{size}<")):
        header = header.replace(old.encode(), new.encode())
    header = header.replace(b"<x>32<", f"<x>{size}<".encode())
    header = header.replace(b">31<", f">{size - 1}<".encode())
    header = header.replace(b">16<", f">{size // 2}<".encode())
    rng = np.random.default_rng(size)
    pieces = [wire_bytes(ConfigName("default.xml"), HeaderXml(header))]
    for repetition in range(count):
        model = scan(-(-size // LINES)).headers[:size].copy()
        model["number_of_samples"], model["center_sample"] = 2 * size, size
        model["flags"] = 0
        model["flags"][-1] = np.uint64((1 << 7) | (1 << 13))
        model["idx"]["kspace_encode_step_1"] = np.arange(size)
        model["idx"]["repetition"] = repetition
        samples = rng.standard_normal((size, 2, 2 * size, 2)).astype(np.float32)
        pieces.append(wire_bytes(AcquisitionBatch(model, samples.view(np.complex64)[..., 0])))
    return Scan(name, (*pieces, wire_bytes(Close())), 0.05)


def _dataset(name: str, config: str, path: Path) -> Scan:
    with Dataset(path) as dataset:
        begin = wire_bytes(ConfigName(config), HeaderXml(dataset.header_xml))
        middle = [wire_bytes(batch) for batch in dataset.acquisition_batches()]
    return Scan(name, (begin, *middle, wire_bytes(Close())))


def kinds() -> list[Scan]:
    """Scans of all kinds; the first ones are to be sent most often."""
    return [
        _repetitions("default", ConfigName("default.xml"), 4, 0.1),
        _repetitions("default, long", ConfigName("default.xml"), 12, 0.15),
        _repetitions("default, at once", ConfigName("default.xml"), 2, 0.0),
        _large("large images", 256, 4),
        _repetitions("echo", stream_config("EchoGadget"), 3, 0.1),
        _repetitions("generic FFT", ConfigName("Generic_Cartesian_FFT.xml"), 3, 0.05),
        _dataset("generic GRAPPA", "Generic_Cartesian_Grappa.xml", DATA / "brain_pf6_8.h5"),
    ]


def failing(how: str) -> Scan:
    """A scan whose gadget fails on every node: `raise`, `kill`, `abort`, `exit` or `memory`."""
    return _repetitions(how, stream_config(f"FailGadget:how={how}"), 2, 0.0)


@dataclass
class Answer:
    """What came back.

    Attributes:
        messages: whole ones in order, CLOSE left out.
        closed: CLOSE came, and nothing after it.
        trouble: why the client's connection broke, or what came that is no message.
        began: when the client connected (monotonic, s).
        seconds: from then to the end.
        port: the client's own, to find the session in logs.
    """

    messages: list[bytes] = field(default_factory=list)
    closed: bool = False
    trouble: str = ""
    began: float = 0.0
    seconds: float = 0.0
    port: int = 0

    def texts(self) -> list[str]:
        return [
            message[6:].decode(errors="replace")
            for message in self.messages
            if int.from_bytes(message[:2], "little") == MessageId.TEXT
        ]


async def send(scan: Scan, port: int, *, slowly: float = 1.0) -> Answer:
    """Send a scan and take what comes, at the same time, as a scanner does."""
    loop = asyncio.get_running_loop()
    answer = Answer(began=time.monotonic())
    received = bytearray()
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def write() -> None:
        with contextlib.suppress(OSError):  # what it says on its way out is read all the same
            for piece in scan.pieces:
                await loop.sock_sendall(sock, piece)
                if scan.pause_s:
                    await asyncio.sleep(slowly * scan.pause_s)

    with sock:
        writing: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await loop.sock_connect(sock, ("127.0.0.1", port))
                answer.port = sock.getsockname()[1]
                writing = asyncio.create_task(write())
                while data := await loop.sock_recv(sock, 1 << 20):
                    received += data
        except TimeoutError:
            answer.trouble = f"no end within {_TIMEOUT_S} s"
        except OSError as error:
            answer.trouble = f"connection broke: {error.strerror}"
        finally:
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
    answer.seconds = time.monotonic() - answer.began
    framer = Framer(digests=True)
    framer.feed(received)
    try:
        frames = list(framer.frames())
        framer.eof()
    except ElastronError as error:
        answer.trouble = answer.trouble or f"not a whole message: {error}"
        frames = []
    if frames and frames[-1].message_id == MessageId.CLOSE:
        frames.pop()
        answer.closed = framer.whole == len(received)
    answer.messages = [bytes(received[each.start : each.stop]) for each in frames]
    if not answer.closed:
        answer.trouble = answer.trouble or "no CLOSE, or something after it"
    return answer


@dataclass(frozen=True)
class Difference:
    """An answer beside the undisturbed one, counted in messages.

    Attributes:
        lost: that did not come.
        duplicated: that came once too often.
        differing: whose header is right, and the rest is not.
        foreign: that nobody should have got, errors among them.
        trouble: of the connection.
    """

    lost: int = 0
    duplicated: int = 0
    differing: int = 0
    foreign: int = 0
    trouble: str = ""

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicated or self.differing or self.foreign or self.trouble)


def compare(answer: Answer, undisturbed: Answer) -> Difference:
    """Every message exactly once, bit for bit, in any order."""
    got, wanted = Counter(answer.messages), Counter(undisturbed.messages)
    missing, surplus = wanted - got, got - wanted
    lost, duplicated, differing, foreign = missing.total(), 0, 0, 0
    heads = Counter(message[:_HEADER_BYTES] for message in missing.elements())
    for message in surplus.elements():
        head = message[:_HEADER_BYTES]
        if wanted[message]:
            duplicated += 1
        elif heads[head]:
            heads[head] -= 1
            lost -= 1
            differing += 1
        else:
            foreign += 1
    trouble = "; ".join([answer.trouble, *answer.texts()]).strip("; ")
    return Difference(lost, duplicated, differing, foreign, trouble)
