"""`--via`: a tunnel for as long as a command runs, with the diagnosis of `elastron tunnel`.

site-a.zip, or the folder it was unpacked to     the package of a site, with its key
psk://SITE@HOST:PORT?key-file=stunnel.secrets
ssh://USER@HOST:PORT?identity-file=FILE&known-hosts=FILE
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from elastron.access.client_package import read_package
from elastron.access.keyring import KeyFile
from elastron.access.psk_tunnel import PskTunnelSettings
from elastron.access.ssh_tunnel import SshTunnel, SshTunnelSettings
from elastron.access.stunnel_tunnel import key_tunnel
from elastron.access.tunnel import Tunnel, TunnelError, check
from elastron.client import parse_address
from elastron.errors import ConfigError, ElastronError
from elastron.service.address import Address
from elastron.service.psk import PreSharedKey

#: The gateway, as the jump server knows it, unless the command names it.
GATEWAY = "gt1-gadgetron:9002"
_HERE = Address("127.0.0.1", 0)
_TIMEOUT_S = 10
_OPTIONS = {"psk": {"key-file"}, "ssh": {"identity-file", "known-hosts", "accept-new"}}

_T = TypeVar("_T")


def plan(via: str, gateway: str | None) -> Callable[[], Tunnel]:
    """What makes the tunnel that `via` names.

    Args:
        via: as above.
        gateway: HOST[:PORT] for the far end of an SSH tunnel; None: `GATEWAY`.

    Raises:
        ConfigError: it names none, or a file of it cannot be used.
    """
    scheme = via.partition("://")[0] if "://" in via else ""
    if scheme not in _OPTIONS:
        if scheme:
            raise ConfigError(f"--via {via}: begin with psk:// or ssh://, or name a package.")
        key, to = read_package(Path(via))
        return _with_key(key, _address(to, via))
    try:
        parts = urlsplit(via)
        host_name = parts.hostname
    except ValueError as error:
        raise ConfigError(f"--via {via}: {error}.") from None
    options = {name: values[-1] for name, values in parse_qs(parts.query, True).items()}
    if host_name is None or parts.path.strip("/"):
        raise ConfigError(f"--via {via}: say {scheme}://NAME@HOST:PORT.")
    if unknown := options.keys() - _OPTIONS[scheme]:
        known = ", ".join(sorted(_OPTIONS[scheme]))
        raise ConfigError(f"--via {via}: no option {', '.join(sorted(unknown))}; there is {known}.")
    host = parts.netloc.rpartition("@")[2]
    if scheme == "psk":
        key = _key(Path(options.get("key-file", "stunnel.secrets")), parts.username)
        return _with_key(key, _address(host, via))
    identity, known_hosts = options.get("identity-file"), options.get("known-hosts")
    settings = SshTunnelSettings(
        _HERE,
        _address(host, via, 22),
        _address(gateway or GATEWAY, via),
        user=parts.username,
        identity_file=None if identity is None else _file(identity),
        known_hosts=None if known_hosts is None else _file(known_hosts),
        accept_new="accept-new" in options,
        connect_timeout_s=_TIMEOUT_S,
    )
    return lambda: SshTunnel(settings)


@contextlib.contextmanager
def opened(make: Callable[[], Tunnel]) -> Iterator[Tunnel]:
    """A tunnel at whose far end a Gadgetron answers, until the end of the block.

    Raises:
        ElastronError: it does not; the words say why.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tunnel", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    try:
        tunnel = make()
        try:
            run(tunnel.start())
            run(check(tunnel, 2 * _TIMEOUT_S))
            yield tunnel
        except TunnelError as error:
            raise ElastronError(f"{error.problem.text}.") from None
        finally:
            run(tunnel.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _with_key(key: PreSharedKey, to: Address) -> Callable[[], Tunnel]:
    # The check tells what is wrong; nobody need wait longer for that.
    settings = PskTunnelSettings(_HERE, to, key, connect_timeout_s=_TIMEOUT_S, patience_s=0)
    return lambda: key_tunnel(settings)


def _key(path: Path, identity: str | None) -> PreSharedKey:
    ring = KeyFile(path).load()
    if identity is None:
        if len(ring.keys) != 1:
            raise ConfigError(f"{path} has {len(ring.keys)} keys: say psk://SITE@HOST:PORT.")
        return next(iter(ring.keys.values()))
    return ring.keys.get(identity) or ring.current(identity)


def _address(text: str, via: str, port: int = 9002) -> Address:
    try:
        return Address(*parse_address(text, port))
    except ValueError as error:
        raise ConfigError(f"--via {via}: {error}.") from None


def _file(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(f"{path} is not there, or no file.")
    return path
