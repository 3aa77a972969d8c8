"""Unmixing: aliased channel images and their weights into images."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from elastron.errors import ConfigError, DataError
from elastron.gadgets.base import Context, Hybrid, Item, Properties
from elastron.gadgets.branching import Merge, Streams
from elastron.mrd.buffers import ImageArray
from elastron.mrd.image import Image
from elastron.mrd.meta import Meta
from elastron.recon.grappa import unmix

#: Images that may wait for their slice's first weights.
_WAITING_MAX = 1024


class UnmixingProperties(Properties):
    """Properties of `Unmixing`.

    Attributes:
        image_series: series number of the images.
        unmixing_scale: factor on the images.
    """

    image_series: int = 0
    unmixing_scale: float = 1.0


class Unmixing(Merge[UnmixingProperties]):
    """Joins the streams `images` (`ImageAccumulator`) and `weights` (`cpuWeightsCalculator`).

    Each image is unmixed with the weights of the same bucket; images that come before there are
    any wait for the first of their slice. (In the original it depends on timing which weights an
    image meets.)
    """

    properties_type: ClassVar[type[Properties]] = UnmixingProperties
    hybrid: ClassVar[Hybrid] = Hybrid.CONSUMES

    def __init__(self, properties: UnmixingProperties, context: Context) -> None:
        super().__init__(properties, context)
        self._index = 0
        self._weights: dict[int, np.ndarray] = {}
        self._waiting: deque[ImageArray] = deque()

    def merge(self, streams: Streams) -> Iterator[Item]:
        """Unmix images in their order.

        Raises:
            ConfigError: a stream is missing.
            DataError: images for which there never were enough calibration lines.
        """
        for key in ("images", "weights"):
            if key not in streams:
                raise ConfigError(
                    f"Unmixing joins streams with the keys images and weights; {key} is missing"
                )
        weights = (item for item in streams["weights"] if isinstance(item, ImageArray))
        for item in streams["images"]:
            if not isinstance(item, ImageArray):
                yield item
                continue
            self._learn(next(weights, None))
            self._waiting.append(item)
            if len(self._waiting) > _WAITING_MAX:
                break
            yield from self._unmixed()
        if self._waiting:
            number = int(self._waiting[0].headers["slice"].item())
            raise DataError(
                f"{len(self._waiting)} images wait for the weights of slice {number}, whose lines "
                "about the centre of k-space are too few or have gaps; acquire calibration lines"
            )

    def _learn(self, weights: ImageArray | None) -> None:
        if weights is not None and weights.data.size:
            self._weights[int(weights.headers["slice"].item())] = weights.data[0, 0, 0]

    def _unmixed(self) -> Iterator[Image]:
        while self._waiting:
            number = int(self._waiting[0].headers["slice"].item())
            if number not in self._weights:
                return
            array = self._waiting.popleft()
            pixels = unmix(array.data[0, 0, 0], self._weights[number])
            if self.properties.unmixing_scale != 1:
                pixels *= np.float32(self.properties.unmixing_scale)
            self._index += 1
            header = array.headers[0, 0, 0].copy()
            header["image_index"] = self._index % 65536
            header["image_series_index"] = self.properties.image_series
            yield Image(header, pixels[None], Meta())
