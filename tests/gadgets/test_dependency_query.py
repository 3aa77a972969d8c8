"""What is answered about stored noise scans."""

from __future__ import annotations

from ismrmrd.xsd import (
    experimentalConditionsType,
    ismrmrdHeader,
    measurementDependencyType,
    measurementInformationType,
    patientPositionType,
    subjectInformationType,
)

from elastron.blobs.port import BlobKey, BlobStore
from elastron.gadgets.base import Context
from elastron.gadgets.dependency_query import DependencyQueryGadget, DependencyQueryProperties
from elastron.wire.messages import DependencyQuery, Text


def header(*dependencies: tuple[str, str], measured: bool = True) -> ismrmrdHeader:
    return ismrmrdHeader(
        experimentalConditions=experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000),
        subjectInformation=subjectInformationType(patientID="phantom"),
        measurementInformation=measurementInformationType(
            patientPosition=patientPositionType.HFS,
            measurementDependency=[
                measurementDependencyType(dependencyType=kind, measurementID=identity)
                for kind, identity in dependencies
            ],
        )
        if measured
        else None,
    )


class OneNoiseScan:
    """Storage with the noise scan `noise-1`."""

    def latest(self, key: BlobKey) -> bytes | None:
        found = key.name == "noise_covariance" and key.tags == {"measurement": "noise-1"}
        return b"x" if found and key.subject == "phantom" else None

    def store(self, key: BlobKey, data: bytes, *, ttl_s: int) -> None:
        raise AssertionError("nothing is stored")


def answer(head: ismrmrdHeader, storage: BlobStore | None, **properties: str) -> dict:
    context = Context(header=head, storage=storage)
    gadget = DependencyQueryGadget(DependencyQueryProperties(**properties), context)  # type: ignore[arg-type]
    text, reply = gadget([Text("passes")])
    assert text == Text("passes")
    assert isinstance(reply, DependencyQuery)
    return dict(reply.meta)


def test_stored_noise_scans_are_listed() -> None:
    head = header(("Noise", "noise-1"), ("noise", "noise-2"), ("SurfaceCoil", "noise-1"))
    assert answer(head, OneNoiseScan()) == {
        "NoiseDependencies": ["GadgetronNoiseCovarianceMatrix_noise-1"]
    }


def test_names_can_be_chosen() -> None:
    found = answer(
        header(("Noise", "noise-1")),
        OneNoiseScan(),
        noise_dependency_prefix="P",
        noise_dependency_attrib_name="N",
    )
    assert found == {"N": ["P_noise-1"]}


def test_nothing_stored_is_a_dummy() -> None:
    nothing = {"NoiseDependencies": ["Dummy"]}
    assert answer(header(("Noise", "noise-2")), OneNoiseScan()) == nothing
    assert answer(header(("Noise", "noise-1")), None) == nothing
    assert answer(header(), OneNoiseScan()) == nothing
    assert answer(header(measured=False), OneNoiseScan()) == nothing
