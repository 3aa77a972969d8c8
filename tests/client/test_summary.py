from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from elastron.client import ImageFile
from elastron.client.groups import file_contents, newest
from elastron.client.summary import summarize_images, summarize_scan
from elastron.errors import DataError
from elastron.mrd.dataset import Dataset
from elastron.mrd.header import serialize_header
from elastron.mrd.meta import Meta
from elastron.recon.phantom_scan import Calibration
from tests.client.images import make_image
from tests.client.scans import make_waveform, phantom

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def scan(tmp_path) -> Path:
    header, batches = phantom(
        acceleration=(2, 1), calibration=Calibration.SEPARATE, noise_readouts=8, repetitions=2
    )
    path = tmp_path / "scan.h5"
    with Dataset(path, "w") as dataset:
        dataset.write_header(serialize_header(header))
        for batch in batches:
            dataset.append(batch)
        dataset.append(make_waveform(1))
    return path


def test_a_scan_is_counted(scan):
    summary = summarize_scan(scan)
    (encoding,) = summary["encodings"]
    assert encoding["encoded_matrix"] == [64, 32, 1]
    assert encoding["recon_matrix"] == [32, 32, 1]
    assert encoding["acceleration"] == [2, 1]
    assert encoding["calibration_mode"] == "separate"
    assert summary["noise_readouts"] == 8
    assert summary["calibration_readouts"] == 24
    assert summary["readouts"] == sum(shape["readouts"] for shape in summary["shapes"])
    assert summary["counters"]["repetition"] == [0, 1]
    assert summary["flags"]["LAST_IN_MEASUREMENT"] == 1
    assert summary["waveforms"] == {"0": 1}
    assert summary["finite"]
    assert summary["largest"] > 0


def test_the_patient_is_told_only_when_asked_for():
    path = DATA / "brain_full.h5"
    told = summarize_scan(path, patient=True)
    secret = told["patient"]["measurementID"]
    assert secret not in str(summarize_scan(path))


def test_nan_samples_are_reported(scan):
    with h5py.File(scan, "r+") as file:
        row = file["dataset/data"][5]
        row["data"][0] = np.nan
        file["dataset/data"][5] = row
    summary = summarize_scan(scan)
    assert not summary["finite"]
    assert summary["largest"] is None


def test_images_are_counted(tmp_path):
    path = tmp_path / "out.h5"
    with ImageFile(path, "g") as file:
        for repetition in range(3):
            pixels = np.full((2, 4), repetition, np.float32)
            meta = Meta({"GADGETRON_DataRole": ["Gfactor"]})
            file.append(make_image(pixels, repetition=repetition, meta=meta))
    (series,) = summarize_images(path, "g")["series"]
    assert series["images"] == 3
    assert series["matrix"] == [4, 2, 1]
    assert series["range"] == [0, 2]
    assert series["counters"] == {"repetition": [0, 2]}
    assert series["role"] == "Gfactor"


def test_what_lies_where_is_found(scan):
    with ImageFile(scan, "2026-01-02 03:04:05") as file:
        file.append(make_image(np.zeros((2, 2))))
    with ImageFile(scan, "study/brain") as file:
        file.append(make_image(np.zeros((2, 2))))
    contents = file_contents(scan)
    assert contents.scans == ("dataset",)
    assert contents.images == ("2026-01-02 03:04:05", "study/brain")


def test_files_that_are_none(tmp_path):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="no HDF5"):
        file_contents(tmp_path / "text")
    with pytest.raises(DataError, match="no file"):
        file_contents(tmp_path / "absent")


def test_the_newest_of_times_but_all_of_names():
    assert newest(("2026-01-02 03:04:05", "2026-11-02 03:04:05")) == ("2026-11-02 03:04:05",)
    assert newest(("brain", "2026-11-02 03:04:05")) == ("brain", "2026-11-02 03:04:05")
    assert newest(()) == ()
