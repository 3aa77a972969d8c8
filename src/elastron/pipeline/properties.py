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
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo

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


def property_names(gadget: type[Gadget]) -> tuple[str, ...]:
    """Names a config may use for the gadget's properties."""
    return tuple(_fields(gadget.properties_type))


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
    return (
        f"Property {name!r} of {where} is {node.properties[name][:_SHOWN_VALUE]!r}. "
        f"Allowed: {_allowed(fields[name], details['msg'])}."
    )


def _allowed(info: FieldInfo, message: str) -> str:
    """Values a field may have, in words; pydantic's message if the words do not say it all."""
    options = _options(info)
    words: list[str] = []
    for option in options:
        if get_origin(option) is Literal:
            words += [repr(value) for value in get_args(option)]
        elif isinstance(option, type) and issubclass(option, enum.Enum):
            words += [repr(member.value) for member in option]
        elif option is bool:
            words += ["true", "false", "1", "0"]
        elif option is int:
            words.append("a whole number")
        elif option is float:
            words.append("a number")
        elif option is not type(None):
            return _sentence(message)
    if info.metadata:  # a constraint: the message says which
        words.append(f"({_sentence(message)})")
    return ", ".join(words)


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ").rstrip(".")
    return text[:1].lower() + text[1:]
