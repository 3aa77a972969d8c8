"""Sort the readouts of a bucket into k-space arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator

from elastron.errors import DataError
from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.gadgets.encoded_space import EncodedSpace, Sorting
from elastron.gadgets.readout_pile import Key, Pile
from elastron.mrd.acquisition import ACQUISITION_HEADER
from elastron.mrd.buffers import (
    Bucket,
    DataBuffered,
    ReconBit,
    ReconData,
    Sampling,
    SamplingLimit,
)

#: Bytes. The largest clinical volumes (512³, 16 coils after compression) are half of this; the
#: context parameter `buffer_bytes_max` replaces it.
BUFFER_BYTES_MAX = 32 << 30
#: Above this many bytes a buffer must be plausible: see `LINES_PER_READOUT_MAX`.
BUFFER_BYTES_UNQUESTIONED = 1 << 30
#: Lines of a large buffer per readout received; the highest accelerations in use are below 64.
LINES_PER_READOUT_MAX = 256


def _named(value: object) -> object:
    """Any case; empty means none."""
    return (value.lower() or "none") if isinstance(value, str) else value


Dimension = Annotated[
    Literal["average", "contrast", "phase", "repetition", "set", "segment", "slice", "none"],
    BeforeValidator(_named),
]


class BucketToBufferProperties(Properties):
    """Properties of `BucketToBufferGadget`.

    Attributes:
        N_dimension: counter that becomes the axis N.
        S_dimension: counter that becomes the axis S.
        split_slices: every slice makes its own data; else slices become the axis LOC.
        ignore_segment: segments are filed together.
        verbose: log the sizes of every buffer.
        lines_by_limits: without parallel imaging, size E1 and E2 by the span of the encoding
            limits even where acquired lines then find no place, as the original does. For
            comparisons with it only: such lines are lost.
    """

    N_dimension: Dimension = "none"
    S_dimension: Dimension = "none"
    split_slices: bool = False
    ignore_segment: bool = False
    verbose: bool = False
    lines_by_limits: bool = False


class BucketToBufferGadget(Gadget[BucketToBufferProperties]):
    """One `ReconData` for each combination of the counters that are neither N nor S.

    The bucket is emptied: its batches are let go as they are sorted in. If it comes while it grows,
    what it holds is sorted in as far as can be. Waveforms end here.

    Readouts that hold NaN or infinite samples are an error naming them: a transform would spread
    them over the whole image.
    """

    properties_type = BucketToBufferProperties
    hybrid = Hybrid.PASSES
    accepts = (Bucket,)
    takes_growing = True

    def __init__(self, properties: BucketToBufferProperties, context: Context) -> None:
        super().__init__(properties, context)
        self._sorting = Sorting(
            properties.N_dimension,
            properties.S_dimension,
            properties.split_slices,
            properties.lines_by_limits,
        )
        cleared = {properties.N_dimension, properties.S_dimension} - {"slice", "none"}
        if not properties.split_slices:
            cleared.add("slice")
        if properties.ignore_segment:
            cleared.add("segment")
        self._cleared = frozenset(cleared)
        self._bytes_max = int(context.parameters.get("buffer_bytes_max", BUFFER_BYTES_MAX))
        system = context.header.acquisitionSystemInformation
        self._channels_max = (system.receiverChannels if system is not None else None) or 0
        self._growing: dict[Bucket, tuple[Pile, Pile]] = {}

    def process(self, item: Bucket) -> Iterable[Item]:
        """Sort one bucket; a buffer is made, or completed, only when it is its turn."""
        piles = self._growing.pop(item, None) or (self._pile(reference=True), self._pile())
        for pile, batches in zip(piles, (item.reference, item.data), strict=True):
            while batches:
                pile.add(batches.pop(0))
        if item.growing:
            self._growing[item] = piles
            return
        for pile in piles:
            pile.close()
        reference, data = piles
        for key in sorted({*reference.keys(), *data.keys()}):
            yield self._recon_data(key, reference, data)

    def _pile(self, *, reference: bool = False) -> Pile:
        return Pile(
            cleared=self._cleared,
            make_space=partial(self._space, for_reference=reference),
            measure=self._measure,
            sparse=reference,
            log=self.context.log,
            threads=self.context.threads,
        )

    def _recon_data(self, key: Key, reference: Pile, data: Pile) -> ReconData:
        spaces = {*reference.spaces(key), *data.spaces(key)}
        bits = [_empty_bit() for _ in range(max(spaces) + 1)]
        for number in spaces:
            bits[number].reference = self._taken(reference, key, number)
            bits[number].data = self._taken(data, key, number) or bits[number].data
        return ReconData(bits)

    def _taken(self, pile: Pile, key: Key, number: int) -> DataBuffered | None:
        buffer = pile.take(key, number)
        if buffer is not None and self.properties.verbose:
            shape = buffer.data.shape
            self.context.log.info("buffer", loc_s_n_cha_e2_e1_e0=shape, space=number)
        return buffer

    def _space(self, headers: np.ndarray, number: int, *, for_reference: bool) -> EncodedSpace:
        encodings = self.context.header.encoding
        if number >= len(encodings):
            raise DataError(
                f"Readout {headers['scan_counter'][0]} has encoding_space_ref {number}, but the "
                f"MRD header describes {len(encodings)} encoding space(s)."
            )
        return EncodedSpace(
            encodings[number], number, headers, self._sorting, for_reference=for_reference
        )

    def _measure(self, headers: np.ndarray, space: EncodedSpace) -> tuple[int, ...]:
        """The size of a buffer for readouts of these headers."""
        first = headers[0]
        for name in ("active_channels", "trajectory_dimensions"):
            other = np.flatnonzero(headers[name] != first[name])
            if len(other):
                raise DataError(
                    f"Readout {headers['scan_counter'][other[0]]} has {name} "
                    f"{headers[name][other[0]]}, but readout {first['scan_counter']} of the same "
                    f"image has {first[name]}."
                )
        channels, dimensions = int(first["active_channels"]), int(first["trajectory_dimensions"])
        if self._channels_max and channels > self._channels_max:
            raise DataError(
                f"Readout {first['scan_counter']} has active_channels {channels}, but the MRD "
                f"header has {self._channels_max} receiverChannels."
            )
        samples = space.readout_length(first)
        locations, sets, repeats, e2, e1 = space.lines_shape
        shape = (locations, sets, repeats, channels, e2, e1, samples)
        line_bytes = (8 * channels + 4 * dimensions) * samples + ACQUISITION_HEADER.itemsize
        self._check_size(shape, line_bytes, len(headers), space)
        return shape

    def _check_size(
        self, shape: tuple[int, ...], line_bytes: int, n_readouts: int, space: EncodedSpace
    ) -> None:
        n_lines = math.prod(space.lines_shape)
        n_bytes = n_lines * line_bytes
        if n_bytes > self._bytes_max:
            reason = f"the limit is {self._bytes_max / 1e9:.3g} GB"
        elif n_bytes > BUFFER_BYTES_UNQUESTIONED and n_lines > LINES_PER_READOUT_MAX * n_readouts:
            reason = f"only {n_readouts} of {n_lines} lines were received"
        else:
            return
        sizes = ", ".join(
            f"{name} {n}"
            for name, n in zip(("LOC", "S", "N", "CHA", "E2", "E1", "E0"), shape, strict=True)
        )
        raise DataError(
            f"Sorting encoding space {space.number} would take {n_bytes / 1e9:.3g} GB ({sizes}); "
            f"{reason}. Check matrixSize and encodingLimits of the MRD header and the counters."
        )


def _empty_bit() -> ReconBit:
    """Stands for an encoding space of which there is no data: arrays of size 0."""
    nothing, limit = (0.0, 0.0, 0.0), SamplingLimit()
    return ReconBit(
        DataBuffered(
            data=np.zeros((0,) * 7, np.complex64),
            headers=np.zeros((0,) * 5, ACQUISITION_HEADER),
            sampling=Sampling(nothing, nothing, (0, 0, 0), (0, 0, 0), (limit, limit, limit)),
        )
    )
