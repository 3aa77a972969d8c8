"""The dump: complete, where the operator says, nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ismrmrd.xsd import (
    experimentalConditionsType,
    ismrmrdHeader,
    measurementInformationType,
    patientPositionType,
    studyInformationType,
)
from xsdata.models.datatype import XmlDate, XmlTime

from elastron.errors import ConfigError
from elastron.gadgets.base import Context
from elastron.gadgets.ismrmrd_dump import IsmrmrdDumpGadget, IsmrmrdDumpProperties
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.dataset import Dataset
from elastron.mrd.header import serialize_header
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire.messages import Text


def header(measurement_id: str = "", protocol: str = "", *, study: bool = True) -> ismrmrdHeader:
    return ismrmrdHeader(
        experimentalConditions=experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000),
        measurementInformation=measurementInformationType(
            patientPosition=patientPositionType.HFS,
            measurementID=measurement_id or None,
            protocolName=protocol or None,
        ),
        studyInformation=studyInformationType(
            studyDate=XmlDate(2024, 2, 6), studyTime=XmlTime(16, 41, 28)
        )
        if study
        else None,
    )


def items() -> list:
    headers = np.zeros(3, ACQUISITION_HEADER)
    headers["scan_counter"] = range(3)
    headers["number_of_samples"] = 5
    headers["active_channels"] = 2
    data = np.arange(30, dtype=np.complex64).reshape(3, 2, 5)
    waveform_header = np.zeros((), WAVEFORM_HEADER)
    waveform_header["channels"], waveform_header["number_of_samples"] = 1, 4
    waveform = Waveform(waveform_header, np.arange(4, dtype=np.uint32).reshape(1, 4))
    return [AcquisitionBatch(headers, data), waveform, Text("x")]


def dump(
    tmp_path: Path, head: ismrmrdHeader | None = None, **properties: object
) -> tuple[list, list[Path]]:
    root = tmp_path / "dump"
    context = Context(header=head or header(), parameters={"dump_folder": str(root)})
    gadget = IsmrmrdDumpGadget(IsmrmrdDumpProperties(**properties), context)  # type: ignore[arg-type]
    passed = list(gadget(items()))
    return passed, sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.h5"))


def test_everything_is_written_and_passed_on(tmp_path: Path) -> None:
    passed, (path,) = dump(tmp_path)
    assert [type(item) for item in passed] == [AcquisitionBatch, Waveform, Text]
    assert str(path) == "dump/ISMRMRD_DUMP_20240206-164128.h5"
    with Dataset(tmp_path / path) as dataset:
        (batch,) = dataset.acquisition_batches()
        (waveform,) = dataset.waveforms()
        assert dataset.header_xml == serialize_header(header())
    np.testing.assert_array_equal(batch.data, items()[0].data)
    np.testing.assert_array_equal(batch.headers["scan_counter"], range(3))
    np.testing.assert_array_equal(waveform.data, items()[1].data)


def test_header_only_and_no_waveforms(tmp_path: Path) -> None:
    passed, (path,) = dump(tmp_path, save_xml_header_only=True, pass_waveform_downstream=False)
    assert [type(item) for item in passed] == [AcquisitionBatch, Text]
    with Dataset(tmp_path / path) as dataset:
        assert dataset.header_xml == serialize_header(header())
        assert list(dataset.items()) == []


def test_a_second_dump_of_the_same_name_does_not_touch_the_first(tmp_path: Path) -> None:
    dump(tmp_path)
    _, paths = dump(tmp_path)
    assert [path.name for path in paths] == [
        "ISMRMRD_DUMP_20240206-164128.h5",
        "ISMRMRD_DUMP_20240206-164128_2.h5",
    ]


@pytest.mark.parametrize(
    ("measurement_id", "protocol", "prefix", "expected"),
    [
        ("12", "", "P", "P_12_20240206-164128.h5"),
        ("dev_patient_study_77", "", "P", "P_77_20240206-164128.h5"),
        ("", "t1 fl 2D/../x", "", "t1_fl_2D_.._x_20240206-164128.h5"),
        ("../../etc", "", "../../P", "_.._P__.._etc_20240206-164128.h5"),
        ("", "", "", "ISMRMRD_DUMP_20240206-164128.h5"),
    ],
)
def test_names(
    tmp_path: Path, measurement_id: str, protocol: str, prefix: str, expected: str
) -> None:
    _, (path,) = dump(tmp_path, header(measurement_id, protocol), file_prefix=prefix)
    assert path == Path("dump") / expected


def test_without_a_study_date_the_name_has_the_time_of_now(tmp_path: Path) -> None:
    _, (path,) = dump(tmp_path, header(study=False))
    assert path.name.startswith("ISMRMRD_DUMP_2")


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("", "dump"), ("a/b", "dump/a/b"), ("../other", "dump"), ("/no/such/place", "dump")],
)
def test_a_folder_elsewhere_is_not_used(tmp_path: Path, folder: str, expected: str) -> None:
    _, (path,) = dump(tmp_path, folder=folder)
    assert path.parent == Path(expected)


def test_a_node_without_dump_folder_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="saves no data"):
        IsmrmrdDumpGadget(IsmrmrdDumpProperties(), Context(header=header()))
    assert list(tmp_path.iterdir()) == []
