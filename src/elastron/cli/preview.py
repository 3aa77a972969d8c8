"""Pictures in the terminal: two pixels a character, in half blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image as Picture
from rich.color import Color
from rich.segment import Segment, Segments
from rich.style import Style

from elastron.client.export.planes import Plane, planes
from elastron.client.export.window import Part, Window, auto_window
from elastron.mrd.image import Image

#: Upper half block: its foreground is the upper pixel, its background the lower one.
_HALF_BLOCK = "▀"

_COLUMNS = 44
_GAP = 2


def preview(
    series: Mapping[str, Sequence[Image]], part: Part, window: Window | None, width: int
) -> Segments:
    """The middle picture of each series, side by side, as many as fit.

    Args:
        series: name -> images.
        part: what to show of complex images.
        window: grey levels; None chooses them for each series.
        width: of the terminal, in characters.
    """
    columns = min(_COLUMNS, width)
    fitting = max(1, (width + _GAP) // (columns + _GAP))
    pictures = []
    for images in list(series.values())[:fitting]:
        every = list(planes(images))
        levels = window or auto_window(images, part)
        pictures.append(_scaled(every[len(every) // 2], levels, part, columns))
    rows = max(picture.shape[0] for picture in pictures)
    segments = []
    for row in range(0, rows, 2):
        for number, picture in enumerate(pictures):
            if number:
                segments.append(Segment(" " * _GAP))
            segments += _line(picture, row)
        segments.append(Segment.line())
    return Segments(segments)


def _scaled(plane: Plane, window: Window, part: Part, columns: int) -> np.ndarray:
    """Grey levels, `columns` wide, of an even number of rows."""
    grey = window.grey(plane.values(part))
    height = columns * grey.shape[0] / grey.shape[1] * plane.aspect
    rows = 2 * max(1, min(round(height / 2), 2 * columns))
    picture = Picture.fromarray(grey).resize((columns, rows), Picture.Resampling.LANCZOS)
    return np.asarray(picture)


def _line(picture: np.ndarray, row: int) -> list[Segment]:
    """Two rows of pixels as one line of characters."""
    if row >= len(picture):
        return [Segment(" " * picture.shape[1])]
    pairs = zip(picture[row].tolist(), picture[row + 1].tolist(), strict=True)
    return [Segment(_HALF_BLOCK, _style(upper, lower)) for upper, lower in pairs]


def _style(upper: int, lower: int) -> Style:
    def grey(level: int) -> Color:
        return Color.from_rgb(level, level, level)

    return Style(color=grey(upper), bgcolor=grey(lower))
