"""Under which tags a dependency is filed, from the MRD header (storage API, section 13)."""

from __future__ import annotations

from dataclasses import dataclass

from ismrmrd.xsd import ismrmrdHeader

from elastron.blobs.port import BlobKey

#: How long the Gadgetron keeps what it stores.
DEFAULT_TTL_S = 48 * 3600


@dataclass(frozen=True, slots=True)
class ScanIdentity:
    """Who and what a scan is of; None where unknown. Never to be logged.

    Missing parts are filled from a measurement id of the form DEVICE_SUBJECT_SESSION_MEASUREMENT.
    """

    device: str | None = None
    subject: str | None = None
    session: str | None = None
    measurement: str | None = None

    @classmethod
    def of_header(cls, header: ismrmrdHeader) -> ScanIdentity:
        """Identity from the header's fields, then from its measurement id."""
        system, subject = header.acquisitionSystemInformation, header.subjectInformation
        study, measurement = header.studyInformation, header.measurementInformation
        measurement_id = measurement.measurementID if measurement else None
        return cls(
            device=(system.deviceID if system else None) or None,
            subject=(subject.patientID if subject else None) or None,
            session=(study.studyID if study else None) or None,
            measurement=measurement_id or None,
        ).filled_from(measurement_id)

    def filled_from(self, measurement_id: str | None) -> ScanIdentity:
        """The same with missing parts taken from `measurement_id`, if it has the form."""
        parts = (measurement_id or "").split("_")
        if len(parts) != 4:
            return self
        device, subject, session, _number = parts
        return ScanIdentity(
            device=self.device or device or None,
            subject=self.subject or subject or None,
            session=self.session or session or None,
            measurement=self.measurement,
        )


def measurement_key(
    header: ismrmrdHeader, name: str, measurement_id: str | None = None
) -> BlobKey | None:
    """Key in measurement space.

    Args:
        header: of the scan at hand.
        name: of the value, e.g. `noise_covariance`.
        measurement_id: of the dependency that is read; None for the scan's own.

    Returns:
        None where the header and the ids name no patient or no measurement.
    """
    identity = ScanIdentity.of_header(header).filled_from(measurement_id)
    measurement = measurement_id or identity.measurement
    if not identity.subject or not measurement:
        return None
    return BlobKey(
        subject=identity.subject,
        name=name,
        device=identity.device,
        session=identity.session,
        tags={"measurement": measurement},
    )


def session_key(header: ismrmrdHeader, name: str) -> BlobKey | None:
    """Key in session space; None where no patient is named."""
    identity = ScanIdentity.of_header(header)
    if not identity.subject:
        return None
    return BlobKey(
        subject=identity.subject, name=name, device=identity.device, session=identity.session
    )


def scanner_key(header: ismrmrdHeader, name: str) -> BlobKey | None:
    """Key in scanner space, which belongs to no patient; None where no device is named."""
    identity = ScanIdentity.of_header(header)
    return BlobKey(subject="$null", name=name, device=identity.device) if identity.device else None
