"""Who may come through the SSH jump server: a folder with a file of public keys for each site.

The folder is the secret `sshkey` of the chart: a site logs in under its own name, with the keys in
the file of that name; `authorizedkeys` belongs to the user `gadgetron`, as the original has it.
"""

from __future__ import annotations

import re
from pathlib import Path

from elastron.access.files import locked, read_small, write_secret
from elastron.access.public_key import PublicKey, parse_public_key
from elastron.errors import ConfigError

#: The user that is always there, and its file.
DEFAULT_USER = "gadgetron"
DEFAULT_FILE = "authorizedkeys"

#: Whatever the server's configuration allows, a key opens no more than this.
_OPTIONS = "restrict,port-forwarding"

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def keys_file(folder: Path, site: str) -> Path:
    """Where a site's keys are.

    Raises:
        ConfigError: the name cannot be a login name.
    """
    if not _USER.fullmatch(site) or site == DEFAULT_FILE:
        raise ConfigError(
            f"{site!r} cannot be a login name: small letters, digits, '_' and '-', at most 32."
        )
    return folder / (DEFAULT_FILE if site == DEFAULT_USER else site)


def authorize(folder: Path, site: str, key: PublicKey) -> bool:
    """Let `key` in for `site`.

    Returns:
        Whether that is new.

    Raises:
        ConfigError: the name cannot be a login name, or the folder cannot be written to.
    """
    path = keys_file(folder, site)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(path):
        lines = _lines(path)
        if any(key.line in line for line in lines):
            return False
        comment = "".join(each for each in key.comment if each.isprintable()) or site
        lines.append(f"{_OPTIONS} {key.line} {comment}")
        write_secret(path, "".join(f"{line}\n" for line in lines))
    return True


def revoke(folder: Path, site: str, key: PublicKey | None = None) -> int:
    """Let a key in no more, or none of the site's.

    Returns:
        How many keys are gone.

    Raises:
        ConfigError: there is no such site or key.
    """
    path = keys_file(folder, site)
    with locked(path):
        lines = _lines(path)
        kept = [line for line in lines if key is not None and key.line not in line]
        if len(kept) == len(lines):
            raise ConfigError(f"{site} has no such key in {folder}.")
        if kept:
            write_secret(path, "".join(f"{line}\n" for line in kept))
        else:
            path.unlink()
    return len(lines) - len(kept)


def sites(folder: Path) -> dict[str, list[PublicKey]]:
    """All sites and their keys.

    Raises:
        ConfigError: a file holds something else.
    """
    found: dict[str, list[PublicKey]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith("."):
            continue
        site = DEFAULT_USER if path.name == DEFAULT_FILE else path.name
        found[site] = [_key(path, line) for line in _lines(path)]
    return found


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [line for line in read_small(path).splitlines() if line.strip()]


def _key(path: Path, line: str) -> PublicKey:
    try:
        return parse_public_key(line.removeprefix(f"{_OPTIONS} "))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}.") from None
