"""Tell a client what is known of a noise scan."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from elastron.blobs.keys import measurement_key
from elastron.blobs.sfndam import NoiseCovariance
from elastron.gadgets.base import Gadget, Item, Properties
from elastron.gadgets.noise_adjust import NOISE_COVARIANCE
from elastron.mrd.meta import Meta
from elastron.wire.messages import DependencyQuery

_PREFIX = "GadgetronNoiseCovarianceMatrix_"


class NoiseSummaryProperties(Properties):
    """Properties of `NoiseSummaryGadget`.

    Attributes:
        noise_file: measurement id of the noise scan, with or without the prefix
            `GadgetronNoiseCovarianceMatrix_`.
    """

    noise_file: str = ""


class NoiseSummaryGadget(Gadget[NoiseSummaryProperties]):
    """Puts out one `DependencyQuery` at the end of the input.

    `status` is `success`, with `channels`, `min_sigma`, `max_sigma`, `mean_sigma` (standard
    deviations of the noise) and `noise_dwell_time_us`; or `failed`, when there is no such scan.
    """

    properties_type = NoiseSummaryProperties

    def finish(self) -> Iterable[Item]:
        """The answer."""
        yield DependencyQuery(self._summary())

    def _summary(self) -> Meta:
        meta = Meta()
        measurement_id = self.properties.noise_file.removeprefix(_PREFIX)
        key = measurement_key(self.context.header, NOISE_COVARIANCE, measurement_id or None)
        storage = self.context.storage
        blob = storage.latest(key) if storage is not None and key is not None else None
        if blob is None:
            meta.put("status", "failed")
            return meta
        noise = NoiseCovariance.from_bytes(blob)
        sigma = np.sqrt(np.real(np.diagonal(noise.covariance)))
        meta.put("status", "success")
        meta.put("channels", len(sigma))
        meta.put("min_sigma", float(sigma.min()))
        meta.put("max_sigma", float(sigma.max()))
        meta.put("mean_sigma", float(sigma.mean()))
        meta.put("noise_dwell_time_us", noise.dwell_time_us)
        return meta
