"""Taking what comes back of a scan: images into a file, everything else into a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from elastron.client import ImageFile, Result, UnfinishedScanError
from elastron.errors import ElastronError
from elastron.mrd.image import Image
from elastron.wire.messages import DependencyQuery, DicomWithName, Message


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
    session: str | None = None
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where what comes back of a scan goes.

    Attributes:
        scan: its name, in reports.
        output: HDF5 file for the images; DICOM files go beside it.
        group: in that file; None: date and time.
        dicom_name: what DICOM files are named after.
    """

    scan: str
    output: Path
    group: str | None
    dicom_name: str


@dataclass(frozen=True, slots=True)
class Hooks:
    """What `Client.send` and its like are to call."""

    on_image: Callable[[Image], None]
    on_other: Callable[[Message], None]


def receive(
    target: Target, exchange: Callable[[Hooks], Result], on_image: Callable[[], None]
) -> Report:
    """Carry out an exchange and keep what comes; errors are in the report.

    Args:
        target: where to.
        exchange: sends or fetches.
        on_image: called after each image that was written.
    """
    report = Report(target.scan)
    with ImageFile(target.output, target.group) as file:

        def image(image: Image) -> None:
            file.append(image)
            on_image()

        def other(message: Message) -> None:
            _keep(message, target, report)

        result = attempt(report, lambda: exchange(Hooks(image, other)))
        report.series = dict(file.counts)
        report.images = sum(file.counts.values())
        if file.counts:
            report.output, report.group = str(target.output), file.group
    if result is not None:
        report.texts = list(result.texts)
        report.seconds = round(result.seconds, 6)
        report.first_image_seconds = result.first_image_seconds
        report.bytes_sent = result.bytes_sent
        report.bytes_received = result.bytes_received
    return report


def attempt(report: Report, exchange: Callable[[], Result | None]) -> Result | None:
    """Carry out an exchange; the report is told whether it went well, and of errors."""
    try:
        result = exchange()
    except UnfinishedScanError as error:
        result = error.result
        report.errors = list(result.errors) or [str(error)]
        report.errors_from = "server" if result.errors else "client"
    except (ElastronError, OSError) as error:
        result = None
        report.errors = [str(error)]
        report.errors_from = "client"
    else:
        report.ok = True
    return result


def _keep(message: Message, target: Target, report: Report) -> None:
    """DICOM files go beside the images, under a name of ours; answers into the report."""
    if isinstance(message, DicomWithName):
        number = len(report.dicom_files)
        path = target.output.with_name(f"{target.output.stem}_{target.dicom_name}_{number:06d}.dcm")
        path.write_bytes(message.dicom)
        report.dicom_files.append(str(path))
    elif isinstance(message, DependencyQuery):
        values = {name: [str(v) for v in many] for name, many in message.meta.items()}
        report.dependencies.append(values)
