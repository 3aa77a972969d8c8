"""Settings from a file, the environment and flags; each wins over the one before.

The file is TOML or YAML with a table for each section:

    [client]
    address = "gateway:9002"

    [node]
    capacity = 4

The environment says the same as `ELASTRON_CLIENT__ADDRESS` and `ELASTRON_NODE__CAPACITY`; what is
to be left out altogether is `none`. A key that no section knows is an error: a misspelt one would
otherwise be silently without effect.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from elastron.errors import ConfigError

PREFIX = "ELASTRON_"
SECTIONS = ("client", "node", "sidecar", "storage", "gateway", "fleet", "controller")

#: Read from the working folder when no file is named.
DEFAULT_FILES = ("elastron.toml", "elastron.yaml", "elastron.yml")

#: Names a file instead of --settings.
FILE_VARIABLE = "ELASTRON_SETTINGS"

#: What switches a setting off in the environment and in a flag; YAML says null.
NONE = "none"

_FILE_BYTES_MAX = 1 << 20

M = TypeVar("M", bound=BaseModel)


class ClientSettings(BaseModel):
    """What the commands that talk to a server assume."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field("localhost:9002", description="HOST or HOST:PORT of the server.")
    via: str | None = Field(
        None,
        description="Tunnel that `elastron send` opens: a site's package, `psk://SITE@HOST:PORT` "
        "or `ssh://USER@HOST`. None: the server is reached directly.",
    )
    config: str = Field("default.xml", description="Config asked for, by its name at the server.")
    gateway: str | None = Field(
        None,
        description="HOST:PORT or URL of the gateway's admin server. None: that of the fleet that "
        "runs on this machine, else 127.0.0.1:9080.",
    )
    connect_timeout_s: float = Field(
        10, ge=0, description="Connecting is tried again and again for so long."
    )
    timeout_s: float | None = Field(
        None,
        gt=0,
        description="Nothing may move for longer. None: wait for ever, as reconstructions can be "
        "long and silent.",
    )


def load_settings(
    section: str,
    model: type[M],
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> M:
    """Settings of one section.

    Args:
        section: one of `SECTIONS`.
        model: its type.
        file: TOML or YAML; None looks at `ELASTRON_SETTINGS`, then for `DEFAULT_FILES`.
        flags: from the command line; those of None were not given, "none" means None.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, or a value that is not allowed.
    """
    _check_environment()
    found = _settings_file(file)
    from_file = {} if found is None else _read(found)
    given = {
        key: None if value == NONE else value
        for key, value in (flags or {}).items()
        if value is not None
    }

    class Tree(BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=PREFIX,
            env_nested_delimiter="__",
            env_parse_none_str=NONE,
            extra="forbid",
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            of_section = {section: from_file[section]} if section in from_file else {}
            return init_settings, env_settings, InitSettingsSource(settings_cls, of_section)

    fields: Any = {section: (model, Field(default_factory=model))}
    tree: Any = create_model("Settings", __base__=Tree, **fields)
    try:
        return getattr(tree(**{section: given}), section)
    except (ValidationError, SettingsError) as error:
        where = "" if found is None else f" (with {found})"
        raise ConfigError(f"Settings{where}: {_explain(error, section, model)}") from error


def _settings_file(file: Path | None) -> Path | None:
    if file is None and os.environ.get(FILE_VARIABLE):
        file = Path(os.environ[FILE_VARIABLE])
    if file is not None:
        return file
    return next((path for path in map(Path, DEFAULT_FILES) if path.is_file()), None)


def _read(file: Path) -> dict[str, Any]:
    """The sections of a file; their values are not checked yet."""
    try:
        if file.stat().st_size > _FILE_BYTES_MAX:
            raise ConfigError(f"{file} is too large to hold settings.")
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {file} cannot be read: {error}") from error
    values = _parse_toml(file, text) if file.suffix == ".toml" else _parse_yaml(file, text)
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds no sections; it can have {_listed(SECTIONS)}.")
    for section, content in values.items():
        if section not in SECTIONS:
            raise ConfigError(f"{file}: {_unknown(str(section), SECTIONS, 'section')}")
        if not isinstance(content, dict):
            raise ConfigError(f"{file}: {section!r} is a section; give it keys and values.")
    return values


def _parse_toml(file: Path, text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error


def _parse_yaml(file: Path, text: str) -> Any:
    try:
        import yaml  # noqa: PLC0415  - only where the file is YAML
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"{file}: reading YAML needs PyYAML (pip install pyyaml); TOML needs nothing."
        ) from missing
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML: {error}") from error


def _check_environment() -> None:
    """Refuse variables of sections that do not exist.

    Only names with a double underscore are ours to judge: Kubernetes sets ELASTRON_PORT and the
    like in every pod beside a service named so.
    """
    for name in os.environ:
        upper = name.upper()
        if upper.startswith(PREFIX) and "__" in upper:
            section = upper.removeprefix(PREFIX).partition("__")[0].lower()
            if section not in SECTIONS:
                problem = _unknown(section, SECTIONS, "section")
                raise ConfigError(f"Environment variable {name}: {problem}")


def _explain(error: ValidationError | SettingsError, section: str, model: type[BaseModel]) -> str:
    if isinstance(error, SettingsError):
        return f"{error}; lists and tables in the environment are written as JSON."
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in detail["loc"]]
        name = ".".join(path)
        if detail["type"] == "extra_forbidden" and len(path) == 2:
            known = sorted(model.model_fields)
            problems.append(f"{section}: {_unknown(path[-1], known, 'setting')}")
        else:
            problems.append(f"{name}: {detail['msg']}")
    return "; ".join(problems)


def _unknown(name: str, known: Sequence[str], noun: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {_listed(known)}"
    return f"there is no {noun} {name!r}; {hint}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
