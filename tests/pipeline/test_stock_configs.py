"""Stock configs: complete, sound, and all of them build."""

from __future__ import annotations

from pathlib import Path

import pytest

from elastron.gadgets.base import Context
from elastron.mrd.dataset import Dataset
from elastron.pipeline import build, load_config, stock_config_names
from elastron.wire.messages import MessageId

SCAN = Path(__file__).parents[2] / "examples" / "brain_R2.h5"

#: Stock name -> (messages read, messages written).
IMAGES = ({MessageId.ACQUISITION, MessageId.WAVEFORM}, {MessageId.IMAGE})
BOTH_WAYS = (IMAGES[0] | IMAGES[1], {MessageId.ACQUISITION, MessageId.IMAGE})
EXPECTED = {
    "Generic_Cartesian_FFT.xml": IMAGES,
    "Generic_Cartesian_Grappa.xml": IMAGES,
    "Generic_Cartesian_Grappa_Complex.xml": IMAGES,
    "Generic_Cartesian_Grappa_RealTimeCine.xml": IMAGES,
    "Generic_Cartesian_Grappa_RealTimeCine_Cloud.xml": IMAGES,
    "Generic_Cartesian_Grappa_SNR.xml": IMAGES,
    "Generic_Cartesian_Grappa_T2W.xml": IMAGES,
    "NoiseSummary.xml": (set(), {MessageId.DEPENDENCY_QUERY}),
    "default.xml": IMAGES,
    "default_measurement_dependencies.xml": (IMAGES[0], set()),
    "default_optimized.xml": IMAGES,
    "default_short.xml": IMAGES,
    "distributed_default.xml": BOTH_WAYS,
    "distributed_generic_default.xml": BOTH_WAYS,
    "distributed_image_default.xml": BOTH_WAYS,
    "grappa.xml": IMAGES,
    "grappa_cpu.xml": IMAGES,
    "gtquery.xml": (set(), {MessageId.DEPENDENCY_QUERY}),
    "isalive.xml": (set(), set()),
    "ismrmrd_dump.xml": IMAGES,
}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    with Dataset(SCAN) as dataset:
        header = dataset.header
    return Context(header=header, parameters={"dump_folder": str(tmp_path_factory.mktemp("dump"))})


def test_all_stock_configs_are_here() -> None:
    assert set(stock_config_names()) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_builds_without_warnings(name: str, context: Context) -> None:
    chain = build(load_config(name), context)
    readable, writable = EXPECTED[name]
    assert chain.readable == readable
    assert chain.writable == writable
    assert chain.warnings == ()


@pytest.mark.parametrize("name", EXPECTED)
def test_it_ends_on_a_scan_without_data(name: str, context: Context) -> None:
    outputs = list(build(load_config(name), context)(iter(())))
    assert len(outputs) == len(EXPECTED[name][1] & {MessageId.DEPENDENCY_QUERY})
