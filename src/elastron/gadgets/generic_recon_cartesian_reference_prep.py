"""GenericReconCartesianReferencePrepGadget: calibration data ready for use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

import numpy as np

from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.gadgets.generic_recon_base import (
    CalibrationMode,
    GenericReconProperties,
    ScanInfo,
    sampled_lines,
    slices_of,
)
from elastron.mrd.acquisition import ReadoutDomain
from elastron.mrd.buffers import DataBuffered, ReconBit, ReconData, SamplingLimit
from elastron.recon.calibration import average_repeats, sampled_span
from elastron.recon.fft import fft


class ReferencePrepProperties(GenericReconProperties):
    """Properties of `GenericReconCartesianReferencePrepGadget`.

    Attributes:
        average_all_ref_N: average over N; for interleaved calibration, every line by how often
            it was sampled.
        average_all_ref_S: average over S.
        N_for_ref: if it exists, use this N only.
        S_for_ref: if it exists, use this S only.
        ref_fill_into_data_embedded: embedded calibration lines are put into the data as well.
        prepare_ref_always: prepare for all data; else for the first of each slice only.
    """

    average_all_ref_N: bool = True  # noqa: N815
    average_all_ref_S: bool = False  # noqa: N815
    N_for_ref: int = -1
    S_for_ref: int = -1
    ref_fill_into_data_embedded: bool = False
    prepare_ref_always: bool = True


class GenericReconCartesianReferencePrepGadget(Gadget[ReferencePrepProperties]):
    """Averages calibration data, crops it to what was sampled, and centres its limits.

    Data that calibrates itself (interleaved, or not accelerated) becomes its own reference. Other
    accelerated data without calibration lines passes without a reference: the reconstruction
    then keeps its last calibration. (The original would calibrate from undersampled data.)
    References go out in k-space, whatever the readout domain of the data; but the data of a scan
    without acceleration is its own reference as it stands, and shares its memory, if there is
    nothing to average or to crop.
    """

    properties_type: ClassVar[type[Properties]] = ReferencePrepProperties
    hybrid: ClassVar[Hybrid] = Hybrid.PASSES
    accepts: ClassVar[tuple[type, ...]] = (ReconData,)

    def __init__(self, properties: ReferencePrepProperties, context: Context) -> None:
        super().__init__(properties, context)
        self._scan = ScanInfo.of(context.header)
        self._prepared: set[tuple[int, tuple[int, ...]]] = set()

    def process(self, item: ReconData) -> Iterable[Item]:
        """Replace the references; the item is taken over, so that the old ones can go."""
        item.bits = [self._prepare(e, bit) for e, bit in enumerate(item.bits)]
        yield item

    def _prepare(self, encoding: int, bit: ReconBit) -> ReconBit:
        if not bit.data.data.size:
            return replace(bit, reference=None)
        mode = self._scan.encoding(encoding).calibration
        key = (encoding, slices_of(bit.data))
        if key in self._prepared and not self.properties.prepare_ref_always:
            return replace(bit, reference=None)
        reference = bit.reference
        if reference is None or not sampled_lines(reference).any():
            if mode not in {CalibrationMode.INTERLEAVED, CalibrationMode.NO_ACCELERATION}:
                return replace(bit, reference=None)
            reference = bit.data
        elif mode is CalibrationMode.EMBEDDED and self.properties.ref_fill_into_data_embedded:
            _fill(bit.data, reference)
        self._prepared.add(key)
        return replace(bit, reference=self._reference(reference, mode))

    def _reference(self, buffered: DataBuffered, mode: CalibrationMode) -> DataBuffered:
        sampled = sampled_lines(buffered)
        first1, last1 = sampled_span(np.any(sampled, axis=(0, 1, 2, 3)))
        first2, last2 = sampled_span(np.any(sampled, axis=(0, 1, 2, 4)))
        lines = (..., slice(first2, last2 + 1), slice(first1, last1 + 1))
        data, headers = buffered.data[(*lines, slice(None))], buffered.headers[lines]

        counted = sampled[lines] if mode is CalibrationMode.INTERLEAVED else None
        data = self._selected(data, counted)
        readout = data.shape[-1]
        limits = buffered.sampling.limits
        first0, last0 = limits[0].minimum, min(limits[0].maximum, readout - 1)
        domain = ReadoutDomain.KSPACE
        if (
            mode is CalibrationMode.NO_ACCELERATION
            and data.shape == buffered.data.shape
            and (first0, last0) == (0, readout - 1)
        ):
            data, domain = buffered.data, buffered.readout_domain
        else:
            if buffered.readout_domain is ReadoutDomain.IMAGE:
                data = fft(data, -1, threads=self.context.threads)
            data = np.ascontiguousarray(data[..., first0 : last0 + 1])

        span1, span2 = last1 - first1, last2 - first2
        if mode in {CalibrationMode.INTERLEAVED, CalibrationMode.NO_ACCELERATION}:
            center1, center2 = limits[1].center - first1, limits[2].center - first2
        else:
            # Separate lines are acquired symmetrically about the centre of k-space.
            center1, center2 = (span1 + 1) // 2, (span2 + 1) // 2
        sampling = replace(
            buffered.sampling,
            limits=(
                SamplingLimit(first0, readout // 2, last0),
                SamplingLimit(0, center1, span1),
                SamplingLimit(0, center2, span2),
            ),
        )
        return DataBuffered(data, headers, sampling, readout_domain=domain)

    def _selected(self, data: np.ndarray, counted: np.ndarray | None) -> np.ndarray:
        """Pick or average N and S."""
        p = self.properties
        pick_n, pick_s = 0 <= p.N_for_ref < data.shape[2], 0 <= p.S_for_ref < data.shape[1]
        if pick_n:
            data = data[:, :, p.N_for_ref : p.N_for_ref + 1]
            counted = None if counted is None else counted[:, :, p.N_for_ref : p.N_for_ref + 1]
        if pick_s:
            data = data[:, p.S_for_ref : p.S_for_ref + 1]
            counted = None if counted is None else counted[:, p.S_for_ref : p.S_for_ref + 1]
        # Where one is picked, the other is not averaged over N (as the original).
        over_n = p.average_all_ref_N and not (pick_n or pick_s)
        over_s = p.average_all_ref_S and not pick_s
        return average_repeats(data, counted, over_n=over_n, over_s=over_s)


def _fill(data: DataBuffered, reference: DataBuffered) -> None:
    """Put the reference's lines into the data."""
    where = np.nonzero(sampled_lines(reference))
    loc, s, n, e2, e1 = where
    data.data[loc, s, n, :, e2, e1] = reference.data[loc, s, n, :, e2, e1]
    data.headers[where] = reference.headers[where]
