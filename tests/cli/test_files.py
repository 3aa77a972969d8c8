"""Commands that work on files: phantom, inspect, view, export, recon, configs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image as Picture

from elastron.client import ImageFile
from elastron.mrd.dataset import Dataset
from elastron.pipeline import reconstruct, stock_config_names
from tests.cli.conftest import BRAIN
from tests.client.images import make_image

DATA = Path(__file__).parents[1] / "data"
MAPS = DATA / "reference/brain_R2__Generic_Cartesian_Grappa_SNR.h5"


def write_images(path: str, *groups: str, **fields) -> None:
    for group in groups:
        with ImageFile(path, group) as file:
            for slice_ in range(3):
                pixels = np.full((16, 16), slice_, np.float32)
                file.append(make_image(pixels, position=(0, 0, 5 * slice_), slice=slice_, **fields))


def test_phantoms_are_as_asked_for(run):
    options = ("-m", 32, "-c", 4, "--slices", 2, "-r", 3, "-a", 2, "--noise-scan", "--seed", 7)
    result = run("phantom", "a.h5", *options)
    assert "readouts" in result.stderr
    (scan,) = json.loads(run("inspect", "a.h5", "--json").stdout)
    assert scan["encodings"][0]["recon_matrix"] == [32, 32, 1]
    assert scan["encodings"][0]["acceleration"] == [2, 1]
    assert scan["counters"]["slice"] == [0, 1]
    assert scan["counters"]["repetition"] == [0, 2]
    assert scan["noise_readouts"] == 256
    assert scan["receiver_channels"] == 4


@pytest.mark.parametrize("calibration", ["embedded", "separate", "interleaved", "none"])
def test_phantoms_of_three_dimensions(run, calibration):
    run("phantom", "v.h5", "-m", 32, "--3d", 16, "-a", "2x2", "--calibration", calibration, "-r", 4)
    (scan,) = json.loads(run("inspect", "v.h5", "--json").stdout)
    assert scan["encodings"][0]["recon_matrix"] == [32, 32, 16]


def test_the_same_seed_gives_the_same_phantom(run):
    for name in ("a.h5", "b.h5"):
        run("phantom", name, "-m", 16, "-c", 2, "--seed", 3)
    first, second = (next(Dataset(n).acquisition_batches()).data for n in ("a.h5", "b.h5"))
    np.testing.assert_array_equal(first, second)


def test_phantoms_do_not_overwrite(run):
    run("phantom", "a.h5", "-m", 16, "-c", 2)
    assert "--force" in run("phantom", "a.h5", code=1).stderr
    run("phantom", "a.h5", "-m", 16, "-c", 2, "--force")
    run("phantom", "b.h5", "-a", "fast", code=2)
    assert "matrix is 1" in run("phantom", "b.h5", "-m", 1, code=1).stderr


def test_inspect_shows_a_scan_and_hides_the_patient(run):
    shown = run("inspect", BRAIN).stdout
    for words in ("128 x 128", "16 channels", "R = 2 x 1 embedded", "noise", "32 readouts"):
        assert words in shown
    patient = json.loads(run("inspect", BRAIN, "--json", "--patient").stdout)[0]["patient"]
    for value in patient.values():
        assert str(value) not in shown
        assert str(value) not in run("inspect", BRAIN, "--json").stdout


def test_inspect_shows_images(run):
    shown = run("inspect", MAPS).stdout
    for words in ("image_20", "Gfactor", "uint16", "magnitude", "256 x 256 mm"):
        assert words in shown


def test_inspect_of_what_is_nothing(run):
    Path("text.h5").write_text("hello")
    assert "no HDF5" in run("inspect", "text.h5", code=1).stderr
    assert "no file" in run("inspect", "absent.h5", code=1).stderr
    assert "no group 'x'" in run("inspect", BRAIN, "-g", "x", code=1).stderr


def test_view_draws_a_montage(run):
    result = run("view", MAPS, "-o", "m.png")
    assert "montage → m.png" in result.stderr
    assert "SNR_MAP" in result.stdout
    picture = Picture.open("m.png")
    assert picture.width > 3 * 256


def test_view_takes_windows_series_and_groups(run):
    write_images("out.h5", "a", "b")
    run("view", "out.h5", "-g", "a", "-o", "m.png", "--window", 2, "--level", 1, "--tile", 16)
    grey = np.asarray(Picture.open("m.png").convert("L"))
    assert (grey == 255).sum() >= 256  # slice 2 is white
    (summary,) = json.loads(run("view", "out.h5", "-g", "b", "--json").stdout)
    assert summary["group"] == "b"
    assert "it has 'a', 'b'" in run("view", "out.h5", "-g", "c", code=1).stderr
    assert "no series 5; it has 1" in run("view", "out.h5", "-s", 5, code=1).stderr
    run("view", "out.h5", "--window", 2, code=2)
    run("view", "out.h5", "--window", 0, "--level", 1, code=2)
    assert "no images" in run("view", BRAIN, code=1).stderr


def test_view_shows_the_newest_group_of_times(run):
    write_images("out.h5", "2026-01-01 00:00:00", "2026-02-01 00:00:00")
    result = run("view", "out.h5")
    assert "2026-02-01" in result.stdout
    assert "2026-01-01" not in result.stdout
    assert "1 older left out" in result.stderr


def test_view_previews_in_the_terminal_when_asked_to(run):
    assert "▀" in run("view", MAPS, "--preview").stdout
    assert "▀" not in run("view", MAPS).stdout


def test_export_png(run):
    run("export", MAPS, "--to", "png", "-o", "pictures", "-s", 20, "--bits", 16)
    (path,) = Path("pictures").iterdir()
    assert path.name == "image_20_0001.png"
    assert Picture.open(path).size == (128, 128)


def test_export_nifti(run):
    write_images("out.h5", "g")
    files = json.loads(run("export", "out.h5", "-t", "nifti", "-o", "n", "--json").stdout)
    assert files == [str(Path("n/image_1.nii.gz"))]
    nifti = nibabel.load(files[0])
    assert nifti.shape == (16, 16, 3)
    assert nifti.affine[2, 2] == pytest.approx(5)


def test_export_dicom(run):
    write_images("out.h5", "a", "b")
    patient = ("--patient-name", "Doe^Jane", "--patient-id", "7", "--patient-sex", "F")
    study = ("--study-uid", "1.2.3", "--study-description", "test", "--scan", BRAIN)
    run("export", "out.h5", "--to", "dicom", "-o", "d", *patient, *study)
    files = sorted(Path("d").rglob("*.dcm"))
    assert len(files) == 6
    assert {path.parent.name for path in files} == {"a", "b"}
    dataset = pydicom.dcmread(files[0])
    assert str(dataset.PatientName) == "Doe^Jane"
    assert dataset.StudyInstanceUID == "1.2.3"
    assert dataset.EchoTime == pytest.approx(12.4)


@pytest.mark.parametrize(("to", "package"), [("nifti", "nibabel"), ("dicom", "pydicom")])
def test_a_missing_extra_is_named(run, monkeypatch, to, package):
    for name in [n for n in sys.modules if n.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"elastron.client.export.{to}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    result = run("export", MAPS, "--to", to, "-o", "x", code=1)
    assert f"pip install 'elastron[{to}]'" in result.stderr


def test_assumed_geometry_is_said_so(run):
    with ImageFile("out.h5", "g") as file:
        file.append(make_image(np.zeros((4, 4), np.uint16), directions=np.zeros((3, 3))))
    assert "were assumed" in run("export", "out.h5", "-t", "nifti", "-o", "n").stderr


def test_files_that_may_not_be_written_are_one_clear_line(run):
    Path("taken").write_text("a file, not a folder")
    result = run("export", MAPS, "-t", "png", "-o", "taken", code=1)
    assert result.stderr.startswith("error: taken: ")


def test_recon_gives_what_the_pipeline_gives(run):
    report = json.loads(run("recon", BRAIN, "-o", "out.h5", "-G", "g", "--json").stdout)
    assert report["images"] == 1
    (expected,) = reconstruct(BRAIN)
    with Dataset("out.h5", "r", "g") as dataset:
        (image,) = dataset.images()["image_0"]
    np.testing.assert_array_equal(image.data, expected.data)
    assert "1 image in image_0" in run("recon", BRAIN, "-o", "out.h5").stderr
    assert "no config 'nix.xml'" in run("recon", BRAIN, "-c", "nix.xml", code=1).stderr


def test_configs_are_listed_and_printed(run):
    shown = run("configs").stdout
    for name in stock_config_names():
        assert name in shown
    listed = json.loads(run("configs", "--json").stdout)
    default = next(each for each in listed if each["name"] == "default.xml")
    assert default["description"]
    assert "AccTrig" in default["gadgets"]
    assert run("configs", "default.xml").stdout.startswith("<?xml")
    assert "no config 'nix.xml'" in run("configs", "nix.xml", code=1).stderr


def test_configs_of_ones_own_are_listed(run, tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "mine.xml").write_text(
        "<configuration><!-- Mine. --><version>2</version><stream/></configuration>"
    )
    shown = run("configs", "--folder", folder).stdout
    assert any("mine.xml" in line and "Mine." in line for line in shown.splitlines())
