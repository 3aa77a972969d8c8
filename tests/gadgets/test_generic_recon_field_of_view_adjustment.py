import dataclasses

import numpy as np
import pytest

from elastron.gadgets.generic_recon_field_of_view_adjustment import (
    GenericReconFieldOfViewAdjustmentGadget as Adjustment,
)
from elastron.recon.resize import resize_images

from .arrays import build, context, image_array, noise


def adjusted(item, matrix=(16, 16, 1), **settings):
    scan = context(matrix=16, **settings)
    size = scan.header.encoding[0].reconSpace.matrixSize
    size.x, size.y, size.z = matrix
    (result,) = build(Adjustment, scan).process(item)
    return result


def test_images_of_the_right_size_stay():
    item = image_array(noise(1, 1, 2, 1, 1, 16, 16))
    assert np.shares_memory(adjusted(item).data, item.data)


def test_zero_filling_to_the_matrix():
    item = image_array(noise(2, 1, 1, 1, 1, 12, 16))
    result = adjusted(item, (32, 24, 1))
    assert result.data.shape == (2, 1, 1, 1, 1, 24, 32)
    assert np.allclose(result.data, resize_images(item.data, {-2: 24, -1: 32}), atol=1e-5)
    assert result.headers["matrix_size"].tolist() == [[[[32, 24, 1]]]] * 2
    assert item.headers["matrix_size"][0, 0, 0].tolist() == [16, 12, 1]


def test_the_attributes_fields_of_view_count():
    item = image_array(
        noise(1, 1, 1, 1, 1, 20, 16), encoding_FOV=[300, 375, 6], recon_FOV=[300, 300, 6]
    )
    result = adjusted(item)
    assert np.allclose(result.data, item.data[..., 2:18, :], atol=1e-5)


def test_without_attributes_the_header_counts():
    item = image_array(noise(1, 1, 1, 1, 1, 24, 16))
    scan = context(matrix=16)
    scan.header.encoding[0].encodedSpace.fieldOfView_mm.y *= 1.5
    (result,) = build(Adjustment, scan).process(item)
    assert np.allclose(result.data, item.data[..., 4:20, :], atol=1e-5)


def test_volumes():
    item = image_array(noise(1, 1, 1, 1, 4, 16, 16))
    result = adjusted(item, (16, 16, 8), partitions=8)
    assert result.data.shape[-3:] == (8, 16, 16)
    assert result.headers["matrix_size"][0, 0, 0].tolist() == [16, 16, 8]


def test_attributes_and_other_fields_are_kept():
    item = dataclasses.replace(image_array(noise(1, 1, 1, 1, 1, 8, 8)), waveforms=[])
    result = adjusted(item)
    assert result.meta == item.meta
    assert result.waveforms == []
    assert result.data.std() == pytest.approx(item.data.std(), rel=0.1)
