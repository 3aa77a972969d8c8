"""The SSH jump chart's own configuration, run by the real sshd as a user of no rights."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helm.harness import CHARTS, named, refusal, render
from tests.helm.test_stunnel import WAIT_S, _free_port, echo

__all__ = ["echo"]  # a fixture

EVERYTHING = CHARTS / "sshjump" / "examples" / "everything.yaml"
UID = 10001


class Jump:
    """A running sshd and what a client needs."""

    def __init__(self, folder: Path, port: int, target: int) -> None:
        self.folder, self.port, self.target = folder, port, target
        self.log = folder / "log"

    def ssh(self, user: str, *options: str, key: str = "site-a") -> list[str]:
        """A client's command; it knows the host's key."""
        return [
            *("ssh", "-F", "none", "-p", str(self.port), "-i", str(self.folder / key)),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=20"),
            *("-o", f"UserKnownHostsFile={self.folder / 'known'}", "-o", "LogLevel=VERBOSE"),
            *options,
            f"{user}@127.0.0.1",
        ]

    @contextlib.contextmanager
    def tunnel(self, user: str, to: str, *, key: str = "site-a") -> Iterator[int]:
        """Local port that leads to `to`."""
        port = _free_port()
        command = self.ssh(
            user, "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{port}:{to}", key=key
        )
        client = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + WAIT_S
            while client.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield port
        finally:
            client.terminate()
            client.wait(WAIT_S)


def _says(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as client:
        client.settimeout(WAIT_S)
        with contextlib.suppress(OSError):
            client.sendall(b"scan")
            return client.recv(4)
    return b""


def _needed() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may put the chart's /etc/passwd in place (a mount of its own)")
    for name in ("sshd", "ssh", "ssh-keygen", "unshare", "setpriv"):
        if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") is None:
            pytest.skip(f"{name} is not installed; .ci/run brings it")
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("this machine does not let us mount (unshare --mount)")


@pytest.fixture
def jump(tmp_path: Path, echo: int) -> Iterator[Jump]:
    _needed()
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        if parent.stat().st_uid == 0 and parent.name.startswith("pytest"):
            parent.chmod(0o755)
    host, users = tmp_path / "host", tmp_path / "users"
    host.mkdir()
    users.mkdir()
    for kind in ("ed25519", "rsa", "ecdsa"):
        _keygen(kind, host / f"ssh_host_{kind}_key")
    for name in ("site-a", "site-b", "stranger"):
        _keygen("ed25519", tmp_path / name)
    for name, key in (("gadgetron", "site-a"), ("site-a", "site-a"), ("site-b", "site-b")):
        (users / name).write_bytes((tmp_path / f"{key}.pub").read_bytes())
    for path in (*host.iterdir(), *users.iterdir()):
        os.chown(path, 0, UID)
        path.chmod(0o440)
    port = _free_port()
    public = (host / "ssh_host_ed25519_key.pub").read_text().split()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    data = named(render("sshjump", EVERYTHING), "ConfigMap", "gt1-sshjump")["data"]
    conf = data["sshd_config"].replace("Port 2222", f"Port {port}\nListenAddress 127.0.0.1")
    conf = conf.replace("/secrets/host", str(host)).replace("/secrets/users", str(users))
    conf = conf.replace("gt1-gadgetron:9002", f"127.0.0.1:{echo}")
    (tmp_path / "sshd_config").write_text(conf)
    for name in ("passwd", "group"):
        (tmp_path / name).write_text(data[name])
    script = (
        f"mount --bind {tmp_path}/passwd /etc/passwd && "
        f"mount --bind {tmp_path}/group /etc/group && "
        f"exec setpriv --reuid {UID} --regid {UID} --clear-groups --bounding-set=-all "
        f"--no-new-privs /usr/sbin/sshd -D -e -f {tmp_path}/sshd_config"
    )
    jump = Jump(tmp_path, port, echo)
    with jump.log.open("wb") as log:
        process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stderr=log)
    try:
        deadline = time.monotonic() + WAIT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, jump.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield jump
    finally:
        process.terminate()
        process.wait(WAIT_S)


def _keygen(kind: str, path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)


@pytest.mark.parametrize(
    ("user", "key"), [("gadgetron", "site-a"), ("site-a", "site-a"), ("site-b", "site-b")]
)
def test_a_user_reaches_the_gateway(jump: Jump, user: str, key: str):
    with jump.tunnel(user, f"127.0.0.1:{jump.target}", key=key) as port:
        assert _says(port) == b"scan"
    assert f"for {user} from 127.0.0.1" in jump.log.read_text()


def test_nothing_else_is_reached(jump: Jump, tmp_path: Path):
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        jump.tunnel("gadgetron", f"127.0.0.1:{other.getsockname()[1]}") as port,
    ):
        assert _says(port) == b""
        other.settimeout(0.5)
        with pytest.raises(TimeoutError):
            other.accept()


@pytest.mark.parametrize(
    ("user", "key"),
    [("site-a", "site-b"), ("gadgetron", "stranger"), ("root", "site-a"), ("nobody", "site-a")],
)
def test_others_do_not_come_in(jump: Jump, user: str, key: str):
    done = subprocess.run(
        [*jump.ssh(user, "-N", key=key)], capture_output=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_no_shell_no_command_no_remote_port(jump: Jump):
    for command in ([*jump.ssh("gadgetron"), "echo", "inside"], [*jump.ssh("gadgetron", "-tt")]):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_S, check=False
        )
        assert done.returncode != 0
        assert b"inside" not in done.stdout
    listening = jump.ssh("gadgetron", "-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1")
    done = subprocess.run(listening, capture_output=True, timeout=WAIT_S, check=False)
    assert done.returncode == 255
    assert b"forwarding" in done.stderr


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
