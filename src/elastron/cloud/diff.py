"""What an upgrade changes, object by object; secrets stay hidden. Pure."""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from elastron.cloud.manifest import Key, Object, key_of

#: Unchanged lines shown around a change.
_CONTEXT_LINES = 2
#: Lines shown of one object.
_LINES_MAX = 200
_SECRET_NAME = re.compile(r"password|secret|token|api_?key|connection_?string|credential", re.I)
#: Rendered anew with every release of a chart, and of no consequence.
_NOISE_LABELS = ("helm.sh/chart",)


class Change(enum.Enum):
    """What becomes of an object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that changes.

    Attributes:
        key: of the object.
        change: what becomes of it.
        lines: of an update, as of `diff -u`: begin with ` `, `+`, `-` or `@`.
        kept: it would go, but says that helm must keep it.
    """

    key: Key
    change: Change
    lines: tuple[str, ...] = ()
    kept: bool = False


def differences(before: Iterable[Object], after: Iterable[Object]) -> list[Difference]:
    """What changes between what is installed and what is rendered.

    Values of Secrets, and of environment variables with telling names, are shown as hidden;
    that they change is told.

    Args:
        before: objects installed by the release; empty: it is new.
        after: objects rendered.

    Returns:
        By kind and name; objects that stay as they are left out.
    """
    old = {key_of(each): each for each in before}
    new = {key_of(each): each for each in after}
    found: list[Difference] = []
    for key in sorted(old.keys() | new.keys()):
        if key not in old:
            found.append(Difference(key, Change.CREATE))
        elif key not in new:
            found.append(Difference(key, Change.DELETE, kept=_kept(old[key])))
        elif lines := _lines(old[key], new[key]):
            found.append(Difference(key, Change.UPDATE, lines))
    return found


def hidden(before: Any, after: Any, *, secret: bool = False) -> tuple[Any, Any]:
    """Both as they may be shown: what is secret is replaced, equal by equal.

    Args:
        before: an object or a part of one; None: there is none.
        after: the same part later.
        secret: all values below are secret.
    """
    if before is not None and after is not None and _shape(before) is not _shape(after):
        return hidden(before, None, secret=secret)[0], hidden(None, after, secret=secret)[1]
    if isinstance(before, dict) or isinstance(after, dict):
        return _hidden_dicts(before, after, secret=secret)
    if isinstance(before, list) or isinstance(after, list):
        old, new = _list(before), _list(after)
        pairs = [
            hidden(_at(old, i), _at(new, i), secret=secret) for i in range(max(len(old), len(new)))
        ]
        return (
            [one for one, _ in pairs[: len(old)]] if isinstance(before, list) else before,
            [other for _, other in pairs[: len(new)]] if isinstance(after, list) else after,
        )
    if not secret:
        return before, after
    if before == after:
        return "(hidden)", "(hidden)"
    return (
        None if before is None else "(hidden, as it was)",
        None if after is None else "(hidden, changed)",
    )


def _hidden_dicts(before: Any, after: Any, *, secret: bool) -> tuple[Any, Any]:
    old, new = _dict(before), _dict(after)
    telling = {_variable(old), _variable(new)} - {None}
    one: dict[str, Any] = {}
    other: dict[str, Any] = {}
    for name in old.keys() | new.keys():
        below = secret or (name == "value" and bool(telling))
        if "Secret" in (old.get("kind"), new.get("kind")) and name in ("data", "stringData"):
            below = True
        left, right = hidden(old.get(name), new.get(name), secret=below)
        if name in old:
            one[name] = left
        if name in new:
            other[name] = right
    return (
        one if isinstance(before, dict) else before,
        other if isinstance(after, dict) else after,
    )


def _variable(each: dict[str, Any]) -> str | None:
    """Name of an environment variable that tells of a secret."""
    name = each.get("name")
    return name if isinstance(name, str) and _SECRET_NAME.search(name) else None


def _lines(before: Object, after: Object) -> tuple[str, ...]:
    old, new = (_text(each) for each in hidden(before, after))
    lines = difflib.unified_diff(old, new, lineterm="", n=_CONTEXT_LINES)
    found = [line for line in lines if not line.startswith(("---", "+++"))]
    if not any(line[0] in "+-" for line in found):
        return ()
    if len(found) > _LINES_MAX:
        found[_LINES_MAX:] = [f"@@ {len(found) - _LINES_MAX} more lines"]
    return tuple(found)


def _text(each: Any) -> list[str]:
    return yaml.safe_dump(_quiet(each), sort_keys=True, width=1000).splitlines()


def _quiet(each: Any) -> Any:
    """Without labels of no consequence."""
    if isinstance(each, dict):
        return {name: _quiet(value) for name, value in each.items() if name not in _NOISE_LABELS}
    if isinstance(each, list):
        return [_quiet(value) for value in each]
    return each


def _kept(each: Object) -> bool:
    annotations = each["metadata"].get("annotations") or {}
    return annotations.get("helm.sh/resource-policy") == "keep"


def _shape(each: Any) -> type:
    return dict if isinstance(each, dict) else list if isinstance(each, list) else object


def _dict(each: Any) -> dict[str, Any]:
    return each if isinstance(each, dict) else {}


def _list(each: Any) -> list[Any]:
    return each if isinstance(each, list) else []


def _at(each: list[Any], index: int) -> Any:
    return each[index] if index < len(each) else None


def summary(found: Iterable[Difference]) -> Iterator[str]:
    """`3 to create`, `1 to change`, `2 to delete`, those there are."""
    listed = list(found)
    for change, words in (
        (Change.CREATE, "to create"),
        (Change.UPDATE, "to change"),
        (Change.DELETE, "to delete"),
    ):
        count = sum(each.change is change for each in listed)
        if count:
            yield f"{count} {words}"
