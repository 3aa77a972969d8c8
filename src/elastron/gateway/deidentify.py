"""Taking out of a recorded stream what names a patient.

The rule is a list of what may stay; everything else goes, so that an element nobody thought of
goes too. IDs that join scans (a scan and its noise scan) become pseudonyms: the same ID gives the
same pseudonym under the same key, so what belonged together still does. The full list is in
docs/how-to/archive.md. Samples and pixels stay: a head's surface can be computed from them, so a
de-identified scan is not an anonymous one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from xsdata.models.datatype import XmlDate, XmlTime

from elastron.errors import ConnectionLostError, ElastronError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.header import parse_header, serialize_header
from elastron.mrd.image import Image
from elastron.mrd.meta import Meta
from elastron.mrd.waveform import Waveform
from elastron.wire import Buffer, Decoder, Limits, iter_encode, message_id
from elastron.wire.messages import Close, ConfigName, ConfigXml, DicomWithName, HeaderXml, Message

#: Texts of the MRD header that stay: those that a program chose, not a person.
HEADER_TEXTS = frozenset(
    {
        *("systemVendor", "systemModel", "coilName", "sequenceName", "sequence_type"),
        *("diffusionScheme", "identifier", "waveformName", "dependencyType", "bodyPartExamined"),
        "name",  # of a user parameter that is a number
    }
)
#: IDs of the MRD header that become pseudonyms.
HEADER_IDS = frozenset({"patientID", "studyID", "measurementID", "deviceID", "deviceSerialNumber"})
#: Lists of the MRD header that go altogether: free text, UIDs, and whatever a vendor packed.
HEADER_LISTS = frozenset({"userParameterString", "userParameterBase64", "referencedSOPInstanceUID"})
#: Sections of which numbers go, too: weight, height, the accession number.
_PERSONAL = frozenset({"subjectInformation", "studyInformation"})

#: Attributes of images that stay although their values are texts.
IMAGE_TEXTS = frozenset(
    {
        *("GADGETRON_DataRole", "GADGETRON_ImageProcessingHistory", "GADGETRON_SeqDescription"),
        *("GADGETRON_ImageComment", "gadgetron_sha1", "Skip_processing_after_recon"),
    }
)
#: Attributes of images that go although their values are numbers.
PERSONAL_NAME = re.compile(
    r"patient|subject|birth|accession|physician|operator|institution|study|"
    r"(^|[^a-z])(uid|age|sex)([^a-z]|$)",
    re.IGNORECASE,
)
#: Where the table and the patient lay, not who: these stay.
_POSITIONS = frozenset({"PatientPosition", "patient_table_position", "patientposition"})

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|[+-]?inf", re.IGNORECASE)

#: DICOM elements that stay, by their keywords; PS3.15 Annex E leaves these, and they suffice to
#: show an image at its place. UIDs that must be there become pseudonyms.
_DICOM_GROUPS = frozenset({0x0028, 0x7FE0})
_DICOM_KEYWORDS = frozenset(
    {
        *("SOPClassUID", "Modality", "ImageType", "Manufacturer", "ManufacturerModelName"),
        *("SpecificCharacterSet", "InstanceNumber", "SeriesNumber", "ImagePositionPatient"),
        *("ImageOrientationPatient", "SliceLocation", "SliceThickness", "SpacingBetweenSlices"),
        *("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoNumbers"),
        *("MagneticFieldStrength", "ImagingFrequency", "PixelBandwidth", "MRAcquisitionType"),
        *("ScanningSequence", "SequenceVariant", "ScanOptions", "NumberOfAverages"),
        *("EchoTrainLength", "PercentSampling", "PercentPhaseFieldOfView", "PatientPosition"),
        *("AcquisitionMatrix", "InPlanePhaseEncodingDirection", "TemporalPositionIdentifier"),
    }
)
_DICOM_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")


class Deidentifier:
    """Takes patients out of messages.

    Args:
        key: of the pseudonyms; secret, else they could be found by trying IDs.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def pseudonym(self, value: str) -> str:
        """What stands for an ID; the same for the same ID."""
        digest = hmac.new(self._key, value.encode(errors="replace"), hashlib.sha256)
        return f"anon{digest.hexdigest()[:16]}"

    def header(self, xml: bytes) -> bytes:
        """An MRD header without its patient.

        Raises:
            HeaderError: it cannot be read, so nobody knows what is in it.
        """
        header = parse_header(xml)
        self._clean(header)
        return serialize_header(header)

    def attributes(self, meta: Meta) -> Meta:
        """Attributes of an image without those that may name the patient."""
        return Meta(
            {
                name: list(values)
                for name, values in meta.items()
                if name in _POSITIONS
                or (
                    PERSONAL_NAME.search(name) is None
                    and (name in IMAGE_TEXTS or all(_is_number(value) for value in values))
                )
            }
        )

    def message(self, message: Message) -> Message | None:
        """A message without its patient; None where it has to go altogether.

        Raises:
            HeaderError: an MRD header that cannot be read.
        """
        match message:
            case HeaderXml(xml):
                return HeaderXml(self.header(xml))
            case Image():
                return replace(message, meta=self.attributes(message.meta))
            case DicomWithName():
                return self._dicom(message)
            case ConfigName() | ConfigXml() | Close() | AcquisitionBatch() | Waveform():
                return message
            case _:  # texts may say anything; composites carry headers of their own
                return None

    def _clean(self, section: Any, *, personal: bool = False) -> None:
        for field in dataclasses.fields(section):
            value = getattr(section, field.name)
            if value is None:
                continue
            if isinstance(value, list):
                if field.name in HEADER_LISTS:
                    value.clear()
                value[:] = [each for each in value if not _names_a_person(each)]
                for each in value:
                    if dataclasses.is_dataclass(each):
                        self._clean(each)
            elif isinstance(value, (XmlDate, XmlTime)):
                setattr(section, field.name, None)
            elif dataclasses.is_dataclass(value):
                self._clean(value, personal=field.name in _PERSONAL)
            elif isinstance(value, str) and field.name in HEADER_IDS:
                setattr(section, field.name, self._joined_pseudonym(value))
            elif field.name in HEADER_TEXTS:
                pass
            elif personal or isinstance(value, str | bytes):
                setattr(section, field.name, None if field.default is None else type(value)())

    def _joined_pseudonym(self, value: str) -> str:
        # DEVICE_SUBJECT_SESSION_MEASUREMENT: its parts are IDs found elsewhere.
        parts = value.split("_")
        if len(parts) == 4 and all(parts):
            return "_".join(map(self.pseudonym, parts))
        return self.pseudonym(value)

    def _dicom(self, message: DicomWithName) -> DicomWithName | None:
        try:
            from pydicom import Dataset, dcmread  # noqa: PLC0415  - an extra, and slow
            from pydicom.dataset import FileMetaDataset  # noqa: PLC0415
            from pydicom.uid import generate_uid  # noqa: PLC0415
        except ModuleNotFoundError:
            return None
        try:
            source = dcmread(io.BytesIO(message.dicom))
            kept = Dataset()
            for element in source:
                keyword = element.keyword
                if keyword in _DICOM_UIDS:
                    uid = generate_uid(entropy_srcs=[self._key.hex(), str(element.value)])
                    kept.add_new(element.tag, "UI", uid)
                elif keyword in _DICOM_KEYWORDS or element.tag.group in _DICOM_GROUPS:
                    kept.add(element)
            kept.PatientIdentityRemoved = "YES"
            kept.file_meta = FileMetaDataset()
            kept.file_meta.TransferSyntaxUID = source.file_meta.TransferSyntaxUID
            kept.file_meta.MediaStorageSOPClassUID = kept.SOPClassUID
            kept.file_meta.MediaStorageSOPInstanceUID = kept.SOPInstanceUID
            written = io.BytesIO()
            kept.save_as(written, enforce_file_format=True)
        except Exception:  # pydicom raises whatever it stumbles over
            return None
        return DicomWithName(written.getvalue(), "image.dcm")


class CleanStream:
    """A recorded stream without its patient, piece by piece.

    What follows bytes that are no message is left out, and so is a half message at the end.

    Attributes:
        left_out: messages that had to go, by name; `REST` for what nobody could read.
    """

    def __init__(self, deidentifier: Deidentifier, limits: Limits | None = None) -> None:
        self._deidentifier = deidentifier
        self._decoder = Decoder(limits)
        self.left_out: Counter[str] = Counter()
        self._readable = True

    def feed(self, data: bytes | memoryview) -> Iterator[Buffer]:
        """The cleaned bytes of all messages that are whole; each valid until the next.

        Raises:
            HeaderError: an MRD header that cannot be read.
        """
        rest = memoryview(data)
        while self._readable and rest:
            buffer = self._decoder.get_buffer()
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            buffer.release()
            self._decoder.received(count)
            rest = rest[count:]
            yield from self._cleaned()

    def eof(self) -> None:
        """The stream has ended."""
        if self._readable:
            try:
                self._decoder.eof()
            except ConnectionLostError:
                self._give_up()

    def _cleaned(self) -> Iterator[Buffer]:
        messages = self._decoder.messages()
        while True:
            try:
                message = next(messages, None)
            except ElastronError:
                self._give_up()
                return
            if message is None:
                return
            cleaned = self._deidentifier.message(message)
            if cleaned is None:
                self.left_out[message_id(message).name] += 1
                continue
            for buffers in iter_encode(cleaned):
                yield from buffers

    def _give_up(self) -> None:
        self._readable = False
        self.left_out["REST"] += 1


def _is_number(value: Any) -> bool:
    return not isinstance(value, str) or _NUMBER.fullmatch(value.strip()) is not None


def _names_a_person(item: Any) -> bool:
    """A user parameter whose name says so; its value may be an ID in digits."""
    name = getattr(item, "name", None)
    return isinstance(name, str) and PERSONAL_NAME.search(name) is not None
