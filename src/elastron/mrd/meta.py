"""Attributes of an image: the ISMRMRD meta container, and its XML."""

from __future__ import annotations

from collections.abc import Iterable

MetaValue = str | int | float


class Meta(dict[str, list[MetaValue]]):
    """Name -> list of values; order of insertion is kept, XML is written sorted by name.

    Values read from XML are strings; `float()` or `int()` them where a number is meant.
    """

    def put(self, name: str, *values: MetaValue) -> None:
        """Replace the values of `name`."""
        self[name] = list(values)

    def add(self, name: str, *values: MetaValue) -> None:
        """Append to the values of `name`."""
        self.setdefault(name, []).extend(values)

    def first(self, name: str, default: MetaValue | None = None) -> MetaValue | None:
        """The first value of `name`, or `default`."""
        values: Iterable[MetaValue] = self.get(name, ())
        return next(iter(values), default)

    def copy(self) -> Meta:
        """A copy that shares no list with this one."""
        return Meta({name: list(values) for name, values in self.items()})
