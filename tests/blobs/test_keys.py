"""Tags of the three spaces, as the Gadgetron makes them (storage API, section 13)."""

from ismrmrd import xsd

from elastron.blobs.keys import measurement_key, scanner_key, session_key
from elastron.blobs.memory import MemoryBlobStore
from elastron.blobs.port import BlobKey


def header(measurement_id=None, patient=None, device=None, study=None) -> xsd.ismrmrdHeader:
    return xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_000_000),
        measurementInformation=xsd.measurementInformationType(
            measurementID=measurement_id, patientPosition=xsd.patientPositionType.HFS
        ),
        subjectInformation=xsd.subjectInformationType(patientID=patient),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(deviceID=device),
        studyInformation=xsd.studyInformationType(studyID=study),
    )


def test_measurement_id_of_four_parts_fills_what_is_missing():
    key = measurement_key(header("45387_1001_2002_7349"), "noise_covariance")
    assert key == BlobKey(
        "1001", "noise_covariance", "45387", "2002", {"measurement": "45387_1001_2002_7349"}
    )


def test_fields_of_the_header_come_first():
    key = measurement_key(header("a_b_c_d", patient="p"), "n")
    assert key is not None
    assert (key.subject, key.device, key.session) == ("p", "a", "c")


def test_dependency_is_read_under_its_own_id_which_may_name_the_patient():
    key = measurement_key(header("no-form"), "n", "dev_sub_ses_7")
    assert key == BlobKey("sub", "n", "dev", "ses", {"measurement": "dev_sub_ses_7"})


def test_without_patient_or_device_there_is_no_key():
    assert measurement_key(header("plain"), "n") is None
    assert session_key(header("a_b_c"), "n") is None
    assert scanner_key(header(), "n") is None
    assert scanner_key(header(device="d"), "n") == BlobKey("$null", "n", "d")


def test_memory_store_finds_the_newest_that_matches_until_it_expires():
    now = 0.0
    store = MemoryBlobStore(clock=lambda: now)
    filed = BlobKey("p", "n", "d", "s", {"measurement": "1"})
    store.store(filed, b"old", ttl_s=10)
    store.store(filed, b"new", ttl_s=5)
    store.store(BlobKey("p", "n", "d", "s", {"measurement": "2"}), b"other", ttl_s=10)
    wanted = BlobKey("p", "n", tags={"measurement": "1"})
    assert store.latest(wanted) == b"new"
    now = 6
    assert store.latest(wanted) == b"old"
    now = 10
    assert store.latest(wanted) is None
    assert store.latest(BlobKey("q", "n")) is None
