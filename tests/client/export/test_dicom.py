from __future__ import annotations

import shutil
import subprocess

import nibabel
import numpy as np
import pydicom
import pytest
from ismrmrd.xsd import (
    acquisitionSystemInformationType,
    experimentalConditionsType,
    ismrmrdHeader,
    sequenceParametersType,
)

from elastron.client.export.dicom import Patient, Study, export_dicom
from elastron.client.export.nifti import export_nifti
from elastron.mrd.meta import Meta
from tests.client.images import image_of_places, make_image, place, rotation

OBLIQUE = rotation(0.4, 0.9, -1.3)


def pixel_place(dataset, column: int, row: int) -> np.ndarray:
    """DICOM PS3.3 C.7.6.2.1.1: the equation of Image Position and Orientation."""
    orientation = np.array(dataset.ImageOrientationPatient, float)
    row_spacing, column_spacing = (float(v) for v in dataset.PixelSpacing)
    return (
        np.array(dataset.ImagePositionPatient, float)
        + orientation[:3] * column_spacing * column
        + orientation[3:] * row_spacing * row
    )


def test_pixels_of_an_oblique_volume_lie_where_the_header_says(tmp_path):
    image = make_image(
        np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4),
        position=(12, -34, 56),
        directions=OBLIQUE,
        fov=(80, 90, 10),
    )
    paths = export_dicom("image_1", [image], tmp_path)
    assert [path.name for path in paths] == ["image_1_0001.dcm", "image_1_0002.dcm"]
    for z, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        np.testing.assert_array_equal(dataset.pixel_array, image.data[0, z])
        for column, row in [(0, 0), (3, 0), (0, 2), (3, 2)]:
            np.testing.assert_allclose(
                pixel_place(dataset, column, row), place(image, column, row, z), atol=1e-3
            )
        assert float(dataset.SliceThickness) == pytest.approx(5)
        assert dataset.InstanceNumber == z + 1


def test_uids_join_what_belongs_together(tmp_path):
    study = Study()
    images = [make_image(np.zeros((2, 2), np.uint16), position=(0, 0, z)) for z in range(2)]
    first = [pydicom.dcmread(p) for p in export_dicom("a", images, tmp_path, study=study)]
    second = [pydicom.dcmread(p) for p in export_dicom("b", images, tmp_path, study=study)]
    everything = first + second
    assert {d.StudyInstanceUID for d in everything} == {study.uid}
    assert {d.FrameOfReferenceUID for d in everything} == {study.frame_of_reference_uid}
    assert len({d.SeriesInstanceUID for d in first}) == 1
    assert first[0].SeriesInstanceUID != second[0].SeriesInstanceUID
    assert len({d.SOPInstanceUID for d in everything}) == 4
    assert all(d.SOPInstanceUID == d.file_meta.MediaStorageSOPInstanceUID for d in everything)


def test_nothing_of_the_patient_comes_from_the_data(tmp_path):
    meta = Meta({"patientID": ["1001"], "patient_position": ["HFS"], "studyID": ["2002"]})
    image = make_image(np.zeros((2, 2), np.uint16), meta=meta)
    (path,) = export_dicom("a", [image], tmp_path)
    dataset = pydicom.dcmread(path)
    assert dataset.PatientName == "Anonymous"
    assert dataset.PatientID == dataset.PatientBirthDate == dataset.StudyID == ""
    assert dataset.PatientPosition == "HFS"
    assert b"1001" not in path.read_bytes()


def test_patient_fields_are_the_callers(tmp_path):
    study = Study(patient=Patient("Doe^Jane", "42", "19700101", "F"))
    (path,) = export_dicom("a", [make_image(np.zeros((2, 2), np.uint16))], tmp_path, study=study)
    dataset = pydicom.dcmread(path)
    assert str(dataset.PatientName) == "Doe^Jane"
    assert (dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex) == (
        "42",
        "19700101",
        "F",
    )


def test_float_values_come_back_through_slope_and_intercept(tmp_path):
    rng = np.random.default_rng(1)
    images = [make_image(rng.normal(size=(8, 8)).astype(np.float32) * s) for s in (1e-6, 3e-6)]
    for path, image in zip(export_dicom("f", images, tmp_path), images, strict=True):
        dataset = pydicom.dcmread(path)
        values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        step = float(dataset.RescaleSlope)
        np.testing.assert_allclose(values, image.data[0, 0], atol=0.51 * step)


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan])
def test_constant_images_are_stored(tmp_path, value):
    (path,) = export_dicom("k", [make_image(np.full((3, 3), value, np.float32))], tmp_path)
    dataset = pydicom.dcmread(path)
    stored = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    np.testing.assert_allclose(stored, np.nan_to_num(value), rtol=1e-4)


def test_signed_images_keep_their_values(tmp_path):
    image = make_image(np.array([[-5, 7], [0, -32768]], np.int16))
    (path,) = export_dicom("s", [image], tmp_path)
    np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, image.data[0, 0])


def test_maps_are_derived_and_named(tmp_path):
    meta = Meta({"GADGETRON_DataRole": ["Gfactor"]})
    (path,) = export_dicom("g", [make_image(np.zeros((2, 2), np.uint16), meta=meta)], tmp_path)
    dataset = pydicom.dcmread(path)
    assert list(dataset.ImageType) == ["DERIVED", "PRIMARY", "M", "GFACTOR"]
    assert dataset.SeriesDescription == "Gfactor"


def test_the_scans_header_fills_in_the_sequence(tmp_path):
    header = ismrmrdHeader(
        experimentalConditions=experimentalConditionsType(H1resonanceFrequency_Hz=123_250_000),
        acquisitionSystemInformation=acquisitionSystemInformationType(systemFieldStrength_T=2.89),
        sequenceParameters=sequenceParametersType(TR=[8.5], TE=[2.1, 4.3], flipAngle_deg=[12]),
    )
    study = Study(scan_header=header)
    image = make_image(np.zeros((2, 2), np.uint16), contrast=1)
    (path,) = export_dicom("h", [image], tmp_path, study=study)
    dataset = pydicom.dcmread(path)
    assert (dataset.RepetitionTime, dataset.EchoTime, dataset.FlipAngle) == (8.5, 4.3, 12)
    assert dataset.ImagingFrequency == 123.25
    assert dataset.EchoNumbers == 2


def oblique_slices():
    return [
        image_of_places(
            (12, 10, 1),
            position=np.array([11, -22, 33]) + 6 * n * OBLIQUE[:, 2],
            directions=OBLIQUE,
            fov=(60, 60, 3),
            slice=n,
            image_index=n + 1,
        )
        for n in range(4)
    ]


@pytest.mark.skipif(not shutil.which("dcm2niix"), reason="dcm2niix is not installed")
def test_dcm2niix_finds_the_same_places_as_our_nifti(tmp_path):
    images = oblique_slices()
    folder, converted = tmp_path / "dicom", tmp_path / "converted"
    folder.mkdir()
    converted.mkdir()
    export_dicom("image_1", images, folder)
    command = ["dcm2niix", "-b", "n", "-f", "out", "-o", converted, folder]
    subprocess.run(command, check=True, capture_output=True)
    theirs = nibabel.load(converted / "out.nii")
    (path,) = export_nifti("image_1", images, tmp_path)
    ours = nibabel.load(path)
    # dcm2niix turns axes around as it likes; the value at a place must be the same.
    to_ours = np.linalg.inv(ours.affine) @ theirs.affine
    voxels = np.indices(theirs.shape).reshape(3, -1)
    x, y, z = np.rint(to_ours[:3, :3] @ voxels + to_ours[:3, 3:]).astype(int)
    assert np.abs(to_ours[:3, :3] @ voxels + to_ours[:3, 3:] - [x, y, z]).max() < 1e-2
    np.testing.assert_allclose(
        theirs.get_fdata().ravel(), ours.get_fdata()[x, y, z], atol=2e-4 * ours.get_fdata().max()
    )


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (dicom3tools) is not installed")
def test_dciodvfy_finds_no_error(tmp_path):
    (path,) = export_dicom("image_1", oblique_slices()[:1], tmp_path)
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert errors == []
