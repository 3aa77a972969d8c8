"""Reconstruction in process."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import elastron
from elastron.errors import ConfigError, DataError, ReconstructionError
from elastron.mrd.dataset import Dataset
from elastron.pipeline import load_config, reconstruct, serialize_config

ROOT = Path(__file__).parents[2]
SCAN = ROOT / "examples" / "brain_R2.h5"


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    (image,) = reconstruct(SCAN)
    return image.data


def test_the_public_name() -> None:
    assert elastron.reconstruct is reconstruct


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_file(as_type: type, expected: np.ndarray) -> None:
    (image,) = reconstruct(as_type(SCAN), "default.xml")
    np.testing.assert_array_equal(image.data, expected)


@pytest.mark.parametrize("parsed", [True, False])
def test_items_with_their_header(parsed: bool, expected: np.ndarray) -> None:
    with Dataset(SCAN) as dataset:
        header = dataset.header if parsed else dataset.header_xml
        (image,) = reconstruct(dataset.items(), header=header)
        np.testing.assert_array_equal(image.data, expected)
        with pytest.raises(DataError, match="need their MRD header"):
            reconstruct(dataset.items())
    with pytest.raises(TypeError, match="its own header"):
        reconstruct(SCAN, header=header)


def test_configs_as_xml_file_folder_or_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: np.ndarray
) -> None:
    config = load_config("default.xml")
    xml = serialize_config(config)
    path = tmp_path / "mine.xml"
    path.write_bytes(xml)
    monkeypatch.chdir(tmp_path)
    for given in (config, xml, path, str(path), "mine.xml"):
        (image,) = reconstruct(SCAN, given)
        np.testing.assert_array_equal(image.data, expected)
    monkeypatch.chdir("/")
    assert len(reconstruct(SCAN, "mine.xml", config_folders=[tmp_path])) == 1


def test_a_stock_name_is_the_stock_config_whatever_lies_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "default.xml").write_text("<other/>")
    monkeypatch.chdir(tmp_path)
    assert len(reconstruct(SCAN, "default.xml")) == 1
    with pytest.raises(ConfigError, match="its root is <other>"):
        reconstruct(SCAN, Path("default.xml"))


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config 'defult\.xml'.*Did you mean default\.xml"):
        reconstruct(SCAN, "defult.xml")
    with pytest.raises(ConfigError, match=r"'gone\.xml' cannot be read: No such file"):
        reconstruct(SCAN, tmp_path / "gone.xml")


def test_a_bad_scan_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        reconstruct(tmp_path / "gone.h5")
    copy = tmp_path / "raw.h5"
    shutil.copy(SCAN, copy)
    with pytest.raises(DataError, match="has no group 'other'"):
        reconstruct(copy, group="other")


def test_contradicting_data_name_the_gadget() -> None:
    with Dataset(SCAN) as dataset:
        batches = []
        for batch in dataset.acquisition_batches():
            headers = batch.headers.copy()
            headers["idx"]["kspace_encode_step_1"] = 60_000
            batches.append(type(batch)(headers, batch.data, batch.trajectory))
        with pytest.raises(ReconstructionError) as raised:
            reconstruct(batches, header=dataset.header)
    assert raised.value.gadget
    assert f"/{raised.value.gadget}] ERROR: " in str(raised.value)


def test_stdout_stays_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    reconstruct(SCAN)
    out, err = capfd.readouterr()
    assert out == err == ""
