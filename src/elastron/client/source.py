"""What to send: a file, an open dataset, or arrays from elsewhere."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ismrmrd.xsd import ismrmrdHeader

from elastron.client.read_ahead import ReadAhead
from elastron.errors import DataError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.dataset import Dataset
from elastron.mrd.header import serialize_header
from elastron.mrd.waveform import Waveform

#: A batch read from a file and sent at once. Smaller than what is read for a reconstruction in
#: process: a slow server makes us hold four of them.
BATCH_BYTES = 4 << 20

ScanItems = Iterable[AcquisitionBatch | Waveform]

#: What `Client.send` takes: the path of an ISMRMRD file, an open dataset, or a header (XML or
#: parsed) with the readouts and waveforms in the order in which they are to be sent.
ScanSource = str | os.PathLike[str] | Dataset | tuple[bytes | str | ismrmrdHeader, ScanItems]


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan ready to be sent once.

    Attributes:
        header_xml: the MRD header.
        items: readouts and waveforms in wire order.
        readouts: how many there are; None where not known.
    """

    header_xml: bytes
    items: Iterator[AcquisitionBatch | Waveform]
    readouts: int | None


@contextlib.contextmanager
def open_scan(source: ScanSource, group: str = "dataset") -> Iterator[Scan]:
    """Open a source; files are closed at the end.

    Args:
        source: see `ScanSource`.
        group: of the file, where a path is given.

    Raises:
        DataError: the file cannot be read, or `source` is none of the kinds.
    """
    if isinstance(source, tuple):
        header, items = source
        yield Scan(_header_xml(header), iter(items), None)
    elif isinstance(source, Dataset):
        header_xml, readouts = source.header_xml, source.acquisition_count
        with ReadAhead(source.items(BATCH_BYTES)) as items:
            yield Scan(header_xml, iter(items), readouts)
    elif isinstance(source, str | os.PathLike):
        with Dataset(source, "r", group) as dataset, open_scan(dataset) as scan:
            yield scan
    else:
        raise DataError(
            f"A {type(source).__name__} cannot be sent: give the path of an ISMRMRD file, a "
            "Dataset, or a tuple of header and batches."
        )


def _header_xml(header: bytes | str | ismrmrdHeader) -> bytes:
    if isinstance(header, ismrmrdHeader):
        return serialize_header(header)
    return header.encode() if isinstance(header, str) else bytes(header)
