"""Prewhitening: from the stream, from storage, and when the noise cannot be had."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from elastron.blobs.memory import MemoryBlobStore
from elastron.errors import ConfigError, DataError, StorageError, StorageUnavailableError
from elastron.gadgets.asymmetric_echo_adjust_ro import AsymmetricEchoAdjustROGadget
from elastron.gadgets.base import Properties
from elastron.gadgets.noise_adjust import NoiseAdjustGadget, NoiseAdjustProperties
from elastron.gadgets.noise_summary import NoiseSummaryGadget, NoiseSummaryProperties
from elastron.gadgets.remove_ro_oversampling import RemoveROOversamplingGadget
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag, written_headers
from elastron.wire.messages import DependencyQuery, Text
from tests.gadgets.scan_parts import batch, context, header

NOISE = (AcquisitionFlag.IS_NOISE_MEASUREMENT,)
COILS = ("A", "B", "C", "D")
NOISE_SCAN = "dev_patient_study_1"
MAIN_SCAN = "dev_patient_study_2"
RNG = np.random.default_rng(7)
MIX = RNG.standard_normal((4, 4, 2)) @ [1, 1j]


def noise(n=60, samples=64) -> np.ndarray:
    return (MIX @ (RNG.standard_normal((n, 4, samples, 2)) @ [1, 1j])).astype(np.complex64)


def scan_header(measurement=MAIN_SCAN, *, depends_on=None, coils=COILS):
    dependency = (
        f"<measurementDependency><dependencyType>Noise</dependencyType>"
        f"<measurementID>{depends_on}</measurementID></measurementDependency>"
        if depends_on
        else ""
    )
    before = (
        f"<measurementInformation><measurementID>{measurement}</measurementID>"
        f"<patientPosition>HFS</patientPosition>{dependency}</measurementInformation>"
    )
    return header(coils=coils, before=before)


def run(items, mrd_header=None, storage=None, **properties):
    gadget = NoiseAdjustGadget(
        NoiseAdjustProperties(**properties),
        context(mrd_header or scan_header(), storage=storage),
    )
    out = list(gadget(items))
    return (
        [item for item in out if isinstance(item, AcquisitionBatch)],
        [item.text for item in out if isinstance(item, Text)],
    )


def covariance(data: np.ndarray) -> np.ndarray:
    flat = np.moveaxis(data, 1, 0).reshape(data.shape[1], -1)
    return flat @ flat.conj().T / flat.shape[1]


def test_noise_of_the_stream_whitens_what_follows_and_does_not_go_on():
    data = noise()
    out, texts = run(
        [batch(data, flags=NOISE, sample_time_us=5), batch(data[:10], sample_time_us=5)]
    )
    assert not texts
    assert sum(map(len, out)) == 10
    # Unit variance in the real and in the imaginary part: 2 b, by the bandwidth's default.
    np.testing.assert_allclose(covariance(run_all(data)), 2 * 0.793 * np.eye(4), atol=2e-3)


def run_all(data: np.ndarray) -> np.ndarray:
    out, _ = run([batch(data, flags=NOISE, sample_time_us=5), batch(data, sample_time_us=5)])
    return out[0].data


def test_dwell_times_scale():
    data = noise()
    same, _ = run([batch(data, flags=NOISE, sample_time_us=4), batch(data, sample_time_us=4)])
    twice, _ = run([batch(data, flags=NOISE, sample_time_us=4), batch(data, sample_time_us=8)])
    np.testing.assert_allclose(twice[0].data, math.sqrt(2) * same[0].data, atol=1e-4)


def test_result_does_not_depend_on_how_readouts_are_batched():
    data = noise()
    flags = np.zeros(60, np.uint64)
    flags[:40] = AcquisitionFlag.IS_NOISE_MEASUREMENT.mask
    whole = batch(data)
    whole.headers["flags"] = flags
    together, _ = run([whole])
    single, _ = run([whole.select(slice(i, i + 1)) for i in range(60)])
    assert sum(map(len, together)) == sum(map(len, single)) == 20
    np.testing.assert_allclose(
        np.concatenate([b.data for b in single]), together[0].data, rtol=1e-4
    )


def test_without_noise_data_pass_as_they_are():
    item = batch(noise(3))
    out, texts = run([item])
    assert out[0] is item
    assert not texts


def test_noise_scan_is_used_by_the_scan_that_names_it_whatever_the_order_of_coils():
    store, data = MemoryBlobStore(), noise()
    assert run([batch(data, flags=NOISE)], scan_header(NOISE_SCAN), store) == ([], [])
    out, texts = run([batch(data)], scan_header(depends_on=NOISE_SCAN), store)
    assert not texts
    np.testing.assert_allclose(covariance(out[0].data), np.eye(4), atol=2e-3)

    order = [2, 0, 3, 1]
    shuffled = scan_header(depends_on=NOISE_SCAN, coils=[COILS[i] for i in order])
    other, _ = run([batch(data[:, order])], shuffled, store)
    np.testing.assert_allclose(covariance(other[0].data), np.eye(4), atol=2e-3)


def test_client_is_told_when_the_named_noise_scan_cannot_be_had():
    item = batch(noise(2))
    for store in (None, MemoryBlobStore()):
        out, texts = run([item], scan_header(depends_on=NOISE_SCAN), store)
        assert out[0] is item
        assert len(texts) == 1
        assert "noise scan that the header names" in texts[0]
        assert NOISE_SCAN not in texts[0], "the id may name the patient"


class FailingStore:
    def latest(self, key):
        raise StorageUnavailableError("storage does not answer")

    def store(self, key, data, *, ttl_s):
        raise StorageUnavailableError("storage does not answer")


def test_failing_storage_fails_only_the_scans_that_need_it():
    data = noise()
    with pytest.raises(StorageUnavailableError):
        run([batch(data)], scan_header(depends_on=NOISE_SCAN), FailingStore())
    with pytest.raises(StorageUnavailableError):
        run([batch(data, flags=NOISE)], scan_header(NOISE_SCAN), FailingStore())
    with pytest.raises(StorageError, match="--storage"):
        run([batch(data, flags=NOISE)], scan_header(NOISE_SCAN), None)
    out, _ = run([batch(data, flags=NOISE), batch(data)], storage=FailingStore())
    assert len(out) == 1


def test_scale_only_channels_are_not_mixed():
    data = noise()
    out, _ = run([batch(data, flags=NOISE), batch(data)], scale_only_channels_by_name="C")
    ratio = out[0].data[:, 2] / data[:, 2]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)
    with pytest.raises(ConfigError, match="names X"):
        run([], scale_only_channels_by_name="X")


def test_channels_that_do_not_fit_pass_or_are_an_error():
    narrow = batch(noise(2)[:, :3])
    out, _ = run([batch(noise(), flags=NOISE), narrow])
    assert out[0] is narrow
    with pytest.raises(DataError, match="3 channels, noise of 4"):
        run([batch(noise(), flags=NOISE), narrow], pass_nonconformant_data=False)


def test_bad_noise_is_an_error_that_says_so():
    bad = noise(2)
    bad[1, 2, 3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        run([batch(bad, flags=NOISE)])
    with pytest.raises(DataError, match="positive definite"):
        run([batch(noise(1, 2), flags=NOISE), batch(noise(1))])


def test_switched_off_it_only_drops_the_noise():
    item = batch(noise(2))
    out, _ = run([batch(noise(), flags=NOISE), item], perform_noise_adjust=False)
    assert out == [item]


def summary(store, **properties):
    gadget = NoiseSummaryGadget(
        NoiseSummaryProperties(**properties), context(scan_header(), storage=store)
    )
    (answer,) = gadget([])
    assert isinstance(answer, DependencyQuery)
    return answer.meta


def test_summary_of_a_stored_noise_scan():
    store, data = MemoryBlobStore(), noise()
    run([batch(data, flags=NOISE, sample_time_us=3)], scan_header(NOISE_SCAN), store)
    meta = summary(store, noise_file=f"GadgetronNoiseCovarianceMatrix_{NOISE_SCAN}")
    sigma = np.sqrt(np.diagonal(covariance(data)).real)
    assert meta.first("status") == "success"
    assert meta.first("channels") == 4
    assert meta.first("noise_dwell_time_us") == 3
    for name, value in (("min", sigma.min()), ("max", sigma.max()), ("mean", sigma.mean())):
        assert meta.first(f"{name}_sigma") == pytest.approx(value, rel=1e-3)


def test_summary_of_an_unknown_noise_scan_says_failed():
    for store in (None, MemoryBlobStore()):
        assert summary(store, noise_file="a_b_c_d") == {"status": ["failed"]}


def test_mixing_may_be_left_to_the_gadget_that_crops():
    data = noise(6, 64)
    items = [batch(noise(), flags=NOISE), batch(data)]
    oversampled = replace(context(scan_header()), mixing_later=True)
    gadget = NoiseAdjustGadget(NoiseAdjustProperties(), oversampled)
    (left,) = gadget(items)
    np.testing.assert_array_equal(left.data, data)
    assert left.mixing.shape == (4, 4)
    with pytest.raises(DataError, match="still to be mixed"):
        written_headers(left)
    ((whitened,), _) = run(items)
    for whole in (False, True):  # with a crop, and without any
        crop = RemoveROOversamplingGadget(
            Properties(), context(header((64, 8, 1), oversampling=1 if whole else 2))
        )
        (expected,) = crop([whitened])
        (result,) = crop([left])
        assert result.mixing is None
        assert result.data.shape == (6, 4, 64 if whole else 32)
        np.testing.assert_allclose(result.data, expected.data, atol=1e-5)
    echo = AsymmetricEchoAdjustROGadget(Properties(), context(header((64, 8, 1))))
    (padded,) = echo([replace(left, data=data[..., 16:])])
    assert padded.mixing is left.mixing
