from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ismrmrd import xsd
from xsdata.models.datatype import XmlDate, XmlTime

from elastron.errors import HeaderError
from elastron.gateway.deidentify import CleanStream, Deidentifier
from elastron.mrd.header import parse_header, serialize_header
from elastron.mrd.meta import Meta
from elastron.wire import Decoder
from elastron.wire.messages import (
    Close,
    ConfigName,
    DicomWithName,
    HeaderXml,
    Response,
    Text,
)
from tests.gateway.recordings import wire_bytes
from tests.node.harness import HEADER, scan

KEY = b"k" * 32
SECRET = "SECRET"  # noqa: S105 - of a patient


def full_header() -> xsd.ismrmrdHeader:
    """A header with `SECRET` in every text that is free, and an ID wherever there is one."""
    header = parse_header(HEADER)
    header.subjectInformation = xsd.subjectInformationType(
        patientName=SECRET,
        patientID=SECRET,
        patientBirthdate=XmlDate(1970, 1, 2),
        patientWeight_kg=71.25,
        patientHeight_m=1.81,
    )
    header.studyInformation = xsd.studyInformationType(
        studyDate=XmlDate(2024, 3, 4),
        studyTime=XmlTime(10, 11, 12),
        studyID=SECRET,
        accessionNumber=4711,
        referringPhysicianName=SECRET,
        studyDescription=SECRET,
        studyInstanceUID=SECRET,
        bodyPartExamined="HEAD",
    )
    header.measurementInformation = xsd.measurementInformationType(
        measurementID=f"dev_{SECRET}_{SECRET}_17",
        seriesDate=XmlDate(2024, 3, 4),
        patientPosition=xsd.patientPositionType.HFS,
        protocolName=SECRET,
        sequenceName="gre",
        seriesDescription=SECRET,
        seriesInstanceUIDRoot=SECRET,
        frameOfReferenceUID=SECRET,
        measurementDependency=[
            xsd.measurementDependencyType(
                dependencyType="Noise", measurementID=f"dev_{SECRET}_{SECRET}_16"
            )
        ],
        referencedImageSequence=xsd.referencedImageSequenceType(referencedSOPInstanceUID=[SECRET]),
    )
    header.acquisitionSystemInformation = xsd.acquisitionSystemInformationType(
        systemVendor="vendor",
        systemModel="model",
        institutionName=SECRET,
        stationName=SECRET,
        deviceID="dev",
        receiverChannels=2,
        coilLabel=[xsd.coilLabelType(coilNumber=1, coilName="head")],
    )
    header.userParameters = xsd.userParametersType(
        userParameterLong=[
            xsd.userParameterLongType(name="EmbeddedRefLines", value=24),
            xsd.userParameterLongType(name="PatientAge", value=54321),
        ],
        userParameterString=[xsd.userParameterStringType(name="comment", value=SECRET)],
        userParameterBase64=[xsd.userParameterBase64Type(name="protocol", value=b"SECRET")],
    )
    return header


def test_a_headers_patient_goes_and_its_physics_stays():
    before = full_header()
    xml = Deidentifier(KEY).header(serialize_header(before))
    for word in (SECRET, "U0VDUkVU", "1970", "2024", "71.25", "1.81", "4711", "54321"):
        assert word not in xml.decode(), word
    after = parse_header(xml)
    assert after.encoding == before.encoding
    assert after.experimentalConditions == before.experimentalConditions
    assert after.measurementInformation is not None
    assert after.measurementInformation.patientPosition is xsd.patientPositionType.HFS
    assert after.measurementInformation.sequenceName == "gre"
    assert after.studyInformation is not None
    assert after.studyInformation.bodyPartExamined == "HEAD"
    assert after.acquisitionSystemInformation is not None
    assert after.acquisitionSystemInformation.systemVendor == "vendor"
    assert after.acquisitionSystemInformation.coilLabel[0].coilName == "head"
    assert after.userParameters is not None
    assert [each.name for each in after.userParameters.userParameterLong] == ["EmbeddedRefLines"]


def test_scans_that_belonged_together_still_do():
    deidentifier = Deidentifier(KEY)
    header = parse_header(deidentifier.header(serialize_header(full_header())))
    measurement = header.measurementInformation
    assert measurement is not None
    assert header.subjectInformation is not None
    assert header.studyInformation is not None
    assert header.acquisitionSystemInformation is not None
    own = (measurement.measurementID or "").split("_")
    noise = measurement.measurementDependency[0].measurementID.split("_")
    assert own[:3] == noise[:3]
    assert own[3] != noise[3]
    assert own[0] == header.acquisitionSystemInformation.deviceID
    assert own[1] == header.subjectInformation.patientID
    assert own[2] == header.studyInformation.studyID
    assert own[1] == deidentifier.pseudonym(SECRET)
    assert own[1] != Deidentifier(b"another key").pseudonym(SECRET)


def texts_of(cls: type) -> set[str]:
    """Names of all free texts below a section of the header."""
    found: set[str] = set()
    for field in dataclasses.fields(cls):
        hint = str(field.type)
        if "str" in hint or "bytes" in hint or "XmlDate" in hint or "XmlTime" in hint:
            found.add(field.name)
    return found


def test_every_text_the_schema_knows_was_thought_of():
    """A newer schema's texts go by themselves; but somebody should decide about them."""
    classes = [each for each in vars(xsd).values() if dataclasses.is_dataclass(each)]
    known = set().union(*(texts_of(each) for each in classes if isinstance(each, type)))
    assert known == {
        *("patientName", "patientID", "patientBirthdate", "patientGender"),
        *("studyDate", "studyTime", "studyID", "referringPhysicianName", "studyDescription"),
        *("studyInstanceUID", "bodyPartExamined"),
        *("measurementID", "seriesDate", "seriesTime", "protocolName", "sequenceName"),
        *("seriesDescription", "seriesInstanceUIDRoot", "frameOfReferenceUID"),
        *("referencedSOPInstanceUID", "dependencyType"),
        *("systemVendor", "systemModel", "institutionName", "stationName", "deviceID"),
        *("deviceSerialNumber", "coilName", "sequence_type", "diffusionScheme"),
        *("identifier", "comment", "waveformName", "name", "value"),
    }


def test_a_header_that_cannot_be_read_is_refused():
    with pytest.raises(HeaderError):
        Deidentifier(KEY).header(b"<nonsense/>")


@pytest.mark.parametrize(
    ("name", "values", "stays"),
    [
        ("GADGETRON_DataRole", ["Image"], True),
        ("GADGETRON_WindowCenter", [300], True),
        ("encoding_FOV", ["300.0", "1e-3", "nan"], True),
        ("PatientPosition", [1.0, 2.0, 3.0], True),
        ("patient_table_position", ["1", "2", "3"], True),
        ("average_weight_map", ["1"], True),
        ("PatientID", ["4711"], False),
        ("patient_age", [54], False),
        ("StudyInstanceUID", ["1.2.840.113619.2"], False),
        ("FrameOfReferenceUID", ["1.2.3"], False),
        ("my_comment", ["Jane Doe"], False),
        ("mixed", ["1", "Jane"], False),
        ("SubjectWeight", [70], False),
    ],
)
def test_attributes_of_images(name: str, values: list, stays: bool):
    cleaned = Deidentifier(KEY).attributes(Meta({name: values, "TE": [1]}))
    assert "TE" in cleaned
    assert (name in cleaned) == stays


def test_server_texts_and_answers_go():
    deidentifier = Deidentifier(KEY)
    assert deidentifier.message(Text("Jane")) is None
    assert deidentifier.message(Response("Jane", 1)) is None


@given(st.binary(max_size=200), st.integers(1, 97))
def test_whatever_comes_behind_the_scan_nothing_of_it_is_kept(rest: bytes, piece: int):
    """Bytes that are no message end the cleaned stream; all before them is there."""
    good = wire_bytes(ConfigName("default.xml"), HeaderXml(HEADER), scan())
    data = good + b"\xff\xff" + rest
    clean = CleanStream(Deidentifier(KEY))
    out = b"".join(
        bytes(buffer)
        for at in range(0, len(data), piece * 100)
        for buffer in clean.feed(memoryview(data)[at : at + piece * 100])
    )
    clean.eof()
    assert clean.left_out["REST"] == 1
    decoder = Decoder()
    decoder.feed(out)
    batches = [each.data for each in decoder.messages() if hasattr(each, "trajectory")]
    np.testing.assert_array_equal(np.concatenate(batches), scan().data)
    decoder.eof()


def test_half_a_message_at_the_end_is_left_out():
    data = wire_bytes(ConfigName("default.xml"), HeaderXml(HEADER))
    clean = CleanStream(Deidentifier(KEY))
    out = b"".join(bytes(buffer) for buffer in clean.feed(data[:-3]))
    clean.eof()
    assert out == wire_bytes(ConfigName("default.xml"))
    assert clean.left_out == {"REST": 1}


def test_dicom_files_lose_their_patient():
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = MRImageStorage
    file.SOPInstanceUID = file.StudyInstanceUID = file.SeriesInstanceUID = "1.2.3.4711"
    file.PatientName = file.StudyDescription = file.InstitutionName = SECRET
    file.add_new(0x00091001, "LO", SECRET)  # private
    file.PatientID, file.PatientBirthDate = "4711", "19700102"
    file.EchoTime, file.Rows, file.Columns, file.BitsAllocated = "3.5", 2, 2, 16
    file.BitsStored, file.HighBit, file.PixelRepresentation = 12, 11, 0
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.PixelData = np.arange(4, dtype="<u2").tobytes()
    written = io.BytesIO()
    file.save_as(written, enforce_file_format=True)

    message = DicomWithName(written.getvalue(), f"{SECRET}.dcm", b"<SECRET/>")
    cleaned = Deidentifier(KEY).message(message)
    assert isinstance(cleaned, DicomWithName)
    data = wire_bytes(cleaned, Close())
    for word in (b"SECRET", b"4711", b"19700102"):
        assert word not in data
    read = pydicom.dcmread(io.BytesIO(cleaned.dicom))
    assert read.PatientIdentityRemoved == "YES"
    assert read.EchoTime == 3.5
    np.testing.assert_array_equal(read.pixel_array, [[0, 1], [2, 3]])
    assert read.SeriesInstanceUID == read.StudyInstanceUID != "1.2.3.4711"


def test_bytes_that_are_no_dicom_file_go():
    assert Deidentifier(KEY).message(DicomWithName(b"Jane Doe", "jane.dcm")) is None
