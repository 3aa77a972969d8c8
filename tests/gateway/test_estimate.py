from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.gateway.estimate import _read_sizes, session_memory_bytes
from elastron.mrd.header import serialize_header
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions
from elastron.wire.messages import Close, ConfigName, HeaderXml

from ..node.harness import HEADER, NodeProcess, images, running_node, texts, wait_for

MB = 1e6


def header(x: int = 256, y: int = 128, z: int = 1, coils: int | None = 8, **maxima: int) -> bytes:
    channels = "" if coils is None else f"<receiverChannels>{coils}</receiverChannels>"
    limits = "".join(
        f"<{name}><minimum>0</minimum><maximum>{value}</maximum><center>0</center></{name}>"
        for name, value in maxima.items()
    )
    return f"""<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
    <subjectInformation><patientName>Doe^Jane</patientName></subjectInformation>
    <acquisitionSystemInformation>{channels}</acquisitionSystemInformation>
    <encoding><encodedSpace><matrixSize><x>{x}</x><y>{y}</y><z>{z}</z></matrixSize></encodedSpace>
    <reconSpace><matrixSize><x>60000</x><y>60000</y><z>1</z></matrixSize></reconSpace>
    <encodingLimits>{limits}</encodingLimits></encoding></ismrmrdHeader>""".encode()


def test_what_a_chain_holds_counts() -> None:
    image = 256 * 128 * 8 * 8
    default = session_memory_bytes(header(), "default.xml")
    assert default == round(3 * MB + 1.2 * image)
    assert session_memory_bytes(header(slice=7), "default.xml") == round(default + 10 * MB)
    generic = session_memory_bytes(header(), "Generic_Cartesian_FFT.xml")
    eight = session_memory_bytes(header(slice=7), "Generic_Cartesian_FFT.xml")
    assert eight - generic == pytest.approx(1.3 * 7 * image + 10 * MB, abs=2)
    many = session_memory_bytes(header(repetition=9), "Generic_Cartesian_FFT.xml")
    assert many - generic == 10 * MB
    snr = session_memory_bytes(header(repetition=9), "Generic_Cartesian_Grappa_SNR.xml")
    assert snr > generic + 9 * image


def test_what_is_not_known_is_assumed_to_hold_a_repetition() -> None:
    generic = session_memory_bytes(header(slice=7), "Generic_Cartesian_FFT.xml")
    assert session_memory_bytes(header(slice=7), "my_own.xml") == generic
    assert session_memory_bytes(header(slice=7)) == generic
    without = session_memory_bytes(header(coils=None), "default.xml")
    assert without == session_memory_bytes(header(coils=16), "default.xml")


def test_of_several_encodings_the_largest_counts() -> None:
    one, two = header(x=64).split(b"<encoding>"), header(x=512).split(b"<encoding>")
    both = one[0] + b"<encoding>" + two[1].split(b"</ismrmrdHeader>")[0] + b"<encoding>" + one[1]
    assert session_memory_bytes(both) == session_memory_bytes(header(x=512))


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"no xml",
        b"<ismrmrdHeader>",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><ismrmrdHeader/>",
        header(x=0),
        header().replace(b"<x>256", b"<x>-256"),
        header().replace(b"<x>256", b"<x>1e400"),
        b"<a>" * 100_000,
        b"\xff\xfe\x00",
    ],
)
def test_a_header_that_does_not_tell_is_no_error(xml: bytes) -> None:
    assert session_memory_bytes(xml, "default.xml") == 0


def test_a_hostile_header_costs_little() -> None:
    """Of the processor's time, as the machine may be busy: the gateway's loop waits for it."""
    for xml in (b"<a>" * 5_000_000, b"<a/>" * 5_000_000, b"<" * 10_000_000, b" " * 10_000_000):
        seconds = []
        for _ in range(5):
            start = time.thread_time()
            assert session_memory_bytes(b"<ismrmrdHeader>" + xml) == 0
            seconds.append(time.thread_time() - start)
        assert min(seconds) < 0.1


def test_a_header_cut_short_after_its_sizes_is_enough() -> None:
    xml = header().replace(b"</ismrmrdHeader>", b"<userParameters>" + b"<a>1</a>" * 40_000)
    assert session_memory_bytes(xml) == session_memory_bytes(header())


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_bytes_are_no_error(data: bytes, name: str) -> None:
    assert session_memory_bytes(data, name) >= 0
    assert session_memory_bytes(header() + data, name) >= 0
    cut = header()[: len(data) * 5]
    assert session_memory_bytes(cut, name) >= 0


def test_nothing_of_the_patient_is_kept() -> None:
    sizes = _read_sizes(HEADER)
    assert sizes
    assert all(isinstance(value, int) for value in sizes.values())
    names = {name for path in sizes for name in path}
    assert names == {
        "ismrmrdHeader", "acquisitionSystemInformation", "receiverChannels", "encoding",
        "encodedSpace", "matrixSize", "x", "y", "z", "encodingLimits", "kspace_encoding_step_1",
        "maximum",
    }  # fmt: skip


# --- against real sessions -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> NodeProcess:
    with running_node(tmp_path_factory.mktemp("node"), capacity=1) as node:
        yield node


@pytest.mark.parametrize(("config", "scan"), [
    ("default.xml", {"matrix": 256, "coils": 16}),
    ("default.xml", {"matrix": 64, "coils": 8, "partitions": 16}),
    ("Generic_Cartesian_FFT.xml", {"matrix": 128, "coils": 16, "repetitions": 2}),
    ("Generic_Cartesian_FFT.xml", {"matrix": 128, "coils": 8, "slices": 6}),
    ("Generic_Cartesian_Grappa.xml", {"matrix": 192, "coils": 12, "acceleration": (2, 1)}),
    ("Generic_Cartesian_Grappa_SNR.xml", {"matrix": 96, "coils": 8, "acceleration": (2, 1),
                                          "repetitions": 8}),
])  # fmt: skip
def test_the_estimate_is_near_what_a_session_takes(
    node: NodeProcess, config: str, scan: dict[str, int]
) -> None:
    mrd_header, batches = phantom_acquisitions(PhantomSettings(**scan))
    xml = serialize_header(mrd_header)
    before = memory_metric(node)
    with node.connect() as peer:
        peer.send(ConfigName(config), HeaderXml(xml), *batches, Close())
        answer = peer.receive()
    assert not texts(answer)
    assert images(answer)
    wait_for(lambda: memory_metric(node)[0] > before[0], what="the session's figures")
    taken = memory_metric(node)[1] - before[1]
    estimate = session_memory_bytes(xml, config)
    assert taken / 2.5 < estimate < taken * 2.5


def memory_metric(node: NodeProcess) -> tuple[float, float]:
    """Sessions and the sum of their memory."""
    text = node.get("/metrics").text
    name = "elastron_session_memory_bytes"
    return tuple(
        float(re.search(rf"^{name}_{each} (\S+)$", text, re.MULTILINE)[1])
        for each in ("count", "sum")
    )


def test_the_stock_chains_are_known() -> None:
    folder = Path(__file__).parents[2] / "src/elastron/pipeline/configs"
    assert folder.is_dir()
    xml = header()
    estimates = {each.name: session_memory_bytes(xml, each.name) for each in folder.glob("*.xml")}
    assert estimates["isalive.xml"] < min(
        value for name, value in estimates.items() if name.startswith(("default", "Generic"))
    )
