"""What `elastron send` does: which scan goes where, one after the other or several at once."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elastron.cli.console import print_json
from elastron.cli.receiving import Report, Target, attempt, receive
from elastron.cli.settings import ClientSettings
from elastron.cli.transfer_display import Bar, Display
from elastron.client import Address, Client, Compression, parse_address
from elastron.client import Progress as SendProgress
from elastron.client.client import Config

if TYPE_CHECKING:
    from elastron.access.tunnel import Tunnel


@dataclass(frozen=True, slots=True)
class Order:
    """What to send where; see the options of `elastron send`."""

    scans: Sequence[str]
    client: ClientSettings
    port: int | None
    config_file: Path | None
    output: str
    group: str
    output_group: str | None
    parallel: int
    compression: Compression | None
    detach: bool = False

    @property
    def address(self) -> Address:
        """Of the server; the port's own option wins."""
        try:
            address = parse_address(self.client.address)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--address") from error
        return address if self.port is None else address._replace(port=self.port)


@dataclass(frozen=True, slots=True)
class _Job:
    scan: Path
    output: Path
    output_group: str | None


def send_scans(order: Order, *, json: bool, quiet: bool) -> bool:
    """Send them all; True if every one went well.

    Raises:
        ElastronError: there is no way to the server through the tunnel.
    """
    if order.client.via is None:
        return _send_to(order.address, order, json=json, quiet=quiet)
    from elastron.cli.via import opened, plan  # noqa: PLC0415 - seldom, and slow

    named = order.port is not None or "address" in order.client.model_fields_set
    with opened(plan(order.client.via, str(order.address) if named else None)) as tunnel:
        return _send_to(Address(*tunnel.address), order, json=json, quiet=quiet, tunnel=tunnel)


def _send_to(
    address: Address, order: Order, *, json: bool, quiet: bool, tunnel: Tunnel | None = None
) -> bool:
    jobs = _jobs(order)
    client = Client(
        *address,
        connect_timeout=order.client.connect_timeout_s,
        timeout=order.client.timeout_s,
    )
    display = Display(shown=not (json or quiet), quiet=quiet)

    def send(job: _Job) -> Report:
        report = _send(client, order, job, display)
        problem = None if tunnel is None or report.ok else tunnel.problem
        if problem is not None and not any(problem.text in each for each in report.errors):
            report.errors.append(f"the tunnel: {problem.text}")
        display.done(report)
        return report

    with display:
        if len(jobs) == 1 or order.parallel == 1:
            reports = [send(job) for job in jobs]
        else:
            with ThreadPoolExecutor(order.parallel) as pool:
                reports = list(pool.map(send, jobs))
    ok = all(report.ok for report in reports)
    if json:
        server = order.client.via or str(client.address)
        print_json({"ok": ok, "server": server, "scans": [asdict(r) for r in reports]})
        return ok
    for report in reports:
        if report.ticket is not None:
            typer.echo(report.ticket)
    if len(jobs) > 1 and not quiet:
        display.total(reports)
    return ok


def _jobs(order: Order) -> list[_Job]:
    scans = [path for pattern in order.scans for path in _matches(pattern)]
    output = Path(order.output)
    if order.output.endswith(("/", os.sep)) or output.is_dir():
        output.mkdir(parents=True, exist_ok=True)
        names = _unique([scan.stem for scan in scans])
        return [
            _Job(scan, output / f"{name}.h5", order.output_group)
            for scan, name in zip(scans, names, strict=True)
        ]
    if len(scans) == 1:
        return [_Job(scans[0], output, order.output_group)]
    if order.output_group is not None:
        raise typer.BadParameter(
            "one group cannot hold several scans: give a folder (-o images/), or leave -G out",
            param_hint="-G",
        )
    names = _unique([scan.stem for scan in scans])
    return [_Job(scan, output, name) for scan, name in zip(scans, names, strict=True)]


def _matches(pattern: str) -> list[Path]:
    if os.path.exists(pattern) or not glob.has_magic(pattern):
        return [Path(pattern)]
    found = sorted(Path(name) for name in glob.glob(pattern, recursive=True))
    if not found:
        raise typer.BadParameter(f"no file matches {pattern!r}", param_hint="SCAN")
    return found


def _unique(names: Sequence[str]) -> list[str]:
    """The same names, later ones of a kind numbered."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique


def _send(client: Client, order: Order, job: _Job, display: Display) -> Report:
    config: Config = order.config_file or order.client.config
    with display.bar(job.scan.name) as bar:
        if order.detach:
            report = _leave(client, order, job, config, bar)
        else:
            report = receive(
                Target(str(job.scan), job.output, job.output_group, job.scan.stem),
                lambda hooks: client.send(
                    job.scan,
                    config,
                    group=order.group,
                    compression=order.compression,
                    on_image=hooks.on_image,
                    on_progress=bar.progress,
                    on_other=hooks.on_other,
                ),
                bar.image,
            )
    return report


def _leave(client: Client, order: Order, job: _Job, config: Config, bar: Bar) -> Report:
    """Send a scan and leave; the report has the ticket, if only the scan is there."""
    report = Report(str(job.scan))
    started = time.monotonic()
    latest: list[SendProgress] = []

    def on_progress(progress: SendProgress) -> None:
        latest[:] = [progress]
        bar.progress(progress)

    def leave() -> None:
        ticket = client.detach(
            job.scan,
            config,
            group=order.group,
            compression=order.compression,
            on_progress=on_progress,
        )
        report.session, report.ticket = ticket.session, ticket.ticket

    attempt(report, leave)
    report.seconds = round(time.monotonic() - started, 6)
    report.bytes_sent = latest[0].bytes_sent if latest else 0
    return report
