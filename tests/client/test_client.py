from __future__ import annotations

import socket
import threading
import time

import numpy as np
import pytest

from elastron.client import (
    Client,
    ScanGarbledError,
    ScanLostError,
    ScanRefusedError,
    ScanStalledError,
)
from elastron.errors import (
    ConfigError,
    ConnectError,
    ConnectionLostError,
    DataError,
    DeadlineError,
    ProtocolError,
    RemoteError,
)
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.dataset import Dataset
from elastron.mrd.meta import Meta
from elastron.mrd.waveform import Waveform
from elastron.wire.messages import (
    Close,
    ConfigName,
    ConfigXml,
    DependencyQuery,
    Error,
    HeaderXml,
    Query,
    Response,
    Text,
)
from tests.client.fake_server import Peer, fake_server
from tests.client.images import make_image
from tests.client.scans import HEADER_XML, make_batch, make_waveform
from tests.ports import free_port

SCAN = (HEADER_XML, [make_batch(10)])
IMAGE = make_image(np.arange(12, dtype=np.float32).reshape(3, 4))


def client(port: int, **options) -> Client:
    return Client("127.0.0.1", port, **{"connect_timeout": 60, "timeout": 60} | options)


def test_the_whole_story_in_order():
    heard = []

    def handle(peer: Peer) -> None:
        heard.extend(peer.until_close())
        peer.send(IMAGE, Text("hello"), IMAGE, Close())

    batches = [make_batch(10), make_waveform(3), make_batch(5, samples=16, first=10)]
    with fake_server(handle) as port:
        result = client(port).send((HEADER_XML, batches), "some.xml")
    assert heard[:2] == [ConfigName("some.xml"), HeaderXml(HEADER_XML)]
    assert isinstance(heard[-1], Close)
    sent = [message for message in heard if isinstance(message, AcquisitionBatch | Waveform)]
    assert [type(message) for message in sent] == [AcquisitionBatch, Waveform, AcquisitionBatch]
    np.testing.assert_array_equal(sent[0].data, batches[0].data)
    np.testing.assert_array_equal(sent[2].data, batches[2].data)
    assert result.image_count == len(result.images) == 2
    np.testing.assert_array_equal(result.images[1].data, IMAGE.data)
    assert result.texts == ["hello"]
    assert result.errors == []
    assert result.bytes_received == 2 * (2 + 198 + 8 + 48) + (2 + 4 + 5) + 2
    assert result.first_image_seconds is not None
    assert result.first_image_seconds <= result.seconds


def test_collected_images_are_the_callers_own():
    with fake_server(answering(IMAGE)) as port:
        (image,) = client(port).send(SCAN).images
    assert image.data.flags.writeable
    assert image.data.base is None or not isinstance(image.data.base, memoryview)


def answering(*messages):
    """A handler that hears everything, then answers."""

    def handle(peer: Peer) -> None:
        peer.until_close()
        peer.send(*messages, Close())

    return handle


def test_configs_go_by_name_or_by_value(tmp_path):
    heard = []

    def handle(peer: Peer) -> None:
        heard.append(peer.until_close()[0])
        peer.send(Close())

    path = tmp_path / "mine.xml"
    path.write_bytes(b"<configuration/>")
    with fake_server(handle) as port:
        for config in ("default.xml", b"<a/>", path):
            client(port).send(SCAN, config)
    assert heard == [ConfigName("default.xml"), ConfigXml(b"<a/>"), ConfigXml(b"<configuration/>")]
    with pytest.raises(ConfigError, match="cannot be read"):
        client(1).send(SCAN, tmp_path / "absent.xml")


def test_files_are_sent_with_their_waveforms_between(tmp_path):
    path = tmp_path / "scan.h5"
    with Dataset(path, "w") as dataset:
        dataset.write_header(HEADER_XML)
        dataset.append(make_batch(10))
        dataset.append(make_waveform(4))
    heard = []

    def handle(peer: Peer) -> None:
        heard.extend(peer.until_close())
        peer.send(Close())

    progress = []
    with fake_server(handle) as port:
        client(port).send(path, on_progress=progress.append)
    items = [m for m in heard if isinstance(m, AcquisitionBatch | Waveform)]
    assert [len(m) if isinstance(m, AcquisitionBatch) else "waveform" for m in items] == [
        5,
        "waveform",
        5,
    ]
    assert [p.readouts_sent for p in progress] == [5, 10, 10]
    assert [p.finished for p in progress] == [False, False, True]
    assert progress[0].readouts_total == 10
    assert progress[0].bytes_total >= progress[-1].bytes_sent * 0.9
    assert progress[-1].seconds_left == 0
    assert progress[-1].rate > 0


def test_images_go_to_the_callback_and_are_not_kept():
    seen = []
    with fake_server(answering(IMAGE, IMAGE)) as port:
        result = client(port).send(SCAN, on_image=seen.append)
    assert result.images == []
    assert result.image_count == len(seen) == 2


def test_other_messages_are_kept_or_handed_on():
    answer = DependencyQuery(Meta({"status": ["success"]}))
    seen = []
    with fake_server(answering(answer)) as port:
        assert client(port).send(SCAN).others[0].meta.first("status") == "success"
        assert client(port).send(SCAN, on_other=seen.append).others == []
    assert len(seen) == 1


@pytest.mark.parametrize(
    "error",
    [
        Text("[Connection Main Thread/main/Recon] ERROR: it broke"),
        Text("ERROR it broke"),
        Error("it broke"),
    ],
)
def test_the_servers_errors_are_raised_with_what_came(error):
    seen = []
    with (
        fake_server(answering(IMAGE, error)) as port,
        pytest.raises(ScanRefusedError, match="it broke") as caught,
    ):
        client(port).send(SCAN, on_text=seen.append)
    assert isinstance(caught.value, RemoteError)
    assert caught.value.result.image_count == 1
    assert caught.value.result.errors == seen == [error.text]


@pytest.mark.parametrize("text", ["3 errors were corrected", "no ERRORS", "queue position 2"])
def test_texts_that_speak_of_errors_are_none(text):
    with fake_server(answering(Text(text))) as port:
        assert client(port).send(SCAN).texts == [text]


def test_a_connection_that_ends_early_keeps_what_came():
    def handle(peer: Peer) -> None:
        peer.until_close()
        peer.send(IMAGE)

    with (
        fake_server(handle) as port,
        pytest.raises(ScanLostError, match="1 image came until then") as caught,
    ):
        client(port).send(SCAN)
    assert isinstance(caught.value, ConnectionLostError)
    assert len(caught.value.result.images) == 1


def endless():
    """More than any socket's buffers take."""
    batch = make_batch(64, channels=16, samples=256)
    for _ in range(10_000):
        yield batch


def test_a_server_gone_while_we_send_is_noticed():
    def handle(peer: Peer) -> None:
        next(peer.messages())
        peer.reset()

    with fake_server(handle) as port, pytest.raises(ScanLostError, match="hung up"):
        client(port).send((HEADER_XML, endless()))


def test_an_error_that_comes_while_we_send_is_not_lost_in_the_reset():
    def handle(peer: Peer) -> None:
        next(peer.messages())
        peer.send(Text("[Input] ERROR: no such config"), Close())

    with fake_server(handle) as port, pytest.raises(ScanRefusedError, match="no such config"):
        client(port).send((HEADER_XML, endless()))


def test_a_server_that_closes_before_it_heard_everything_is_no_success():
    def handle(peer: Peer) -> None:
        next(peer.messages())
        peer.send(Close())

    with fake_server(handle) as port, pytest.raises(ScanLostError, match="before the whole scan"):
        client(port).send((HEADER_XML, endless()))


def test_bytes_that_are_no_messages_are_named():
    def handle(peer: Peer) -> None:
        peer.until_close()
        peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n")

    with fake_server(handle) as port, pytest.raises(ScanGarbledError, match="no message") as caught:
        client(port).send(SCAN)
    assert isinstance(caught.value, ProtocolError)


def test_a_truncated_image_is_a_lost_connection():
    def handle(peer: Peer) -> None:
        peer.until_close()
        peer.sock.sendall(b"\xfe\x03" + bytes(50))

    with fake_server(handle) as port, pytest.raises(ScanLostError, match="in the middle of"):
        client(port).send(SCAN)


def test_a_silent_server_is_given_up():
    def handle(peer: Peer) -> None:
        peer.until_close()
        list(peer.messages())  # until the client leaves

    with fake_server(handle) as port, pytest.raises(ScanStalledError) as caught:
        client(port, timeout=0.3).send(SCAN)
    assert isinstance(caught.value, DeadlineError)


def test_a_server_that_does_not_read_is_given_up():
    left = threading.Event()

    def handle(_peer: Peer) -> None:
        left.wait(60)

    with fake_server(handle) as port:
        with pytest.raises(ScanStalledError):
            client(port, timeout=0.3).send((HEADER_XML, endless()))
        left.set()


def test_a_slow_server_is_waited_for():
    def handle(peer: Peer) -> None:
        peer.until_close()
        for _ in range(7):  # longer than the time-out in all, and each far shorter
            time.sleep(0.9)
            peer.send(IMAGE)
        peer.send(Close())

    with fake_server(handle) as port:
        assert client(port, timeout=6).send(SCAN).image_count == 7


def test_a_server_that_sends_before_it_reads_does_not_deadlock():
    large = make_image(np.zeros((512, 512), np.float32))

    def handle(peer: Peer) -> None:
        for _ in range(30):
            peer.send(large)
        peer.until_close()
        peer.send(Close())

    batch = make_batch(64, channels=16, samples=256)
    with fake_server(handle) as port:
        result = client(port).send((HEADER_XML, [batch] * 30))
    assert result.image_count == 30


def test_what_a_callback_raises_ends_the_scan():
    def refuse(_image):
        raise KeyError("disk full")

    with fake_server(answering(IMAGE)) as port, pytest.raises(KeyError, match="disk full"):
        client(port).send(SCAN, on_image=refuse)


def test_a_source_that_fails_is_told_from_a_server_that_fails():
    def broken():
        yield make_batch(3)
        raise DataError("row 3 is broken")

    with fake_server(answering()) as port, pytest.raises(DataError, match="row 3"):
        client(port).send((HEADER_XML, broken()))


def test_unknown_sources_are_refused():
    with pytest.raises(DataError, match="list cannot be sent"):
        client(1).send([1, 2])
    with pytest.raises(DataError, match="no file"):
        client(1).send("/nonexistent.h5")


def test_nobody_there_is_said_so():
    with pytest.raises(ConnectError, match=r"Nothing answers at 127\.0\.0\.1"):
        client(free_port(), connect_timeout=0.2).send(SCAN)


def test_a_server_that_starts_late_is_found():
    port = free_port()

    def start_late() -> None:
        time.sleep(0.3)
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(60)
            sock, _ = listener.accept()
            with sock:
                answering(IMAGE)(Peer(sock))

    thread = threading.Thread(target=start_late)
    thread.start()
    try:
        assert client(port).send(SCAN).image_count == 1
    finally:
        thread.join()


def test_queries_are_answered():
    def handle(peer: Peer) -> None:
        query = peer.until_close()[0]
        assert isinstance(query, Query)
        assert query.reserved == 0
        peer.send(Response(f"answer to {query.query}", query.correlation_id), Close())

    with fake_server(handle) as port:
        assert client(port).query("gadgetron::version") == "answer to gadgetron::version"


def test_queries_that_fail_say_how():
    with fake_server(answering(Text("ERROR: no"))) as port, pytest.raises(RemoteError, match="no"):
        client(port).query()
    with fake_server(lambda peer: None) as port, pytest.raises(ConnectionLostError):
        client(port).query()
    with (
        fake_server(lambda peer: list(peer.messages())) as port,
        pytest.raises(DeadlineError),
    ):
        client(port, timeout=0.3).query()
