"""Scans made by Debian's ismrmrd-tools, which share no code with us, reconstruct; and the reverse.

`apt-get install ismrmrd-tools` brings the programs; without them the tests are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from elastron.mrd.dataset import Dataset
from elastron.mrd.header import serialize_header
from elastron.pipeline import reconstruct
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions

GENERATE = "ismrmrd_generate_cartesian_shepp_logan"
RECONSTRUCT = "ismrmrd_recon_cartesian_2d"

pytestmark = pytest.mark.skipif(
    not (shutil.which(GENERATE) and shutil.which(RECONSTRUCT)),
    reason="ismrmrd-tools is not installed (apt-get install ismrmrd-tools)",
)

MATRIX = 64

#: Without the last conversion to 16 bit, which leaves these small values three grey levels.
GRAPPA = "Generic_Cartesian_Grappa_Complex.xml"


def program(*words: object) -> None:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def generate(tmp_path):
    def make(*options: object) -> Path:
        path = tmp_path / "scan.h5"
        path.unlink(missing_ok=True)
        program(GENERATE, "-m", MATRIX, "-c", 8, "-o", path, *options)
        return path

    return make


def their_image(scan: Path, folder: Path) -> np.ndarray:
    """What the tools' own reconstruction (first repetition, fully sampled) makes of a scan."""
    copy = folder / "theirs.h5"  # it writes into the file it reads
    shutil.copy(scan, copy)
    program(RECONSTRUCT, copy)
    with Dataset(copy) as dataset:
        ((image,),) = dataset.images().values()
    return image.data[0, 0]


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Relative L2 difference, the scale left free: the two scale their transforms differently."""
    ours, theirs = (np.abs(image).astype(np.float64).ravel() for image in (ours, theirs))
    scale = (ours @ theirs) / (ours @ ours)
    return float(np.linalg.norm(scale * ours - theirs) / np.linalg.norm(theirs))


def test_a_full_scan_gives_the_image_they_get(generate, tmp_path):
    scan = generate()
    (image,) = reconstruct(scan, "default.xml")
    assert image.data.shape == (1, 1, MATRIX, MATRIX)
    assert difference(image.data, their_image(scan, tmp_path)) < 1e-5


@pytest.mark.parametrize("oversampling", [1, 2, 4])
def test_readout_oversampling_is_removed_as_they_do(generate, tmp_path, oversampling):
    scan = generate("-O", oversampling)
    (image,) = reconstruct(scan, "default.xml")
    assert difference(image.data, their_image(scan, tmp_path)) < 1e-5


def test_repetitions_are_images_of_their_own(generate, tmp_path):
    scan = generate("-r", 3, "-n", 0.005)
    images = reconstruct(scan, "default.xml")
    assert [int(image.header["repetition"]) for image in images] == [0, 1, 2]
    truth = their_image(generate("-n", 0), tmp_path)
    assert all(difference(image.data, truth) < 0.05 for image in images)
    assert not np.array_equal(images[0].data, images[1].data)


@pytest.mark.parametrize(("acceleration", "allowed"), [(2, 0.03), (3, 0.08)])
def test_accelerated_scans_unfold(generate, acceleration, allowed):
    images = reconstruct(generate("-a", acceleration, "-w", 24, "-n", 0.005), GRAPPA)
    # The generator makes one repetition for each way to shift the sampled lines.
    assert [int(image.header["repetition"]) for image in images] == list(range(acceleration))
    full = reconstruct(generate("-n", 0), GRAPPA)[0].data
    for image in images:
        assert image.data.shape == full.shape
        assert difference(image.data, full) < allowed


def test_what_is_not_unfolded_is_seen_as_folded(generate):
    """So the test above would see a GRAPPA that does nothing."""
    folded = reconstruct(generate("-a", 2, "-w", 24, "-n", 0), "default.xml")[0].data
    full = reconstruct(generate("-n", 0), "default.xml")[0].data
    assert difference(folded, full) > 0.3


@pytest.mark.parametrize("config", ["default_optimized.xml", "Generic_Cartesian_FFT.xml"])
def test_noise_scans_are_taken_for_noise(generate, tmp_path, config):
    scan = generate("-C", "-n", 0.01)
    with Dataset(scan) as dataset:
        assert dataset.acquisition_count == MATRIX + 1
    (image,) = reconstruct(scan, config)
    assert np.isfinite(image.data).all()
    assert (
        np.corrcoef(image.data.ravel(), their_image(generate("-n", 0), tmp_path).ravel())[0, 1]
        > 0.9
    )


def test_their_reconstruction_reads_our_phantom(tmp_path):
    header, batches = phantom_acquisitions(PhantomSettings(matrix=MATRIX, coils=4, noise_level=0))
    path = tmp_path / "ours.h5"
    with Dataset(path, "w") as dataset:
        dataset.write_header(serialize_header(header))
        for batch in batches:
            dataset.append(batch)
    (image,) = reconstruct(path, "default.xml")
    assert difference(image.data, their_image(path, tmp_path)) < 1e-5
