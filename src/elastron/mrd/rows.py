"""Rows of ISMRMRD HDF5 tables <-> MRD types.

One row is one readout or waveform: a header compound and arrays of variable length. Old versions
of libismrmrd wrote samples as {real, imag} compounds and one header name with a leading blank;
both are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from elastron.errors import DataError
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, written_headers
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform

ACQUISITION_ROW = np.dtype(
    [
        ("head", ACQUISITION_HEADER),
        ("traj", h5py.vlen_dtype(np.dtype("<f4"))),
        ("data", h5py.vlen_dtype(np.dtype("<f4"))),
    ]
)
WAVEFORM_ROW = np.dtype([("head", WAVEFORM_HEADER), ("data", h5py.vlen_dtype(np.dtype("<u4")))])


def headers_of(rows: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Header fields of a table in `dtype`, whatever their order, padding or byte order in the file.

    Raises:
        DataError: a field is missing or of another shape.
    """
    if rows.dtype == dtype:
        return np.ascontiguousarray(rows)
    headers = np.zeros(rows.shape, dtype)
    present = {name.strip(): name for name in rows.dtype.names or ()}
    for name in dtype.names or ():
        if name not in present:
            raise DataError(f"its header has no field {name!r}, which ISMRMRD 1.x has")
        column = rows[present[name]]
        if column.dtype.names is not None:
            column = headers_of(column, dtype[name])
        if headers[name].shape != column.shape:
            raise DataError(f"its header field {name!r} has another shape than in ISMRMRD 1.x")
        headers[name] = column
    return headers


def batches_from_rows(rows: np.ndarray, first: int) -> Iterator[AcquisitionBatch]:
    """Rows of the `data` table as batches of equal shape.

    Args:
        rows: as h5py reads them, shape (n,).
        first: number of the first row, for errors.

    Raises:
        DataError: a readout whose samples do not fit its header.
    """
    headers = headers_of(rows["head"], ACQUISITION_HEADER)
    samples = headers["number_of_samples"].astype(np.int64)
    channels = headers["active_channels"].astype(np.int64)
    dimensions = headers["trajectory_dimensions"].astype(np.int64)
    floats = 2 if rows["data"][0].dtype.itemsize == 4 else 1
    for name, expected in (
        ("data", samples * channels * floats),
        ("traj", samples * dimensions),
    ):
        found = np.fromiter(map(len, rows[name]), np.int64, len(rows))
        wrong = np.flatnonzero(found != expected)
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"acquisition {first + row} holds {found[row]} values in '{name}', its header "
                f"({samples[row]} samples, {channels[row]} channels, {dimensions[row]} trajectory "
                f"dimensions) says {expected[row]}"
            )
    shapes = np.stack([samples, channels, dimensions])
    cuts = np.flatnonzero((shapes[:, 1:] != shapes[:, :-1]).any(0)) + 1
    for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(rows)], strict=True):
        shape = (stop - start, int(channels[start]), int(samples[start]))
        trajectory = None
        if dimensions[start]:
            trajectory = _stack(rows["traj"][start:stop], "<f4").reshape(
                shape[0], shape[2], int(dimensions[start])
            )
        yield AcquisitionBatch(
            headers=headers[start:stop],
            data=_stack(rows["data"][start:stop], "<c8").reshape(shape),
            trajectory=trajectory,
        )


def _stack(column: np.ndarray, dtype: str) -> np.ndarray:
    values = np.concatenate(column.tolist())
    if values.dtype.kind == "f" and values.dtype.itemsize != 4:
        raise DataError("its samples are not 32-bit floats, which ISMRMRD 1.x has")
    return values.view(dtype)


def rows_from_batch(batch: AcquisitionBatch) -> np.ndarray:
    """A batch as rows of the `data` table, shape (n,)."""
    rows = np.empty(len(batch), ACQUISITION_ROW)
    rows["head"] = written_headers(batch)
    samples = np.ascontiguousarray(batch.data, "<c8").reshape(len(batch), -1).view("<f4")
    rows["data"] = _column(samples)
    if batch.trajectory is None:
        rows["traj"] = _column(np.empty((len(batch), 0), "<f4"))
    else:
        rows["traj"] = _column(
            np.ascontiguousarray(batch.trajectory, "<f4").reshape(len(batch), -1)
        )
    return rows


def _column(values: np.ndarray) -> Any:
    """Rows of a 2D array as an object array of 1D arrays."""
    column = np.empty(len(values), object)
    for i, row in enumerate(values):
        column[i] = row
    return column


def waveforms_from_rows(rows: np.ndarray, first: int) -> list[Waveform]:
    """Rows of the `waveforms` table.

    Raises:
        DataError: a waveform whose samples do not fit its header.
    """
    headers = headers_of(rows["head"], WAVEFORM_HEADER)
    waveforms: list[Waveform] = []
    for i, values in enumerate(rows["data"]):
        shape = (int(headers[i]["channels"]), int(headers[i]["number_of_samples"]))
        if values.size != shape[0] * shape[1] or values.dtype.itemsize != 4:
            raise DataError(
                f"waveform {first + i} holds {values.size} values, its header says "
                f"{shape[0]} channels of {shape[1]} 32-bit samples"
            )
        header = headers[i : i + 1].reshape(())
        waveforms.append(Waveform(header, values.view("<u4").reshape(shape)))
    return waveforms


def row_from_waveform(waveform: Waveform) -> np.ndarray:
    """A waveform as one row of the `waveforms` table, shape (1,)."""
    row = np.empty(1, WAVEFORM_ROW)
    header = waveform.header.copy()
    header["channels"], header["number_of_samples"] = waveform.data.shape
    row["head"] = header
    row["data"] = _column(np.ascontiguousarray(waveform.data, "<u4").reshape(1, -1))
    return row
