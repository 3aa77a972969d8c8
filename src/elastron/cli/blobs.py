"""Tables of blobs, for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from rich.table import Table
from rich.text import Text

from elastron.cli.console import as_bytes

_PLAIN = ("subject", "device", "session", "name", "contentType")
_TIMES = ("lastModified", "expires")
_LINKS = ("location", "data")


def blob_table(items: list[dict[str, Any]], sizes: list[int | None]) -> Table:
    """One line a blob: what it is, whose, how old, how large, until when."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (
        ("Name", "left"),
        ("Age", "right"),
        ("Size", "right"),
        ("Expires in", "right"),
        ("Device", "left"),
        ("Tags", "left"),
        ("Id", "left"),
    ):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    now = datetime.now(UTC)
    for item, size in zip(items, sizes, strict=True):
        table.add_row(
            Text(item.get("name", "-"), style="bold"),
            span(now - _time(item["lastModified"])),
            "?" if size is None else as_bytes(size),
            span(_time(item["expires"]) - now) if "expires" in item else "never",
            Text(item.get("device", "-")),
            Text(_tags(item)),
            Text(blob_id(item)),
        )
    return table


def blob_details(item: dict[str, Any], size: int | None) -> Table:
    """All fields of one blob, one a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    now = datetime.now(UTC)
    table.add_row("id", Text(blob_id(item)))
    for field in _PLAIN:
        if field in item:
            table.add_row(field, Text(item[field]))
    table.add_row("size", "?" if size is None else f"{as_bytes(size)} ({size} bytes)")
    table.add_row(
        "stored", f"{item['lastModified']} ({span(now - _time(item['lastModified']))} ago)"
    )
    if "expires" in item:
        table.add_row("expires", f"{item['expires']} (in {span(_time(item['expires']) - now)})")
    for name, values in _custom(item):
        table.add_row(f"tag {name}", Text(", ".join(values)))
    return table


def blob_id(item: dict[str, Any]) -> str:
    """The id that `show` and `rm` take."""
    return unquote(urlsplit(item["location"]).path.rpartition("/")[2])


def span(duration: Any) -> str:
    """A time span for people, in its two largest units: `3 d 4 h`, `12 min`, `8 s`."""
    seconds = max(0, round(duration.total_seconds()))
    for length, unit, smaller, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= length:
            rest = seconds % length // smaller
            whole = f"{seconds // length} {unit}"
            return f"{whole} {rest} {small_unit}" if rest else whole
    return f"{seconds} s"


def _custom(item: dict[str, Any]) -> list[tuple[str, list[str]]]:
    known = {*_PLAIN, *_TIMES, *_LINKS}
    return [
        (name, value if isinstance(value, list) else [value])
        for name, value in sorted(item.items())
        if name not in known
    ]


def _tags(item: dict[str, Any]) -> str:
    pairs = [f"{name}={','.join(values)}" for name, values in _custom(item)]
    if "session" in item:
        pairs.insert(0, f"session={item['session']}")
    return " ".join(pairs) or "-"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
