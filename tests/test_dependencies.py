"""A noise scan sent to one node serves a scan sent to another, across restarts of storage."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ismrmrd import xsd

from elastron.client import Client
from elastron.errors import RemoteError
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
from elastron.mrd.dataset import Dataset
from elastron.node import Node, NodeSettings
from tests.running_storage import storage_server

SCAN = Path(__file__).parent / "data" / "brain_full.h5"
NOISE_SCAN = "scanner_somebody_study_1"
MAIN_SCAN = "scanner_somebody_study_2"
CONFIG = "Generic_Cartesian_FFT.xml"


@contextmanager
def parts() -> Iterator[tuple[xsd.ismrmrdHeader, list[AcquisitionBatch], list[AcquisitionBatch]]]:
    """Header, noise readouts and imaging readouts of a real scan."""
    with Dataset(SCAN) as dataset:
        batches = list(dataset.acquisition_batches())
        noise = [b.any_flag(AcquisitionFlag.IS_NOISE_MEASUREMENT).all() for b in batches]
        yield (
            dataset.header,
            [b for b, is_noise in zip(batches, noise, strict=True) if is_noise],
            [b for b, is_noise in zip(batches, noise, strict=True) if not is_noise],
        )


def named(header: xsd.ismrmrdHeader, measurement: str, *, noise_scan: str | None = None):
    header = copy.deepcopy(header)
    assert header.measurementInformation is not None
    header.measurementInformation.measurementID = measurement
    if noise_scan:
        header.measurementInformation.measurementDependency = [
            xsd.measurementDependencyType(dependencyType="Noise", measurementID=noise_scan)
        ]
    return header


def node(storage: str | None) -> Node:
    return Node(
        NodeSettings(
            listen="127.0.0.1:0", admin=None, capacity=1, warm_workers=1, storage_url=storage
        )
    )


async def send(running: Node, header, items, config):
    client = Client("127.0.0.1", running.port)
    return await asyncio.to_thread(client.send, (header, items), config)


async def test_noise_of_one_node_serves_another_after_a_restart(tmp_path):
    with parts() as (header, noise, imaging):
        async with node(None) as alone:
            together = await send(alone, named(header, MAIN_SCAN), [*noise, *imaging], CONFIG)
        with storage_server(tmp_path) as url:
            async with node(url) as first:
                stored = await send(
                    first, named(header, NOISE_SCAN), noise, "default_measurement_dependencies.xml"
                )
        assert not stored.images
        with storage_server(tmp_path) as url:
            async with node(url) as second:
                main = named(header, MAIN_SCAN, noise_scan=NOISE_SCAN)
                apart = await send(second, main, imaging, CONFIG)
    assert not apart.texts
    assert len(apart.images) == len(together.images) == 1
    np.testing.assert_array_equal(apart.images[0].data, together.images[0].data)


async def test_without_its_noise_scan_a_client_is_told(tmp_path):
    with parts() as (header, _noise, imaging), storage_server(tmp_path) as url:
        async with node(url) as running:
            main = named(header, MAIN_SCAN, noise_scan=NOISE_SCAN)
            result = await send(running, main, imaging, CONFIG)
    assert len(result.images) == 1
    (text,) = result.texts
    assert "noise scan that the header names is not in storage" in text
    assert "somebody" not in text


async def test_storage_that_is_gone_fails_only_the_scans_that_need_it(tmp_path):
    with storage_server(tmp_path) as url:
        pass
    with parts() as (header, noise, imaging):
        async with node(url) as running:
            own = await send(running, named(header, MAIN_SCAN), [*noise, *imaging], CONFIG)
            assert len(own.images) == 1
            with pytest.raises(RemoteError, match="storage") as caught:
                await send(
                    running, named(header, MAIN_SCAN, noise_scan=NOISE_SCAN), imaging, CONFIG
                )
            assert "somebody" not in str(caught.value)
            with pytest.raises(RemoteError, match="storage"):
                await send(
                    running,
                    named(header, NOISE_SCAN),
                    noise,
                    "default_measurement_dependencies.xml",
                )
