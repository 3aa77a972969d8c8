"""Messages of the Gadgetron protocol that are not MRD data.

MRD data on the wire are the types of `elastron.mrd`: `AcquisitionBatch` (id 1008), `Image`
(1022), `Waveform` (1026), `ReconData` (1023), `ImageArray` (1024), `Bucket` (1050).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.buffers import Bucket, ImageArray, ReconData
from elastron.mrd.image import Image
from elastron.mrd.meta import Meta
from elastron.mrd.waveform import Waveform


class MessageId(enum.IntEnum):
    """The uint16 that begins every message (Gadgetron core/MessageID.h)."""

    FILENAME = 1
    CONFIG = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    QUERY = 6
    RESPONSE = 7
    ERROR = 8
    ACQUISITION = 1008
    DICOM_WITHNAME = 1018
    DEPENDENCY_QUERY = 1019
    IMAGE = 1022
    RECON_DATA = 1023
    IMAGE_ARRAY = 1024
    WAVEFORM = 1026
    BUCKET = 1050


@dataclass(frozen=True, slots=True)
class ConfigName:
    """FILENAME (1): reconstruct with the config of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class ConfigXml:
    """CONFIG (2): reconstruct with this config."""

    xml: bytes


@dataclass(frozen=True, slots=True)
class HeaderXml:
    """HEADER (3): the MRD header, not parsed."""

    xml: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """CLOSE (4): the sender has no more to say."""


@dataclass(frozen=True, slots=True)
class Text:
    """TEXT (5): for people; a Gadgetron server reports its errors so."""

    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """QUERY (6)."""

    query: str
    correlation_id: int
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """RESPONSE (7), to the query of the same correlation id."""

    response: str
    correlation_id: int


@dataclass(frozen=True, slots=True)
class Error:
    """ERROR (8): between servers; the sender's reconstruction failed."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class DependencyQuery:
    """DEPENDENCY_QUERY (1019): attributes of a stored dependency."""

    meta: Meta


@dataclass(frozen=True, slots=True)
class DicomWithName:
    """DICOM_WITHNAME (1018): a DICOM file, its name, and attributes."""

    dicom: bytes
    filename: str
    meta: bytes = b""


ControlMessage = ConfigName | ConfigXml | HeaderXml | Close | Text | Query | Response | Error
DataMessage = (
    AcquisitionBatch
    | Waveform
    | Image
    | ReconData
    | ImageArray
    | Bucket
    | DependencyQuery
    | DicomWithName
)
Message = ControlMessage | DataMessage
