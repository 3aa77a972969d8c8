"""Prewhiten data with the noise of a noise scan, from the stream or from storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from elastron.blobs.keys import DEFAULT_TTL_S, measurement_key
from elastron.blobs.sfndam import NoiseCovariance
from elastron.errors import ConfigError, DataError, StorageError
from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
from elastron.recon.prewhitening import (
    covariance_sum,
    mix_channels,
    noise_scale,
    prewhitening_matrix,
)
from elastron.wire.messages import Text

#: Name of the value in storage.
NOISE_COVARIANCE = "noise_covariance"
#: Relative receiver noise bandwidth where the header names none (the Gadgetron's default).
DEFAULT_RECEIVER_NOISE_BANDWIDTH = 0.793


class NoiseAdjustProperties(Properties):
    """Properties of `NoiseAdjustGadget`.

    Attributes:
        perform_noise_adjust: false only drops the noise readouts.
        pass_nonconformant_data: data of another number of channels than the noise pass as they
            are; else they are an error.
        noise_dwell_time_us_preset: where the noise readouts do not tell theirs.
        scale_only_channels_by_name: comma-separated coils that are scaled, but not mixed with
            others.
        noise_dependency_prefix, noise_dependency_folder: of the time before the storage server;
            accepted and not used.
    """

    perform_noise_adjust: bool = True
    pass_nonconformant_data: bool = True
    noise_dwell_time_us_preset: float = 0.0
    scale_only_channels_by_name: str = ""
    noise_dependency_prefix: str = "GadgetronNoiseCovarianceMatrix"
    noise_dependency_folder: str = ""


class NoiseAdjustGadget(Gadget[NoiseAdjustProperties]):
    """Makes the noise of all channels uncorrelated and of unit variance (SNR units).

    The covariance is that of the noise scan the header names (`measurementDependency` of type
    Noise), or else of the noise readouts in the stream, which never go on. One measured here is
    stored in measurement space for the scans that will name this one.

    Where the named noise scan cannot be had, the client is told by a text, and the scan goes on
    with the noise readouts of its own or, without any, unwhitened: an image without SNR units is
    better than none. Storing fails the scan only if there is nothing else in it.
    """

    properties_type = NoiseAdjustProperties
    hybrid = Hybrid.PASSES
    accepts = (AcquisitionBatch,)
    streaming = True

    def __init__(self, properties: NoiseAdjustProperties, context: Context) -> None:
        super().__init__(properties, context)
        system = context.header.acquisitionSystemInformation
        self._labels = [label.coilName for label in system.coilLabel] if system else []
        bandwidth = system.relativeReceiverNoiseBandwidth if system else None
        self._bandwidth = (
            DEFAULT_RECEIVER_NOISE_BANDWIDTH if bandwidth is None else float(bandwidth)
        )
        names = [name.strip() for name in properties.scale_only_channels_by_name.split(",")]
        self._scale_only = [i for i, label in enumerate(self._labels) if label in names]
        unknown = [name for name in names if name and name not in self._labels]
        if unknown:
            raise ConfigError(
                f"NoiseAdjustGadget: scale_only_channels_by_name names {', '.join(unknown)}; the "
                f"header's coils are {', '.join(self._labels) or 'not labelled'}"
            )
        self._matrix: np.ndarray | None = None
        self._loaded: NoiseCovariance | None = None
        self._sum: np.ndarray | None = None
        self._samples = 0
        self._noise_dwell_us = 0.0
        self._imaging_seen = False

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        """Load the named noise scan, then treat the stream."""
        if self.properties.perform_noise_adjust:
            warning = self._load()
            if warning:
                self.context.log.warning("noise scan not applied", reason=warning)
                yield Text(f"NoiseAdjust: WARNING: {warning}")
        yield from super().__call__(items)

    def process(self, item: AcquisitionBatch) -> Iterable[Item]:
        """Gather noise readouts, prewhiten the others."""
        noise = item.any_flag(AcquisitionFlag.IS_NOISE_MEASUREMENT)
        if len(item) and not noise.any():
            yield self._whitened(item)
            return
        for run in item.runs(noise):
            if run.any_flag(AcquisitionFlag.IS_NOISE_MEASUREMENT)[0]:
                self._gather(run)
            else:
                yield self._whitened(run)

    def finish(self) -> Iterable[Item]:
        """Store what was measured."""
        if self._sum is None or self._samples < 2:
            return
        if self.context.storage is None and self._imaging_seen:
            return  # nobody asked for it to be kept
        measured = NoiseCovariance(
            (self._sum / (self._samples - 1)).astype(np.complex64),
            tuple(self._labels),
            self._samples,
            self._noise_dwell_us,
            self._bandwidth,
        )
        try:
            self._store(measured)
        except StorageError as error:
            if not self._imaging_seen:
                raise
            self.context.log.warning("noise covariance not stored", reason=str(error))
        yield from ()

    def _gather(self, noise: AcquisitionBatch) -> None:
        """Add noise readouts, unless the prewhitening is settled already."""
        if (
            not self.properties.perform_noise_adjust
            or self._matrix is not None
            or self._loaded is not None
        ):
            return
        if self._sum is not None and noise.data.shape[1] != len(self._sum):
            raise DataError(
                f"NoiseAdjust: noise readouts of {len(self._sum)} and of "
                f"{noise.data.shape[1]} channels"
            )
        total = covariance_sum(noise.data, self._sum)
        if not np.isfinite(total).all():
            raise DataError(
                "NoiseAdjust: noise readouts with samples that are not finite, from scan counter "
                f"{noise.headers['scan_counter'][0]}"
            )
        self._sum = total
        self._samples += noise.data.shape[0] * noise.data.shape[2]
        if not self._noise_dwell_us:
            self._noise_dwell_us = (
                float(noise.headers["sample_time_us"][0])
                or self.properties.noise_dwell_time_us_preset
            )

    def _whitened(self, batch: AcquisitionBatch) -> AcquisitionBatch:
        self._imaging_seen = True
        if self._matrix is None:
            self._settle(float(batch.headers["sample_time_us"][0]))
        matrix = self._matrix
        if matrix is None:
            return batch
        if batch.data.shape[1] != len(matrix):
            if self.properties.pass_nonconformant_data:
                return batch
            raise DataError(
                f"NoiseAdjust: readouts of {batch.data.shape[1]} channels, noise of {len(matrix)}"
            )
        if self.context.mixing_later:
            return replace(batch, mixing=matrix)
        return replace(batch, data=mix_channels(matrix, batch.data))

    def _settle(self, dwell_us: float) -> None:
        """Compute the matrix, if noise is known; `dwell_us` is the imaging readouts'."""
        if self._loaded is not None:
            covariance = self._loaded.covariance.copy()
            noise_dwell_us = self._loaded.dwell_time_us
            samples = self._loaded.sample_count
        elif self._sum is not None and self._samples > 1:
            covariance = (self._sum / (self._samples - 1)).astype(np.complex64)
            noise_dwell_us, samples = self._noise_dwell_us, self._samples
        else:
            return
        for channel in self._scale_only:
            if channel < len(covariance):
                variance = covariance[channel, channel]
                covariance[channel, :] = 0
                covariance[:, channel] = 0
                covariance[channel, channel] = variance
        scale = noise_scale(dwell_us, noise_dwell_us, self._bandwidth)
        self._matrix = prewhitening_matrix(covariance) * np.float32(scale)
        self.context.log.info(
            "noise prewhitening",
            source="storage" if self._loaded is not None else "stream",
            channels=len(covariance),
            samples=samples,
            noise_dwell_us=noise_dwell_us,
            scale=round(scale, 6),
        )

    def _load(self) -> str | None:
        """Load the noise scan the header names; why not, if it cannot be had."""
        measurement = self.context.header.measurementInformation
        dependencies = measurement.measurementDependency if measurement else []
        named = [d for d in dependencies if (d.dependencyType or "").lower() == "noise"]
        if not named:
            return None
        what = "the noise scan that the header names"
        then = "Without noise readouts of its own this scan is not prewhitened."
        if self.context.storage is None:
            return f"{what} cannot be looked up: this server has no storage. {then}"
        key = measurement_key(self.context.header, NOISE_COVARIANCE, named[0].measurementID)
        if key is None:
            return f"{what} cannot be looked up: neither header nor its id names a patient. {then}"
        blob = self.context.storage.latest(key)
        if blob is None:
            return f"{what} is not in storage (they expire); repeat the noise scan. {then}"
        self._loaded = self._in_order(NoiseCovariance.from_bytes(blob))
        self.context.log.info(
            "noise covariance loaded",
            channels=len(self._loaded.covariance),
            samples=self._loaded.sample_count,
            noise_dwell_us=self._loaded.dwell_time_us,
        )
        return None

    def _in_order(self, noise: NoiseCovariance) -> NoiseCovariance:
        """The covariance with its channels in the order of this scan's coils."""
        stored, current = list(noise.labels), self._labels
        if stored == current or len(stored) != len(noise.covariance):
            return noise
        if len(set(stored)) != len(stored) or sorted(stored) != sorted(current):
            self.context.log.warning(
                "coils of the noise scan differ from this scan's; used in their order",
                noise_channels=len(stored),
                channels=len(current),
            )
            return noise
        order = [stored.index(label) for label in current]
        self.context.log.info("noise covariance reordered to this scan's coils")
        covariance = noise.covariance[np.ix_(order, order)]
        return replace(noise, covariance=covariance, labels=tuple(current))

    def _store(self, measured: NoiseCovariance) -> None:
        """File the covariance under this scan's measurement.

        Raises:
            StorageError: there is no storage, it failed, or the header names no patient.
        """
        if self.context.storage is None:
            raise StorageError(
                "the noise covariance is kept for this scan only: this server has no storage "
                "(start it with --storage URL)"
            )
        key = measurement_key(self.context.header, NOISE_COVARIANCE)
        if key is None:
            raise StorageError(
                "the noise covariance is kept for this scan only: the header names no patient or "
                "no measurement to file it under"
            )
        self.context.storage.store(key, measured.to_bytes(), ttl_s=DEFAULT_TTL_S)
        self.context.log.info(
            "noise covariance stored",
            channels=len(measured.covariance),
            samples=measured.sample_count,
            noise_dwell_us=measured.dwell_time_us,
        )
