"""What `elastron archive` and `elastron resend` do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from elastron.cli.console import (
    as_bytes,
    as_seconds,
    counted,
    print_json,
    show_remark,
    stderr,
    stdout,
)
from elastron.cli.gateway_admin import GatewayAdmin, admin_url
from elastron.cli.receiving import Target, receive
from elastron.cli.settings import ClientSettings
from elastron.cli.transfer_display import Display
from elastron.client import Client, RecordedScan, parse_address
from elastron.client.client import Config
from elastron.errors import DataError
from elastron.gateway.archive_folder import SCAN, ArchiveFolder, Entry

_DAY_S = 86400.0


def list_scans(folder: Path | None, client: ClientSettings, *, json: bool) -> None:
    """Print what an archive holds: that in a folder, or a gateway's."""
    if folder is None:
        with GatewayAdmin(admin_url(client)) as gateway:
            told = gateway.get("/archive")
    else:
        entries = ArchiveFolder(folder).entries()
        told = {
            "folder": str(folder.absolute()),
            "bytes": sum(entry.bytes for entry in entries),
            "scans": len(entries),
            "archive": [entry.describe() for entry in entries],
        }
    if json:
        print_json(told)
        return
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("id", "config", "outcome", "images", "size", "took"):
        table.add_column(name, justify="right" if name in ("images", "size", "took") else "left")
    for scan in told["archive"]:
        table.add_row(*_row(scan))
    if told["archive"]:
        stdout().print(table)
    words = f"{counted(told['scans'], 'scan')}, {as_bytes(told['bytes'])} in {told['folder']}"
    stderr().print(Text(words, "dim"), soft_wrap=True)


def _row(scan: Mapping[str, Any]) -> list[Text]:
    outcome = str(scan.get("outcome", "?"))
    seconds, images = scan.get("seconds"), scan.get("images")
    return [
        Text(str(scan["id"]), "bold"),
        Text(str(scan.get("config", "?"))),
        Text(outcome, "green" if outcome == "ok" else "red"),
        Text("" if images is None else str(images)),
        Text(as_bytes(scan["bytes"])),
        Text("" if seconds is None else as_seconds(seconds)),
    ]


def remove_scans(
    ids: Sequence[str],
    folder: Path | None,
    client: ClientSettings,
    *,
    older_than_days: float | None,
) -> None:
    """Delete some scans, those older than so many days, or (neither given) all."""
    archive = ArchiveFolder(_folder(folder, client))
    if ids:
        chosen = [archive.find(each).name for each in ids]  # all are there before one goes
    else:
        before = time.time() - (older_than_days or 0) * _DAY_S
        chosen = [each.name for each in archive.entries(meta=False) if _older(each, before)]
    for name in chosen:
        archive.remove(name)
    stderr().print(f"{counted(len(chosen), 'scan')} deleted", highlight=False)


def _older(entry: Entry, before: float) -> bool:
    return entry.time <= before


def _folder(folder: Path | None, client: ClientSettings) -> Path:
    if folder is not None:
        return folder
    url = admin_url(client)
    with GatewayAdmin(url) as gateway:
        path = Path(str(gateway.get("/archive")["folder"]))
    if not path.is_dir():
        raise DataError(
            f"The archive of the gateway at {url} is {path}, which is not on this machine, or not "
            "yours to read. Run this there, or name the folder with --folder."
        )
    return path


def find_scan(scan: str, folder: Path | None, client: ClientSettings) -> tuple[str, Path]:
    """Name and file of a recorded scan.

    Args:
        scan: its ID, its folder, or its file.
        folder: the archive; None asks the gateway where it is.
        client: says which gateway.

    Raises:
        DataError: there is none.
    """
    path = Path(scan)
    if path.is_dir() and (path / SCAN).is_file():
        return path.absolute().name, path / SCAN
    if path.is_file():
        return path.stem, path
    if path.exists() or path.name != scan:
        raise DataError(f"There is no recorded scan at {scan}: neither a file nor an entry.")
    entry = ArchiveFolder(_folder(folder, client)).find(scan)
    return entry.name, entry.path / SCAN


def resend_scan(
    client: ClientSettings,
    path: Path,
    target: Target,
    config: Config | None,
    *,
    json: bool,
    quiet: bool,
) -> bool:
    """Send a recorded scan once more; True if all went well."""
    try:
        address = parse_address(client.address)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--address") from error
    recorded = RecordedScan.open(path)
    if not recorded.complete and not (json or quiet):
        show_remark(f"The scan was cut off; its first {recorded.readouts} readouts are sent.")
    server = Client(*address, connect_timeout=client.connect_timeout_s, timeout=client.timeout_s)
    display = Display(shown=not (json or quiet), quiet=quiet)
    with display, display.bar(target.scan) as bar:
        report = receive(
            target,
            lambda hooks: server.resend(
                recorded,
                config,
                on_image=hooks.on_image,
                on_progress=bar.progress,
                on_other=hooks.on_other,
            ),
            bar.image,
        )
        display.done(report)
    if json:
        facts = {"complete": recorded.complete, "readouts": recorded.readouts}
        print_json({"server": str(address), **asdict(report), **facts})
    return report.ok
