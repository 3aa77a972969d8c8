"""Configs by name: stock ones come with this package, a site's own lie in folders."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

from elastron.errors import ConfigError
from elastron.pipeline.config import Config
from elastron.pipeline.parse import MAX_CONFIG_BYTES, parse_config

#: A plain file name: no separators, no leading dot, so nothing outside the folders is reached.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,254}")


def load_config(name: str, folders: Iterable[Path] = ()) -> Config:
    """Read a config by its file name; the same file is parsed once.

    Args:
        name: e.g. `default.xml`; a plain name, not a path.
        folders: looked through in order, before the stock configs.

    Raises:
        ConfigError: no such config, a name that is a path, or a config that cannot be read.
    """
    folders = tuple(folders)
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"Config name {name[:80]!r} is refused: a name has up to 255 letters, digits, "
            "spaces and ._- and does not begin with a dot; it is not a path."
        )
    for folder in (*folders, _stock_folder()):
        path = folder / name
        if path.is_file():
            stat = path.stat()
            return _load(path, name, stat.st_mtime_ns, stat.st_size)
    raise ConfigError(_missing(name, folders))


def stock_config_names() -> tuple[str, ...]:
    """Names of the configs that come with this package, sorted."""
    return _names([_stock_folder()])


def config_names(folders: Iterable[Path] = ()) -> tuple[str, ...]:
    """Names that `load_config` finds, sorted."""
    return _names([*folders, _stock_folder()])


def _names(folders: Iterable[Path]) -> tuple[str, ...]:
    found = (path.name for folder in folders if folder.is_dir() for path in folder.glob("*.xml"))
    return tuple(sorted({name for name in found if _NAME.fullmatch(name)}))


@lru_cache(maxsize=1)
def _stock_folder() -> Path:
    # Never removed: the package is installed as files.
    with as_file(files("elastron.pipeline") / "configs") as folder:
        return folder


@lru_cache(maxsize=256)
def _load(path: Path, name: str, mtime_ns: int, size: int) -> Config:
    if size > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"Config {name!r}: {size} bytes are more than the limit of {MAX_CONFIG_BYTES}."
        )
    try:
        xml = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"Config {name!r} cannot be read: {error.strerror}.") from error
    return parse_config(xml, name)


def _missing(name: str, folders: Iterable[Path]) -> str:
    names = config_names(folders)
    by_lower_case = {each.lower(): each for each in names}
    close = [
        by_lower_case[match]
        for match in difflib.get_close_matches(name.lower(), by_lower_case, n=5, cutoff=0.5)
    ]
    hint = f"Did you mean {', '.join(close)}? " if close else ""
    others = [each for each in names if each not in close]
    shown = ", ".join(others[:20])
    more = f" and {len(others) - 20} more" if len(others) > 20 else ""
    return f"There is no config {name!r} here. {hint}Known as well: {shown}{more}."
