"""Windows, planes, PNG files and montages."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Picture

from elastron.client.export.montage import SIDE_MAX, MontageSettings, montage
from elastron.client.export.planes import label, planes, series_details, series_title
from elastron.client.export.png import export_png
from elastron.client.export.window import Part, Window, auto_window
from elastron.errors import DataError
from elastron.mrd.meta import Meta
from tests.client.images import make_image


def test_a_window_maps_its_ends_to_black_and_white():
    window = Window(level=50, width=20)
    grey = window.grey(np.array([0, 40, 50, 60, 100, np.nan]))
    assert grey.dtype == np.uint8
    assert grey.tolist() == [0, 0, 128, 255, 255, 0]
    assert window.grey(np.array([60.0]), 1 << 16).tolist() == [65535]


def test_auto_window_ignores_hot_pixels_and_starts_at_zero():
    values = np.linspace(0, 100, 10_000, dtype=np.float32).reshape(100, 100)
    values[0, 0] = 1e9
    window = auto_window([make_image(values)])
    assert window.low == 0
    assert window.high == pytest.approx(99.5, rel=0.01)


def test_auto_window_of_signed_images_has_both_ends():
    values = np.linspace(-10, 30, 10_000, dtype=np.float32).reshape(100, 100)
    window = auto_window([make_image(values)])
    assert window.low == pytest.approx(-9.8, abs=0.1)


def test_phase_images_are_shown_from_minus_to_plus_pi():
    phase = make_image(np.full((4, 4), 0.1, np.float32), image_type=2)
    assert (auto_window([phase]).low, auto_window([phase]).high) == pytest.approx((-np.pi, np.pi))
    complex_image = make_image(np.full((4, 4), 1j, np.complex64))
    assert auto_window([complex_image], Part.PHASE).width == pytest.approx(2 * np.pi)
    stored = make_image(np.array([[0, 4095]], np.uint16), image_type=2)
    assert auto_window([stored]).high == 4095


@pytest.mark.parametrize("value", [0, 3, -3, np.nan, np.inf])
def test_constant_and_empty_images_have_a_window(value):
    window = auto_window([make_image(np.full((4, 4), value, np.float32))])
    assert window.width > 0
    assert np.isfinite([window.low, window.high]).all()


def test_labels_say_only_what_differs():
    images = [make_image(np.zeros((2, 2)), slice=s, image_index=s + 1, set=4) for s in range(2)]
    assert [label(plane, images) for plane in planes(images)] == ["1 · slice 0", "2 · slice 1"]
    volume = [make_image(np.zeros((2, 2, 3, 3)))]
    assert [label(plane, volume) for plane in planes(volume)][1] == "1 · z 0 · channel 1"


def test_titles_name_the_role():
    image = make_image(np.zeros((2, 3)), meta=Meta({"GADGETRON_DataRole": ["SNR_MAP"]}))
    assert series_title([image]) == "series 1 · SNR_MAP · magnitude"
    assert series_details([image, image]) == "3 x 2 float64 · 2 images"


def test_png_files_hold_the_windowed_pixels(tmp_path):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    volume = make_image(np.stack([values, values]))
    paths = export_png("image_1", [volume], tmp_path, window=Window(127.5, 255))
    assert [path.name for path in paths] == ["image_1_0001_z000.png", "image_1_0001_z001.png"]
    np.testing.assert_array_equal(np.asarray(Picture.open(paths[1])), values)
    (deep,) = export_png("d", [make_image(values)], tmp_path, window=Window(127.5, 255), bits=16)
    np.testing.assert_array_equal(np.asarray(Picture.open(deep)), values * 257)


def bright(count: int, size=(32, 32)):
    return [make_image(np.full(size, 100.0), image_index=i + 1) for i in range(count)]


def test_a_montage_shows_every_picture():
    window = Window(50, 100)
    sheet = montage({"image_1": bright(6), "image_2": bright(1)}, MontageSettings(window, tile=64))
    white = np.asarray(sheet.convert("L")) == 255
    assert white.sum() == 7 * 64 * 64


def test_a_montage_picks_evenly_from_long_series():
    settings = MontageSettings(Window(50, 100), tile=32, tiles_max=5, columns=3)
    sheet = montage({"image_1": bright(100)}, settings)
    assert (np.asarray(sheet.convert("L")) == 255).sum() == 5 * 32 * 32


def test_pixels_that_are_no_squares_are_shown_in_proportion():
    image = make_image(np.full((32, 32), 100.0), fov=(64, 32, 1))
    sheet = montage({"image_1": [image]}, MontageSettings(Window(50, 100), tile=32))
    rows, columns = np.nonzero(np.asarray(sheet.convert("L")) == 255)
    assert np.ptp(columns) + 1 == 64
    assert np.ptp(rows) + 1 == 32


def test_a_montage_tells_groups_apart():
    """The group's name is on the sheet: two sheets that differ in it alone differ."""
    sheets = [np.asarray(montage({name: bright(1)})) for name in ("image_1", "brain/image_1")]
    assert sheets[0].shape != sheets[1].shape or (sheets[0] != sheets[1]).any()


def test_impossible_montages_are_refused():
    with pytest.raises(DataError, match="no image"):
        montage({})
    huge = MontageSettings(tile=SIDE_MAX)
    with pytest.raises(DataError, match="smaller or fewer tiles"):
        montage({"image_1": bright(2)}, huge)
