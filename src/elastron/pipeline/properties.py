"""A gadget's properties: text in a config -> the gadget's own typed model.

Properties of the original that only switch its debugging and timing output are taken and ignored;
others that a gadget does not have are warned of. A wrong value is an error that lists the right
ones: the original finds it when the gadget runs, and says `map::at`.
"""

from __future__ import annotations

import difflib
import enum
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from elastron.errors import ConfigError
from elastron.gadgets.base import Gadget, Properties
from elastron.pipeline.config import GadgetNode

#: Debugging, timing and internals of the original; every gadget takes them.
IGNORED_PROPERTIES = frozenset(
    {
        "debug_folder",
        "pass_on_undesired_data",
        "perform_timing",
        "threads",
        "using_cloudbus",
        "verbose",
        "workingDirectory",
    }
)

_SEQUENCES = (list, tuple, set, frozenset)
_WORDS = {bool: "true, false, 1, 0", int: "a whole number", float: "a number"}
_SHOWN_VALUE = 80


def read_properties(
    gadget: type[Gadget], node: GadgetNode, config_name: str
) -> tuple[Properties, list[str]]:
    """The gadget's properties from a config's text.

    Args:
        gadget: the node's class.
        node: as in the config.
        config_name: for messages.

    Returns:
        The properties, and warnings about those the gadget does not have.

    Raises:
        ConfigError: a value the property cannot have, or one that must be given and is not.
    """
    fields = _fields(gadget.properties_type)
    where = f"gadget {node.label!r} ({node.classname}), config {config_name!r}"
    warnings = [
        _unknown(name, fields, where)
        for name in node.properties
        if name not in fields and name not in IGNORED_PROPERTIES
    ]
    values = {
        name: _split(text, fields[name]) for name, text in node.properties.items() if name in fields
    }
    try:
        return gadget.properties_type.model_validate(values), warnings
    except ValidationError as error:
        raise ConfigError(_wrong(error, node, fields, where)) from error


@dataclass(frozen=True, slots=True)
class PropertyDescription:
    """A property in words: its name, its default as text, the values it may have."""

    name: str
    default: str
    allowed: str


def describe_properties(gadget: type[Gadget]) -> tuple[PropertyDescription, ...]:
    """The gadget's properties, without those every gadget takes and ignores."""
    return tuple(
        PropertyDescription(name, _default(info), _allowed(info) or "text")
        for name, info in _fields(gadget.properties_type).items()
        if name not in IGNORED_PROPERTIES
    )


def _fields(model: type[Properties]) -> dict[str, FieldInfo]:
    """Name in a config -> field."""
    found: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        alias = info.validation_alias or info.alias
        if isinstance(alias, AliasChoices):
            names = [choice for choice in alias.choices if isinstance(choice, str)]
        else:
            names = [alias] if isinstance(alias, str) else [name]
        if model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name"):
            names.append(name)
        found |= dict.fromkeys(names, info)
    return found


def _split(text: str, info: FieldInfo) -> Any:
    """Text of a list ("1, 2 3") as its parts; other text as it is."""
    if any(get_origin(each) in _SEQUENCES or each in _SEQUENCES for each in _options(info)):
        return text.replace(",", " ").split()
    return text


def _options(info: FieldInfo) -> list[Any]:
    """The types a field may have, a union taken apart."""
    return _flatten(info.annotation)


def _flatten(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [option for each in get_args(annotation) for option in _flatten(each)]
    if get_origin(annotation) is typing.Annotated:
        return _flatten(get_args(annotation)[0])
    return [annotation]


def _unknown(name: str, fields: dict[str, FieldInfo], where: str) -> str:
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    supported = ", ".join(sorted(fields)) or "none"
    return (
        f"Unknown property {name[:_SHOWN_VALUE]!r} of {where} is ignored.{hint} "
        f"Supported: {supported}."
    )


def _wrong(
    error: ValidationError, node: GadgetNode, fields: dict[str, FieldInfo], where: str
) -> str:
    details = error.errors(include_url=False, include_context=True)[0]
    name = str(details["loc"][0]) if details["loc"] else ""
    if details["type"] == "missing":
        return f"Property {name!r} of {where} is missing; it has no default."
    if name not in node.properties:
        return f"The properties of {where} do not fit together: {details['msg']}."
    allowed = _allowed(fields[name])
    if not allowed or details["type"] == "value_error":  # a validator's own words
        allowed = ", ".join(filter(None, (allowed, _sentence(details["msg"]))))
    return (
        f"Property {name!r} of {where} is {node.properties[name][:_SHOWN_VALUE]!r}. "
        f"Allowed: {allowed}."
    )


def _allowed(info: FieldInfo) -> str:
    """Values a field may have, in words; empty if they cannot be told from its type."""
    options = [option for option in _options(info) if option is not type(None)]
    words: list[str] = []
    for option in options:
        if get_origin(option) is Literal:
            words += [repr(value) for value in get_args(option)]
        elif isinstance(option, type) and issubclass(option, enum.Enum):
            words += [repr(member.value) for member in option]
        elif option in _WORDS:
            words.append(_WORDS[option])
        else:
            return ""
    for sign, bound in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        words += [
            f"{bound} {limit:g}"
            for each in info.metadata
            if (limit := getattr(each, sign, None)) is not None
        ]
    return ", ".join(words)


def _default(info: FieldInfo) -> str:
    """A field's default as a config would give it; empty for none."""
    default = info.get_default(call_default_factory=True)
    if default in (None, PydanticUndefined):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, _SEQUENCES):
        return " ".join(map(str, default))
    return str(default.value if isinstance(default, enum.Enum) else default)


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ").rstrip(".")
    return text[:1].lower() + text[1:]
