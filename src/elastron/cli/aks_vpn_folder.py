"""The folder with a VPN's certificates: who has it can let anybody in.

root-N.crt, root-N.key      root certificates; the newest signs
clients/SITE.crt, .key      a client's
clients/SITE.ovpn           its whole OpenVPN profile
old/SITE/THUMBPRINT.crt     earlier ones, so that they can be revoked
gateway.json                server and routes of the gateway's profile, and the description
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from elastron.access.files import locked, read_small, write_secret
from elastron.cloud.azure.certificates import (
    Certificate,
    check_name,
    make_client,
    make_root,
    read_certificate,
)
from elastron.errors import ConfigError

_ROOT = re.compile(r"root-(\d{1,4})\.crt")
_GATEWAY = "gateway.json"


class VpnFolder:
    """Certificates of one VPN.

    Args:
        path: the folder; it is made when something is written.
        name: of the cluster; root certificates are called after it.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._name = re.sub(r"[^A-Za-z0-9-]", "-", name)[:40]

    def roots(self) -> list[Certificate]:
        """All root certificates, the oldest first.

        Raises:
            ConfigError: one of them cannot be read.
        """
        found: dict[int, Certificate] = {}
        for path in self.path.glob("root-*.crt"):
            match = _ROOT.fullmatch(path.name)
            if match:
                found[int(match[1])] = self._read(path)
        return [found[number] for number in sorted(found)]

    def public_roots(self, now: datetime) -> dict[str, str]:
        """What Azure is given: public data of the roots that have not ended, by name."""
        return {root.name: root.public_data for root in self.roots() if root.ends > now}

    def ensure_root(self, now: datetime, *, renew: bool = False) -> tuple[Certificate, bool]:
        """The root certificate that signs; made where there is none, or it ends soon.

        Args:
            now: with a time zone.
            renew: make a new one in any case.

        Returns:
            The certificate, and whether it is new.

        Raises:
            ConfigError: one of them cannot be read, or the folder cannot be written to.
        """
        self._make(self.path)
        with locked(self.path / "root"):
            roots = self.roots()
            if roots and not renew and not roots[-1].is_old(now):
                return roots[-1], False
            number = 1 + max(
                (int(m[1]) for p in self.path.iterdir() if (m := _ROOT.fullmatch(p.name))),
                default=0,
            )
            root = make_root(f"{self._name}-root-{number}", now=now)
            self._write(self.path / f"root-{number}", root)
        return root, True

    def ensure_client(
        self, site: str, now: datetime, *, renew: bool = False
    ) -> tuple[Certificate, bool]:
        """A client's certificate; made where there is none, it ends soon, or its root is gone.

        Returns:
            The certificate, and whether it is new.

        Raises:
            ConfigError: no such name can be, there is no root certificate here, or a file cannot
                be read or written.
        """
        check_name(site)
        roots = self.roots()
        if not roots:
            raise ConfigError(
                f"There is no root certificate in {self.path}. It is where elastron aks vpn up was "
                "run; name that folder with --folder."
            )
        path = self.path / "clients" / f"{site}.crt"
        self._make(path.parent)
        with locked(path):
            if path.exists():
                kept = self._read(path)
                known = any(root.signed(kept) for root in roots)
                if known and not renew and not kept.is_old(now):
                    return kept, False
                old = self.path / "old" / site
                self._make(old)
                write_secret(old / f"{kept.thumbprint}.crt", kept.pem)
            client = make_client(roots[-1], site, now=now)
            self._write(path.with_suffix(""), client)
        return client, True

    def issued(self, site: str) -> list[Certificate]:
        """All certificates that a client ever had here, keys left out.

        Raises:
            ConfigError: it never had one.
        """
        check_name(site)
        paths = [self.path / "clients" / f"{site}.crt", *(self.path / "old" / site).glob("*.crt")]
        found = [Certificate(read_small(path).encode(), b"") for path in paths if path.exists()]
        if not found:
            raise ConfigError(f"{site} has no certificate in {self.path}.")
        return found

    def forget(self, site: str) -> None:
        """Put a client's certificate among the old ones, and delete its key and profile."""
        for certificate in self.issued(site):
            old = self.path / "old" / site
            self._make(old)
            write_secret(old / f"{certificate.thumbprint}.crt", certificate.pem)
        for suffix in (".crt", ".key", ".ovpn", ".p12", ".p12-password", ".swanctl.conf"):
            (self.path / "clients" / f"{site}{suffix}").unlink(missing_ok=True)

    def clients(self) -> Iterator[Certificate]:
        """Clients that have a certificate, keys left out."""
        for path in sorted((self.path / "clients").glob("*.crt")):
            yield Certificate(read_small(path).encode(), b"")

    def put(self, site: str, suffix: str, content: str | bytes) -> Path:
        """Write a file of a client's, for the owner's eyes only."""
        path = self.path / "clients" / f"{check_name(site)}{suffix}"
        write_secret(path, content)
        return path

    def keep_gateway(self, server: str, routes: tuple[str, ...], description: str) -> None:
        """Remember what the gateway's profile says, and the networks it was made for.

        Args:
            server: its host name.
            routes: networks that go through the tunnel.
            description: of the cluster, as YAML.
        """
        kept = {"server": server, "routes": list(routes), "description": description}
        write_secret(self.path / _GATEWAY, json.dumps(kept) + "\n")

    def gateway(self) -> tuple[tuple[str, ...], str]:
        """Routes and description that were kept.

        Raises:
            ConfigError: no profile was made here, or the file is damaged.
        """
        path = self.path / _GATEWAY
        if not path.exists():
            raise ConfigError(
                f"No profile was made in {self.path} yet: elastron aks vpn client SITE"
            )
        try:
            kept = json.loads(read_small(path))
            return tuple(str(each) for each in kept["routes"]), str(kept["description"])
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"{path} is damaged; make a profile anew.") from None

    def _read(self, path: Path) -> Certificate:
        key = read_small(path.with_suffix(".key")).encode()
        return read_certificate(read_small(path).encode(), key, source=str(path))

    def _write(self, stem: Path, certificate: Certificate) -> None:
        # The key first: a certificate without its key would be taken for a damaged one.
        write_secret(stem.with_name(stem.name + ".key"), certificate.key_pem)
        write_secret(stem.with_name(stem.name + ".crt"), certificate.pem, mode=0o644)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder} cannot be made: {error.strerror}.") from error
