"""Image headers and numbers of the generic gadgets."""

from dataclasses import replace

import numpy as np
import pytest

from elastron.errors import ConfigError, DataError
from elastron.gadgets.generic_recon_base import (
    CalibrationMode,
    DataRole,
    ScanInfo,
    image_array_from,
    numbered,
    sampled_lines,
    slices_of,
    snr_scaling,
)
from elastron.mrd.acquisition import ACQUISITION_HEADER
from elastron.mrd.buffers import DataBuffered, ReconBit, Sampling, SamplingLimit

from .scan_parts import context, header

SAMPLING = Sampling(
    (32.0, 16.0, 4.0), (16.0, 16.0, 4.0), (16, 8, 1), (8, 8, 1),
    (SamplingLimit(0, 4, 7), SamplingLimit(0, 4, 7), SamplingLimit()),
)  # fmt: skip

IDS = """<measurementInformation><measurementID>{}</measurementID>
<patientPosition>HFS</patientPosition><protocolName>gre</protocolName></measurementInformation>"""


def scan(measurement_id="45_1_2_7349_x", **kwargs):
    kwargs = {"calibration": "embedded", "coils": ("A",), **kwargs}
    return header(before=IDS.format(measurement_id), **kwargs)


def bit(shape=(1, 1, 1, 1, 8), lines=range(8), **fields):
    """A bit whose `lines` were sampled."""
    headers = np.zeros(shape, ACQUISITION_HEADER)
    for line in lines:
        one = headers[..., line]
        one["version"], one["number_of_samples"] = 1, 8
        one["idx"]["kspace_encode_step_1"] = line
        one["acquisition_time_stamp"] = 1000 + 10 * line
        one["physiology_time_stamp"] = (line, 2 * line, 3 * line)
        one["position"] = (line, 0, 1)
        one["user_int"][..., 2] = line
        one["user_float"][..., 1] = line + 0.75
        for name, value in fields.items():
            one["idx"][name] = value
    loc, s, n, e2, e1 = shape
    data = np.zeros((loc, s, n, 2, e2, e1, 8), np.complex64)
    return ReconBit(DataBuffered(data, headers, SAMPLING))


def images(a_bit, shape=None):
    loc, s, n = a_bit.data.headers.shape[:3]
    return np.zeros(shape or (loc, s, n, 1, 1, 8, 8), np.complex64)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (None, "noacceleration"),
        *((m, m) for m in ("embedded", "interleaved", "separate", "external", "other")),
    ],
)
def test_calibration_modes(mode, expected):
    info = ScanInfo.of(scan(calibration=mode))
    assert info.encodings[0].calibration is CalibrationMode(expected)
    assert info.encodings[0].acceleration == ((2, 1) if mode else (1, 1))


def test_acceleration_of_one_is_none():
    info = ScanInfo.of(scan(acceleration=(1, 1)))
    assert info.encodings[0].calibration is CalibrationMode.NO_ACCELERATION


def test_unknown_encoding_space():
    with pytest.raises(DataError, match="describes 1"):
        ScanInfo.of(scan()).encoding(1)


def test_system_information_is_needed():
    with pytest.raises(ConfigError, match="acquisitionSystemInformation"):
        ScanInfo.of(header())


@pytest.mark.parametrize(
    ("measurement_id", "device", "patient", "study", "number"),
    [
        ("45_1_2_7_x", "45", "1", "2", "7_x"),
        ("45_1_2", "45", "1", "", ""),
        ("45_1", "45", "", "", ""),
        ("45", "", "", "", ""),
    ],
)
def test_parts_of_the_measurement_id(measurement_id, device, patient, study, number):
    attributes = ScanInfo.of(scan(measurement_id)).attributes
    assert attributes["measurementID"] == measurement_id
    names = ("deviceID", "patientID", "studyID", "measurementNumber")
    assert tuple(attributes[n] for n in names) == (device, patient, study, number)
    assert (attributes["protocolName"], attributes["patient_position"]) == ("gre", "HFS")


def test_headers_come_from_the_line_nearest_to_the_centre():
    a_bit = bit(lines=(0, 2, 5, 6), slice=3, repetition=2)
    array = image_array_from(a_bit, images(a_bit), context(scan()))
    one = array.headers[0, 0, 0]
    assert one["position"].tolist() == [5, 0, 1]
    assert one["acquisition_time_stamp"] == 1050
    assert (one["slice"], one["repetition"]) == (3, 2)
    assert one["matrix_size"].tolist() == [8, 8, 1]
    assert one["field_of_view"].tolist() == [16, 16, 4]
    assert one["user_int"][2] == 5
    assert one["user_float"][1] == 5.75
    meta = array.meta[0]
    assert meta["acquisition_time_range"] == [1000, 1060]
    assert meta["physiology_time_range"] == [0, 6, 0, 12, 0, 18]
    assert meta["user_float_1"] == [5]
    assert meta["sampling_limits_E1"] == [0, 4, 7]
    assert meta["encoded_matrix"] == [16, 8, 1]
    assert array.acquisition_headers is a_bit.data.headers


def test_partial_fourier_moves_the_centre():
    """Centre at encoding step 2: line 4 of the buffer."""
    a_bit = bit(lines=range(6))
    info = ScanInfo.of(scan(limits={"kspace_encoding_step_1": (0, 5, 2)}))
    assert info.encodings[0].offset == (2, 0)
    array = image_array_from(a_bit, images(a_bit), info)
    assert array.headers["acquisition_time_stamp"].item() == 1020


def test_the_centre_of_a_volume():
    headers = np.zeros((1, 1, 1, 4, 8), ACQUISITION_HEADER)
    step_2, step_1 = np.mgrid[:4, :8]
    headers["number_of_samples"] = 8
    headers["idx"]["kspace_encode_step_1"], headers["idx"]["kspace_encode_step_2"] = step_1, step_2
    headers["acquisition_time_stamp"] = 100 * step_2 + step_1
    data = np.zeros((1, 1, 1, 1, 4, 8, 8), np.complex64)
    a_bit = ReconBit(DataBuffered(data, headers, SAMPLING))
    array = image_array_from(a_bit, data, context(scan(encoded=(16, 8, 4))))
    assert array.headers["acquisition_time_stamp"].item() == 204


def test_images_of_which_nothing_was_sampled():
    a_bit = bit(lines=())
    array = image_array_from(a_bit, images(a_bit), context(scan()))
    assert array.headers["position"].any() == False  # noqa: E712
    assert array.meta[0]["acquisition_time_range"] == [0xFFFFFFFF, 0]


def test_images_that_do_not_fit_the_acquisitions():
    a_bit = bit()
    with pytest.raises(DataError, match="do not fit"):
        image_array_from(a_bit, images(a_bit, (1, 1, 2, 1, 1, 8, 8)), context(scan()))


COUNTS = {"average": 2, "repetition": 3, "set": 4, "phase": 5, "contrast": 6, "slice": 7}
LIMITS = {name: (0, n - 1, 0) for name, n in COUNTS.items()}


def test_image_numbers_count_all_dimensions():
    counters = {"average": 1, "repetition": 2, "set": 3, "phase": 4, "contrast": 5, "slice": 6}
    a_bit = bit(**counters)
    info = ScanInfo.of(scan(limits=LIMITS))
    array = numbered(
        image_array_from(a_bit, images(a_bit), info),
        info, encoding=0, series=7, role=DataRole.IMAGE,
    )  # fmt: skip
    assert array.headers["image_index"].item() == 2 * 3 * 4 * 5 * 6 * 7
    assert array.headers["image_series_index"].item() == 7
    meta = array.meta[0]
    assert meta["GADGETRON_ImageNumber"] == [5040]
    assert meta["GADGETRON_DataRole"] == ["Image"]
    assert meta["GADGETRON_ImageComment"] == ["GT"]
    assert meta["GADGETRON_SeqDescription"] == ["_GT"]


def test_maps_averaged_over_n_take_the_first_headers():
    a_bit = bit((2, 1, 3, 1, 8))
    a_bit.data.headers["idx"]["repetition"] = np.arange(3)[:, None, None]
    info = ScanInfo.of(scan(limits=LIMITS))
    array = image_array_from(a_bit, images(a_bit), info)
    maps = replace(array, data=images(a_bit, (2, 1, 1, 1, 1, 8, 8)))
    sent = numbered(maps, info, encoding=0, series=20, role=DataRole.GFACTOR)
    assert sent.headers.shape == (2, 1, 1)
    assert len(sent.meta) == 2
    assert sent.meta[1] is not array.meta[3]
    assert "GADGETRON_DataRole" not in array.meta[0]


def test_snr_scaling_counts_sampled_lines():
    a_bit = bit(lines=(0, 2, 4, 6))
    assert snr_scaling(a_bit.data) == pytest.approx((2, 2**0.5))
    partial = replace(SAMPLING, limits=(SamplingLimit(4, 4, 7), *SAMPLING.limits[1:]))
    assert snr_scaling(replace(a_bit.data, sampling=partial)) == pytest.approx((2, 2))


def test_sampled_lines_and_slices():
    a_bit = bit((2, 1, 1, 1, 8), lines=(1, 3))
    a_bit.data.headers["idx"]["slice"][1, ..., 3] = 5
    assert sampled_lines(a_bit.data)[1, 0, 0, 0].tolist() == [False, True, False, True] + 4 * [
        False
    ]
    assert slices_of(a_bit.data) == (0, 5)
