"""`elastron send` and `elastron query`, against a real node and against broken ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from elastron.mrd.dataset import Dataset
from elastron.mrd.meta import Meta
from elastron.wire.messages import Close, DependencyQuery, DicomWithName, Text
from tests.cli.conftest import BRAIN, PATIENCE_S
from tests.client.fake_server import Peer, fake_server
from tests.client.images import make_image


def command(*args: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "elastron", *map(str, args)]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_scan_becomes_images(server):
    done = command("send", BRAIN, "-a", server.address, "-o", "out.h5", "-G", "mine")
    assert done.returncode == 0, done.stderr
    assert "✓ brain_R2.h5" in done.stderr
    assert "1 image in image_0" in done.stderr
    assert done.stdout == ""
    with Dataset("out.h5", "r", "mine") as dataset:
        (image,) = dataset.images()["image_0"]
    assert image.data.shape == (1, 1, 128, 128)


def test_json_says_all_a_script_wants(run, server):
    output = run("send", BRAIN, "-a", server.address, "-o", "out.h5", "--json").stdout
    report = json.loads(output)
    assert report["ok"] is True
    assert report["server"] == server.address
    (scan,) = report["scans"]
    assert scan["images"] == 1
    assert scan["series"] == {"image_0": 1}
    assert scan["output"] == "out.h5"
    assert scan["errors"] == []
    assert 0 < scan["first_image_seconds"] <= scan["seconds"]
    with Dataset("out.h5", "r", scan["group"]) as dataset:
        assert dataset.image_groups() == ["image_0"]


def test_a_local_config_is_sent_by_value(run, server):
    xml = run("configs", "default_short.xml").stdout
    Path("mine.xml").write_text(xml)
    run("send", BRAIN, "-a", server.address, "-o", "out.h5", "-C", "mine.xml", "-G", "g")
    with Dataset("out.h5", "r", "g") as dataset:
        ((image,),) = dataset.images().values()
    assert image.data.dtype.kind in "iu"


@pytest.mark.parametrize("parallel", [1, 3])
def test_several_scans_go_to_groups_of_one_file(run, server, parallel):
    for name in ("a1", "a2", "b"):
        shutil.copy(BRAIN, f"{name}.h5")
    options = ("-a", server.address, "-o", "out.h5", "--parallel", parallel)
    assert "3 scans, 3 images, all well" in run("send", "a*.h5", "b.h5", *options).stderr
    for group in ("a1", "a2", "b"):
        with Dataset("out.h5", "r", group) as dataset:
            assert dataset.image_count("image_0") == 1


def test_a_folder_gets_a_file_a_scan(run, server):
    shutil.copy(BRAIN, "a.h5")
    run("send", "a.h5", BRAIN, "-a", server.address, "-o", "images/")
    assert sorted(path.name for path in Path("images").iterdir()) == ["a.h5", "brain_R2.h5"]


def test_one_failing_scan_does_not_stop_the_others(run, server):
    result = run("send", "absent.h5", BRAIN, "-a", server.address, "-o", "out.h5", code=1)
    assert "error: There is no file absent.h5." in result.stderr
    assert "2 scans, 1 image, 1 failed" in result.stderr
    with Dataset("out.h5", "r", "brain_R2") as dataset:
        assert dataset.image_groups()


def test_the_servers_error_is_shown(server):
    done = command("send", BRAIN, "-a", server.address, "-c", "nix.xml")
    assert done.returncode == 1
    assert "✗ brain_R2.h5" in done.stderr
    assert "server: " in done.stderr
    assert "nix.xml" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("out.h5").exists()


def test_nobody_there(run):
    args = ("-a", "127.0.0.1", "-p", "1", "--connect-timeout", "0.1")
    result = run("send", BRAIN, *args, code=1)
    assert "Nothing answers at 127.0.0.1:1" in result.stderr


def test_what_came_before_the_server_went_is_kept(run):
    def handle(peer: Peer) -> None:
        peer.until_close()
        peer.send(make_image_of_series_7())

    with fake_server(handle) as port:
        result = run("send", BRAIN, "-p", port, "-o", "out.h5", "-G", "g", code=1)
    assert "hung up without finishing the scan" in result.stderr
    with Dataset("out.h5", "r", "g") as dataset:
        assert dataset.image_count("image_7") == 1


def make_image_of_series_7():
    import numpy as np

    return make_image(np.zeros((4, 4), np.uint16), image_series_index=7)


def test_texts_dependencies_and_dicom_files_are_shown(run):
    def handle(peer: Peer) -> None:
        peer.until_close()
        peer.send(
            Text("two readouts were odd"),
            DependencyQuery(Meta({"status": ["success"], "channels": [8]})),
            DicomWithName(b"DICM", "../../evil.dcm"),
            Close(),
        )

    with fake_server(handle) as port:
        result = run("send", BRAIN, "-p", port, "-o", "out.h5")
    assert "two readouts were odd" in result.stderr
    assert "status success" in result.stderr
    assert Path("out_brain_R2_000000.dcm").read_bytes() == b"DICM"


def test_quiet_is_quiet_but_for_errors(run, server):
    result = run("send", BRAIN, "-a", server.address, "-q")
    assert result.output == ""
    result = run("send", BRAIN, "-a", server.address, "-q", "-c", "nix.xml", code=1)
    assert result.stderr.startswith("brain_R2.h5: ")


def test_compressed_scans_give_nearly_the_same_images(run, server):
    for name, options in (("plain", ()), ("bits", ("-P", 12)), ("noise", ("-T", 0.2))):
        run("send", BRAIN, "-a", server.address, "-o", "out.h5", "-G", name, *options)
    pixels = {}
    for name in ("plain", "bits", "noise"):
        with Dataset("out.h5", "r", name) as dataset:
            pixels[name] = dataset.images()["image_0"][0].data
    scale = pixels["plain"].max()
    assert 0 < abs(pixels["bits"] - pixels["plain"]).max() < 0.01 * scale
    assert 0 < abs(pixels["noise"] - pixels["plain"]).max() < 0.1 * scale


@pytest.mark.parametrize(
    "args",
    [
        ("-c", "a.xml", "-C", BRAIN),
        ("-C", "absent.xml"),
        ("-P", 4, "-T", 0.1),
        ("-T", -1),
        ("-a", "host:99999"),
        ("absent*.h5",),
        (BRAIN, "-G", "one group for two scans"),
        ("--parallel", 0),
        ("--nonsense",),
    ],
)
def test_usage_errors(run, args):
    run("send", BRAIN, *args, code=2)


def test_settings_of_the_client_are_taken(run, server, monkeypatch):
    monkeypatch.setenv("ELASTRON_CLIENT__ADDRESS", server.address)
    Path("elastron.toml").write_text('[client]\nconfig = "default_short.xml"\n')
    run("send", BRAIN, "-o", "out.h5", "-G", "g")
    with Dataset("out.h5", "r", "g") as dataset:
        ((image,),) = dataset.images().values()
    assert image.data.dtype.kind in "iu"


def test_queries(run, server):
    assert "Gadgetron Version Info" in run("query", server.address).stdout
    answers = json.loads(
        run("query", server.address, "gadgetron::version", "nonsense", "--json").stdout
    )
    assert set(answers) == {"gadgetron::version", "nonsense"}
    assert answers["nonsense"] == "Unknown query"
    several = run("query", server.address, "gadgetron::version", "gadgetron::build").stdout
    assert several.splitlines()[1].startswith("gadgetron::build: ")
    run("query", "host:99999", code=2)
    run("query", "127.0.0.1:1", "--connect-timeout", 0, code=1)
