"""What a table looks like on a terminal."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType


def printed(shown: RenderableType) -> str:
    """The text of a table."""
    out = io.StringIO()
    Console(file=out, width=260, color_system=None).print(shown)
    return out.getvalue()
