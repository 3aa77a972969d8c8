"""One valid stream of every kind: what a fuzzer starts from."""

from __future__ import annotations

import numpy as np

from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.buffers import (
    Bucket,
    BucketStatistics,
    DataBuffered,
    ImageArray,
    ReconBit,
    ReconData,
    Sampling,
    SamplingLimit,
)
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.mrd.meta import Meta
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire import encode, messages
from elastron.wire.messages import Message

HEADER = b"""<ismrmrdHeader><experimentalConditions/><encoding><encodedSpace><matrixSize><x>4</x>
</matrixSize><fieldOfView_mm/></encodedSpace><reconSpace><matrixSize/><fieldOfView_mm/></reconSpace>
<encodingLimits/><trajectory>epi</trajectory></encoding><userParameters><userParameterBase64>
<name>a</name><value>AAEC</value></userParameterBase64></userParameters></ismrmrdHeader>"""


def batch(count: int = 3, dimensions: int = 0) -> AcquisitionBatch:
    headers = np.zeros(count, ACQUISITION_HEADER)
    headers["number_of_samples"], headers["active_channels"] = 2, 2
    headers["trajectory_dimensions"] = dimensions
    trajectory = np.ones((count, 2, dimensions), np.float32) if dimensions else None
    return AcquisitionBatch(headers, np.ones((count, 2, 2), np.complex64), trajectory)


def meta() -> Meta:
    return Meta({"a": ["b", "c"], "d": ["1"]})


def every_message() -> list[Message]:
    waveform = Waveform(np.zeros((), WAVEFORM_HEADER), np.zeros((1, 2), np.uint32))
    one = SamplingLimit()
    sampling = Sampling((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1), (one, one, one))
    full = DataBuffered(
        np.zeros((1,) * 7, np.complex64),
        np.zeros((1,) * 5, ACQUISITION_HEADER),
        sampling,
        np.zeros((1,) * 7, np.float32),
        np.zeros((1,) * 6, np.float32),
    )
    image_headers = np.zeros((1, 1, 1), IMAGE_HEADER)
    image = Image(np.zeros((), IMAGE_HEADER), np.zeros((1, 1, 2, 2), np.uint16), meta())
    seen = BucketStatistics({"kspace_encode_step_1": {1, 2}})
    return [
        messages.ConfigName("default.xml"),
        messages.ConfigXml(b"<configuration/>"),
        messages.HeaderXml(HEADER),
        messages.Text("text"),
        messages.Query("gadgetron::version", 1),
        messages.Response("4", 1),
        messages.Error("no"),
        batch(),
        batch(2, dimensions=3),
        waveform,
        image,
        ReconData([ReconBit(full, full)]),
        ImageArray(full.data, image_headers, [meta()], [waveform], full.headers),
        Bucket([batch()], [batch(1, dimensions=2)], [seen], [seen], [waveform]),
        messages.DependencyQuery(meta()),
        messages.DicomWithName(b"dcm", "a.dcm", b"m"),
        messages.Close(),
    ]


def streams() -> list[bytes]:
    """Bytes of each message, of a compressed batch, and of all together."""
    singles = [b"".join(map(bytes, encode(message))) for message in every_message()]
    singles.append(b"".join(map(bytes, encode(batch(), bits=7))))
    return [*singles, b"".join(singles)]
