"""Whatever a client sends: a clear answer, a line in the log, a healthy node, no harm to others."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from elastron.mrd.acquisition import AcquisitionBatch
from elastron.wire.messages import Close, ConfigName, ConfigXml, HeaderXml, Query, Text

from .harness import (
    HEADER,
    NodeProcess,
    check_good_scan,
    images,
    scan,
    stream_config,
    texts,
    wait_for,
    wire_bytes,
)

DEFAULT = ConfigName("default.xml")


@pytest.fixture(autouse=True)
def healthy_after_all(request: pytest.FixtureRequest) -> Iterator[None]:
    """A good session runs beside every bad one, and the node is as good as before."""
    which = "impatient_node" if "impatient_node" in request.fixturenames else "node"
    node: NodeProcess = request.getfixturevalue(which)
    stop = threading.Event()
    sent = []

    def send_repetitions() -> None:
        while not stop.wait(0.2) or not sent:
            bystander.send(scan(first=len(sent)))
            sent.append(1)
        bystander.send(Close())

    with node.connect() as bystander:
        bystander.send(DEFAULT, HeaderXml(HEADER))
        sending = threading.Thread(target=send_repetitions)
        sending.start()
        yield
        stop.set()
        answer = bystander.receive()
        sending.join()
    assert not texts(answer)
    assert len(images(answer)) == len(sent)
    assert node.get("/healthz").status_code == 200
    # Its next worker may still be on its way.
    wait_for(lambda: node.get("/readyz").status_code == 200, what="readiness")
    check_good_scan(node.port)


def expect_error(node: NodeProcess, data: bytes, pattern: str, *, half_close: bool = False) -> str:
    """Send bytes; the client hears of the error, then CLOSE; the log has it too."""
    with node.connect() as peer:
        peer.send_bytes(data)
        if half_close:
            peer.half_close()
        answer = peer.receive()
    said = texts(answer)
    assert "ERROR" in said
    assert pattern in said
    assert isinstance(answer[-1], Close)
    node.wait_for_log(pattern.replace("(", r"\(").replace("[", r"\["))
    assert "Jane" not in node.log_path.read_text()
    return said


def test_unknown_message_id(node: NodeProcess) -> None:
    expect_error(node, struct.pack("<H", 4711) + b"x" * 100, "4711")


def test_unknown_message_id_within_the_stream(node: NodeProcess) -> None:
    data = wire_bytes(DEFAULT, HeaderXml(HEADER), scan()) + struct.pack("<H", 999)
    expect_error(node, data, "999")


def test_http_request(node: NodeProcess) -> None:
    expect_error(node, b"GET / HTTP/1.1\r\nHost: node\r\n\r\n", "Message id")


def test_header_before_config(node: NodeProcess) -> None:
    expect_error(node, wire_bytes(HeaderXml(HEADER)), "Received ISMRMRD header before config file.")


def test_second_config(node: NodeProcess) -> None:
    data = wire_bytes(DEFAULT, DEFAULT)
    expect_error(node, data, "Received second config file. Only one allowed.")


def test_second_config_in_the_stream(node: NodeProcess) -> None:
    data = wire_bytes(DEFAULT, HeaderXml(HEADER), scan(), stream_config())
    expect_error(node, data, "Received second config file. Only one allowed.")


def test_second_header(node: NodeProcess) -> None:
    data = wire_bytes(DEFAULT, HeaderXml(HEADER), HeaderXml(HEADER))
    expect_error(node, data, "Received second ISMRMRD header. Only one allowed.")


def test_data_before_header(node: NodeProcess) -> None:
    expect_error(node, wire_bytes(DEFAULT, scan()), "ACQUISITION")


def test_message_the_config_does_not_read(node: NodeProcess) -> None:
    data = wire_bytes(stream_config("EchoGadget", readers=(1026,)), HeaderXml(HEADER), scan())
    expect_error(node, data, "ACQUISITION")


@pytest.mark.parametrize("cut", [3, 400, 342 + 100])
def test_truncated_message(node: NodeProcess, cut: int) -> None:
    data = wire_bytes(DEFAULT, HeaderXml(HEADER), scan()) + wire_bytes(scan())[:cut]
    expect_error(node, data, "middle of ACQUISITION", half_close=True)


def test_truncated_config(node: NodeProcess) -> None:
    expect_error(node, wire_bytes(DEFAULT)[:100], "middle of FILENAME", half_close=True)


def test_stream_that_ends_without_close_gives_its_images(node: NodeProcess) -> None:
    with node.connect() as peer:
        peer.send(DEFAULT, HeaderXml(HEADER), scan()).half_close()
        answer = peer.receive()
    assert len(images(answer)) == 1
    assert isinstance(answer[-1], Close)
    node.wait_for_log("without CLOSE")


@pytest.mark.parametrize("message_id", [2, 3])
def test_absurd_length(node: NodeProcess, message_id: int) -> None:
    prefix = b"" if message_id == 2 else wire_bytes(DEFAULT)
    expect_error(node, prefix + struct.pack("<HI", message_id, 0xFFFFFFFF), "4294967295")


def test_absurd_query(node: NodeProcess) -> None:
    expect_error(node, struct.pack("<HQQQ", 6, 0, 1, 2**63), str(2**63))


def test_unknown_config(node: NodeProcess) -> None:
    said = expect_error(node, wire_bytes(ConfigName("defautl.xml")), "'defautl.xml'")
    assert "default.xml" in said


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "..", "", "a/b.xml", "HOME", "..\\x.xml"]
)
def test_config_name_that_is_a_path(node: NodeProcess, name: str) -> None:
    said = expect_error(node, wire_bytes(ConfigName(name)), "onfig")
    assert "root:" not in said


BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>"""
EXTERNAL = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY c SYSTEM "file:///etc/passwd">]>"""


@pytest.mark.parametrize("prolog", [BOMB, EXTERNAL], ids=["bomb", "external"])
def test_hostile_config(node: NodeProcess, prolog: bytes) -> None:
    xml = prolog + b"<gadgetronStreamConfiguration>&c;</gadgetronStreamConfiguration>"
    said = expect_error(node, wire_bytes(ConfigXml(xml)), "onfig")
    assert "root:" not in said


@pytest.mark.parametrize("prolog", [BOMB, EXTERNAL], ids=["bomb", "external"])
def test_hostile_header(node: NodeProcess, prolog: bytes) -> None:
    xml = prolog + b"<ismrmrdHeader>&c;</ismrmrdHeader>"
    said = expect_error(node, wire_bytes(DEFAULT, HeaderXml(xml)), "header")
    assert "root:" not in said


def test_broken_xml(node: NodeProcess) -> None:
    expect_error(node, wire_bytes(ConfigXml(b"<gadgetron")), "onfig")
    expect_error(node, wire_bytes(DEFAULT, HeaderXml(b"<ismrmrdHeader>")), "header")
    expect_error(node, wire_bytes(DEFAULT, HeaderXml(b"<other/>")), "'ismrmrdHeader' not found")


def test_unknown_gadget(node: NodeProcess) -> None:
    data = wire_bytes(stream_config("NoSuchGadget"), HeaderXml(HEADER))
    expect_error(node, data, "NoSuchGadget")


def test_gadget_that_fails(node: NodeProcess) -> None:
    data = wire_bytes(stream_config("FailGadget:how=raise"), HeaderXml(HEADER), scan(), Close())
    said = expect_error(node, data, "the gadget's own reason")
    assert said.startswith("[Connection Main Thread/")
    assert "/FailGadget] ERROR: " in said


def test_query_with_reserved_bytes(node: NodeProcess) -> None:
    data = wire_bytes(Query("gadgetron::version", 1, reserved=1))
    expect_error(node, data, "Unsupported value in reserved bytes.")


def altered(**changes: object) -> AcquisitionBatch:
    """A scan that says something else than its header; `counter` names an encoding counter."""
    batch = scan()
    headers, data = batch.headers.copy(), batch.data.copy()
    for name, value in changes.items():
        if name == "channels":
            headers["active_channels"] = headers["available_channels"] = value
            data = np.resize(data, (len(data), value, data.shape[2]))
        elif name == "sample":
            data[3, 0, 5] = value
        elif name == "space":
            headers["encoding_space_ref"][5] = value
        else:
            headers["idx"][name][5] = value
    return AcquisitionBatch(headers, data)


@pytest.mark.parametrize("config", ["default.xml", "Generic_Cartesian_FFT.xml"])
@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        (altered(channels=4), "active_channels 4"),
        (altered(kspace_encode_step_1=1000), "kspace_encode_step_1 1000"),
        (altered(kspace_encode_step_2=65535), "kspace_encode_step_2 65535"),
        (altered(space=7), "encoding_space_ref 7"),
        (altered(sample=np.nan), "NaN or infinite samples"),
        (altered(sample=np.inf), "NaN or infinite samples"),
    ],
    ids=["channels", "line", "partition", "space", "nan", "infinite"],
)
def test_data_that_contradicts_its_header(
    node: NodeProcess, config: str, data: AcquisitionBatch, pattern: str
) -> None:
    expect_error(node, wire_bytes(ConfigName(config), HeaderXml(HEADER), data, Close()), pattern)


def test_no_noise_scan_where_one_is_named(node: NodeProcess) -> None:
    dependency = b"""<measurementInformation><patientPosition>HFS</patientPosition>
      <measurementDependency><dependencyType>Noise</dependencyType>
      <measurementID>a_b_c_d</measurementID></measurementDependency></measurementInformation>
      <acquisitionSystemInformation>"""
    header = HEADER.replace(b"<acquisitionSystemInformation>", dependency)
    with node.connect() as peer:
        peer.send(ConfigName("Generic_Cartesian_FFT.xml"), HeaderXml(header), scan(), Close())
        answer = peer.receive()
    assert "noise scan that the header names" in texts(answer)
    assert "a_b_c_d" not in node.log_path.read_text()  # it may hold the patient's number


def test_error_reaches_a_client_that_goes_on_sending(node: NodeProcess) -> None:
    """The server must not answer with a reset while the client is still sending."""
    with node.connect() as peer:
        peer.send(stream_config("FailGadget:how=raise"), HeaderXml(HEADER))
        data = wire_bytes(scan(repetitions=10))
        for _ in range(100):  # 44 MB, far beyond what socket buffers hold
            peer.send_bytes(data)
        peer.send(Close())
        answer = peer.receive()
    assert "the gadget's own reason" in texts(answer)
    assert isinstance(answer[-1], Close)


def test_client_that_vanishes(node: NodeProcess) -> None:
    before = node.metric('elastron_sessions_total{outcome="lost"}')
    peer = node.connect().send(DEFAULT, HeaderXml(HEADER), scan())
    peer.vanish()
    node.wait_for_log('"outcome": "lost"', count=int(before) + 1)


def test_client_that_never_speaks(impatient_node: NodeProcess) -> None:
    with impatient_node.connect() as peer:
        answer = peer.receive()
    assert "nothing received within 5 s" in texts(answer)
    assert isinstance(answer[-1], Close)
    impatient_node.wait_for_log("never spoke")


def test_client_that_stops_in_the_handshake(impatient_node: NodeProcess) -> None:
    with impatient_node.connect() as peer:
        answer = peer.send(DEFAULT).receive()
    assert "no complete config and header" in texts(answer)


def test_client_that_stops_in_the_stream(impatient_node: NodeProcess) -> None:
    with impatient_node.connect() as peer:
        answer = peer.send(DEFAULT, HeaderXml(HEADER), scan()).receive()
    assert "sent nothing for 10 s" in texts(answer)
    assert len(images(answer)) == 1  # what came is reconstructed all the same
    impatient_node.wait_for_log('"outcome": "timeout"')


def test_byte_after_byte(impatient_node: NodeProcess) -> None:
    """Never silent for long, yet it gets nowhere."""
    stop = threading.Event()

    def drip(data: bytes) -> None:
        for byte in data:
            if stop.wait(0.1):
                return
            try:
                peer.send_bytes(bytes([byte]))
            except OSError:
                return

    with impatient_node.connect() as peer:
        peer.send(DEFAULT, HeaderXml(HEADER), scan())
        dripping = threading.Thread(target=drip, args=(wire_bytes(scan()),))
        began = time.monotonic()
        dripping.start()
        answer = peer.receive()
        lasted_s = time.monotonic() - began
        stop.set()
        dripping.join()
    assert "a message is still incomplete" in texts(answer)
    assert lasted_s < 120  # the whole of it would have taken an hour


def test_text_is_counted_not_logged(node: NodeProcess) -> None:
    with node.connect() as peer:
        peer.send(DEFAULT, HeaderXml(HEADER), Text("Jane Doe"), scan(), Close())
        answer = peer.receive()
    assert len(images(answer)) == 1
    node.wait_for_log("client sent a text")
    assert "Jane" not in node.log_path.read_text()


def test_random_bytes(node: NodeProcess) -> None:
    generator = __import__("random").Random(0)
    for _ in range(20):
        data = generator.randbytes(generator.randrange(1, 2000))
        with node.connect() as peer:
            peer.send_bytes(data).half_close()
            answer = peer.receive()
        assert isinstance(answer[-1], Close)


def test_flood_of_connections(node: NodeProcess) -> None:
    peers = [node.connect() for _ in range(50)]
    check_good_scan(node.port)
    for peer in peers:
        peer.socket.close()
