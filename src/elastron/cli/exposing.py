"""`elastron up --expose psk`: one door to the outside, for those with a key, and no other."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from elastron.access.keyring import KeyFile
from elastron.access.stunnel_process import stunnel_program
from elastron.errors import ConfigError, ElastronError
from elastron.fleet.local.folder import Record, Role
from elastron.fleet.local.keeper import Keeper
from elastron.gateway.settings import GatewaySettings
from elastron.gateway.tls import TlsSettings
from elastron.service.address import Address

#: Beside the plain port 9002, which stays this machine's own.
EXPOSED_AT = ":9003"
#: As `elastron access psk create` calls it.
KEYS = Path("stunnel.secrets")
#: For stunnel, which needs no time.
START_S = 60.0
_LOOPBACK = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class Exposure:
    """The door for sites with a pre-shared key.

    Attributes:
        address: where it is; the port is a real one.
        keys: `stunnel.secrets`.
        own: the gateway ends TLS itself; else a stunnel server before it does.
    """

    address: Address
    keys: Path
    own: bool


def expose(gateway: GatewaySettings, at: str, keys: Path) -> tuple[GatewaySettings, Exposure]:
    """Plan a door with TLS-PSK.

    Args:
        gateway: as asked for otherwise.
        at: HOST:PORT; port 0 is a free one.
        keys: file with the sites' keys.

    Returns:
        The gateway's settings with it, and what it is.

    Raises:
        ElastronError: there is no key, or neither this Python nor a stunnel has TLS-PSK.
    """
    keys = keys.absolute()
    if not keys.exists() or not KeyFile(keys).load().keys:
        raise ConfigError(
            f"{keys} holds no key, so nobody could come in. Make one for each site: "
            f"elastron access psk create --name SITE --file {keys}"
        )
    try:
        address = Address.parse(at)
    except ValueError as error:
        raise ConfigError(f"--expose-at: {error}.") from None
    if address.port == 0:
        address = _with_free_port(address)
    own = getattr(ssl, "HAS_PSK", False)
    if own:
        listener = TlsSettings.model_validate({"listen": str(address), "psk_file": keys})
        return gateway.model_copy(update={"tls": (*gateway.tls, listener)}), Exposure(
            address, keys, own
        )
    if stunnel_program() is None:
        raise ElastronError(
            "TLS with pre-shared keys needs Python 3.13 or newer (this one's ssl module has none), "
            "or stunnel beside an older one: apt install stunnel4."
        )
    plain = gateway.model_copy(update={"listen": gateway.listen or _LOOPBACK})
    return plain, Exposure(address, keys, own)


def refuse_open_doors(gateway: GatewaySettings) -> None:
    """See that whoever is not on this machine must prove who it is.

    Raises:
        ConfigError: a door is open to anybody who reaches this machine.
    """
    remedy = "Let sites in by key: --expose psk. In a network that is closed: --allow-insecure."
    if gateway.listen is not None and not Address.parse(gateway.listen).loopback:
        raise ConfigError(
            f"--listen {gateway.listen} would let anybody who reaches this machine send scans and "
            f"read images on the way, without key or encryption. {remedy}"
        )
    if gateway.admin is not None and not Address.parse(gateway.admin).loopback:
        raise ConfigError(
            f"--admin {gateway.admin} would let anybody who reaches this machine end scans, "
            "without password. Keep it on 127.0.0.1, and reach it by 'ssh -L'. In a network that "
            "is closed: --allow-insecure."
        )
    for tls in gateway.tls:
        anybody = tls.psk_file is None and tls.client_ca is None
        if anybody and not Address.parse(tls.listen).loopback:
            raise ConfigError(
                f"The TLS listener {tls.listen} asks nobody for a certificate (client_ca) or a key "
                f"(psk_file). {remedy}"
            )


async def stunnel_before(
    gateway: Record, wish: tuple[Exposure | None, GatewaySettings], keeper: Callable[..., Keeper]
) -> Keeper | None:
    """Start, or adopt, the stunnel server before a gateway; end one that is no longer wanted.

    Args:
        gateway: where it is.
        wish: what is exposed, and the gateway's settings: both log alike.
        keeper: makes the keeper of a role with these settings.

    Raises:
        ElastronError: it does not start.
    """
    exposure, settings = wish
    if exposure is None or exposure.own:
        await keeper(Role.STUNNEL, {}).stop()
        return None
    told = {
        "listen": str(exposure.address),
        "connect": gateway.address,
        "keys": str(exposure.keys),
        "log_format": settings.log_format.value,
        "log_level": settings.log_level,
    }
    stunnel = keeper(Role.STUNNEL, told)
    await stunnel.begin()
    await stunnel.ready(START_S)
    return stunnel


def _with_free_port(address: Address) -> Address:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((address.host, 0))
        return address._replace(port=probe.getsockname()[1])
