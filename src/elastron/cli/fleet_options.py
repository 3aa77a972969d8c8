"""Options of the commands for a running fleet, and finding it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elastron.errors import ConfigError

if TYPE_CHECKING:
    from elastron.fleet.local.state import Running

Name = Annotated[str, typer.Option(help="Name of the fleet, as given to `elastron up`.")]
State = Annotated[
    Path | None,
    typer.Option(help="Its state folder, if `elastron up` was given one.", file_okay=False),
]


def running_fleet(name: str, state: Path | None) -> Running:
    """The fleet that is meant.

    Raises:
        ConfigError: it is not up.
    """
    from elastron.fleet.local.state import find_running, state_path  # noqa: PLC0415

    running = find_running(name, state)
    if running is None:
        raise ConfigError(
            f"No fleet is up in {state_path(name, state)}. Start one with `elastron up`, or name "
            "the one you mean with --name or --state."
        )
    return running
