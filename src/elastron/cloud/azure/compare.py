"""Whether what Azure answers is what was asked for, and what to send where it is not.

Azure adds read-only values and defaults, spells ids and enumerations in other cases, and leaves
out what is false or empty. None of that is a difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elastron.cloud.azure.names import same_place
from elastron.cloud.azure.resource import Json, Later

# What people wrote, in which case counts; all else is Azure's own words.
_EXACT = frozenset(
    {"tags", "nodeLabels", "nodeTaints", "subject", "issuer", "audiences", "publicCertData"}
)
# Tables that are stated whole: what is in there and was not asked for, goes.
_WHOLE = frozenset({"nodeLabels"})
# Never sent back: Azure's notes on the resource.
_NOTES = frozenset({"id", "name", "type", "etag", "systemdata", "provisioningstate"})
_ABSENT = (None, False, 0, "", [])


@dataclass(frozen=True)
class Difference:
    """One value that is not as wanted.

    Attributes:
        path: keys joined by dots; items of lists by name, as subnets[nodes].
        found: what Azure has; None: nothing.
        wanted: what it is to be; a `Later` where that is known only afterwards.
    """

    path: str
    found: Json
    wanted: Json


@dataclass(frozen=True)
class Rules:
    """Which parts of a resource are compared in a way of their own.

    Attributes:
        initial: paths that matter at creation only.
        open_lists: paths of lists in which others have entries of their own.
    """

    initial: tuple[str, ...] = ()
    open_lists: tuple[str, ...] = ()

    def is_initial(self, path: str) -> bool:
        """Whether the value at `path` matters at creation only."""
        return any(within(path, initial) for initial in self.initial)


def within(path: str, outer: str) -> bool:
    """Whether `path` is `outer` or lies in it."""
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def differences(wanted: Json, found: Json, rules: Rules, path: str = "") -> Iterator[Difference]:
    """All values of `wanted` that `found` does not have, in a stable order.

    Args:
        wanted: as stated; may hold a `Later`, which nothing equals.
        found: what Azure answered.
        rules: what is compared in a way of its own.
        path: where both are.
    """
    if rules.is_initial(path) and found is not None:
        return
    if isinstance(wanted, Mapping) and not isinstance(found, Mapping | None):
        yield Difference(path, found, wanted)
    elif isinstance(wanted, Mapping):
        yield from _differences_of_tables(wanted, found, rules, path)
    elif isinstance(wanted, list) and isinstance(found, list | None):
        yield from _differences_of_lists(wanted, found or [], rules, path)
    elif not same(wanted, found, path):
        yield Difference(path, found, wanted)


def _differences_of_tables(
    wanted: Mapping[str, Json], found: Mapping[str, Json] | None, rules: Rules, path: str
) -> Iterator[Difference]:
    if found is None and not wanted and _last(path) not in _WHOLE:
        yield Difference(path, None, wanted)  # such as an identity that is not there
        return
    there = found or {}
    spelled = {key.casefold(): key for key in there}
    exact = _is_exact(path)
    for key, value in wanted.items():
        as_found = key if exact else spelled.get(key.casefold(), key)
        yield from differences(value, there.get(as_found), rules, _join(path, key))
    if _last(path) in _WHOLE:
        for key in sorted(set(there) - set(wanted)):
            yield Difference(_join(path, key), there[key], None)


def _differences_of_lists(
    wanted: Sequence[Json], found: Sequence[Json], rules: Rules, path: str
) -> Iterator[Difference]:
    names = [_name_of(item) for item in wanted]
    if (names and None not in names) or (not wanted and found and _name_of(found[0]) is not None):
        by_name = {str(_name_of(item)).casefold(): item for item in found}
        for name, item in zip(names, wanted, strict=True):
            there = by_name.pop(str(name).casefold(), None)
            yield from differences(item, there, rules, f"{path}[{name}]")
        if path not in rules.open_lists:
            for item in by_name.values():
                yield Difference(f"{path}[{_name_of(item)}]", item, None)
    elif any(isinstance(item, Mapping) for item in (*wanted, *found)):
        for index, item in enumerate(wanted):
            there = found[index] if index < len(found) else None
            yield from differences(item, there, rules, f"{path}[{index}]")
        if len(found) > len(wanted):
            yield Difference(path, list(found), list(wanted))
    elif _sorted(wanted, path) != _sorted(found, path):
        yield Difference(path, list(found), list(wanted))


def same(wanted: Json, found: Json, path: str) -> bool:
    """Whether two plain values mean the same at this place."""
    if isinstance(wanted, Later):
        return False
    if found is None:
        return wanted in _ABSENT
    if path == "location":
        return same_place(str(wanted), str(found))
    if _last(path) in {"kubernetesVersion", "orchestratorVersion"}:
        return _has_version(str(wanted), str(found))
    if isinstance(wanted, bool) or isinstance(found, bool):
        return str(wanted).casefold() == str(found).casefold()
    return _form(wanted, path) == _form(found, path)


def merged(wanted: Json, found: Json, rules: Rules, path: str = "") -> Json:
    """What is sent to change a resource: all that Azure has, and what is wanted in its place.

    A PUT replaces a resource as a whole; what others set and we do not state must stay.
    """
    if rules.is_initial(path) and found is not None:
        return found
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        if _last(path) in _WHOLE:
            return dict(wanted)
        exact = _is_exact(path)
        spelled = {key.casefold(): key for key in found}
        result = {key: value for key, value in found.items() if not _is_note(key, path)}
        for key, value in wanted.items():
            as_found = key if exact else spelled.get(key.casefold(), key)
            result[as_found] = merged(value, found.get(as_found), rules, _join(path, key))
        return result
    if isinstance(wanted, list) and isinstance(found, list):
        return _merged_lists(wanted, found, rules, path)
    # What is as wanted stays as it is spelled there; a newer version is not downgraded.
    return found if found is not None and same(wanted, found, path) else wanted


def _merged_lists(wanted: list[Json], found: list[Json], rules: Rules, path: str) -> list[Json]:
    by_name = {str(name).casefold(): item for item in found if (name := _name_of(item)) is not None}
    result = []
    for item in wanted:
        name = _name_of(item)
        there = None if name is None else by_name.pop(str(name).casefold(), None)
        result.append(merged(item, there, rules, f"{path}[{name}]"))
    return [*result, *by_name.values()] if path in rules.open_lists else result


def _name_of(item: Json) -> Any:
    """What tells an item of a list from the others: its name, else its id."""
    if not isinstance(item, Mapping):
        return None
    return item.get("name") or item.get("id")


def _is_note(key: str, path: str) -> bool:
    # Of items in lists, name and id say which item it is.
    name = key.casefold()
    return name in _NOTES and not (path.endswith("]") and name in {"id", "name"})


def _is_exact(path: str) -> bool:
    return any(re.split(r"[\[.]", part)[0] in _EXACT for part in path.split("."))


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _form(value: Json, path: str) -> Json:
    if isinstance(value, str):
        return value if _is_exact(path) else value.casefold()
    return value


def _sorted(values: Sequence[Json], path: str) -> list[str]:
    return sorted(str(_form(value, path)) for value in values)


def _has_version(wanted: str, found: str) -> bool:
    """Whether a cluster of version `found` satisfies `wanted`; nothing is ever downgraded."""
    try:
        least = [int(part) for part in wanted.split(".")]
        there = [int(part) for part in found.split(".")]
    except ValueError:
        return wanted == found
    return there[: len(least)] >= least
