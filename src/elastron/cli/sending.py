"""What `elastron send` does: jobs, progress bars, a line for each scan."""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import typer
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

from elastron.cli.console import (
    as_bytes,
    as_seconds,
    counted,
    print_json,
    show_error,
    show_remark,
    stderr,
)
from elastron.cli.settings import ClientSettings
from elastron.client import (
    Address,
    Client,
    Compression,
    ImageFile,
    UnfinishedScanError,
    parse_address,
)
from elastron.client import Progress as SendProgress
from elastron.client.client import Config
from elastron.errors import ElastronError
from elastron.mrd.image import Image
from elastron.wire.messages import DependencyQuery, DicomWithName, Message


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

    @property
    def address(self) -> Address:
        """Of the server; the port's own option wins."""
        try:
            address = parse_address(self.client.address)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--address") from error
        return address if self.port is None else address._replace(port=self.port)


@dataclass(slots=True)
class Report:
    """What became of one scan; printed as JSON field by field."""

    scan: str
    ok: bool = False
    output: str | None = None
    group: str | None = None
    images: int = 0
    series: dict[str, int] = field(default_factory=dict)
    dicom_files: list[str] = field(default_factory=list)
    dependencies: list[dict[str, list[str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    errors_from: str | None = None
    seconds: float | None = None
    first_image_seconds: float | None = None
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass(frozen=True, slots=True)
class _Job:
    scan: Path
    output: Path
    output_group: str | None


def send_scans(order: Order, *, json: bool, quiet: bool) -> bool:
    """Send them all; True if every one went well."""
    jobs = _jobs(order)
    client = Client(
        *order.address,
        connect_timeout=order.client.connect_timeout_s,
        timeout=order.client.timeout_s,
    )
    display = _Display(shown=not (json or quiet), quiet=quiet)
    with display:
        if len(jobs) == 1 or order.parallel == 1:
            reports = [_send(client, order, job, display) for job in jobs]
        else:
            with ThreadPoolExecutor(order.parallel) as pool:
                reports = list(pool.map(lambda job: _send(client, order, job, display), jobs))
    ok = all(report.ok for report in reports)
    if json:
        print_json({"ok": ok, "server": str(client.address), "scans": [asdict(r) for r in reports]})
    elif len(jobs) > 1 and not quiet:
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


def _send(client: Client, order: Order, job: _Job, display: _Display) -> Report:
    config: Config = order.config_file or order.client.config
    report = Report(str(job.scan))
    with ImageFile(job.output, job.output_group) as file, display.bar(job.scan.name) as bar:

        def on_image(image: Image) -> None:
            file.append(image)
            bar.image()

        def on_other(message: Message) -> None:
            _keep(message, job, report)

        try:
            result = client.send(
                job.scan,
                config,
                group=order.group,
                compression=order.compression,
                on_image=on_image,
                on_progress=bar.progress,
                on_other=on_other,
            )
            report.ok = True
        except UnfinishedScanError as error:
            result = error.result
            report.errors = list(result.errors) or [str(error)]
            report.errors_from = "server" if result.errors else "client"
        except (ElastronError, OSError) as error:
            result = None
            report.errors = [str(error)]
            report.errors_from = "client"
        report.series = dict(file.counts)
        report.images = sum(file.counts.values())
        if file.counts:
            report.output, report.group = str(job.output), file.group
    if result is not None:
        report.texts = list(result.texts)
        report.seconds = round(result.seconds, 6)
        report.first_image_seconds = result.first_image_seconds
        report.bytes_sent = result.bytes_sent
        report.bytes_received = result.bytes_received
    display.done(report)
    return report


def _keep(message: Message, job: _Job, report: Report) -> None:
    """DICOM files go beside the images, under a name of ours; answers into the report."""
    if isinstance(message, DicomWithName):
        number = len(report.dicom_files)
        path = job.output.with_name(f"{job.output.stem}_{job.scan.stem}_{number:06d}.dcm")
        path.write_bytes(message.dicom)
        report.dicom_files.append(str(path))
    elif isinstance(message, DependencyQuery):
        values = {name: [str(v) for v in many] for name, many in message.meta.items()}
        report.dependencies.append(values)


class _Bar:
    """One scan's progress bar; its calls come from two threads."""

    def __init__(self, progress: Progress | None, name: str) -> None:
        self._progress = progress
        self._images = 0
        self._task: TaskID | None = None
        if progress is not None:
            self._task = progress.add_task(name, total=None, images=0, latest=None)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)

    def progress(self, latest: SendProgress) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(
                self._task,
                total=latest.bytes_total,
                completed=latest.bytes_sent,
                latest=latest,
            )

    def image(self) -> None:
        self._images += 1
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, images=self._images)


class _StateColumn(ProgressColumn):
    """Rate and time left while sending; what is waited for afterwards."""

    def render(self, task: Task) -> Text:
        latest: SendProgress | None = task.fields["latest"]
        images: int = task.fields["images"]
        words = [counted(images, "image")] if images else []
        if latest is None:
            words.insert(0, "connecting")
        elif latest.finished:
            words[:0] = [f"{as_bytes(latest.bytes_sent)} sent", "reconstructing"]
        else:
            words[:0] = [as_bytes(latest.bytes_sent), f"{as_bytes(latest.rate)}/s"]
            if latest.seconds_left is not None:
                words.insert(2, f"{as_seconds(latest.seconds_left)} left")
        return Text(" · ".join(words), style="cyan")


class _Display:
    """Bars while scans run, a line when each is done."""

    def __init__(self, *, shown: bool, quiet: bool) -> None:
        self._shown = shown
        self._quiet = quiet
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        if shown and stderr().is_terminal:
            self._progress = Progress(
                SpinnerColumn(style="cyan"),
                TextColumn("{task.description}", style="bold"),
                BarColumn(bar_width=28, complete_style="cyan", finished_style="green"),
                _StateColumn(),
                console=stderr(),
                transient=True,
            )

    def __enter__(self) -> _Display:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def bar(self, name: str) -> _Bar:
        return _Bar(self._progress, name)

    def done(self, report: Report) -> None:
        with self._lock:
            if self._shown:
                self._show(report)
            elif self._quiet:
                for error in report.errors:
                    show_error(error, Path(report.scan).name)

    def _show(self, report: Report) -> None:
        mark = ("✓ ", "bold green") if report.ok else ("✗ ", "bold red")
        line = Text.assemble(mark, (Path(report.scan).name, "bold"))
        line.append(f"  {counted(report.images, 'image')}")
        if report.series:
            line.append(f" in {', '.join(report.series)}", style="dim")
        if report.seconds is not None:
            line.append(f"  {as_seconds(report.seconds)}")
            rate = report.bytes_sent / max(report.seconds, 1e-9)
            line.append(f"  {as_bytes(report.bytes_sent)} at {as_bytes(rate)}/s", style="dim")
        if report.output is not None:
            line.append("  → ", style="dim")
            line.append(report.output)
            line.append(f" [{report.group}]", style="dim")
        stderr().print(line, soft_wrap=True)
        for path in report.dicom_files:
            stderr().print(Text(f"  DICOM → {path}"), soft_wrap=True)
        for values in report.dependencies:
            words = ", ".join(f"{name} {' '.join(many)}" for name, many in values.items())
            stderr().print(Text(f"  {words}"), soft_wrap=True)
        for text in report.texts:
            show_remark(f"  {text}")
        for error in report.errors:
            show_error(error, "  server" if report.errors_from == "server" else "  error")

    def total(self, reports: Sequence[Report]) -> None:
        """A line over all scans."""
        failed = sum(not report.ok for report in reports)
        images = sum(report.images for report in reports)
        line = Text(f"{counted(len(reports), 'scan')}, {counted(images, 'image')}")
        line.append(f", {failed} failed" if failed else ", all well", "red" if failed else "green")
        stderr().print(line)
