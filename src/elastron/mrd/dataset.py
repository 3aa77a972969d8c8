"""ISMRMRD HDF5 files: raw data in bulk, and images.

A group (usually `dataset`) holds `xml` (the header), `data` (acquisitions) and `waveforms`;
images lie in groups of their own, `image_<series>/{header,data,attributes}`. Readouts are rows
of variable length, which HDF5 hands out one by one; here thousands are fetched in one call and
stacked into batches of equal shape.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal, Self

import h5py
import numpy as np
from ismrmrd.xsd import ismrmrdHeader

from elastron.errors import DataError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.header import HEADER_BYTES_MAX, parse_header
from elastron.mrd.image import IMAGE_HEADER, Image, image_header
from elastron.mrd.meta import Meta
from elastron.mrd.rows import (
    ACQUISITION_ROW,
    WAVEFORM_ROW,
    batches_from_rows,
    headers_of,
    row_from_waveform,
    rows_from_batch,
    waveforms_from_rows,
)
from elastron.mrd.waveform import Waveform

#: Bytes read at once: HDF5's cost per call is nothing beside it, and it is small beside a scan.
BATCH_BYTES = 16 << 20
#: Rows of the first read, while the size of a row is not known.
FIRST_ROWS = 64
#: Rows read at once at most: each costs some objects beside its samples.
ROWS_MAX = 8192
#: Rows a chunk of the tables we write; they read 1.5 times faster than with libismrmrd's 1.
CHUNK_ROWS = 64

Mode = Literal["r", "a", "w"]


class Dataset:
    """One group of an ISMRMRD HDF5 file.

    Not thread-safe. Use as a context manager, or call `close`.

    Args:
        path: of the file.
        mode: "r" reads, "a" appends (and creates), "w" begins anew.
        group: of the raw data, or of the image groups.

    Raises:
        DataError: no such file, not HDF5, no such group, or not laid out as ISMRMRD. All methods
            raise it, naming the file and what was expected.
    """

    def __init__(
        self, path: str | os.PathLike[str], mode: Mode = "r", group: str = "dataset"
    ) -> None:
        self.path = os.fspath(path)
        self.group = group.strip("/")
        if mode == "r" and not os.path.isfile(self.path):
            raise DataError(f"There is no file {self.path}.")
        with self._errors("an HDF5 file as ISMRMRD writes it"):
            self._file = h5py.File(self.path, mode)
        try:
            if mode == "r" and not isinstance(self._file.get(self.group), h5py.Group):
                found = ", ".join(repr(name) for name in list(self._file)[:10]) or "nothing"
                raise DataError(
                    f"{self.path} has no group {self.group!r}; it holds {found}. Name the group "
                    "of the ISMRMRD dataset."
                )
            self._root: h5py.Group = self._file.require_group(self.group)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    # Reading

    @property
    def header_xml(self) -> bytes:
        """The MRD header as it lies in the file."""
        with self._errors("a string dataset 'xml' with the MRD header"):
            xml = np.asarray(self._dataset("xml")[()]).reshape(-1)[0]
        if isinstance(xml, str):
            xml = xml.encode()
        if not isinstance(xml, bytes):
            raise DataError(f"{self._where('xml')} is not text; expected the MRD header.")
        if len(xml) > HEADER_BYTES_MAX:
            raise DataError(f"{self._where('xml')} is {len(xml)} bytes long.")
        return xml

    @property
    def header(self) -> ismrmrdHeader:
        """The MRD header, read anew each time.

        Raises:
            HeaderError: see `parse_header`.
        """
        return parse_header(self.header_xml)

    @property
    def acquisition_count(self) -> int:
        """Number of readouts."""
        return self._rows("data")

    @property
    def waveform_count(self) -> int:
        """Number of waveforms."""
        return self._rows("waveforms")

    def acquisition_batches(self, max_bytes: int = BATCH_BYTES) -> Iterator[AcquisitionBatch]:
        """All readouts in their order; a batch is a run of equal shape of about `max_bytes`."""
        for start, rows in self._table("data", ACQUISITION_ROW, max_bytes):
            with self._errors("acquisitions as ISMRMRD 1.x writes them"):
                batches = list(batches_from_rows(rows, start))
            yield from batches

    def waveforms(self, max_bytes: int = BATCH_BYTES) -> Iterator[Waveform]:
        """All waveforms in their order."""
        for start, rows in self._table("waveforms", WAVEFORM_ROW, max_bytes):
            with self._errors("waveforms as ISMRMRD 1.x writes them"):
                waveforms = waveforms_from_rows(rows, start)
            yield from waveforms

    def items(self, max_bytes: int = BATCH_BYTES) -> Iterator[AcquisitionBatch | Waveform]:
        """Readouts and waveforms in the order in which `gadgetron_ismrmrd_client` sends them.

        A waveform goes before the first readout with a later time stamp; neither kind is sorted.
        """
        waveforms = self.waveforms(max_bytes)
        waveform = next(waveforms, None)
        for batch in self.acquisition_batches(max_bytes):
            stamps = batch.headers["acquisition_time_stamp"]
            start = 0
            while waveform is not None:
                later = np.flatnonzero(stamps[start:] > waveform.header["time_stamp"])
                if not len(later):
                    break
                if later[0]:
                    yield batch.select(slice(start, start + int(later[0])))
                    start += int(later[0])
                yield waveform
                waveform = next(waveforms, None)
            yield batch.select(slice(start, None)) if start else batch
        if waveform is not None:
            yield waveform
            yield from waveforms

    def image_groups(self) -> list[str]:
        """Names of the groups that hold images, by series number where they have one."""
        names = [
            name
            for name, item in self._root.items()
            if isinstance(item, h5py.Group) and {"header", "data"} <= set(item)
        ]
        return sorted(names, key=_series_key)

    def image_count(self, group: str) -> int:
        """Number of images in one group."""
        return self._rows(f"{group}/header")

    def iter_images(self, group: str) -> Iterator[Image]:
        """The images of one group, read one by one."""
        with self._errors("images as ISMRMRD 1.x writes them"):
            headers = headers_of(self._dataset(f"{group}/header")[()].reshape(-1), IMAGE_HEADER)
            data = self._dataset(f"{group}/data")
            name = f"{group}/attributes"
            attributes = self._dataset(name) if name in self._root else None
            if data.ndim != 5 or len(data) != len(headers):
                raise DataError(f"{len(headers)} headers, but pixels of shape {data.shape}")
        for i in range(len(headers)):
            with self._errors("images as ISMRMRD 1.x writes them"):
                pixels = data[i]
                if pixels.dtype.names is not None:
                    pixels = pixels.view(f"<c{pixels.dtype.itemsize}")
                meta = Meta() if attributes is None else Meta.from_xml(attributes[i])
            yield Image(headers[i : i + 1].reshape(()), pixels, meta)

    def images(self) -> dict[str, list[Image]]:
        """All images, group by group."""
        return {group: list(self.iter_images(group)) for group in self.image_groups()}

    # Writing

    def write_header(self, xml: bytes) -> None:
        """Store the MRD header, in place of an earlier one."""
        with self._errors("to be written to"):
            table = self._root.require_dataset("xml", (1,), h5py.string_dtype("ascii"))
            table[0] = xml

    def append(self, item: AcquisitionBatch | Waveform) -> None:
        """Append readouts or a waveform; sizes in headers are set as the arrays have them."""
        if isinstance(item, Waveform):
            self._append("waveforms", row_from_waveform(item), CHUNK_ROWS)
        elif len(item):
            self._append("data", rows_from_batch(item), CHUNK_ROWS)

    def append_image(self, group: str, image: Image) -> str:
        """Append an image.

        Images of one group have one shape and type. One that differs goes to a group of its own,
        `<group>_2`, `<group>_3`, …, so that no image is lost.

        Args:
            group: `image_<series>` by the reference client's custom.
            image: any.

        Returns:
            The group it went to.
        """
        xml = image.meta.to_xml()
        header = image_header(image, len(xml))
        pixels = np.ascontiguousarray(image.data, image.data.dtype.newbyteorder("<"))
        if pixels.dtype.kind == "c":
            part = f"<f{pixels.dtype.itemsize // 2}"
            pixels = pixels.view([("real", part), ("imag", part)])
        name, number = group, 1
        while name in self._root and not self._fits(name, pixels):
            number += 1
            name = f"{group}_{number}"
        attributes = np.array([xml], h5py.string_dtype("ascii"))
        # The header last: what reads while we write, or after a crash, finds whole images.
        self._append(f"{name}/data", pixels[np.newaxis], 1)
        self._append(f"{name}/attributes", attributes, 1)
        self._append(f"{name}/header", header.reshape(1), 1)
        return name

    # Inside

    def _fits(self, group: str, pixels: np.ndarray) -> bool:
        data = self._root.get(f"{group}/data")
        return (
            isinstance(data, h5py.Dataset)
            and data.shape[1:] == pixels.shape
            and data.dtype == pixels.dtype
        )

    def _append(self, name: str, rows: np.ndarray, chunk_rows: int) -> None:
        with self._errors("to be written to"):
            if name not in self._root:
                self._root.create_dataset(
                    name,
                    data=rows,
                    dtype=rows.dtype,
                    maxshape=(None, *rows.shape[1:]),
                    chunks=(chunk_rows, *rows.shape[1:]),
                )
                return
            table = self._dataset(name)
            start = len(table)
            table.resize(start + len(rows), axis=0)
            table[start:] = rows

    def _dataset(self, name: str) -> h5py.Dataset:
        table = self._root.get(name)
        if not isinstance(table, h5py.Dataset):
            found = ", ".join(repr(key) for key in list(self._root)[:10]) or "nothing"
            raise DataError(f"there is no dataset {name!r}, but {found}")
        return table

    def _rows(self, name: str) -> int:
        if name not in self._root:
            return 0
        with self._errors(f"a table {name!r}"):
            table = self._dataset(name)
            if table.ndim != 1:
                raise DataError(f"{name!r} has {table.ndim} axes instead of 1")
            return len(table)

    def _table(self, name: str, row: np.dtype, max_bytes: int) -> Iterator[tuple[int, np.ndarray]]:
        """The rows of a table in pieces of about `max_bytes`, each with its first row's number."""
        count = self._rows(name)
        if not count:
            return
        with self._errors(f"a table {name!r} as ISMRMRD 1.x writes it"):
            table = self._dataset(name)
            missing = set(row.names or ()) - set(table.dtype.names or ())
            if missing:
                raise DataError(f"{name!r} has no column {', '.join(sorted(missing))}")
            for column in ("data", "traj"):
                if (
                    column in (row.names or ())
                    and h5py.check_vlen_dtype(table.dtype[column]) is None
                ):
                    raise DataError(f"column {column!r} of {name!r} is not of variable length")
        start, step = 0, FIRST_ROWS
        while start < count:
            with self._errors(f"readable rows in table {name!r}"):
                rows = table[start : start + step]
            yield start, rows
            start += len(rows)
            row_bytes = max(r.nbytes for r in rows["data"]) + rows.dtype.itemsize
            step = min(max(1, max_bytes // row_bytes), ROWS_MAX)

    def _where(self, name: str) -> str:
        return f"{self.path}:{self.group}/{name}"

    @contextlib.contextmanager
    def _errors(self, expected: str) -> Iterator[None]:
        """Every failure as a DataError that names the file and what was expected of it."""
        try:
            yield
        except (DataError, OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{self.path} (group {self.group!r}): expected {expected}; {error}"
            ) from error


def _series_key(name: str) -> tuple[int, str]:
    digits = name.removeprefix("image_").partition("_")[0]
    return (int(digits) if digits.isdigit() else 1 << 31, name)
