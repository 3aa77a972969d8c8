from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.client import Client, RecordedScan
from elastron.errors import DataError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.wire.messages import (
    Close,
    ConfigName,
    ConfigXml,
    HeaderXml,
    Message,
    Text,
)
from tests.client.answers import small_image, wire_bytes
from tests.client.fake_server import Peer, fake_server
from tests.node.harness import HEADER, scan

WHOLE = wire_bytes(ConfigName("default.xml"), HeaderXml(HEADER), scan(2), Close())


def recorded(folder: Path, data: bytes = WHOLE) -> RecordedScan:
    path = folder / "scan.mrd-stream"
    path.write_bytes(data)
    return RecordedScan.open(path)


def test_a_whole_scan_is_sent_byte_for_byte(tmp_path: Path):
    again = recorded(tmp_path)
    assert again.complete
    assert again.readouts == 64
    assert b"".join(map(bytes, again.buffers())) == WHOLE
    assert again.bytes == len(WHOLE)


def test_another_config_takes_the_place_of_its_own(tmp_path: Path):
    again = recorded(tmp_path)
    for config in (ConfigName("grappa.xml"), ConfigXml(b"<x/>")):
        expected = wire_bytes(config, HeaderXml(HEADER), scan(2), Close())
        assert b"".join(map(bytes, again.buffers(config))) == expected


@given(st.integers(0, len(WHOLE)), st.binary(max_size=20))
def test_of_a_cut_scan_all_whole_messages_are_sent(tmp_path_factory, cut: int, garbage: bytes):
    """Wherever the client went away, and whatever it sent last."""
    folder = tmp_path_factory.mktemp("cut", numbered=True)
    data = WHOLE[:cut] + (b"\xff\xff" + garbage if garbage else b"")
    begin = len(wire_bytes(ConfigName("default.xml"), HeaderXml(HEADER)))
    if cut < begin:
        with pytest.raises(DataError, match="no recorded scan"):
            recorded(folder, data)
        return
    again = recorded(folder, data)
    readout = len(wire_bytes(scan())) // 32
    whole = min((cut - begin) // readout, 64)
    assert again.readouts == whole
    assert again.complete == (cut == len(WHOLE))
    sent = b"".join(map(bytes, again.buffers()))
    assert sent == WHOLE[: begin + whole * readout] + wire_bytes(Close())


@pytest.mark.parametrize("data", [b"", b"\x89HDF\r\n\x1a\n" + bytes(100), wire_bytes(Close())])
def test_other_files_are_no_recorded_scans(tmp_path: Path, data: bytes):
    with pytest.raises(DataError, match="elastron send"):
        recorded(tmp_path, data)


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(DataError, match="No such file"):
        RecordedScan.open(tmp_path / "none")


def test_a_recorded_scan_gets_its_images(tmp_path: Path):
    seen: list[Message] = []

    def server(peer: Peer) -> None:
        seen.extend(peer.until_close())
        peer.send(Text("hello"), small_image(), Close())

    progress = []
    with fake_server(server) as port:
        result = Client("127.0.0.1", port).resend(recorded(tmp_path), on_progress=progress.append)
    assert len(result.images) == 1
    assert result.texts == ["hello"]
    assert result.bytes_sent == len(WHOLE)
    assert [type(each) for each in seen[:2]] == [ConfigName, HeaderXml]
    batches = [each.data for each in seen if isinstance(each, AcquisitionBatch)]
    np.testing.assert_array_equal(np.concatenate(batches), scan(2).data)
    assert progress[-1].finished
    assert progress[-1].bytes_total == len(WHOLE)
