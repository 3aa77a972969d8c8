from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.client.export.geometry import image_geometry, stack_slices
from elastron.errors import DataError
from tests.client.images import make_image, place, rotation

angles = st.tuples(*[st.floats(-np.pi, np.pi)] * 3)
sizes = st.tuples(*[st.integers(1, 9)] * 3)
lengths = st.tuples(*[st.floats(1, 500)] * 3)
positions = st.tuples(*[st.floats(-300, 300)] * 3)


@given(sizes, lengths, positions, angles, st.booleans())
def test_every_pixel_lies_where_the_header_says(size, fov, position, turns, mirrored):
    nx, ny, nz = size
    directions = rotation(*turns)
    if mirrored:
        directions[:, 2] *= -1  # slice_dir need not be read x phase
    image = make_image(
        np.zeros((nz, ny, nx), np.uint16), position=position, directions=directions, fov=fov
    )
    geometry = image_geometry(image)
    assert geometry.shape == size
    assert not geometry.assumed
    for pixel in [(0, 0, 0), (nx - 1, 0, 0), (0, ny - 1, 0), (nx - 1, ny - 1, nz - 1)]:
        found = geometry.affine @ [*pixel, 1]
        np.testing.assert_allclose(found[:3], place(image, *pixel), atol=1e-2)
    np.testing.assert_allclose(geometry.center, position, atol=1e-2)
    np.testing.assert_allclose(geometry.spacing, np.array(fov) / size, rtol=1e-4)
    np.testing.assert_allclose(
        geometry.ras_affine[:3] @ [1, 1, 1, 1], [-1, -1, 1] * (geometry.affine @ [1, 1, 1, 1])[:3]
    )


def test_position_is_the_pixel_that_the_centred_transform_calls_the_centre():
    even = image_geometry(make_image(np.zeros((4, 6)), fov=(60, 40, 5)))
    np.testing.assert_allclose(even.origin, [-30, -20, 0])
    odd = image_geometry(make_image(np.zeros((5, 7)), fov=(70, 50, 5)))
    np.testing.assert_allclose(odd.origin, [-30, -20, 0])


def test_slices_of_a_volume_lie_behind_each_other():
    volume = image_geometry(make_image(np.zeros((4, 2, 2)), fov=(2, 2, 20)))
    np.testing.assert_allclose(volume.at_slice(3).origin, [-1, -1, 5])
    assert volume.at_slice(3).shape == (2, 2, 1)


@pytest.mark.parametrize("directions", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.ones((3, 3))])
def test_unusable_directions_become_axial_and_are_reported(directions):
    geometry = image_geometry(make_image(np.zeros((2, 2)), directions=directions))
    np.testing.assert_allclose(geometry.directions, np.eye(3))
    assert geometry.assumed


def test_a_field_of_view_of_zero_gives_pixels_of_a_millimetre():
    geometry = image_geometry(make_image(np.zeros((2, 2)), fov=(0, 0, 0)))
    np.testing.assert_allclose(geometry.spacing, 1)
    assert geometry.assumed


def oblique_stack(order, *, gap=7.5, repetitions=1):
    directions = rotation(0.3, -0.7, 1.1)
    return [
        make_image(
            np.zeros((4, 4)),
            position=np.array([5, -20, 30]) + number * gap * directions[:, 2],
            directions=directions,
            fov=(200, 200, 5),
            slice=n,
            repetition=r,
        )
        for r in range(repetitions)
        for n, number in enumerate(order)
    ]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 2, 4, 1, 3]])
def test_a_stack_is_ordered_by_position_and_stepped_by_distance(order):
    images = oblique_stack(order)
    stack = stack_slices(images)
    assert stack.geometry.shape == (4, 4, 5)
    assert [order[group[0]] for group in stack.slices] == [0, 1, 2, 3, 4]
    assert stack.geometry.spacing[2] == pytest.approx(7.5, abs=1e-4)  # not the 5 mm of a slice
    for z, group in enumerate(stack.slices):
        np.testing.assert_allclose(
            (stack.geometry.affine @ [3, 1, z, 1])[:3], place(images[group[0]], 3, 1, 0), atol=1e-3
        )


def test_repetitions_share_their_slice():
    stack = stack_slices(oblique_stack([1, 0], repetitions=3))
    assert stack.slices == ((1, 3, 5), (0, 2, 4))


def test_a_missing_slice_is_not_papered_over():
    with pytest.raises(DataError, match="not evenly spaced"):
        stack_slices(oblique_stack([0, 1, 3, 4]))


def test_other_orientations_and_sizes_do_not_stack():
    image = make_image(np.zeros((4, 4)))
    turned = make_image(np.zeros((4, 4)), directions=rotation(0.1, 0, 0))
    with pytest.raises(DataError, match="orientation"):
        stack_slices([image, turned])
    with pytest.raises(DataError, match="4 x 4 x 1 and 5 x 4 x 1"):
        stack_slices([image, make_image(np.zeros((4, 5)))])


def test_slabs_do_not_stack():
    slabs = [make_image(np.zeros((2, 4, 4)), position=(0, 0, z)) for z in (0, 10)]
    with pytest.raises(DataError, match="slabs"):
        stack_slices(slabs)
