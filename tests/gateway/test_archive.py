from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from elastron.errors import DataError, ElastronError
from elastron.gateway.archive import Archive, ArchiveSettings
from elastron.gateway.archive_folder import ArchiveFolder, entry_name
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.mrd.meta import Meta
from elastron.wire import Decoder
from elastron.wire.messages import Close, ConfigName, HeaderXml, Message, Text
from tests.gateway.recordings import MemoryRecording, wire_bytes
from tests.node.harness import HEADER, scan

DAY = 86400
NOW = 1_700_000_000.0
SCAN = b"incoming" * 1000
IMAGES = b"outgoing" * 100


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def archive(folder: Path, clock: Clock, **settings: object) -> Archive:
    given = {"keep": "all", "folder": folder / "archive", "free_bytes_min": 0, **settings}
    return Archive(ArchiveSettings.model_validate(given), clock)


async def keep(kept: Archive, session: str = "5e551011", outcome: str = "ok") -> str | None:
    recordings = MemoryRecording(SCAN), MemoryRecording(IMAGES)
    return await kept.keep(session, {"config": "default.xml"}, *recordings, outcome)


def names(folder: Path) -> list[str]:
    return [entry.name for entry in ArchiveFolder(folder / "archive").entries()]


async def test_a_scan_is_kept_as_it_came(tmp_path: Path, clock: Clock):
    kept = archive(tmp_path, clock)
    await kept.start()
    name = await keep(kept)
    await kept.stop()
    assert name == "20231114T221320Z-5e551011"
    entry = kept.folder.find(name)
    assert (entry.path / "scan.mrd-stream").read_bytes() == SCAN
    assert (entry.path / "images.mrd-stream").read_bytes() == IMAGES
    assert entry.time == NOW
    assert json.loads((entry.path / "meta.json").read_text()) == {
        "version": 1,
        "session": "5e551011",
        "archived": "2023-11-14T22:13:20+00:00",
        "outcome": "ok",
        "deidentified": False,
        "config": "default.xml",
    }
    assert entry.bytes == sum(file.stat().st_size for file in entry.path.iterdir())
    assert entry.describe()["id"] == name


async def test_nobody_else_can_read_it(tmp_path: Path, clock: Clock):
    kept = archive(tmp_path, clock, deidentify=False)
    await kept.start()
    entry = kept.folder.find(await keep(kept) or "")
    await kept.stop()
    for path in (kept.folder.path, entry.path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in entry.path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("mode", "outcome", "wanted"),
    [
        ("off", "error", False),
        ("failed", "ok", False),
        ("failed", "failed", True),
        ("failed", "lost", True),
        ("all", "ok", True),
    ],
)
async def test_what_is_kept(tmp_path: Path, clock: Clock, mode: str, outcome: str, wanted: bool):
    kept = archive(tmp_path, clock, keep=mode)
    await kept.start()
    assert (await keep(kept, outcome=outcome) is not None) == wanted
    await kept.stop()
    assert len(names(tmp_path)) == wanted
    assert (tmp_path / "archive").exists() == (mode != "off")
    assert kept.records_images == (mode == "all")


async def test_old_scans_go(tmp_path: Path, clock: Clock):
    kept = archive(tmp_path, clock, retain_s=7 * DAY)
    await kept.start()
    await keep(kept, "aaaa")
    clock.now += 5 * DAY
    await keep(kept, "bbbb")
    clock.now += 3 * DAY
    await keep(kept, "cccc")
    await kept.stop()
    assert [name.partition("-")[2] for name in names(tmp_path)] == ["bbbb", "cccc"]


async def test_old_scans_go_although_none_comes(tmp_path: Path, clock: Clock):
    kept = archive(tmp_path, clock, retain_s=DAY, sweep_s=0.01)
    await kept.start()
    await keep(kept)
    clock.now += 2 * DAY
    async with asyncio.timeout(60):
        while names(tmp_path):  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.01)
    await kept.stop()


async def test_the_oldest_go_when_there_are_too_many_bytes(tmp_path: Path, clock: Clock):
    kept = archive(tmp_path, clock, bytes_max=3 * (len(SCAN) + len(IMAGES)))
    await kept.start()
    for number in range(6):
        clock.now += 1
        await keep(kept, f"{number:04x}")
        assert sum(entry.bytes for entry in kept.folder.entries()) <= 3 * (len(SCAN) + len(IMAGES))
    await kept.stop()
    assert [name[-1] for name in names(tmp_path)] == ["4", "5"]  # three, but for their meta.json
    assert kept.bytes <= 3 * (len(SCAN) + len(IMAGES))


async def test_larger_than_the_archive_is_not_kept(tmp_path: Path, clock: Clock):
    kept = archive(tmp_path, clock, bytes_max=5000)
    await kept.start()
    with capture_logs() as logs:
        assert await keep(kept) is None
    await kept.stop()
    assert "archive.bytes_max" in logs[0]["reason"]
    assert os.listdir(kept.folder.path) == []


async def test_the_disk_keeps_its_reserve(tmp_path: Path, clock: Clock):
    done: list[bool] = []
    settings = ArchiveSettings(keep="all", folder=tmp_path / "archive", free_bytes_min=1 << 60)
    kept = Archive(settings, clock, done.append)
    await kept.start()
    with capture_logs() as logs:
        assert await keep(kept) is None
    await kept.stop()
    assert "archive.free_bytes_min" in logs[0]["reason"]
    assert done == [False]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "elastron-test", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_costs_the_scan_and_nothing_else(small_disk: Path, clock: Clock):
    done: list[bool] = []
    settings = ArchiveSettings(keep="all", folder=small_disk / "archive", free_bytes_min=0)
    kept = Archive(settings, clock, done.append)
    await kept.start()
    assert await keep(kept, "aaaa") is not None
    (small_disk / "filler").write_bytes(bytes(700_000))  # the check before sees room, then another
    large = MemoryRecording(bytes(600_000))  # process takes it

    async def pieces():
        yield memoryview(bytes(200_000))
        with contextlib.suppress(OSError), (small_disk / "more").open("wb", 0) as file:
            while file.write(bytes(4096)):
                pass
        yield memoryview(bytes(400_000))

    large.pieces = pieces  # type: ignore[method-assign]
    (small_disk / "filler").write_bytes(b"")
    with capture_logs() as logs:
        assert await kept.keep("bbbb", {}, large, None, "failed") is None
    assert logs[0]["reason"] == "No space left on device"
    assert [name[-4:] for name in os.listdir(kept.folder.path)] == ["aaaa"]
    (small_disk / "more").unlink()
    clock.now += 1
    assert await keep(kept, "cccc") is not None
    await kept.stop()
    assert done == [True, False, True]


async def test_nothing_half_is_ever_listed(tmp_path: Path, clock: Clock):
    kept = archive(tmp_path, clock)
    await kept.start()
    seen = []

    class Watched(MemoryRecording):
        async def pieces(self):
            async for piece in super().pieces():
                seen.append(names(tmp_path))
                yield piece

    await kept.keep("aaaa", {}, Watched(SCAN), Watched(IMAGES), "ok")
    await kept.stop()
    assert seen
    assert not any(seen)
    assert len(names(tmp_path)) == 1


async def test_what_a_dead_gateway_left_half_is_cleared_away(tmp_path: Path, clock: Clock):
    folder = tmp_path / "archive"
    stale, fresh = (folder / f".partial-20231114T221320Z-{each}-0011" for each in ("aaaa", "bbbb"))
    for each in (stale, fresh):
        each.mkdir(parents=True)
        (each / "scan.mrd-stream").write_bytes(b"half")
    old = NOW - DAY
    for path in (stale / "scan.mrd-stream", stale):
        os.utime(path, (old, old))
    for path in (fresh / "scan.mrd-stream", fresh):
        os.utime(path, (NOW, NOW))
    kept = archive(tmp_path, clock)
    await kept.start()
    await kept.stop()
    assert os.listdir(folder) == [fresh.name]


async def test_scans_archived_at_once_stay_within_the_bound(tmp_path: Path, clock: Clock):
    kept = archive(tmp_path, clock, bytes_max=50_000)
    await kept.start()
    await asyncio.gather(*(keep(kept, f"{number:04x}") for number in range(12)))
    await kept.stop()
    assert 1 <= len(names(tmp_path)) <= 5
    assert sum(entry.bytes for entry in kept.folder.entries()) <= 52_000  # and their meta.json


async def test_a_folder_that_cannot_be_used_is_said_at_the_start(tmp_path: Path, clock: Clock):
    (tmp_path / "archive").write_text("a file")
    with pytest.raises(ElastronError, match=r"archive.folder"):
        await archive(tmp_path, clock).start()


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "20231114T221320Z-", "20231114T221320Z-../x", "/etc", ".key"]
)
def test_names_lead_nowhere_else(tmp_path: Path, name: str):
    folder = ArchiveFolder(tmp_path / "archive")
    folder.make()
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError):
        folder.find(name)
    with pytest.raises(DataError):
        folder.remove(name)
    with pytest.raises(DataError):
        folder.draft(name)
    assert (tmp_path / "x").is_dir()


def test_links_are_not_followed(tmp_path: Path):
    folder = ArchiveFolder(tmp_path / "archive")
    folder.make()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    link = folder.path / entry_name("aaaa", NOW)
    link.symlink_to(elsewhere)
    assert folder.entries() == []
    with pytest.raises(DataError):
        folder.find(link.name)
    folder.make_room(now=NOW + 100 * DAY, retain_s=1, bytes_max=0)
    assert (elsewhere / "precious").exists()


def test_damaged_entries_are_listed_without_their_meta(tmp_path: Path):
    folder = ArchiveFolder(tmp_path / "archive")
    for session, text in (("aaaa", "no json"), ("bbbb", "[1]"), ("cccc", None)):
        path = folder.path / entry_name(session, NOW)
        path.mkdir(parents=True)
        if text is not None:
            (path / "meta.json").write_text(text)
    (folder.path / "99999999T999999Z-dddd").mkdir()  # no such day
    (folder.path / "notes").mkdir()
    assert [dict(entry.meta) for entry in folder.entries()] == [{}, {}, {}]


def test_removing_is_final_and_repeatable(tmp_path: Path):
    folder = ArchiveFolder(tmp_path / "archive")
    folder.make()
    name = entry_name("aaaa", NOW)
    draft = folder.draft(name)
    draft.commit({})
    folder.remove(name)
    folder.remove(name)
    assert os.listdir(folder.path) == []


def patient_scan() -> bytes:
    header = HEADER.replace(b"Doe^Jane", b"Doe^Jane</patientName><patientID>4711</patientID><x>")
    header = header.replace(b"<x></patientName>", b"")
    return wire_bytes(
        ConfigName("default.xml"), HeaderXml(header), Text("for Jane Doe"), scan(), Close()
    )


def patient_images() -> bytes:
    image_header = np.zeros((), IMAGE_HEADER)
    image_header["version"] = 1
    pixels = np.arange(16, dtype=np.uint16).reshape(1, 1, 4, 4)
    meta = Meta({"PatientName": ["Doe^Jane"], "GADGETRON_DataRole": ["Image"], "TE": ["0.01"]})
    return wire_bytes(Image(image_header, pixels, meta), Close())


def decoded(data: bytes) -> list[Message]:
    decoder = Decoder()
    decoder.feed(data)
    return list(decoder.messages())


async def test_deidentified_nothing_names_the_patient(tmp_path: Path, clock: Clock):
    kept = archive(tmp_path, clock, deidentify=True)
    await kept.start()
    incoming, outgoing = MemoryRecording(patient_scan()), MemoryRecording(patient_images())
    name = await kept.keep("aaaa", {}, incoming, outgoing, "ok")
    await kept.stop()
    entry = kept.folder.find(name or "")
    for path in entry.path.iterdir():
        content = path.read_bytes()
        assert not any(word in content for word in (b"Doe", b"Jane", b"4711")), path.name
    original, cleaned = (
        decoded(patient_scan()),
        decoded((entry.path / "scan.mrd-stream").read_bytes()),
    )
    assert [type(each).__name__ for each in cleaned] == [
        type(each).__name__ for each in original if not isinstance(each, Text)
    ]
    np.testing.assert_array_equal(cleaned[2].data, original[3].data)
    image = decoded((entry.path / "images.mrd-stream").read_bytes())[0]
    assert isinstance(image, Image)
    assert image.data.sum() == 120
    assert dict(image.meta) == {"GADGETRON_DataRole": ["Image"], "TE": ["0.01"]}
    assert entry.meta["deidentified"] is True
    assert entry.meta["left_out"] == {"TEXT": 1}


async def test_a_header_nobody_can_read_is_not_archived_deidentified(tmp_path: Path, clock: Clock):
    kept = archive(tmp_path, clock, deidentify=True)
    await kept.start()
    broken = wire_bytes(ConfigName("x"), HeaderXml(b"<patientName>Doe"), Close())
    with capture_logs() as logs:
        assert await kept.keep("aaaa", {}, MemoryRecording(broken), None, "failed") is None
    await kept.stop()
    assert "header" in logs[0]["reason"]
    assert "Doe" not in str(logs)
    assert names(tmp_path) == []
