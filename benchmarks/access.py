"""Every way in from outside against a direct connection, in one run: GB/s of a stream, and ratios.

All lead to the same gateway, journal on, before a node that only counts; all share the machine's
cores. Runs of the ways alternate, and each way's best is counted. Ways whose programs are missing
are left out: stunnel (Debian: stunnel4), OpenSSH (openssh-server, openssh-client), and Python 3.13
for the gateway's own TLS-PSK.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import ssl
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gateway import STREAM_BYTES, _process, _send_stream, counting_node, running_gateway
from benchmarks.session import free_port
from benchmarks.tls import _client as stunnel_client
from benchmarks.tls import _server as stunnel_server
from elastron.access.authorized_keys import authorize
from elastron.access.host_keys import known_hosts, make_host_keys
from elastron.access.keyring import KeyFile, Keyring
from elastron.access.public_key import parse_public_key

RUNS = int(os.environ.get("RUNS", "3"))
_SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
_PSK = getattr(ssl, "HAS_PSK", False)


def main() -> None:
    """Print all of it."""
    with (
        tempfile.TemporaryDirectory() as name,
        counting_node() as node,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        keys = KeyFile(folder / "stunnel.secrets")
        keys.save(Keyring().add("client1"))
        door = free_port()
        tls = [{"listen": f"127.0.0.1:{door}", "psk_file": str(keys.path)}] if _PSK else []
        gateway = stack.enter_context(
            running_gateway(node, journal={"memory_bytes_max": 10 << 30}, tls=tls)
        )
        ways = {"direct": gateway.port}
        if shutil.which("stunnel") is not None:
            ways |= _key_ways(stack, keys.path, gateway.port, door if _PSK else None)
        if _SSHD is not None and shutil.which("ssh") is not None:
            ways |= _ssh_ways(stack, folder, gateway.port)
        _throughput(ways)


def _throughput(ways: dict[str, int]) -> None:
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for run in range(RUNS + 1):  # the first one takes fresh memory
        for way, port in ways.items():
            seconds = _send_stream(port)
            if run:
                rates[way].append(STREAM_BYTES / seconds / 1e9)
    direct, plain = max(rates["direct"]), max(rates.get("stunnel", [0.0]))
    for way, found in rates.items():
        of_stunnel = f", {max(found) / plain:.2f} x stunnel" if plain else ""
        print(
            f"1 GiB, {way}: best {max(found):.2f} GB/s, {max(found) / direct:.2f} x "
            f"direct{of_stunnel}, median {statistics.median(found):.2f}"
        )


# --- the ways -----------------------------------------------------------------------------------


def _key_ways(
    stack: contextlib.ExitStack, keys: Path, gateway: int, door: int | None
) -> dict[str, int]:
    folder = keys.parent
    server, _ = stack.enter_context(stunnel_server(folder, keys, gateway))
    ours = ("--to", f"127.0.0.1:{door or server}", "--key-file", str(keys))
    ways = {"stunnel": stack.enter_context(stunnel_client(folder, keys, server))}
    if door is not None:
        ways["stunnel to the gateway's own TLS"] = stack.enter_context(
            stunnel_client(folder, keys, door)
        )
    to = "the gateway's own TLS" if door is not None else "stunnel"
    ways[f"elastron tunnel psk to {to}"] = stack.enter_context(_tunnel("psk", *ours))
    return ways


def _ssh_ways(stack: contextlib.ExitStack, folder: Path, gateway: int) -> dict[str, int]:
    host = make_host_keys(folder, ["ed25519"])
    (client,) = make_host_keys(_made(folder / "client"), ["ed25519"])  # the same kind of key
    authorize(folder / "sshkey", "gadgetron", parse_public_key(client.public.line))
    port = stack.enter_context(_sshd(folder, host[0].path, gateway))
    known = folder / "known"
    known.write_text(known_hosts(host, "127.0.0.1", port))
    local = free_port()
    options = ("-F", "none", "-o", f"UserKnownHostsFile={known}", "-i", str(client.path), "-N")
    forward = ("-p", str(port), "-L", f"127.0.0.1:{local}:127.0.0.1:{gateway}")
    stack.enter_context(_process(["ssh", *options, *forward, "127.0.0.1"], local))
    to = ("--to", f"{getpass.getuser()}@127.0.0.1:{port}", "--gateway", f"127.0.0.1:{gateway}")
    trust = ("-i", str(client.path), "--known-hosts", str(known))
    tunnel = stack.enter_context(_tunnel("ssh", *to, *trust))
    return {"ssh -L": local, "elastron tunnel ssh": tunnel}


@contextlib.contextmanager
def _sshd(folder: Path, host_key: Path, gateway: int) -> Iterator[int]:
    """A jump server with the chart's rules, for this user."""
    port = free_port()
    conf = folder / "sshd_config"
    conf.write_text(
        f"ListenAddress 127.0.0.1:{port}\nPidFile none\nHostKey {host_key}\n"
        f"AuthorizedKeysFile {folder / 'sshkey' / 'authorizedkeys'}\nStrictModes no\nUsePAM no\n"
        "AuthenticationMethods publickey\nPermitRootLogin yes\nAllowTcpForwarding local\n"
        f"PermitOpen 127.0.0.1:{gateway}\nForceCommand /bin/false\nLogLevel ERROR\n"
    )
    with _process([str(_SSHD), "-D", "-e", "-f", str(conf)], port):
        yield port


@contextlib.contextmanager
def _tunnel(*words: str) -> Iterator[int]:
    """`elastron tunnel`, with the client's end at a free port."""
    port = free_port()
    command = [sys.executable, "-m", "elastron", "tunnel", *words]
    with _process([*command, "--listen", f"127.0.0.1:{port}"], port):
        yield port


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
