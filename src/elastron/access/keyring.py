"""Pre-shared keys of the sites: made, changed with an overlap, taken away.

A site's first key has the site's name as its identity; the second is `site@2`, and so on. Both work
while the site changes over, and the gateway takes both for the same tenant.
"""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from elastron.access.files import locked, read_small, write_secret
from elastron.errors import ConfigError
from elastron.service.psk import (
    PreSharedKey,
    parse_keys,
    parse_retiring,
    render_keys,
    render_retiring,
    retiring_file,
    tenant_name,
)

#: As the original's script makes them.
SECRET_BYTES = 24
CLIENTS = 10

_T = TypeVar("_T")

_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def client_names(count: int) -> list[str]:
    """`client1`, `client2`, ..., as the original names them."""
    return [f"client{number}" for number in range(1, count + 1)]


def new_secret() -> str:
    """A fresh key, 192 random bits in base64."""
    return base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys. Every change gives another keyring.

    Attributes:
        keys: by identity.
        ends: when an identity is no longer taken, for those that are being replaced.
    """

    keys: Mapping[str, PreSharedKey] = field(default_factory=dict)
    ends: Mapping[str, datetime] = field(default_factory=dict)

    def of_site(self, site: str) -> list[str]:
        """The identities of a site, oldest first."""
        return [identity for identity in self.keys if tenant_name(identity) == site]

    def current(self, site: str) -> PreSharedKey:
        """The newest key of a site.

        Raises:
            ConfigError: it has none.
        """
        identities = self.of_site(site)
        if not identities:
            raise ConfigError(f"There is no key for {site!r}. Make one: elastron access psk add.")
        return self.keys[max(identities, key=_generation)]

    def create(self, sites: Iterable[str]) -> tuple[Keyring, list[str]]:
        """Keys for all sites that have none; the others keep theirs.

        Returns:
            The keyring, and the sites whose keys are new.
        """
        ring, fresh = self, []
        for site in sites:
            if not ring.of_site(site):
                ring = ring.add(site)
                fresh.append(site)
        return ring, fresh

    def add(self, site: str, secret: str | None = None) -> Keyring:
        """A key for one more site.

        Args:
            secret: a key that was agreed on elsewhere; None: a new one.

        Raises:
            ConfigError: it has one already, or its name or the key cannot be used.
        """
        if not _SITE.fullmatch(site):
            raise ConfigError(
                f"{site!r} cannot be a site's name: letters, digits, '.', '_' and '-', at most 63."
            )
        if self.of_site(site):
            raise ConfigError(f"{site} has a key already. Change it: elastron access psk rotate.")
        return self._with(site, new_secret() if secret is None else secret)

    def rotate(self, site: str, end: datetime) -> tuple[Keyring, str]:
        """A new key for a site; its older ones are good until `end`, if not less long already.

        Returns:
            The keyring, and the identity of the new key.

        Raises:
            ConfigError: it has none.
        """
        current = self.current(site).identity
        identity = f"{site}@{_generation(current) + 1}"
        ends = {name: min(end, self.ends.get(name, end)) for name in self.of_site(site)}
        ring = self._with(identity, new_secret())
        return replace(ring, ends={**ring.ends, **ends}), identity

    def revoke(self, name: str) -> tuple[Keyring, list[str]]:
        """Take away all keys of a site, or the one of an identity such as `site@2`.

        Returns:
            The keyring, and the identities that are gone.

        Raises:
            ConfigError: there is no such site or identity.
        """
        gone = self.of_site(name) or [identity for identity in self.keys if identity == name]
        if not gone:
            raise ConfigError(f"There is neither a site nor an identity {name!r}.")
        return self._without(gone), gone

    def prune(self, now: datetime) -> tuple[Keyring, list[str]]:
        """Take away what has come to its end; the keyring, and the identities that are gone."""
        gone = [name for name, end in self.ends.items() if end <= now and name in self.keys]
        return self._without(gone), gone

    def _with(self, identity: str, secret: str) -> Keyring:
        entry = PreSharedKey(identity, secret)
        try:
            checked = parse_keys(render_keys([entry]))
        except ConfigError as error:
            raise ConfigError(f"{identity}: {str(error).removeprefix('line 1: ')}.") from None
        if checked != {identity: entry}:
            raise ConfigError(f"{identity}: the key is more than one line.")
        ends = {name: end for name, end in self.ends.items() if name != identity}
        return Keyring({**self.keys, identity: entry}, ends)

    def _without(self, gone: Iterable[str]) -> Keyring:
        left = {name: entry for name, entry in self.keys.items() if name not in set(gone)}
        return Keyring(left, {name: end for name, end in self.ends.items() if name in left})


def _generation(identity: str) -> int:
    site = tenant_name(identity)
    return 1 if identity == site else int(identity[len(site) + 1 :])


class KeyFile:
    """A keyring in `stunnel.secrets`, with the ends of retiring keys beside it.

    `with KeyFile(path).change() as change: change.ring = ...` changes it under a lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, *, missing_ok: bool = False) -> Keyring:
        """What the files hold.

        Args:
            missing_ok: no file is an empty keyring.

        Raises:
            ConfigError: a file cannot be read or understood.
        """
        if missing_ok and not self.path.exists():
            return Keyring()
        beside = retiring_file(self.path)
        return Keyring(
            _parsed(self.path, parse_keys),
            _parsed(beside, parse_retiring) if beside.exists() else {},
        )

    def save(self, ring: Keyring) -> None:
        """Write both files, for their owner only.

        The keys go first: should this be cut short, a key is good for longer than it should be,
        and the command that failed says so; no site is cut off.
        """
        write_secret(self.path, render_keys(ring.keys.values()))
        beside = retiring_file(self.path)
        if ring.ends:
            write_secret(beside, render_retiring(ring.ends))
        else:
            beside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def change(self, *, missing_ok: bool = False) -> Iterator[Change]:
        """Load under a lock; what the change's `ring` is set to is saved when the block ends."""
        with locked(self.path):
            change = Change(self.load(missing_ok=missing_ok))
            before = change.ring
            yield change
            if change.ring != before:
                self.save(change.ring)


@dataclass(slots=True)
class Change:
    """A keyring being changed."""

    ring: Keyring


def _parsed(path: Path, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(read_small(path))
    except ConfigError as error:
        prefix = "" if str(path) in str(error) else f"{path}: "
        raise ConfigError(f"{prefix}{error}") from None
