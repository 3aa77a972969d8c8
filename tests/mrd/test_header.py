"""Headers: the schema's classes, the Gadgetron's tolerance, and no tricks."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import HeaderError
from elastron.mrd.header import HEADER_TAGS_MAX, parse_header, serialize_header

with warnings.catch_warnings():
    from ismrmrd.xsd import CreateFromDocument, patientPositionType, trajectoryType

SCANS = [*sorted(Path("tests/data").glob("*.h5")), Path("examples/brain_R2.h5")]

SPACE = """<matrixSize><x>64</x><y>32</y><z>1</z></matrixSize>
<fieldOfView_mm><x>300</x><y>150.5</y><z>6</z></fieldOfView_mm>"""
ENCODING = f"""<encoding><encodedSpace>{SPACE}</encodedSpace><reconSpace>{SPACE}</reconSpace>
<encodingLimits><slice><minimum>0</minimum><maximum>3</maximum><center>1</center></slice>
</encodingLimits><trajectory>cartesian</trajectory></encoding>"""
FREQUENCY = """<experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz>
</experimentalConditions>"""


def document(*parts: str, namespace: bool = True) -> bytes:
    attribute = ' xmlns="http://www.ismrm.org/ISMRMRD"' if namespace else ""
    body = "".join(parts) or FREQUENCY + ENCODING
    return f'<?xml version="1.0"?><ismrmrdHeader{attribute}>{body}</ismrmrdHeader>'.encode()


FULL = document(
    "<version>2</version>",
    "<subjectInformation><patientName>phantom</patientName>"
    "<patientWeight_kg>70.3</patientWeight_kg><patientBirthdate>1970-01-02</patientBirthdate>"
    "<patientGender>O</patientGender></subjectInformation>",
    "<studyInformation><studyDate>2020-02-03</studyDate><studyTime>10:11:12.5</studyTime>"
    "<accessionNumber>17</accessionNumber></studyInformation>",
    "<measurementInformation><measurementID>a_b_c_1</measurementID>"
    "<patientPosition>FFDR</patientPosition>"
    "<relativeTablePosition><x>1</x><y>-2.5</y><z>0</z></relativeTablePosition>"
    "<measurementDependency><dependencyType>Noise</dependencyType>"
    "<measurementID>n1</measurementID></measurementDependency>"
    "<referencedImageSequence><referencedSOPInstanceUID>1.2</referencedSOPInstanceUID>"
    "<referencedSOPInstanceUID>1.3</referencedSOPInstanceUID></referencedImageSequence>"
    "</measurementInformation>",
    "<acquisitionSystemInformation><receiverChannels>2</receiverChannels>"
    "<coilLabel><coilNumber>1</coilNumber><coilName>A</coilName></coilLabel>"
    "<coilLabel><coilNumber>2</coilNumber><coilName>B</coilName></coilLabel>"
    "</acquisitionSystemInformation>",
    FREQUENCY,
    ENCODING.replace(
        "</encoding>",
        "<trajectoryDescription><identifier>spiral</identifier>"
        "<userParameterDouble><name>g</name><value>-1e-3</value></userParameterDouble>"
        "</trajectoryDescription>"
        "<parallelImaging><accelerationFactor><kspace_encoding_step_1>2</kspace_encoding_step_1>"
        "<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>"
        "<calibrationMode>separate</calibrationMode></parallelImaging>"
        "<echoTrainLength>4</echoTrainLength></encoding>",
    ),
    "<sequenceParameters><TR>4.5</TR><TR>5</TR><TE>2</TE>"
    "<diffusion><gradientDirection><rl>1</rl><ap>0</ap><fh>0</fh></gradientDirection>"
    "<bvalue>1000</bvalue></diffusion></sequenceParameters>",
    "<userParameters><userParameterLong><name>l</name><value>-4</value></userParameterLong>"
    "<userParameterString><name>s</name><value>text</value></userParameterString>"
    "<userParameterBase64><name>b</name><value>AAEC</value></userParameterBase64>"
    "</userParameters>",
    "<waveformInformation><waveformName>ecg1</waveformName><waveformType>ecg</waveformType>"
    "<userParameters/></waveformInformation>",
)


@pytest.mark.parametrize("path", SCANS, ids=lambda path: path.stem)
def test_scans_parse_as_the_ismrmrd_package_parses_them(path: Path) -> None:
    with h5py.File(path) as file:
        xml = file["dataset/xml"][0]
    assert parse_header(xml) == CreateFromDocument(xml)


def test_every_kind_of_element() -> None:
    header = parse_header(FULL)
    assert header == CreateFromDocument(FULL)
    assert header.userParameters.userParameterBase64[0].value == b"\0\1\2"


def test_what_is_written_is_read_again() -> None:
    header = parse_header(FULL)
    xml = serialize_header(header)
    assert parse_header(xml) == header
    assert CreateFromDocument(xml) == header
    assert b'xmlns="http://www.ismrm.org/ISMRMRD"' in xml


@pytest.mark.parametrize(
    "xml",
    [
        document(namespace=False),
        document() + b"\0",
        b"\n  " + document() + b"\n\0\0",
        document()
        .replace(b"<ismrmrdHeader xmlns", b"<i:ismrmrdHeader xmlns:x")
        .replace(b"</ismrmrdHeader", b"</i:ismrmrdHeader")
        .replace(b"xmlns:x", b"xmlns:i"),
        document("<vendor><secret>1</secret></vendor>", FREQUENCY, ENCODING),
        document().replace(b"<x>64</x>", b"<x> 64.0 </x>"),
        document().replace(b"<?xml version", b"<!-- comment --><?xml version")[16:],
    ],
)
def test_variants_that_mean_the_same(xml: bytes) -> None:
    assert parse_header(xml) == parse_header(document())
    assert parse_header(xml.decode()) == parse_header(document())


def test_what_the_gadgetron_takes_and_the_schema_forbids() -> None:
    bare = document(
        "<experimentalConditions/>",
        ENCODING.replace("<x>64</x>", "").replace("<maximum>3</maximum>", ""),
        "<measurementInformation><patientPosition>UPSIDE</patientPosition>"
        "<seriesDate>yesterday</seriesDate><protocolName/></measurementInformation>",
        "<subjectInformation><patientBirthdate>19700101</patientBirthdate></subjectInformation>",
    )
    header = parse_header(bare)
    encoding = header.encoding[0]
    assert header.experimentalConditions.H1resonanceFrequency_Hz == 0
    assert encoding.encodedSpace.matrixSize.x == 0
    assert encoding.encodingLimits.slice.maximum == 0
    assert encoding.encodingLimits.repetition is None
    assert header.measurementInformation.patientPosition.value == "UPSIDE"
    assert header.measurementInformation.seriesDate is None
    assert header.measurementInformation.protocolName is None
    assert b"<patientPosition>UPSIDE<" in serialize_header(header)
    assert all(position.value != "UPSIDE" for position in patientPositionType)


def test_words_nobody_knows() -> None:
    header = parse_header(document().replace(b"cartesian", b"zigzag"))
    assert header.encoding[0].trajectory is trajectoryType.OTHER


def test_text_in_another_encoding_than_declared() -> None:
    subject = "<subjectInformation><patientName>Müller</patientName></subjectInformation>"
    text = document(subject, FREQUENCY, ENCODING).decode()
    assert parse_header(text.encode()).subjectInformation.patientName == "Müller"
    assert parse_header(text.encode("latin-1")).subjectInformation.patientName == "M\ufffdller"
    declared = text.replace('"1.0"', '"1.0" encoding="iso-8859-1"').encode("latin-1")
    assert parse_header(declared).subjectInformation.patientName == "Müller"


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>"""


@pytest.mark.parametrize(
    "xml",
    [
        BOMB + b"<ismrmrdHeader>&c;</ismrmrdHeader>",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><ismrmrdHeader>&e;</ismrmrdHeader>',
        b'<!DOCTYPE ismrmrdHeader SYSTEM "http://127.0.0.1/x.dtd"><ismrmrdHeader/>',
        '<!DOCTYPE x [<!ENTITY e "\xff">]><ismrmrdHeader>&e;</ismrmrdHeader>'.encode("latin-1"),
    ],
)
def test_entities_are_never_read(xml: bytes) -> None:
    with pytest.raises(HeaderError, match=r"DTD, an entity"):
        parse_header(xml)


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        (b"", "Unable to load ISMRMRD XML header"),
        (b"garbage", "Unable to load ISMRMRD XML header"),
        (document()[:-4], "Unable to load ISMRMRD XML header"),
        (b'<?xml version="1.0" encoding="klingon"?><ismrmrdHeader/>', "Unable to load"),
        (b"<siemens/>", "Root node 'ismrmrdHeader' not found.*siemens"),
        (document(ENCODING), "lacks ismrmrdHeader/experimentalConditions"),
        (document(FREQUENCY), "lacks ismrmrdHeader/encoding"),
        (document(FREQUENCY, "<encoding/>"), "lacks ismrmrdHeader/encoding/encodedSpace"),
        (document().replace(b"<x>64</x>", b"<x>many</x>"), "matrixSize/x .*not a number"),
        (document().replace(b"<x>64</x>", b"<x>inf</x>"), "matrixSize/x .*not a number"),
        (document().replace(b"<x>64</x>", b"<x>-1</x>"), "matrixSize/x .*is -1"),
        (document().replace(b"<x>64</x>", b"<x>65536</x>"), "65536.*between 0 and 65535"),
        (document().replace(b"<x>64</x>", b"<x>" + b"9" * 5000 + b"</x>"), "matrixSize/x"),
        (document().replace(b"150.5", b"wide"), "fieldOfView_mm/y .*not a number"),
        (document().replace(b"cartesian", b""), "trajectory .*is empty"),
        (
            FULL.replace(b"AAEC", b"A"),
            "userParameterBase64/value .*not Base64",
        ),
        (b"<a>" * (HEADER_TAGS_MAX + 1), "more than .* tags"),
    ],
)
def test_headers_that_cannot_be(xml: bytes, text: str) -> None:
    with pytest.raises(HeaderError, match=text):
        parse_header(xml)


def test_a_header_beyond_the_limit() -> None:
    with pytest.raises(HeaderError, match="the limit is 100"):
        parse_header(document(), max_bytes=100)


def test_errors_hold_no_patient_data() -> None:
    subject = "<subjectInformation><patientWeight_kg>SECRET</patientWeight_kg></subjectInformation>"
    with pytest.raises(HeaderError) as caught:
        parse_header(document(subject, FREQUENCY, ENCODING))
    assert "SECRET" not in str(caught.value)


@given(st.binary(max_size=200), st.integers(0, len(FULL)), st.integers(0, 30))
def test_any_damage_is_a_header_error_at_most(noise: bytes, where: int, cut: int) -> None:
    try:
        parse_header(FULL[:where] + noise + FULL[where + cut :])
    except HeaderError as error:
        assert "header" in str(error)  # noqa: PT017
