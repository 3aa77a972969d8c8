from __future__ import annotations

import nibabel
import numpy as np
import pytest

from elastron.client.export.nifti import export_nifti
from elastron.client.export.window import Part
from elastron.errors import DataError
from tests.client.images import GRADIENT, image_of_places, make_image, rotation

ORIENTATIONS = {
    "axial": np.eye(3),
    "brain": np.array([[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]]),  # left-handed, as in brain_R2
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "oblique": rotation(0.4, 0.9, -1.3),
}


def values_by_affine(nifti) -> np.ndarray:
    """What the affine says the gradient field is in each voxel."""
    voxels = np.indices(nifti.shape[:3]).reshape(3, -1)
    ras = nifti.affine[:3, :3] @ voxels + nifti.affine[:3, 3:]
    lps = ras * [[-1], [-1], [1]]
    return (GRADIENT @ lps).reshape(nifti.shape[:3])


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 2, 0]])
def test_voxels_of_a_stack_lie_where_their_values_say(tmp_path, name, order):
    directions = ORIENTATIONS[name]
    images = [
        image_of_places(
            (5, 4, 1),
            position=np.array([11, -22, 33]) + 6 * n * directions[:, 2],
            directions=directions,
            fov=(50, 60, 3),
        )
        for n in order
    ]
    (path,) = export_nifti("image_1", images, tmp_path)
    nifti = nibabel.load(path)
    assert nifti.shape == (5, 4, 4)
    np.testing.assert_allclose(nifti.get_fdata(), values_by_affine(nifti), rtol=1e-5, atol=0.5)
    np.testing.assert_allclose(nifti.header.get_zooms(), (10, 15, 6), rtol=1e-5)
    np.testing.assert_allclose(nifti.get_qform(), nifti.affine, atol=1e-3)
    assert nifti.header["qform_code"] == nifti.header["sform_code"] == 1
    assert nifti.header.get_xyzt_units()[0] == "mm"


def test_a_volume_lies_where_its_values_say(tmp_path):
    image = image_of_places(
        (4, 3, 6), position=(1, 2, 3), directions=ORIENTATIONS["oblique"], fov=(80, 60, 30)
    )
    (path,) = export_nifti("v", [image], tmp_path)
    nifti = nibabel.load(path)
    np.testing.assert_allclose(nifti.get_fdata(), values_by_affine(nifti), rtol=1e-5, atol=0.5)


def test_a_sheared_stack_keeps_its_matrix_and_has_no_quaternion(tmp_path):
    images = [
        image_of_places((3, 3, 1), position=(2 * n, 0, 5 * n), directions=np.eye(3), fov=(9, 9, 5))
        for n in range(3)
    ]
    (path,) = export_nifti("s", images, tmp_path)
    nifti = nibabel.load(path)
    np.testing.assert_allclose(nifti.get_fdata(), values_by_affine(nifti), rtol=1e-5, atol=0.5)
    assert nifti.header["qform_code"] == 0


def test_repetitions_become_the_fourth_axis_in_order(tmp_path):
    images = [
        make_image(
            np.full((2, 3), 10 * r + s, np.uint16), position=(0, 0, s), repetition=r, slice=s
        )
        for r in range(3)
        for s in range(2)
    ]
    (path,) = export_nifti("t", images, tmp_path)
    data = np.asarray(nibabel.load(path).dataobj)
    assert data.shape == (3, 2, 2, 3)
    assert data.dtype == np.uint16
    assert data[0, 0].tolist() == [[0, 10, 20], [1, 11, 21]]


def test_channels_become_the_fifth_axis(tmp_path):
    data = np.arange(24, dtype=np.float32).reshape(2, 1, 3, 4)
    (path,) = export_nifti("c", [make_image(data)], tmp_path)
    stored = np.asarray(nibabel.load(path).dataobj)
    assert stored.shape == (4, 3, 1, 1, 2)
    np.testing.assert_array_equal(stored[:, :, 0, 0, 1], data[1, 0].T)


def test_echoes_types_and_slabs_get_files_of_their_own(tmp_path):
    pixels = np.zeros((2, 2, 2), np.float32)
    images = [
        make_image(pixels),
        make_image(pixels, contrast=1),
        make_image(pixels, image_type=2),
        make_image(pixels, position=(0, 0, 50)),
    ]
    paths = export_nifti("m", images, tmp_path)
    assert [path.name for path in paths] == [
        "m_magnitude_01.nii.gz",
        "m_contrast1_magnitude_02.nii.gz",
        "m_phase_03.nii.gz",
        "m_magnitude_04.nii.gz",
    ]


def test_an_incomplete_series_is_refused(tmp_path):
    images = [make_image(np.zeros((2, 2)), position=(0, 0, z), slice=z) for z in (0, 1, 0)]
    with pytest.raises(DataError, match="between 1 and 2 images"):
        export_nifti("i", images, tmp_path)


@pytest.mark.parametrize(
    ("part", "value"),
    [(Part.MAGNITUDE, 5), (Part.PHASE, np.arctan2(-4, 3)), (Part.REAL, 3), (Part.IMAGINARY, -4)],
)
def test_the_part_of_complex_images_can_be_chosen(tmp_path, part, value):
    image = make_image(np.full((2, 2), 3 - 4j, np.complex64))
    (path,) = export_nifti("x", [image], tmp_path, part=part)
    np.testing.assert_allclose(nibabel.load(path).get_fdata(), value, rtol=1e-6)
