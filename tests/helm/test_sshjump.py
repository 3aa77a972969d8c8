"""The SSH jump chart's own configuration, run by the real sshd as a user of no rights."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from elastron.access.authorized_keys import authorize
from elastron.access.host_keys import make_host_keys
from elastron.access.public_key import parse_public_key
from tests.access.charts import Jump, chart_sshd, keygen, sshd_command
from tests.access.programs import until
from tests.gateway.tls_parts import PATIENCE_S
from tests.helm.harness import named, refusal, render
from tests.helm.test_stunnel import echo
from tests.ports import free_port

__all__ = ["echo"]  # a fixture


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with host keys."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("needs ssh-keygen (Debian: openssh-client)")
    folder = tmp_path_factory.mktemp("host")
    make_host_keys(folder)
    return folder


@pytest.fixture
def jump(tmp_path: Path, host: Path, echo: int) -> Iterator[Jump]:
    """sshd as the chart's pod runs it, with what our commands write."""
    users = tmp_path / "sshkey"
    for name in ("site-a", "site-b", "stranger"):
        keygen("ed25519", tmp_path / name)
    for name, key in (("gadgetron", "site-a"), ("site-a", "site-a"), ("site-b", "site-b")):
        authorize(users, name, parse_public_key((tmp_path / f"{key}.pub").read_text()))
    with chart_sshd(tmp_path, host, users, echo) as jump:
        yield jump


def whole_lines(log: Path) -> str:
    """A log without a line that is still being written."""
    return "".join(log.read_text().rpartition("\n")[:2])


def _says(port: int) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client,
        contextlib.suppress(OSError),
    ):
        client.sendall(b"scan")
        return client.recv(4)
    return b""


def _run(command: list[str], said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=said, capture_output=True, timeout=PATIENCE_S, check=False)


@pytest.mark.parametrize(
    ("user", "key"), [("gadgetron", "site-a"), ("site-a", "site-a"), ("site-b", "site-b")]
)
def test_a_user_reaches_the_gateway(jump: Jump, user: str, key: str):
    with jump.tunnel(user, f"127.0.0.1:{jump.target}", key=key) as port:
        assert _says(port) == b"scan"
        # The lines come from two processes, which do not wait for each other.
        for words in (f"target 127.0.0.1 port {jump.target}\n", "User child is on pid "):
            until(lambda words=words: words in whole_lines(jump.log))
        log = whole_lines(jump.log)
    # Who came, with which key and from where; and, by the processes' numbers, where to.
    (process,) = re.findall(
        rf"\(pid=(\d+)\): Accepted publickey for {user} from 127\.0\.0\.1 port \d+ .*: ED25519 SHA",
        log,
    )
    (child,) = re.findall(rf"\(pid={process}\): User child is on pid (\d+)", log)
    assert re.search(
        rf"\(pid={child}\): originator .* target 127\.0\.0\.1 port {jump.target}\n", log
    )


def test_nothing_else_is_reached(jump: Jump):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with jump.tunnel("gadgetron", f"127.0.0.1:{port}") as local:
            assert _says(local) == b""
        assert _run(jump.ssh("gadgetron", "-W", f"127.0.0.1:{port}")).returncode != 0
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    denied = f"to connect to host 127.0.0.1 port {port}, but the request was denied"
    until(lambda: jump.log.read_text().count(denied) == 2)


@pytest.mark.parametrize(
    ("user", "key"),
    [("site-a", "site-b"), ("gadgetron", "stranger"), ("root", "site-a"), ("nobody", "site-a")],
)
def test_others_do_not_come_in(jump: Jump, user: str, key: str):
    done = _run(jump.ssh(user, "-N", key=key))
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr
    said = rf"user {user} .*127\.0\.0\.1 port \d+|for {user} from"
    until(lambda: re.search(said, jump.log.read_text()) is not None)
    assert _run([*jump.ssh("site-a"), "true"]).returncode == 1  # it serves on; but no commands


def test_no_password(jump: Jump):
    options = ("-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password")
    done = _run(jump.ssh("gadgetron", *options))
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr


def test_no_shell_no_command_no_files(jump: Jump, tmp_path: Path):
    for command in (
        jump.ssh("gadgetron", "-tt"),
        jump.ssh("gadgetron"),
        [*jump.ssh("gadgetron"), "echo", "inside"],
        [*jump.ssh("gadgetron"), "internal-sftp"],
        [*jump.ssh("gadgetron", "-s"), "sftp"],
    ):
        done = _run(command, b"echo inside\n")
        assert done.returncode != 0
        assert b"inside" not in done.stdout
    (tmp_path / "batch").write_text("ls\n")
    if shutil.which("sftp") is not None:
        port = ("-P", str(jump.server.port), "-b", str(tmp_path / "batch"))
        done = _run(["sftp", *port, *jump.options("site-a"), "gadgetron@127.0.0.1"])
        assert done.returncode != 0
        assert b"passwd" not in done.stdout


def test_nothing_is_forwarded_back(jump: Jump, tmp_path: Path):
    for options in (
        ("-R", "0:127.0.0.1:1"),
        ("-R", f"{tmp_path}/back:127.0.0.1:1"),  # a socket in the file system
        ("-R", f"{free_port()}"),  # SOCKS
        ("-w", "0:0"),  # a tunnel device
    ):
        done = _run(jump.ssh("gadgetron", "-N", "-o", "ExitOnForwardFailure=yes", *options))
        assert done.returncode == 255, options
    assert not (tmp_path / "back").exists()


def test_no_sockets_no_agent_no_display(jump: Jump, tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "other"))
        (tmp_path / "other").chmod(0o777)
        other.listen()
        with jump.tunnel("gadgetron", str(tmp_path / "other")) as local:
            assert _says(local) == b""
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    conf = named(render("sshjump"), "ConfigMap", "gt1-sshjump")["data"]["sshd_config"]
    for line in ("AllowAgentForwarding no", "X11Forwarding no", "PermitTunnel no", "PermitTTY no"):
        assert line in conf


def test_a_thousand_who_never_log_in_keep_nobody_out(jump: Jump):
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.1.1", 0))  # elsewhere, as far as sshd knows
            sock.connect(("127.0.0.1", jump.server.port))
        with jump.tunnel("site-a", f"127.0.0.1:{jump.target}") as port:
            assert _says(port) == b"scan"
    until(lambda: "from [127.0.1.1]:" in jump.log.read_text())
    until(lambda: "past MaxStartups" in jump.log.read_text())


def test_a_thousand_idle_tunnels_keep_nobody_out(jump: Jump):
    to = f"127.0.0.1:{jump.target}"
    with jump.tunnel("site-a", to) as idle, contextlib.ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(socket.create_connection(("127.0.0.1", idle), PATIENCE_S))
        opened = f"target 127.0.0.1 port {jump.target}"
        until(lambda: jump.log.read_text().count(opened) == 1000)
        assert _says(idle) == b"scan"
        with jump.tunnel("site-b", to, key="site-b") as port:
            assert _says(port) == b"scan"


def test_without_host_keys_it_does_not_start(tmp_path: Path):
    host, users = tmp_path / "host", tmp_path / "sshkey"
    host.mkdir()
    users.mkdir()
    with sshd_command(host, users, 1, free_port()) as command:
        done = _run(command)
    assert done.returncode != 0
    assert b"no hostkeys available" in done.stderr


def test_without_their_keys_nobody_comes_in(tmp_path: Path, host: Path):
    users = tmp_path / "sshkey"
    users.mkdir()
    keygen("ed25519", tmp_path / "site-a")
    with chart_sshd(tmp_path, host, users, 1) as jump:
        assert b"Permission denied" in _run(jump.ssh("gadgetron", "-N")).stderr


def test_without_its_secrets_a_pod_does_not_start():
    pod = named(render("sshjump"), "Deployment", "gt1-sshjump")["spec"]["template"]["spec"]
    secrets = [each["secret"] for each in pod["volumes"] if "secret" in each]
    assert [each["secretName"] for each in secrets] == ["sshkey", "ssh-server-keys"]
    assert not any(each.get("optional") for each in secrets)


def test_the_originals_values_keep_their_meaning():
    settings = ("sshKeySecret=a", "sshServerKeysSecret=b", "sshClientAliveInterval=17")
    objects = render("sshjump", settings=settings)
    conf = named(objects, "ConfigMap", "gt1-sshjump")["data"]["sshd_config"]
    assert "ClientAliveInterval 17" in conf
    service = named(objects, "Service", "gt1-sshjump")["spec"]
    assert (service["type"], service["ports"][0]["port"]) == ("LoadBalancer", 22)


def test_root_is_no_user_of_it():
    assert "users" in refusal("sshjump", "users[0]=root")
