"""How transfers of scans look: bars while they run, a line when each is done."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

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
    show_error,
    show_remark,
    stderr,
)
from elastron.cli.receiving import Report
from elastron.client import Progress as SendProgress


class Bar:
    """One scan's progress bar; its calls may come from two threads."""

    def __init__(self, progress: Progress | None, name: str) -> None:
        self._progress = progress
        self._images = 0
        self._task: TaskID | None = None
        if progress is not None:
            self._task = progress.add_task(
                name, total=None, images=0, latest=None, words="connecting"
            )

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)

    def progress(self, latest: SendProgress) -> None:
        """So much was sent."""
        if self._progress is not None and self._task is not None:
            self._progress.update(
                self._task,
                total=latest.bytes_total,
                completed=latest.bytes_sent,
                latest=latest,
            )

    def received(self, count: int, total: int | None) -> None:
        """So many bytes of so many came."""
        if self._progress is not None and self._task is not None:
            words = f"{as_bytes(count)} received"
            self._progress.update(self._task, total=total, completed=count, words=words)

    def say(self, words: str) -> None:
        """What is waited for."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, words=words)

    def image(self) -> None:
        """One more image came."""
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
            words.insert(0, task.fields["words"])
        elif latest.finished:
            words[:0] = [f"{as_bytes(latest.bytes_sent)} sent", "reconstructing"]
        else:
            words[:0] = [as_bytes(latest.bytes_sent), f"{as_bytes(latest.rate)}/s"]
            if latest.seconds_left is not None:
                words.insert(2, f"{as_seconds(latest.seconds_left)} left")
        return Text(" · ".join(words), style="cyan")


class Display:
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

    def __enter__(self) -> Display:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def bar(self, name: str) -> Bar:
        """A bar for one scan."""
        return Bar(self._progress, name)

    def done(self, report: Report) -> None:
        """One scan's end."""
        with self._lock:
            if self._shown:
                self._show(report)
            elif self._quiet:
                for error in report.errors:
                    show_error(error, Path(report.scan).name)

    def _show(self, report: Report) -> None:
        mark = ("✓ ", "bold green") if report.ok else ("✗ ", "bold red")
        line = Text.assemble(mark, (Path(report.scan).name, "bold"))
        if report.ticket is not None:
            line.append("  left with the gateway")
        else:
            line.append(f"  {counted(report.images, 'image')}")
        if report.series:
            line.append(f" in {', '.join(report.series)}", style="dim")
        if report.seconds is not None:
            line.append(f"  {as_seconds(report.seconds)}")
            rate = report.bytes_sent / max(report.seconds, 1e-9)
            if report.bytes_sent:
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
