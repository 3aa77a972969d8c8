"""Limits on everything a peer may send, each with its number and the reason for it.

The Gadgetron has none: a length is believed and allocated. Here a length is compared with its
limit as soon as it is read, before anything is allocated for it; and memory for large messages
grows with the bytes that really come, not with what was announced.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

_KIB = 1 << 10
_MIB = 1 << 20
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds; a message beyond one is refused with a `LimitError` that names it.

    Attributes:
        config_bytes: CONFIG. Stock configs have 1 to 10 kB.
        header_bytes: HEADER. 3 to 30 kB, some MB when a vendor's protocol rides along.
        text_bytes: TEXT and ERROR. A stack trace has some kB.
        query_bytes: QUERY. Questions are names of 20 characters.
        response_bytes: RESPONSE. The longest stock answer, `gadgetron::info`, has 1 kB.
        acquisition_bytes: one readout, samples and trajectory, also when decompressed. 65535
            samples of 128 channels (the most of both) have 64 MiB.
        waveform_bytes: one waveform. 65535 samples of 64 channels have 16 MiB.
        image_bytes: pixels of one image. 512 x 512 x 512 complex floats have 1 GiB.
        meta_bytes: attributes of one image. The Gadgetron writes 4 kB.
        dicom_bytes: one DICOM file. A large multi-frame file has 100 MB.
        filename_bytes: a DICOM file's name. File systems take 255 for a name, 4096 for a path.
        composite_bytes: one RECONDATA, IMAGE_ARRAY or BUCKET. A 3D scan of 256 x 256 x 256
            points and 32 channels has 4 GiB.
        array_dimensions: axes of one array in a composite. The Gadgetron's have 7 at most.
        recon_bits: encoding spaces in a RECONDATA or BUCKET. Protocols have one to three.
        images: images in one IMAGE_ARRAY. 100,000 cost 20 MB of headers.
        acquisitions: readouts in one BUCKET, each list. A million cost 340 MB of headers.
        waveforms: waveforms in one composite. An hour of ECG in pieces has 10,000.
    """

    config_bytes: int = 4 * _MIB
    header_bytes: int = 16 * _MIB
    text_bytes: int = 1 * _MIB
    query_bytes: int = 64 * _KIB
    response_bytes: int = 1 * _MIB
    acquisition_bytes: int = 128 * _MIB
    waveform_bytes: int = 64 * _MIB
    image_bytes: int = 1 * _GIB
    meta_bytes: int = 16 * _MIB
    dicom_bytes: int = 512 * _MIB
    filename_bytes: int = 4 * _KIB
    composite_bytes: int = 6 * _GIB
    array_dimensions: int = 16
    recon_bits: int = 64
    images: int = 100_000
    acquisitions: int = 1_000_000
    waveforms: int = 100_000

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(f"Limits.{field.name} is negative")
