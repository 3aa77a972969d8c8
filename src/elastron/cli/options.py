"""Options that commands of several kinds share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

SettingsFile = Annotated[
    Path | None, typer.Option(help="Settings file (TOML or YAML).", exists=True)
]
LogFormat = Annotated[
    Literal["auto", "console", "json"] | None, typer.Option(help="How log lines look.")
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"] | None,
    typer.Option(help="Least level that is logged."),
]
GatewayAdmin = Annotated[
    str | None,
    typer.Option(
        "--gateway",
        "-g",
        help="HOST:PORT or URL of the gateway's admin server [this machine's].",
    ),
]
ArchiveFolder = Annotated[
    Path | None,
    typer.Option(help="The archive [asked of the gateway].", exists=True, file_okay=False),
]
OutputFile = Annotated[
    Path, typer.Option("--output", "-o", help="HDF5 file for the images, appended to.")
]
OutputGroup = Annotated[
    str | None,
    typer.Option("--output-group", "-G", help="Group for the images [date and time]."),
]
Json = Annotated[bool, typer.Option("--json", help="Print what came as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary; errors only.")]
