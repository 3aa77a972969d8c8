"""How much data an MRD header announces."""

from __future__ import annotations

import pytest

from elastron.mrd.announced import announced_bytes
from elastron.recon.phantom_scan import Calibration, PhantomSettings, phantom_acquisitions


@pytest.mark.parametrize("repetitions", [1, 7])
@pytest.mark.parametrize("slices", [1, 3])
def test_a_phantoms_header_announces_its_samples(repetitions: int, slices: int) -> None:
    settings = PhantomSettings(
        matrix=32, coils=3, slices=slices, repetitions=repetitions, noise_readouts=0, oversampling=2
    )
    header, batches = phantom_acquisitions(settings)
    assert announced_bytes(header) == sum(batch.data.nbytes for batch in batches)


def test_an_accelerated_scan_announces_its_lines_without_those_for_calibration() -> None:
    settings = PhantomSettings(
        matrix=32,
        coils=3,
        acceleration=(2, 1),
        calibration=Calibration.EMBEDDED,
        calibration_lines=8,
        noise_readouts=0,
    )
    header, parts = phantom_acquisitions(settings)
    batches = list(parts)
    line_bytes = batches[0].data[0].nbytes
    assert announced_bytes(header) == 16 * line_bytes
    assert announced_bytes(header) < sum(batch.data.nbytes for batch in batches)


def test_without_channels_nothing_is_announced() -> None:
    header, _ = phantom_acquisitions(PhantomSettings(matrix=16, coils=2))
    assert header.acquisitionSystemInformation is not None
    header.acquisitionSystemInformation.receiverChannels = None
    assert announced_bytes(header) == 0
    header.acquisitionSystemInformation = None
    assert announced_bytes(header) == 0
