"""Host keys of the SSH jump server: how clients know that it is the right one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from elastron.access.files import locked, read_small, write_secret
from elastron.access.public_key import PublicKey, parse_public_key
from elastron.errors import ConfigError, ElastronError

#: As the original's script makes them, with what ssh-keygen is told besides.
KINDS = {"rsa": ("-b", "3072"), "ecdsa": ("-b", "256"), "ed25519": ()}
_KEYGEN_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class HostKey:
    """One host key."""

    kind: str  # rsa, ecdsa or ed25519
    path: Path  # of the private key; the public one is beside it
    public: PublicKey
    fresh: bool  # made just now


def file_name(kind: str) -> str:
    """As sshd and the chart's secret call it."""
    return f"ssh_host_{kind}_key"


def make_host_keys(
    folder: Path, kinds: Iterable[str] = tuple(KINDS), *, rotate: bool = False
) -> list[HostKey]:
    """Make the host keys that are missing; existing ones are never touched unless asked to.

    Args:
        rotate: replace existing ones, too. The old ones stay beside as `....old`: until all clients
            know the new ones, keep serving both.

    Raises:
        ElastronError: there is no ssh-keygen, or it fails; a kind is unknown; an existing key
            cannot be read.
    """
    kinds = list(dict.fromkeys(kinds))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ConfigError(
            f"{', '.join(unknown)}: no kind of host key; there are {', '.join(KINDS)}."
        )
    with locked(folder / "host keys"):
        return [_ensure(folder / file_name(kind), kind, rotate=rotate) for kind in kinds]


def known_hosts(keys: Iterable[HostKey], host: str, port: int = 22) -> str:
    """Lines for a client's known_hosts file."""
    name = host if port == 22 else f"[{host.strip('[]')}]:{port}"
    return "".join(f"{name} {key.public.line}\n" for key in keys)


def _ensure(path: Path, kind: str, *, rotate: bool) -> HostKey:
    public = path.with_name(f"{path.name}.pub")
    if path.exists() and not rotate:
        if not public.exists():
            write_secret(public, _keygen("-y", "-P", "", "-f", str(path)), mode=0o644)
        return HostKey(kind, path, _read(public), fresh=False)
    if public.exists() and not path.exists():
        raise ConfigError(f"{public} is there and {path} is not; bring it back or delete both.")
    with tempfile.TemporaryDirectory(prefix=".host-key-", dir=path.parent) as scratch:
        made = Path(scratch) / path.name
        _keygen("-q", "-t", kind, *KINDS[kind], "-N", "", "-C", "elastron", "-f", str(made))
        if path.exists():
            for each in (public, path):
                if each.exists():
                    each.replace(each.with_name(f"{each.name}.old"))
        made.with_name(public.name).replace(public)
        made.replace(path)
    return HostKey(kind, path, _read(public), fresh=True)


def _read(public: Path) -> PublicKey:
    try:
        return parse_public_key(read_small(public))
    except ConfigError as error:
        raise ConfigError(f"{public}: {error}.") from None


def _keygen(*arguments: str) -> str:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ElastronError("There is no ssh-keygen here; install OpenSSH (openssh-client).")
    try:
        done = subprocess.run(  # noqa: S603 - an argument list of our own
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_KEYGEN_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ElastronError("ssh-keygen did not end; is the machine out of entropy?") from error
    if done.returncode != 0:
        raise ElastronError(f"ssh-keygen failed: {done.stderr.strip() or done.returncode}")
    return done.stdout
