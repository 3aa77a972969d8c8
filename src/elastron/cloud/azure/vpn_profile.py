"""What a VPN client needs: Azure's package for the gateway, with the client's certificate put in.

Azure gives a zip for all of a gateway's clients: an OpenVPN profile with two blanks, where the
certificate and its key belong, and for IKEv2 the server's name, its root certificate and routes.
"""

from __future__ import annotations

import io
import lzma
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from elastron.cloud.azure.certificates import Certificate
from elastron.errors import CloudError, DataError

_ZIP_MAX = 32 << 20
_MEMBER_MAX = 4 << 20
_DOWNLOAD_S = 60.0

_TEMPLATE = "openvpn/vpnconfig.ovpn"
_SETTINGS = "generic/vpnsettings.xml"
_SERVER_ROOTS = ("generic/vpnserverroot.cer_0", "generic/vpnserverroot.cer")
_CERTIFICATE = "$CLIENTCERTIFICATE"
_KEY = "$PRIVATEKEY"
# OpenVPN's own programs keep a log; a file beside wherever it was started is in nobody's interest.
_LOG = re.compile(r"(?m)^log .*\n")
# All that the library raises at a zip that is cut short or was changed.
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)


class Acts(Protocol):
    """The part of `arm.Arm` that is needed."""

    def act(self, path: str, api_version: str, body: Any, what: str) -> Any:
        """The answer to an action that takes a while."""
        ...


@dataclass(frozen=True)
class ClientPackage:
    """Azure's package for the clients of a gateway.

    Attributes:
        openvpn: profile with blanks; None: the gateway does not speak OpenVPN.
        server: host name of the gateway.
        routes: networks that go through the tunnel.
        server_root: certificate (DER) that signed the gateway's, for IKEv2; None: not told.
    """

    openvpn: str | None
    server: str
    routes: tuple[str, ...]
    server_root: bytes | None = None


def ask_package(arm: Acts, gateway_id: str, api_version: str) -> ClientPackage:
    """Azure's package for a gateway; making it takes about a minute.

    Raises:
        CloudError: Azure refuses, or gives something else.
        DataError: the package cannot be read.
    """
    url = arm.act(
        f"{gateway_id}/generatevpnprofile",
        api_version,
        {"authenticationMethod": "EAPTLS"},
        "the VPN clients' package",
    )
    return read_package(download(str(url)))


def download(url: str) -> bytes:
    """A file that Azure made for us. Its address is a secret: it is in no message.

    Raises:
        CloudError: it is not where Azure keeps such files, or cannot be had.
    """
    import httpx  # noqa: PLC0415  - slow to import

    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or not re.fullmatch(r"[a-z0-9.-]+\.core\.[a-z0-9.-]+", host):
        raise CloudError("Azure tells no address of the VPN clients' package; try again later.")
    data = bytearray()
    try:
        with httpx.stream("GET", url, timeout=_DOWNLOAD_S) as answer:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > _ZIP_MAX:
                    raise CloudError("The VPN clients' package is far too large to be one.")
    except httpx.HTTPStatusError as error:
        raise CloudError(
            f"The VPN clients' package cannot be had from {host}: HTTP "
            f"{error.response.status_code}. Run the command again."
        ) from None  # the cause would name the address
    except httpx.HTTPError as error:
        raise CloudError(
            f"The VPN clients' package cannot be had from {host}: {type(error).__name__}. Run the "
            "command again."
        ) from None
    return bytes(data)


def read_package(data: bytes) -> ClientPackage:
    """The parts of Azure's zip that are needed.

    Raises:
        DataError: it is no such zip, or lacks what it must have.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            names = {
                info.filename.replace("\\", "/").lower().lstrip("/"): info
                for info in package.infolist()
            }

            def member(name: str) -> bytes | None:
                info = names.get(name)
                if info is None:
                    return None
                if info.file_size > _MEMBER_MAX:
                    raise DataError(f"The VPN clients' package has too large a {name}.")
                with package.open(info) as file:
                    return file.read(_MEMBER_MAX)

            template, settings = member(_TEMPLATE), member(_SETTINGS)
            root = next(filter(None, map(member, _SERVER_ROOTS)), None)
    except _BROKEN_ZIP as error:
        raise DataError(f"The VPN clients' package is no zip that can be read: {error}.") from error
    if settings is None:
        raise DataError("The VPN clients' package has no Generic/VpnSettings.xml.")
    fields = _fields(settings)
    if not fields.get("VpnServer"):
        raise DataError("The VPN clients' package does not tell the gateway's name.")
    routes = [each.strip() for each in fields.get("Routes", "").split(",")]
    return ClientPackage(
        None if template is None else template.decode("utf-8-sig", errors="replace"),
        fields["VpnServer"].strip(),
        tuple(filter(None, routes)),
        root,
    )


def openvpn_profile(package: ClientPackage, client: Certificate) -> str:
    """A whole OpenVPN profile: a secret, for it holds the client's key.

    Raises:
        DataError: the package has no profile with blanks for certificate and key.
    """
    template = package.openvpn
    if template is None:
        raise DataError("The gateway does not speak OpenVPN; add it to vpn.protocols.")
    if template.count(_CERTIFICATE) != 1 or template.count(_KEY) != 1:
        raise DataError(
            "The OpenVPN profile that Azure made has no blanks for certificate and key; does the "
            "gateway let in certificates?"
        )
    text = _LOG.sub("", template.replace("\r\n", "\n"))
    text = text.replace(_CERTIFICATE, client.pem.decode().strip())
    return text.replace(_KEY, client.key_pem.decode().strip())


def strongswan_profile(package: ClientPackage, client: Certificate) -> str:
    """A swanctl.conf for strongSwan, for IKEv2; certificate and key lie in its own folders."""
    return f"""\
# /etc/swanctl/conf.d/elastron.conf; with it belong
#   /etc/swanctl/x509/{client.name}.crt  /etc/swanctl/private/{client.name}.key
#   /etc/swanctl/x509ca/VpnServerRoot.cer
connections {{
  elastron {{
    version = 2
    remote_addrs = {package.server}
    vips = 0.0.0.0
    local {{
      auth = eap-tls
      id = {client.name}
      certs = {client.name}.crt
    }}
    remote {{
      auth = pubkey
      id = {package.server}
    }}
    children {{
      elastron {{
        remote_ts = {", ".join(package.routes) or "0.0.0.0/0"}
        start_action = start
      }}
    }}
  }}
}}
"""


def _fields(settings: bytes) -> dict[str, str]:
    from defusedxml import ElementTree  # noqa: PLC0415
    from defusedxml.common import DefusedXmlException  # noqa: PLC0415

    try:
        root = ElementTree.fromstring(settings)
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        raise DataError("Generic/VpnSettings.xml of the VPN package cannot be read.") from error
    return {each.tag.rpartition("}")[2]: each.text or "" for each in root.iter()}
