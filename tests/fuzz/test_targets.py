"""The fuzz targets hold for seeds, for damaged seeds, and, if it is there, under atheris."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .seeds import HEADER, meta, streams
from .targets import check_decoder, check_framer, check_header, check_meta

SEEDS = streams()


@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_seeds(number: int) -> None:
    check_decoder(bytes(2) + SEEDS[number])
    check_framer(bytes(2) + SEEDS[number])


@given(st.sampled_from(SEEDS), st.integers(0, 5000), st.binary(max_size=12), st.integers(0, 12))
def test_damaged_streams(seed: bytes, where: int, noise: bytes, cut: int) -> None:
    where %= len(seed) + 1
    damaged = bytes(2) + seed[:where] + noise + seed[where + cut :]
    check_decoder(damaged)
    check_framer(damaged)


@given(st.integers(0, len(HEADER)), st.binary(max_size=12), st.integers(0, 12))
def test_damaged_xml(where: int, noise: bytes, cut: int) -> None:
    check_header(HEADER[:where] + noise + HEADER[where + cut :])
    xml = meta().to_xml()
    check_meta(xml[:where] + noise + xml[where + cut :])


@pytest.mark.parametrize("target", ["decoder", "framer", "header", "meta"])
def test_a_short_run_under_atheris(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed: pip install atheris")
    subprocess.run(
        [sys.executable, "-m", "fuzz", target, tmp_path, "-runs=2000", "-max_len=4096"],
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
    )
