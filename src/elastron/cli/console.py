"""How the commands speak: results on stdout, everything else on stderr."""

from __future__ import annotations

import functools
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


@functools.cache
def stdout() -> Console:
    """For results."""
    from rich.console import Console  # noqa: PLC0415  - rich is slow to import

    return Console(highlight=False)


@functools.cache
def stderr() -> Console:
    """For progress, remarks and errors."""
    from rich.console import Console  # noqa: PLC0415  - rich is slow to import

    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout, for scripts."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")
    sys.stdout.flush()


def show_error(message: str, label: str = "error") -> None:
    """An error, red where there is colour; lines after the first are indented."""
    from rich.text import Text  # noqa: PLC0415  - rich is slow to import

    text = Text(f"{label}: ", style="bold red")
    text.append(message.strip().replace("\n", "\n  "), style="not bold red")
    stderr().print(text, soft_wrap=True)


def show_remark(message: str) -> None:
    """Something worth knowing that is no error."""
    from rich.text import Text  # noqa: PLC0415  - rich is slow to import

    stderr().print(Text(message, style="yellow"), soft_wrap=True)


def as_bytes(count: float) -> str:
    """Bytes for people, in powers of 1000: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def as_seconds(seconds: float) -> str:
    """A duration for people: `0.42 s`, `12 s`, `3:05`, `1:02:30`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def counted(count: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
