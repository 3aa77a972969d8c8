"""`elastron archive` and `elastron resend`."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from elastron.gateway.archive_folder import ArchiveFolder
from elastron.wire.messages import Close, ConfigName, HeaderXml
from tests.cli.live_gateway import Live, invoke, live_gateway
from tests.client.answers import wire_bytes
from tests.gateway.fake_gateway import FakeGateway
from tests.gateway.recordings import MemoryRecording
from tests.node.harness import HEADER, scan

SCAN = wire_bytes(ConfigName("default.xml"), HeaderXml(HEADER), scan(2), Close())


@pytest.fixture
def live(tmp_path: Path):
    with live_gateway(lambda: FakeGateway(tmp_path, archive="all")) as live:
        yield live


def archived(live: Live, session: str, data: bytes = SCAN, outcome: str = "ok") -> str:
    meta = {"config": "default.xml", "images": 2, "seconds": 1.5}
    recordings = MemoryRecording(data), MemoryRecording(b"images")
    return live.run(live.gateway.archive.keep, session, meta, *recordings, outcome)


def test_the_gateways_archive_is_listed(live: Live):
    names = [archived(live, "aaaa"), archived(live, "bbbb", outcome="failed")]
    told = json.loads(invoke("archive", "ls", "-g", live.url, "--json").stdout)
    assert [each["id"] for each in told["archive"]] == names
    result = invoke("archive", "ls", "-g", live.url)
    assert all(name in result.stdout for name in names)
    assert "failed" in result.stdout
    assert "2 scans" in result.stderr


def test_a_folder_is_listed_alike(live: Live, tmp_path: Path):
    archived(live, "aaaa")
    asked = json.loads(invoke("archive", "ls", "-g", live.url, "--json").stdout)
    read = invoke("archive", "ls", "--folder", tmp_path / "archive", "--json").stdout
    assert json.loads(read) == asked


def test_an_archive_that_is_off_is_said(tmp_path: Path):
    with live_gateway(lambda: FakeGateway(tmp_path)) as live:
        assert "archive.keep" in invoke("archive", "ls", "-g", live.url, code=1).stderr


def test_scans_are_deleted_by_their_ids(live: Live):
    first, second = archived(live, "aaaa"), archived(live, "bbbb")
    assert "1 scan deleted" in invoke("archive", "rm", first, "-g", live.url).stderr
    assert [entry.name for entry in live.gateway.archive.folder.entries()] == [second]


def test_nothing_is_deleted_if_one_is_not_there(live: Live):
    name = archived(live, "aaaa")
    result = invoke("archive", "rm", name, "20231114T221320Z-ffff", "-g", live.url, code=1)
    assert "no scan" in result.stderr
    assert len(live.gateway.archive.folder.entries()) == 1


def test_scans_are_deleted_by_age_or_all(live: Live):
    archived(live, "aaaa")
    folder = live.gateway.archive.folder
    (folder.path / "20200101T000000Z-old1").mkdir()
    invoke("archive", "rm", "--older-than", 30, "-g", live.url)
    assert len(folder.entries()) == 1
    invoke("archive", "rm", "--all", "-g", live.url)
    assert folder.entries() == []


@pytest.mark.parametrize("args", [[], ["x", "--all"], ["--older-than", "1", "--all"]])
def test_what_is_deleted_must_be_said(args: list[str], tmp_path: Path):
    result = invoke("archive", "rm", *args, "--folder", tmp_path, code=2)
    assert "--older-than DAYS" in " ".join(result.stderr.split())


def test_an_archived_scan_is_sent_again_by_its_id(live: Live, server, tmp_path: Path):
    name = archived(live, "aaaa")
    out = tmp_path / "again.h5"
    invoke("resend", name, "-g", live.url, "-a", server.address, "-o", out, "-G", "again")
    with h5py.File(out) as file:
        assert file["again/image_0/data"].shape[0] == 2


def test_by_its_folder_or_its_file(live: Live, server):
    entry = live.gateway.archive.folder.find(archived(live, "aaaa"))
    for each in (entry.path, entry.path / "scan.mrd-stream"):
        told = json.loads(invoke("resend", each, "-a", server.address, "--json").stdout)
        assert (told["ok"], told["images"]) == (True, 2)
        assert (told["complete"], told["readouts"]) == (True, 64)


def test_with_another_config(live: Live, server):
    name = archived(live, "aaaa")
    args = ("resend", name, "-g", live.url, "-a", server.address, "-c", "nowhere.xml")
    assert "nowhere.xml" in invoke(*args, code=1).stderr


def test_a_cut_scan_is_sent_as_far_as_it_goes(live: Live, server):
    name = archived(live, "aaaa", SCAN[: len(SCAN) * 3 // 4], outcome="lost")
    args = ("resend", name, "-g", live.url, "-a", server.address)
    told = json.loads(invoke(*args, "--json").stdout)
    assert (told["complete"], told["readouts"], told["images"]) == (False, 47, 2)
    assert "its first 47 readouts are sent" in invoke(*args).stderr


@pytest.mark.parametrize("name", ["20231114T221320Z-ffff", "../archive", "nothing/there"])
def test_scans_that_are_not_there(live: Live, name: str):
    assert "There is no" in invoke("resend", name, "-g", live.url, code=1).stderr


def test_a_file_of_another_kind_is_told(tmp_path: Path):
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert "elastron send" in invoke("resend", tmp_path / "x.h5", code=1).stderr


def test_an_archive_on_another_machine_is_told(live: Live, tmp_path: Path):
    live.gateway.archive.folder = ArchiveFolder(tmp_path / "elsewhere")
    result = invoke("archive", "rm", "--all", "-g", live.url, code=1)
    assert "not on this machine" in result.stderr
