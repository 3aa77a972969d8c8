"""HDF5 datasets: ours and the `ismrmrd` package's read each other; broken files say why."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path
from shutil import which

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.errors import DataError, HeaderError
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.dataset import CHUNK_ROWS, FIRST_ROWS, Dataset
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.mrd.meta import Meta
from elastron.mrd.rows import ACQUISITION_ROW
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform

with warnings.catch_warnings():
    import ismrmrd

SCAN = Path("examples/brain_R2.h5")
SCANS = [SCAN, Path("tests/data/phantom_gre2d_2ch_full_2xos.h5")]
REFERENCE = sorted(Path("tests/data/reference").glob("*.h5"))
RNG = np.random.default_rng(3)


def make_batch(
    n: int, channels: int = 2, samples: int = 8, dimensions: int = 0, stamps: object = 0
) -> AcquisitionBatch:
    headers = np.zeros(n, ACQUISITION_HEADER)
    headers["version"] = 1
    headers["scan_counter"] = np.arange(n)
    headers["acquisition_time_stamp"] = stamps
    headers["number_of_samples"], headers["active_channels"] = samples, channels
    headers["trajectory_dimensions"] = dimensions
    data = RNG.standard_normal((n, channels, 2 * samples), np.float32).view(np.complex64)
    trajectory = RNG.random((n, samples, dimensions), np.float32) if dimensions else None
    return AcquisitionBatch(headers, data, trajectory)


def make_waveform(stamp: int = 0) -> Waveform:
    header = np.zeros((), WAVEFORM_HEADER)
    header["time_stamp"], header["channels"], header["number_of_samples"] = stamp, 2, 5
    return Waveform(header, RNG.integers(0, 1000, (2, 5), np.uint32))


def make_image(shape: tuple[int, ...] = (1, 1, 4, 6), dtype: object = np.float32) -> Image:
    header = np.zeros((), IMAGE_HEADER)
    header["image_index"] = 3
    meta = Meta()
    meta.put("a", "b", 2)
    return Image(header, RNG.integers(0, 100, shape).astype(dtype), meta)


def flat(batches: object) -> list[tuple[bytes, bytes, bytes]]:
    """Readout by readout: header, samples, trajectory."""
    return [
        (
            batch.headers[i].tobytes(),
            batch.data[i].tobytes(),
            b"" if batch.trajectory is None else batch.trajectory[i].tobytes(),
        )
        for batch in batches
        for i in range(len(batch))
    ]


@pytest.mark.parametrize("path", SCANS, ids=lambda path: path.stem)
def test_scans_read_as_the_ismrmrd_package_reads_them(path: Path) -> None:
    with Dataset(path) as dataset:
        found = flat(dataset.acquisition_batches())
        assert dataset.acquisition_count == len(found)
        assert dataset.waveform_count == 0
        assert dataset.header.encoding[0].trajectory.value == "cartesian"
        xml = dataset.header_xml
    with ismrmrd.Dataset(path, "dataset", mode="r") as theirs:
        assert theirs.read_xml_header() == xml
        for i, row in enumerate(found):
            acquisition = theirs.read_acquisition(i)
            assert row[:2] == (bytes(acquisition.getHead()), acquisition.data.tobytes())


def test_batches_are_runs_of_bounded_size() -> None:
    with Dataset(SCAN) as dataset:
        whole = list(dataset.acquisition_batches())
        small = list(dataset.acquisition_batches(max_bytes=100_000))
    # 32 noise readouts of 256 samples, then imaging readouts of 128; the first read is short.
    assert [batch.data.shape[1:] for batch in whole] == [(16, 256), (16, 128), (16, 128)]
    assert flat(whole) == flat(small)
    assert max(batch.nbytes for batch in small[2:]) <= 100_000
    assert FIRST_ROWS == 64


def test_what_we_write_both_read(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    batches = [make_batch(3), make_batch(CHUNK_ROWS + 5, 1, 4, 3), make_batch(1, 0, 0)]
    waveforms = [make_waveform(1), make_waveform(2)]
    with Dataset(path, "w") as dataset:
        dataset.write_header(b"<first/>")
        dataset.write_header(b"<ismrmrdHeader/>")
        for item in (*batches, *waveforms):
            dataset.append(item)
        dataset.append(batches[0].select(slice(0, 0)))
    with Dataset(path) as dataset:
        assert dataset.header_xml == b"<ismrmrdHeader/>"
        assert flat(dataset.acquisition_batches()) == flat(batches)
        found = list(dataset.waveforms())
        assert [w.header.item() for w in found] == [w.header.item() for w in waveforms]
        assert all((a.data == b.data).all() for a, b in zip(found, waveforms, strict=True))
        with pytest.raises(HeaderError):
            _ = dataset.header
    with ismrmrd.Dataset(path, "dataset", mode="r") as theirs:
        for i, (head, data, trajectory) in enumerate(flat(batches)):
            acquisition = theirs.read_acquisition(i)
            assert bytes(acquisition.getHead()) == head
            assert acquisition.data.tobytes() == data
            assert acquisition.traj.tobytes() == trajectory
        assert (theirs.read_waveform(1).data == waveforms[1].data).all()


def test_what_the_ismrmrd_package_writes_we_read(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    batch, waveform, image = make_batch(5, dimensions=2), make_waveform(7), make_image()
    with ismrmrd.Dataset(path, "dataset", mode="w") as theirs:
        theirs.write_xml_header(b"<a/>")
        for head, data, trajectory in zip(batch.headers, batch.data, batch.trajectory, strict=True):
            theirs.append_acquisition(ismrmrd.Acquisition(head.tobytes(), data, trajectory))
        theirs.append_waveform(ismrmrd.Waveform(waveform.header.tobytes(), waveform.data))
        theirs.append_image("image_0", ismrmrd.Image.from_array(image.data))
    with Dataset(path) as dataset:
        assert dataset.header_xml == b"<a/>"
        assert flat(dataset.acquisition_batches()) == flat([batch])
        assert (next(dataset.waveforms()).data == waveform.data).all()
        assert (dataset.images()["image_0"][0].data == image.data).all()


@pytest.mark.skipif(which("ismrmrd_generate_cartesian_shepp_logan") is None, reason="ismrmrd-tools")
def test_ismrmrd_tools_read_what_we_write_and_we_read_theirs(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.h5", tmp_path / "ours.h5"
    options = ["-m", "32", "-c", "2", "-r", "2", "-o", str(theirs)]
    subprocess.run(
        ["ismrmrd_generate_cartesian_shepp_logan", *options], check=True, capture_output=True
    )
    with Dataset(theirs) as source, Dataset(ours, "w") as target:
        assert source.header.encoding[0].encodedSpace.matrixSize.y == 32
        target.write_header(source.header_xml)
        for item in source.items():
            target.append(item)
        assert source.acquisition_count == target.acquisition_count == 64
    for path in (theirs, ours):
        subprocess.run(["ismrmrd_recon_cartesian_2d", path], check=True, capture_output=True)
    with Dataset(theirs) as a, Dataset(ours) as b:
        (group,) = a.image_groups()
        assert b.image_groups() == [group]
        for x, y in zip(a.iter_images(group), b.iter_images(group), strict=True):
            assert x.data.tobytes() == y.data.tobytes()
            assert np.abs(x.data).max() > 0


def reference_order(stamps: list[int], waveform_stamps: list[int]) -> list[tuple[str, int]]:
    """As gadgetron_ismrmrd_client sends: one look at both queues' heads at a time."""
    order, i, j = [], 0, 0
    while i < len(stamps) or j < len(waveform_stamps):
        if i == len(stamps) or (j < len(waveform_stamps) and waveform_stamps[j] < stamps[i]):
            order.append(("waveform", j))
            j += 1
        else:
            order.append(("readout", i))
            i += 1
    return order


@settings(max_examples=30)
@given(
    stamps=st.lists(st.integers(0, 9), max_size=12),
    waveform_stamps=st.lists(st.integers(0, 9), max_size=5),
)
def test_items_come_in_the_reference_client_s_order(
    stamps: list[int], waveform_stamps: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("order") / "scan.h5"
    with Dataset(path, "w") as dataset:
        dataset.append(make_batch(len(stamps), 1, 2, stamps=stamps))
        for number, stamp in enumerate(waveform_stamps):
            waveform = make_waveform(stamp)
            waveform.header["scan_counter"] = number
            dataset.append(waveform)
    found: list[tuple[str, int]] = []
    with Dataset(path) as dataset:
        for item in dataset.items():
            if isinstance(item, Waveform):
                found.append(("waveform", int(item.header["scan_counter"])))
            else:
                assert len(item)
                found.extend(("readout", int(n)) for n in item.headers["scan_counter"])
    assert found == reference_order(stamps, waveform_stamps)


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_images_are_written_exactly_as_the_reference_client_writes_them(
    path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.h5"
    with Dataset(path, group="ref") as source, Dataset(copy, "w", group="ref") as target:
        groups = source.image_groups()
        assert groups == sorted(groups, key=lambda name: int(name.partition("_")[2]))
        for group in groups:
            assert source.image_count(group) > 0
            for image in source.iter_images(group):
                assert target.append_image(group, image) == group
    compared = 0
    with h5py.File(path) as a, h5py.File(copy) as b:
        for group, tables in a["ref"].items():
            for name in ("header", "data", "attributes"):
                old, new = tables[name], b[f"ref/{group}/{name}"]
                assert old.id.get_type() == new.id.get_type()
                assert (old.shape, old.maxshape, old.chunks) == (
                    new.shape,
                    new.maxshape,
                    new.chunks,
                )
                assert str(old[()].tolist()) == str(new[()].tolist())
                compared += 1
    assert compared == 3 * len(groups)


@pytest.mark.parametrize(
    "dtype", ["u2", "i2", "u4", "i4", "f4", "f8", "c8", "c16"], ids=lambda dtype: dtype
)
def test_images_of_every_type(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "images.h5"
    images = [make_image((2, 3, 4, 5), dtype) for _ in range(3)]
    with Dataset(path, "a", group="out") as dataset:
        for image in images[:2]:
            dataset.append_image("image_1", image)
    with Dataset(path, "a", group="out") as dataset:
        dataset.append_image("image_1", images[2])
    with Dataset(path, group="out") as dataset:
        found = dataset.images()["image_1"]
        assert dataset.image_count("image_1") == 3
    for old, new in zip(images, found, strict=True):
        assert new.data.dtype == np.dtype(dtype)
        assert (new.data == old.data).all()
        assert new.meta == {"a": ["b", "2"]}
        assert new.header["matrix_size"].tolist() == [5, 4, 3]
        assert new.header["image_index"] == 3
        assert new.header["attribute_string_len"] == len(old.meta.to_xml())
    if dtype != "i4":  # which the package takes for 64 bits
        with ismrmrd.Dataset(path, "out", mode="r") as theirs:
            assert (theirs.read_image("image_1", 2).data == images[2].data).all()


def test_an_image_of_another_shape_or_type_goes_to_a_group_of_its_own(tmp_path: Path) -> None:
    images = [
        make_image(),
        make_image((1, 1, 8, 8)),
        make_image((1, 1, 8, 8), np.uint16),
        make_image((1, 1, 8, 8)),
    ]
    with Dataset(tmp_path / "images.h5", "w", group="out") as dataset:
        groups = [dataset.append_image("image_10", image) for image in images]
        dataset.append_image("image_2", images[0])
        assert groups == ["image_10", "image_10_2", "image_10_3", "image_10_2"]
        assert dataset.image_groups() == ["image_2", "image_10", "image_10_2", "image_10_3"]


def damaged(tmp_path: Path, change: object) -> Path:
    path = tmp_path / "damaged.h5"
    path.write_bytes(SCAN.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file["dataset"])
    return path


def replace_table(group: h5py.Group, rows: np.ndarray) -> None:
    del group["data"]
    group["data"] = rows


def wrong_size(group: h5py.Group) -> None:
    row = group["data"][70]
    row["head"]["number_of_samples"] = 99
    group["data"][70] = row


def no_column(group: h5py.Group) -> None:
    replace_table(group, np.zeros(3, [("head", ACQUISITION_HEADER)]))


def other_header(group: h5py.Group) -> None:
    floats = h5py.vlen_dtype(np.float32)
    rows = np.empty(2, [("head", [("version", "u2")]), ("traj", floats), ("data", floats)])
    for name in ("traj", "data"):
        rows[name][:] = [np.zeros(0, np.float32)] * 2
    replace_table(group, rows)


def fixed_length(group: h5py.Group) -> None:
    layout = [("head", ACQUISITION_HEADER), ("traj", "f4", 2), ("data", "f4", 2)]
    replace_table(group, np.zeros(3, layout))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (wrong_size, r"acquisition 70 holds 4096 values.*99 samples, 16 channels.*says 3168"),
        (no_column, "no column data, traj"),
        (other_header, "no field 'flags'"),
        (fixed_length, "not of variable length"),
        (lambda group: replace_table(group, np.zeros((2, 2))), "2 axes"),
        (lambda group: replace_table(group, np.zeros(3)), "no column"),
    ],
)
def test_foreign_tables(change: object, text: str, tmp_path: Path) -> None:
    path = damaged(tmp_path, change)
    with Dataset(path) as dataset, pytest.raises(DataError, match=text) as caught:
        list(dataset.acquisition_batches())
    assert str(path) in str(caught.value)
    assert "expected" in str(caught.value)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*nowhere\.h5"):
        Dataset(tmp_path / "nowhere.h5")
    text = tmp_path / "text.h5"
    text.write_text("hello")
    with pytest.raises(DataError, match=r"text\.h5.*expected an HDF5 file"):
        Dataset(text)
    with pytest.raises(DataError, match=r"no group 'other'; it holds 'dataset'"):
        Dataset(SCAN, group="other")
    with Dataset(REFERENCE[0], group="ref") as dataset:
        with pytest.raises(DataError, match="no dataset 'xml'"):
            _ = dataset.header
        assert list(dataset.items()) == []
    with Dataset(SCAN) as dataset, pytest.raises(DataError, match="image_7"):
        list(dataset.iter_images("image_7"))
    with Dataset(SCAN) as dataset, pytest.raises(DataError, match="written to"):
        dataset.append(make_batch(1))


def test_a_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "cut.h5"
    path.write_bytes(SCAN.read_bytes()[: SCAN.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut\.h5"), Dataset(path) as dataset:
        list(dataset.acquisition_batches())


def test_samples_as_old_versions_wrote_them(tmp_path: Path) -> None:
    # {real, imag} compounds, and one field with a leading blank.
    batch = make_batch(4, 2, 6)
    names = [
        (" measurement_uid" if n == "measurement_uid" else n) for n in ACQUISITION_HEADER.names
    ]
    old_header = np.dtype(
        [
            (new, ACQUISITION_HEADER[n])
            for new, n in zip(names, ACQUISITION_HEADER.names, strict=True)
        ]
    )
    sample = np.dtype([("real", "<f4"), ("imag", "<f4")])
    layout = [
        ("head", old_header),
        ("traj", h5py.vlen_dtype(np.dtype("<f4"))),
        ("data", h5py.vlen_dtype(sample)),
    ]
    rows = np.empty(4, layout)
    rows["head"] = batch.headers.view(old_header)
    for i in range(4):
        rows["traj"][i] = np.zeros(0, np.float32)
        rows["data"][i] = batch.data[i].reshape(-1).view(sample)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.create_group("dataset").create_dataset("data", data=rows, dtype=rows.dtype)
    with Dataset(tmp_path / "old.h5") as dataset:
        assert flat(dataset.acquisition_batches()) == flat([batch])


def test_tables_are_laid_out_as_libismrmrd_s() -> None:
    with h5py.File(SCAN) as file:
        table = file["dataset/data"].dtype
    assert table.names == ACQUISITION_ROW.names
    assert table["head"] == ACQUISITION_ROW["head"]
