"""From pixel values to grey levels."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from elastron.mrd.image import Image, ImageType

#: Values looked at to choose a window; enough for stable percentiles, little to sort.
SAMPLE_LIMIT = 1 << 18


class Part(enum.StrEnum):
    """What to show of complex images."""

    MAGNITUDE = "magnitude"
    PHASE = "phase"
    REAL = "real"
    IMAGINARY = "imaginary"


@dataclass(frozen=True, slots=True)
class Window:
    """Radiology's window: `level` is middle grey, `width` spans black to white."""

    level: float
    width: float

    @property
    def low(self) -> float:
        """This value and those below it are black."""
        return self.level - self.width / 2

    @property
    def high(self) -> float:
        """This value and those above it are white."""
        return self.level + self.width / 2

    def grey(self, values: np.ndarray, levels: int = 256) -> np.ndarray:
        """Grey levels 0 … `levels` - 1 of real `values`; uint8, or uint16 above 256 levels."""
        dtype = np.uint8 if levels <= 256 else np.uint16
        scaled = (np.nan_to_num(values.astype(np.float32)) - self.low) * ((levels - 1) / self.width)
        return np.clip(np.rint(scaled), 0, levels - 1).astype(dtype)


def real_part(data: np.ndarray, part: Part = Part.MAGNITUDE) -> np.ndarray:
    """Real values to show; arrays that are real already stay as they are."""
    if not np.iscomplexobj(data):
        return data
    match part:
        case Part.MAGNITUDE:
            return np.abs(data)
        case Part.PHASE:
            return np.angle(data)
        case Part.REAL:
            return np.real(data)
        case Part.IMAGINARY:
            return np.imag(data)


def auto_window(
    images: Iterable[Image],
    part: Part = Part.MAGNITUDE,
    percentiles: tuple[float, float] = (0.5, 99.5),
) -> Window:
    """A window for images that are to be compared with each other.

    Phase images get -π … π (or their whole range where they are stored as integers). Others go
    from the lower to the upper percentile of all values, and start at 0 where nothing is
    negative, so that air is black.
    """
    samples: list[np.ndarray] = []
    phase = False
    for image in images:
        values = real_part(image.data, part).ravel()
        stride = max(1, values.size // SAMPLE_LIMIT)
        # An odd stride does not fall into step with the rows of a matrix of even size.
        sample = values[:: stride | 1].astype(np.float32)
        samples.append(sample[np.isfinite(sample)])
        phase = phase or _is_phase(image, part)
    values = np.concatenate(samples) if samples else np.zeros(0, np.float32)
    if phase and values.size and np.abs(values).max() <= np.float32(np.pi) * 1.01:
        return Window(0.0, float(2 * np.pi))
    if not values.size:
        return Window(0.5, 1.0)
    if phase:
        return _between(float(values.min()), float(values.max()))
    low, high = (float(v) for v in np.percentile(values, percentiles))
    if values.min() >= 0:
        low = 0.0
    return _between(low, high)


def _is_phase(image: Image, part: Part) -> bool:
    if np.iscomplexobj(image.data):
        return part is Part.PHASE
    return int(image.header["image_type"]) == ImageType.PHASE


def _between(low: float, high: float) -> Window:
    if not high > low:  # a constant image: show it mid-grey rather than divide by zero
        span = max(abs(low), 1e-30)
        return Window(low, 2 * span)
    return Window((low + high) / 2, high - low)
