"""stunnel and sshd as the charts configure and start them, on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway.tls_parts import PATIENCE_S, STUNNEL, wait_for_port
from tests.helm.harness import CHARTS, named, render
from tests.ports import free_port

#: Of the charts' pods.
UID = 10001
SSHJUMP_VALUES = CHARTS / "sshjump" / "examples" / "everything.yaml"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        port: of 127.0.0.1.
        log: what it says.
        process: of the pod's command.
    """

    port: int
    log: Path
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running(
    command: list[str], port: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that comes to listen on a port, until the block ends."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment
        )
    try:
        wait_for_port(port, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- stunnel ------------------------------------------------------------------------------------


def stunnel_files(folder: Path, keys: Path, connect: int, port: int, *settings: str) -> list[str]:
    """Write what the chart `stunnel` renders; the pod's command, looking at the keys often."""
    if STUNNEL is None or shutil.which("perl") is None:
        pytest.skip("stunnel (Debian: stunnel4) or perl is not installed; .ci/run brings them")
    data = named(render("stunnel", settings=settings), "ConfigMap", "gt1-stunnel")["data"]
    conf = data["stunnel.conf"].replace("/secrets/stunnel.secrets", str(keys))
    conf = conf.replace(":::9002", f"127.0.0.1:{port}")
    conf = conf.replace("gt1-gadgetron:9002", f"127.0.0.1:{connect}")
    for name, text in (("stunnel.conf", conf), ("run.pl", data["run.pl"])):
        (folder / name).write_text(text)
    return ["perl", str(folder / "run.pl"), str(folder / "stunnel.conf"), str(keys), "0.2"]


@contextlib.contextmanager
def chart_stunnel(folder: Path, keys: Path, connect: int, *settings: str) -> Iterator[Server]:
    """The chart's stunnel server before `connect`; `settings` are for `helm --set`."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    command = stunnel_files(folder, keys, connect, port, *settings)
    # As in the image, where the program is called so.
    (folder / "bin").mkdir()
    (folder / "bin" / "stunnel").symlink_to(str(STUNNEL))
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    with running(command, port, folder / "server.log", environment) as process:
        yield Server(port, folder / "server.log", process)


@contextlib.contextmanager
def readme_stunnel(folder: Path, key: str, to: int) -> Iterator[int]:
    """A client configured as the original's README says, and nothing else; its port."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    secrets = folder / "stunnel.secrets"
    secrets.write_text(f"{key}\n")
    secrets.chmod(0o600)
    (folder / "stunnel.conf").write_text(
        f"[gadgetron]\nclient = yes\naccept = {port}\nconnect = 127.0.0.1:{to}\n"
        "PSKsecrets = stunnel.secrets\n"
    )
    # Global options only, so that it stays in the foreground: a service's lines are the README's.
    (folder / "foreground.conf").write_text(
        "foreground = yes\npid =\nsyslog = no\n" + (folder / "stunnel.conf").read_text()
    )
    log = folder / "client.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(STUNNEL), "foreground.conf"], cwd=folder, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


# --- sshd ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Jump:
    """A running jump server and what a client needs.

    Attributes:
        folder: with the clients' keys, `NAME` and `NAME.pub`.
        server: sshd.
        target: port it leads to.
        known: the known_hosts file.
    """

    folder: Path
    server: Server
    target: int
    known: Path

    @property
    def log(self) -> Path:
        """What sshd says."""
        return self.server.log

    def options(self, key: str) -> list[str]:
        """For ssh and sftp, whatever the port's option is called."""
        return [
            *("-F", "none", "-i", str(self.folder / key)),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=20"),
            *("-o", f"UserKnownHostsFile={self.known}", "-o", "LogLevel=VERBOSE"),
        ]

    def ssh(self, user: str, *options: str, key: str = "site-a") -> list[str]:
        """A client's command; it knows the host's key."""
        port = ("-p", str(self.server.port))
        return ["ssh", *port, *self.options(key), *options, f"{user}@127.0.0.1"]

    @contextlib.contextmanager
    def tunnel(self, user: str, to: str, *options: str, key: str = "site-a") -> Iterator[int]:
        """Local port that leads to `to`, as the original's README opens it."""
        port = free_port()
        command = self.ssh(user, "-N", *options, "-L", f"{port}:{to}", key=key)
        said = self.folder / "ssh.log"
        with said.open("wb") as out:
            client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            try:
                wait_for_port(port, client)
            except RuntimeError:
                raise RuntimeError(f"{said.read_text()}\n{self.log.read_text()[-2000:]}") from None
            yield port
        finally:
            client.kill()  # it may miss a SIGTERM just before it waits
            client.wait(PATIENCE_S)


def keygen(kind: str, path: Path) -> Path:
    """A key of a client."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    return path


def _needed() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may put the chart's /etc/passwd in place (a mount of its own)")
    for name in ("sshd", "ssh", "ssh-keygen", "unshare", "setpriv"):
        if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") is None:
            pytest.skip(f"{name} is not installed; .ci/run brings it")
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("this machine does not let us mount (unshare --mount)")


@contextlib.contextmanager
def sshd_command(host: Path, users: Path, target: int, port: int) -> Iterator[list[str]]:
    """What the chart `sshjump` renders; the pod's command, as its user and with its passwd.

    Args:
        host: folder of the secret `ssh-server-keys`, as `elastron access ssh-keys` writes it.
        users: folder of the secret `sshkey`, as `elastron access authorize` writes it.
        target: port of 127.0.0.1 that may be reached.
        port: where it listens.
    """
    _needed()
    data = named(render("sshjump", SSHJUMP_VALUES), "ConfigMap", "gt1-sshjump")["data"]
    conf = data["sshd_config"].replace("Port 2222", f"Port {port}\nListenAddress 127.0.0.1")
    # Not in pytest's folder, which each of its runs closes to others.
    with tempfile.TemporaryDirectory(prefix="elastron-sshjump-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for source, volume in ((host, "host"), (users, "users")):
            mounted = folder / "secrets" / volume
            mounted.mkdir(parents=True)
            for path in source.iterdir():
                # As the volume's `items` name it.
                entry = mounted / ("gadgetron" if path.name == "authorizedkeys" else path.name)
                entry.write_bytes(path.read_bytes())
                os.chown(entry, 0, UID)
                entry.chmod(0o440)
        conf = conf.replace("/secrets/", f"{folder}/secrets/")
        conf = conf.replace("gt1-gadgetron:9002", f"127.0.0.1:{target}")
        files = {"sshd_config": conf, "passwd": data["passwd"], "group": data["group"]}
        for entry, text in files.items():
            (folder / entry).write_text(text)
            (folder / entry).chmod(0o644)
        script = (
            f"mount --bind {folder}/passwd /etc/passwd && "
            f"mount --bind {folder}/group /etc/group && "
            f"exec setpriv --reuid {UID} --regid {UID} --clear-groups --bounding-set=-all "
            f"--no-new-privs /usr/sbin/sshd -D -e -f {folder}/sshd_config"
        )
        yield ["unshare", "--mount", "sh", "-c", script]


@contextlib.contextmanager
def chart_sshd(folder: Path, host: Path, users: Path, target: int) -> Iterator[Jump]:
    """The chart's jump server; see `sshd_command`. The clients' keys are in `folder`."""
    port = free_port()
    kind, key, *_ = (host / "ssh_host_ed25519_key.pub").read_text().split()
    known = folder / "known"
    known.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    with (
        sshd_command(host, users, target, port) as command,
        running(command, port, folder / "sshd.log") as process,
    ):
        yield Jump(folder, Server(port, folder / "sshd.log", process), target, known)
