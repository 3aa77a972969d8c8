"""Scans through every way in: real programs, set up by nothing but our charts and commands.

The images are those of a direct connection.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.access.charts import (
    Jump,
    chart_sshd,
    chart_stunnel,
    keygen,
    readme_stunnel,
    running,
)
from tests.access.fleet import Fleet, command
from tests.access.programs import needs_sshd, stunnel_in, until
from tests.access.test_client_package import unpack
from tests.gateway.tls_parts import PATIENCE_S, needs_psk, needs_stunnel
from tests.helm.harness import named, render
from tests.ports import free_port


@needs_stunnel
def test_the_chart_s_stunnel_and_the_original_s_client(fleet: Fleet, tmp_path: Path) -> None:
    with (
        chart_stunnel(tmp_path / "server", fleet.keys, fleet.plain) as server,
        readme_stunnel(tmp_path / "client", fleet.key("site-a"), server.port) as port,
    ):
        assert np.array_equal(fleet.images(port), fleet.direct)
        until(lambda: 'PSK identity "site-a"' in server.log.read_text())


@needs_stunnel
def test_our_door_and_the_original_s_client(fleet: Fleet, tmp_path: Path) -> None:
    with readme_stunnel(tmp_path, fleet.key("site-b"), fleet.exposed) as port:
        assert np.array_equal(fleet.images(port), fleet.direct)
    until(lambda: "site-b" in fleet.log())


@needs_stunnel
def test_our_door_and_a_package_s_client(fleet: Fleet, tmp_path: Path) -> None:
    accept = free_port()
    command(
        "access", "psk", "package", "site-a", "-f", fleet.keys, "-o", tmp_path / "site.zip",
        "--to", f"127.0.0.1:{fleet.exposed}", "--accept", f"127.0.0.1:{accept}",
    )  # fmt: skip
    folder = unpack((tmp_path / "site.zip").read_bytes(), tmp_path)
    with stunnel_in(folder, accept):
        assert np.array_equal(fleet.images(accept), fleet.direct)


@needs_psk
@needs_stunnel
def test_the_chart_s_gateway_and_the_original_s_client(fleet: Fleet, tmp_path: Path) -> None:
    """The shorter path: `gateway.tls` of the chart gadgetron, with the secret of a stunnel."""
    chosen = ("gateway.tls.enabled=true", "gateway.tls.pskSecretName=stunnel")
    objects = render("gadgetron", settings=chosen)
    text = named(objects, "ConfigMap", "gt1-gadgetron-settings")["data"]["gateway.yaml"]
    port = free_port()
    text = text.replace('":9003"', f'"127.0.0.1:{port}"')
    file = tmp_path / "gateway.yaml"
    file.write_text(text.replace("/secrets/psk/stunnel.secrets", str(fleet.keys)))
    nodes = f"file:{fleet.server.state / 'nodes.json'}"
    words = [sys.executable, "-m", "elastron", "gateway", "--settings", str(file)]
    words += ["--listen", "none", "--admin", "none", "--nodes", nodes]
    words += ["--journal-folder", str(tmp_path)]
    with (
        running(words, port, tmp_path / "gateway.log"),
        readme_stunnel(tmp_path / "client", fleet.key("site-a"), port) as local,
    ):
        assert np.array_equal(fleet.images(local), fleet.direct)
    until(lambda: '"identity": "site-a"' in (tmp_path / "gateway.log").read_text())


@pytest.fixture
def jump(fleet: Fleet, tmp_path: Path) -> Iterator[Jump]:
    """The chart's jump server, with keys as our commands write them."""
    host, users = tmp_path / "ssh-server-keys", tmp_path / "sshkey"
    host.mkdir()
    command("access", "ssh-keys", "ed25519", "--folder", host)
    for name in ("site-a", "site-b"):
        keygen("ed25519", tmp_path / name)
        command("access", "authorize", name, tmp_path / f"{name}.pub", "--folder", users)
    command("access", "authorize", "gadgetron", tmp_path / "site-a.pub", "--folder", users)
    with chart_sshd(tmp_path, host, users, fleet.plain) as jump:
        yield jump


@needs_sshd
def test_ssh_as_the_original_s_readme_has_it(fleet: Fleet, jump: Jump) -> None:
    with jump.tunnel("gadgetron", f"127.0.0.1:{fleet.plain}") as port:
        assert np.array_equal(fleet.images(port), fleet.direct)


@contextlib.contextmanager
def _tunnel(*words: object) -> Iterator[int]:
    """`elastron tunnel ...` on a free port, until it answers."""
    words = (*words, "--listen", "127.0.0.1:0", "--timeout", PATIENCE_S)
    process = subprocess.Popen(
        [sys.executable, "-m", "elastron", "tunnel", *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        match = re.match(r"127\.0\.0\.1:(\d+) leads to .*: Gadgetron Version", line)
        assert match, line
        yield int(match[1])
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_our_tunnel_with_a_key(fleet: Fleet) -> None:
    to = ("--to", f"127.0.0.1:{fleet.exposed}", "--key-file", fleet.keys, "--identity", "site-b")
    with _tunnel("psk", *to) as port:
        assert np.array_equal(fleet.images(port), fleet.direct)


@needs_sshd
def test_our_tunnel_through_the_jump_server(fleet: Fleet, jump: Jump) -> None:
    options = ("-i", jump.folder / "site-b", "--known-hosts", jump.known)
    gateway = ("--gateway", f"127.0.0.1:{fleet.plain}")
    with _tunnel("ssh", "--to", f"site-b@127.0.0.1:{jump.server.port}", *gateway, *options) as port:
        assert np.array_equal(fleet.images(port), fleet.direct)


def test_send_via_a_key(fleet: Fleet, tmp_path: Path) -> None:
    to = f"127.0.0.1:{fleet.exposed}"
    via = f"psk://site-a@{to}?key-file={fleet.keys}"
    assert np.array_equal(fleet.sent("--via", via), fleet.direct)
    package = tmp_path / "site.zip"
    command("access", "psk", "package", "site-b", "-f", fleet.keys, "-o", package, "--to", to)
    assert np.array_equal(fleet.sent("--via", package), fleet.direct)


@needs_sshd
def test_send_via_the_jump_server(fleet: Fleet, jump: Jump) -> None:
    options = f"identity-file={jump.folder / 'site-a'}&known-hosts={jump.known}"
    via = f"ssh://site-a@127.0.0.1:{jump.server.port}?{options}"
    images = fleet.sent("--via", via, "-a", f"127.0.0.1:{fleet.plain}")
    assert np.array_equal(images, fleet.direct)
