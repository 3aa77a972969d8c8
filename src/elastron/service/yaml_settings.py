"""Settings that people write as YAML: reading them, and saying what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from elastron.errors import ConfigError

_FILE_BYTES_MAX = 1 << 20


def read_settings(path: Path) -> str:
    """The text of a settings file.

    Raises:
        ConfigError: it cannot be read, or is too large for one.
    """
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise ConfigError(f"{path} is too large for settings ({_FILE_BYTES_MAX >> 20} MiB).")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def parse_table(text: str, source: str, model: type[BaseModel]) -> dict[str, Any]:
    """The table that a YAML text is; an empty text is an empty one.

    Args:
        text: YAML.
        source: named in errors.
        model: whose keys it may have.

    Raises:
        ConfigError: it is not YAML, or no table.
    """
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source} is not YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{source} must be a table with the keys {', '.join(model.model_fields)}."
        )
    return values


def merge_tables(below: Mapping[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """`above` over `below`; tables are merged, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            merged[key] = merge_tables(under, value)
        else:
            merged[key] = value
    return merged


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """What is wrong, and where, each thing once; without the values, which may be secret."""
    problems: list[str] = []
    for detail in error.errors(include_url=False, include_input=False):
        where = [str(part) for part in detail["loc"]]
        if detail["type"] == "extra_forbidden":
            problems.append(f"{'.'.join(where)}: {_unknown(where, model)}")
            continue
        message = detail["msg"].removeprefix("Value error, ")
        problems.append(f"{'.'.join(where)}: {message}" if where else message)
    return list(dict.fromkeys(problems))


def _unknown(where: list[str], model: type[BaseModel]) -> str:
    """Say what a key that is not known may have meant."""
    is_name = False  # of an entry, such as a pool, which may be that of a key
    for part in where[:-1]:
        if not is_name and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            model = _model_in(annotation) or model
            is_name = get_origin(annotation) is dict
        else:
            is_name = False
    known = list(model.model_fields)
    close = difflib.get_close_matches(where[-1], known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    return f"there is no such key; {hint}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings class inside an annotation such as `dict[str, Pool]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
