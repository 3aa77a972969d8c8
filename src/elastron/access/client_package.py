"""A ready package for one site: its own key, a stunnel.conf that works, a page of instructions."""

from __future__ import annotations

import io
import re
import zipfile
from importlib.resources import files
from pathlib import Path

from elastron.access.files import read_small
from elastron.errors import ConfigError
from elastron.service.address import Address
from elastron.service.psk import PreSharedKey, parse_keys, render_keys

#: So that the same key gives the same package.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_ENTRY_BYTES_MAX = 1 << 16
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")

#: As stunnel.conf has it since the original; the trust anchors are why it is safe to use.
_CONF = """\
; stunnel 5.50 or newer, on Windows, Linux and macOS alike.
; The scanner's client sends to the address at `accept`; stunnel carries it on to `connect`.
output = stunnel.log
debug = notice

[gadgetron]
client = yes
accept = {accept}
connect = {connect}
PSKsecrets = stunnel.secrets
sslVersionMin = TLSv1.2

; The other side proves itself by knowing the key and shows no certificate. Without these two lines
; stunnel would take any certificate instead, and with it a stranger who poses as the other side.
verifyChain = yes
CAfile = no-certificate.pem

; Look the name up anew for each connection; notice a dead line; let a scanner be silent for long.
delay = yes
socket = r:SO_KEEPALIVE=1
socket = r:TCP_NODELAY=1
socket = l:TCP_NODELAY=1
TIMEOUTconnect = 10
TIMEOUTidle = 43200
"""


def client_package(key: PreSharedKey, *, connect: str, accept: str = "127.0.0.1:9002") -> bytes:
    """The zip file for the site that `key` belongs to. It holds the key: send it encrypted.

    Args:
        connect: HOST:PORT of the gateway's TLS listener or of the stunnel server.
        accept: HOST:PORT the site's clients send to, on the site's machine.

    Raises:
        ConfigError: an address that is not HOST:PORT.
    """
    texts = {
        "README.txt": _page().format(connect=connect, accept=accept, identity=key.identity),
        "stunnel.conf": client_conf(connect=connect, accept=accept),
        "stunnel.secrets": render_keys([key]),
        "no-certificate.pem": no_certificate(),
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in texts.items():
            entry = zipfile.ZipInfo(f"elastron-client/{name}", _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            mode = 0o600 if name == "stunnel.secrets" else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            # Notepad of old Windows knows no other line ends, and stunnel knows both.
            package.writestr(entry, text.replace("\n", "\r\n"))
    return content.getvalue()


def read_package(path: Path) -> tuple[PreSharedKey, str]:
    """The key in a package, and the HOST:PORT it leads to.

    Args:
        path: the zip file, or the folder it was unpacked to.

    Raises:
        ConfigError: it is no package.
    """
    conf, keys = (_entry(path, name) for name in ("stunnel.conf", "stunnel.secrets"))
    connect = re.search(r"^\s*connect\s*=\s*(\S+:\d+)\s*$", conf, re.MULTILINE)
    try:
        found = list(parse_keys(keys).values())
    except ConfigError as error:
        raise ConfigError(f"stunnel.secrets of {path}: {error}.") from None
    if connect is None or len(found) != 1:
        raise ConfigError(f"{path} does not say where to connect to, or has not one key only.")
    host, _, port = connect[1].rpartition(":")
    return found[0], str(Address(host, int(port)))


def _entry(path: Path, name: str) -> str:
    if path.is_dir():
        inner = path / "elastron-client"
        return read_small((inner if inner.is_dir() else path) / name)
    try:
        with zipfile.ZipFile(path) as package, package.open(f"elastron-client/{name}") as file:
            return file.read(_ENTRY_BYTES_MAX).decode()
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        raise ConfigError(
            f"{path} is not there, or no package of `elastron access psk package`."
        ) from None


def client_conf(*, connect: str, accept: str) -> str:
    """A stunnel client's configuration; the files it names are beside it.

    Raises:
        ConfigError: an address that is not HOST:PORT.
    """
    for address in (connect, accept):
        match = _HOST_PORT.fullmatch(address)
        if match is None or not 0 < int(match[2]) <= 0xFFFF:
            raise ConfigError(f"{address!r} is not HOST:PORT, e.g. gateway.example.org:9002.")
    # stunnel takes the last colon for the port's, and knows no brackets.
    connect, accept = (re.sub(r"[][]", "", address) for address in (connect, accept))
    return _CONF.format(connect=connect, accept=accept)


def no_certificate() -> str:
    """A certificate that nobody can show: it ran out in 1970, PEM."""
    return _resource("no-certificate.pem")


def _page() -> str:
    return _resource("client_readme.txt")


def _resource(name: str) -> str:
    return files("elastron.access").joinpath(name).read_text()
