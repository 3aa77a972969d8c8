"""Sending readouts smaller than they are (NHLBI compression), for thin lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from elastron.client.exchange import Encoder
from elastron.errors import DataError
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
from elastron.wire import Buffer, iter_encode
from elastron.wire.messages import Message


@dataclass(frozen=True, slots=True)
class Compression:
    """How readouts are compressed; exactly one of the two is given.

    Attributes:
        bits: of each number, 1 to 31; the largest of a readout uses them all.
        noise_share: largest error of a number, as a share of the noise's standard deviation in
            the least noisy channel. The noise is taken from the scan's own noise readouts, which
            are sent as they are. 0.3 adds 3 % to the variance of the noise at most.

    Raises:
        ValueError: none or both given, or a value out of range.
    """

    bits: int | None = None
    noise_share: float | None = None

    def __post_init__(self) -> None:
        if (self.bits is None) == (self.noise_share is None):
            raise ValueError("give either bits or a share of the noise")
        if self.bits is not None and not 1 <= self.bits <= 31:
            raise ValueError("bits must lie in 1 … 31")
        if self.noise_share is not None and not 0 < self.noise_share < math.inf:
            raise ValueError("the share of the noise must be above 0")

    def encoder(self) -> Encoder:
        """An encoder for one scan."""
        if self.noise_share is None:
            return lambda message: iter_encode(message, bits=self.bits)
        return _NoiseBound(self.noise_share)


class _NoiseBound:
    """Compresses with an error bound that follows from the noise readouts gone by."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._powers: list[np.ndarray] = []
        self._samples = 0
        self._dwell_us = 0.0

    def __call__(self, message: Message) -> Iterable[Sequence[Buffer]]:
        if not isinstance(message, AcquisitionBatch):
            yield from iter_encode(message)
            return
        noise = message.any_flag(AcquisitionFlag.IS_NOISE_MEASUREMENT)
        # Runs of noise and of data: a batch may hold both.
        for part in message.runs(noise):
            if part.any_flag(AcquisitionFlag.IS_NOISE_MEASUREMENT)[0]:
                self._learn(part)
                yield from iter_encode(part)
            else:
                yield from iter_encode(part, tolerance=self._tolerance(part))

    def _learn(self, noise: AcquisitionBatch) -> None:
        power = np.abs(noise.data).astype(np.float64) ** 2
        self._powers.append(np.asarray(power.sum(axis=(0, 2))))
        self._samples += noise.data.shape[0] * noise.data.shape[2]
        self._dwell_us = float(noise.headers["sample_time_us"][0])

    def _tolerance(self, batch: AcquisitionBatch) -> float:
        if not self._powers:
            raise DataError(
                "The scan has no noise readouts before its data, so the noise is not known; "
                "compress by bits instead."
            )
        # Power is that of real and imaginary part; the bound is for either.
        power = np.sum(self._powers, axis=0).min() / (2 * self._samples)
        dwell_us = float(batch.headers["sample_time_us"][0])
        if self._dwell_us > 0 and dwell_us > 0:
            power *= self._dwell_us / dwell_us  # noise power goes with the bandwidth
        return self._share * math.sqrt(power)
