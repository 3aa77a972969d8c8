"""Images as PNG files, one a plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image as Picture

from elastron.client.export.planes import planes
from elastron.client.export.window import Part, Window, auto_window
from elastron.mrd.image import Image


def export_png(
    name: str,
    images: Sequence[Image],
    folder: Path,
    *,
    window: Window | None = None,
    part: Part = Part.MAGNITUDE,
    bits: int = 8,
) -> list[Path]:
    """Write every plane of a series.

    Args:
        name: of the series; begins the files' names.
        images: of one series.
        folder: must exist.
        window: grey levels; None chooses one for the whole series.
        part: what to show of complex images.
        bits: 8 or 16 per pixel.

    Returns:
        The files written, named `<name>_<number>[_z…][_channel…].png`; numbers count from 1.
    """
    window = window or auto_window(images, part)
    paths = []
    for number, image in enumerate(images, start=1):
        for plane in planes([image]):
            stem = f"{name}_{number:04d}"
            if image.data.shape[1] > 1:
                stem += f"_z{plane.z:03d}"
            if image.data.shape[0] > 1:
                stem += f"_channel{plane.channel:02d}"
            path = folder / f"{stem}.png"
            Picture.fromarray(window.grey(plane.values(part), 1 << bits)).save(path)
            paths.append(path)
    return paths
