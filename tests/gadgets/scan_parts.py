"""Small scans for the tests of gadgets: headers, batches, contexts."""

from __future__ import annotations

from typing import Any

import numpy as np

from elastron.gadgets.base import Context
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, AcquisitionFlag
from elastron.mrd.header import parse_header

_HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
{before}
<experimentalConditions><H1resonanceFrequency_Hz>1</H1resonanceFrequency_Hz></experimentalConditions>
<encoding>
  <encodedSpace><matrixSize><x>{enc[0]}</x><y>{enc[1]}</y><z>{enc[2]}</z></matrixSize>
    <fieldOfView_mm><x>{enc_fov[0]}</x><y>{enc_fov[1]}</y><z>{enc_fov[2]}</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>{rec[0]}</x><y>{rec[1]}</y><z>{rec[2]}</z></matrixSize>
    <fieldOfView_mm><x>{rec_fov[0]}</x><y>{rec_fov[1]}</y><z>{rec_fov[2]}</z></fieldOfView_mm></reconSpace>
  <encodingLimits>{limits}</encodingLimits>
  <trajectory>{trajectory}</trajectory>
  {parallel}
</encoding>
</ismrmrdHeader>"""


def header(
    encoded=(16, 8, 1),
    recon=None,
    *,
    oversampling=2,
    limits=None,
    calibration=None,
    acceleration=(2, 1),
    trajectory="cartesian",
    coils=(),
    bandwidth=None,
    before="",
):
    """An MRD header; `limits` maps a counter to (minimum, maximum, center)."""
    recon = recon or (encoded[0] // oversampling, encoded[1], encoded[2])
    all_limits = {
        "kspace_encoding_step_1": (0, encoded[1] - 1, encoded[1] // 2),
        "kspace_encoding_step_2": (0, encoded[2] - 1, encoded[2] // 2),
        **(limits or {}),
    }
    limit_xml = "".join(
        f"<{name}><minimum>{a}</minimum><maximum>{b}</maximum><center>{c}</center></{name}>"
        for name, (a, b, c) in all_limits.items()
    )
    parallel = ""
    if calibration:
        parallel = (
            "<parallelImaging><accelerationFactor>"
            f"<kspace_encoding_step_1>{acceleration[0]}</kspace_encoding_step_1>"
            f"<kspace_encoding_step_2>{acceleration[1]}</kspace_encoding_step_2>"
            f"</accelerationFactor><calibrationMode>{calibration}</calibrationMode>"
            "</parallelImaging>"
        )
    labels = "".join(
        f"<coilLabel><coilNumber>{i}</coilNumber><coilName>{name}</coilName></coilLabel>"
        for i, name in enumerate(coils)
    )
    if coils or bandwidth is not None:
        channels = f"<receiverChannels>{len(coils)}</receiverChannels>" if coils else ""
        noise = (
            f"<relativeReceiverNoiseBandwidth>{bandwidth}</relativeReceiverNoiseBandwidth>"
            if bandwidth is not None
            else ""
        )
        before += (
            f"<acquisitionSystemInformation>{channels}{noise}{labels}"
            "</acquisitionSystemInformation>"
        )
    fov = tuple(2.0 * n for n in recon)
    xml = _HEADER.format(
        before=before,
        enc=encoded,
        rec=recon,
        enc_fov=(fov[0] * oversampling, *fov[1:]),
        rec_fov=fov,
        limits=limit_xml,
        trajectory=trajectory,
        parallel=parallel,
    )
    return parse_header(xml.encode())


def context(mrd_header=None, **kwargs: Any) -> Context:
    return Context(header=mrd_header or header(), threads=1, **kwargs)


def batch(data, *, flags=(), center_sample=None, trajectory=None, **fields) -> AcquisitionBatch:
    """A batch of `data` (n, channels, samples).

    `fields` set header fields or counters, one value or one per readout.
    """
    data = np.asarray(data, np.complex64)
    n, channels, samples = data.shape
    headers = np.zeros(n, ACQUISITION_HEADER)
    headers["version"] = 1
    headers["number_of_samples"] = samples
    headers["active_channels"] = headers["available_channels"] = channels
    headers["center_sample"] = samples // 2 if center_sample is None else center_sample
    headers["scan_counter"] = np.arange(n)
    headers["trajectory_dimensions"] = 0 if trajectory is None else trajectory.shape[2]
    for flag in flags:
        headers["flags"] |= AcquisitionFlag(flag).mask
    for name, value in fields.items():
        if name.startswith("user_") and name[5:].isdigit():
            headers["idx"]["user"][:, int(name[5:])] = value
        elif name in (headers.dtype.names or ()):
            headers[name] = value
        else:
            headers["idx"][name] = value
    return AcquisitionBatch(headers, data, trajectory)


def noise(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def make(gadget, mrd_header=None, *, properties=None, **kwargs):
    """The gadget, built as a chain builds it, with properties as strings."""
    values = gadget.properties_type.model_validate(properties or {})
    return gadget(values, context(mrd_header, **kwargs))


def run(gadget, items, mrd_header=None, *, properties=None, **kwargs):
    """All the gadget puts out for `items`."""
    return list(make(gadget, mrd_header, properties=properties, **kwargs)(items))
