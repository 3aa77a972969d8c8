"""A node in a process of its own, and a client that may do everything wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.image import Image
from elastron.node import NodeSettings
from elastron.wire import Decoder, encode
from elastron.wire.messages import Close, ConfigName, ConfigXml, HeaderXml, Message, Text

SAMPLES, CHANNELS, LINES = 64, 2, 32

#: Of a node that soon gives a client up; still patient enough for a good one on a busy machine.
IMPATIENCE: dict[str, Any] = {
    "handshake_timeout_s": 5,
    "message_timeout_s": 5,
    "idle_timeout_s": 10,
    "linger_timeout_s": 5,
}

HEADER = b"""<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <subjectInformation><patientName>Doe^Jane</patientName></subjectInformation>
  <acquisitionSystemInformation><receiverChannels>2</receiverChannels>
  </acquisitionSystemInformation>
  <experimentalConditions><H1resonanceFrequency_Hz>123000000</H1resonanceFrequency_Hz>
  </experimentalConditions>
  <encoding>
    <encodedSpace><matrixSize><x>64</x><y>32</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>512</x><y>256</y><z>5</z></fieldOfView_mm></encodedSpace>
    <reconSpace><matrixSize><x>32</x><y>32</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>256</x><y>256</y><z>5</z></fieldOfView_mm></reconSpace>
    <encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>31</maximum>
      <center>16</center></kspace_encoding_step_1></encodingLimits>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>"""


def scan(repetitions: int = 1, *, first: int = 0) -> AcquisitionBatch:
    """Fully sampled readouts, 2 + 340 + 1024 bytes each on the wire.

    Args:
        first: number of the first repetition.
    """
    count = LINES * repetitions
    headers = np.zeros(count, ACQUISITION_HEADER)
    headers["version"] = 1
    headers["number_of_samples"] = SAMPLES
    headers["active_channels"] = headers["available_channels"] = CHANNELS
    headers["center_sample"] = SAMPLES // 2
    headers["sample_time_us"] = 5
    headers["read_dir"], headers["phase_dir"], headers["slice_dir"] = np.eye(3)
    headers["idx"]["kspace_encode_step_1"] = np.arange(count) % LINES
    headers["idx"]["repetition"] = first + np.arange(count) // LINES
    headers["scan_counter"] = first * LINES + np.arange(count)
    headers["flags"][LINES - 1 :: LINES] = np.uint64((1 << 7) | (1 << 13))
    rng = np.random.default_rng(1)
    samples = rng.standard_normal((count, CHANNELS, SAMPLES, 2)).astype(np.float32)
    return AcquisitionBatch(headers, samples.view(np.complex64)[..., 0])


def wire_bytes(*messages: Message) -> bytes:
    return b"".join(bytes(buffer) for message in messages for buffer in encode(message))


def stream_config(*gadgets: str, readers: tuple[int, ...] = (1008, 1026)) -> ConfigXml:
    """A legacy config of `Class` or `Class:property=value` gadgets of this test package."""
    names = {1008: "AcquisitionReader", 1026: "WaveformReader"}
    parts = [f"<reader><classname>{names[each]}</classname></reader>" for each in readers]
    parts.append("<writer><classname>ImageWriter</classname></writer>")
    parts.append("<writer><classname>AcquisitionWriter</classname></writer>")
    for gadget in gadgets:
        classname, _, setting = gadget.partition(":")
        name, _, value = setting.partition("=")
        prop = f"<property><name>{name}</name><value>{value}</value></property>" if name else ""
        parts.append(
            f"<gadget><name>{classname}</name><classname>{classname}</classname>{prop}</gadget>"
        )
    body = "".join(parts)
    return ConfigXml(
        f"<gadgetronStreamConfiguration>{body}</gadgetronStreamConfiguration>".encode()
    )


class Peer:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)

    def send(self, *messages: Message) -> Peer:
        self.socket.sendall(wire_bytes(*messages))
        return self

    def send_bytes(self, data: bytes) -> Peer:
        self.socket.sendall(data)
        return self

    def half_close(self) -> Peer:
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def receive(self) -> list[Message]:
        """Everything until the server ends its stream."""
        decoder = Decoder()
        while data := self.socket.recv(1 << 20):
            decoder.feed(data)
        messages = list(decoder.messages())
        decoder.eof()
        return messages

    def vanish(self) -> None:
        """Leave with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def texts(messages: list[Message]) -> str:
    return "\n".join(message.text for message in messages if isinstance(message, Text))


def images(messages: list[Message]) -> list[Image]:
    return [message for message in messages if isinstance(message, Image)]


def install_gadgets(folder: Path) -> Path:
    """The entry points of an installed package with `misbehaving_gadgets`."""
    names = ("SlowGadget", "EchoGadget", "StuckGadget", "FailGadget")
    plugins = folder / "plugins"
    metadata = plugins / "misbehaving-1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n")
    lines = [f"{name} = misbehaving_gadgets:{name}" for name in names]
    (metadata / "entry_points.txt").write_text("\n".join(["[elastron.gadgets]", *lines, ""]))
    return plugins


class NodeProcess:
    """`run_node` in a child process, its log in a file."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.log_path = folder / "node.log"
        self.settings = NodeSettings(
            listen="127.0.0.1:0", admin="127.0.0.1:0", log_format="json", **settings
        )
        code = (
            "import sys; from elastron.node import NodeSettings, run_node;"
            "run_node(NodeSettings.model_validate_json(sys.argv[1]))"
        )
        plugins = install_gadgets(folder)
        given = os.environ.get("PYTHONPATH", "")  # e.g. another copy of the package
        path = ":".join(filter(None, (str(plugins), str(Path(__file__).parent), given)))
        environment = os.environ | {"PYTHONPATH": path}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, self.settings.model_dump_json()],
                stderr=log,
                env=environment,
            )
        ready = self.wait_for_log("node is ready", timeout_s=120)
        self.port = int(ready["listen"].rpartition(":")[2])
        self.admin = f"http://{ready['admin']}"

    def connect(self) -> Peer:
        return Peer(self.port)

    def log(self) -> list[dict[str, Any]]:
        return whole_lines(self.log_path)

    def events(self, pattern: str) -> list[dict[str, Any]]:
        """Log lines with `pattern` in their event, or errors."""
        return [line for line in self.log() if re.search(pattern, json.dumps(line))]

    def wait_for_log(self, pattern: str, *, count: int = 1, timeout_s: float = 60) -> dict:
        return wait_for(
            lambda: (found := self.events(pattern)) and len(found) >= count and found[-1],
            what=f"{pattern!r} in the log",
            timeout_s=timeout_s,
        )

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.admin + path, timeout=60, trust_env=False)

    def metric(self, name: str) -> float:
        match = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(match[1]) if match else 0.0

    def sessions(self) -> list[dict[str, Any]]:
        return self.get("/sessions").json()["sessions"]

    def wait_for_session(self, state: str = "STREAM") -> dict[str, Any]:
        return wait_for(
            lambda: next((each for each in self.sessions() if each["state"] == state), None),
            what=f"a session in state {state}",
        )

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGTERM):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.send_signal(number)
                self.process.wait(timeout=30)
                return
        self.process.kill()
        self.process.wait()


def whole_lines(log: Path) -> list[dict[str, Any]]:
    """A JSON log's lines, without one that is still being written, and what else came to stderr."""
    whole = log.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line[:1] == "{"]


def wait_for(found: Any, *, what: str, timeout_s: float = 60) -> Any:
    """What `found()` gives, once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (value := found()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {what}")
        time.sleep(0.01)
    return value


def check_good_scan(port: int) -> None:
    """A scan through a stock chain gives its image."""
    with Peer(port) as peer:
        peer.send(ConfigName("default.xml"), HeaderXml(HEADER), scan(), Close())
        answer = peer.receive()
    assert isinstance(answer[-1], Close)
    assert not texts(answer)
    assert len(images(answer)) == 1


@contextlib.contextmanager
def running_node(folder: Path, **settings: Any) -> Iterator[NodeProcess]:
    node = NodeProcess(folder, **settings)
    try:
        yield node
    finally:
        node.stop()
