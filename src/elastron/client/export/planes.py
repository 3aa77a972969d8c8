"""2D pictures of images, with the words that tell them apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from elastron.client.export.geometry import image_geometry
from elastron.client.export.window import Part, real_part
from elastron.mrd.image import Image, ImageType

#: Counters that tell images of a series apart, with the word that labels them.
LABELLED_COUNTERS = (
    ("slice", "slice"),
    ("repetition", "rep"),
    ("contrast", "contrast"),
    ("phase", "phase"),
    ("set", "set"),
    ("average", "average"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One 2D picture of an image.

    Attributes:
        image: that it comes from.
        z: its place in the volume.
        channel: its channel.
    """

    image: Image
    z: int
    channel: int

    def values(self, part: Part = Part.MAGNITUDE) -> np.ndarray:
        """Real values, shape (y, x)."""
        return real_part(self.image.data[self.channel, self.z], part)

    @property
    def aspect(self) -> float:
        """Height of a pixel over its width."""
        spacing = image_geometry(self.image).spacing
        return float(spacing[1] / spacing[0])


def planes(images: Sequence[Image]) -> Iterator[Plane]:
    """All planes of `images`, z slowest within an image."""
    for image in images:
        channels, depth = image.data.shape[:2]
        for z in range(depth):
            for channel in range(channels):
                yield Plane(image, z, channel)


def image_type_name(image: Image) -> str:
    """`magnitude`, `phase`, …; `complex` where the samples are; else `image`."""
    if np.iscomplexobj(image.data):
        return "complex"
    code = int(image.header["image_type"])
    try:
        return ImageType(code).name.lower()
    except ValueError:
        return "image"


def label(plane: Plane, images: Sequence[Image]) -> str:
    """What tells `plane` from the others of its series, e.g. `3 · slice 2 · rep 1`."""
    header = plane.image.header
    words = [str(int(header["image_index"]))]
    for name, word in LABELLED_COUNTERS:
        if any(int(image.header[name]) != int(images[0].header[name]) for image in images):
            words.append(f"{word} {int(header[name])}")
    if plane.image.data.shape[1] > 1:
        words.append(f"z {plane.z}")
    if plane.image.data.shape[0] > 1:
        words.append(f"channel {plane.channel}")
    types = {image_type_name(image) for image in images}
    if len(types) > 1:
        words.append(image_type_name(plane.image))
    return " · ".join(words)


def series_title(images: Sequence[Image]) -> str:
    """Which series this is, e.g. `series 20 · Gfactor · magnitude`."""
    first = images[0]
    words = [f"series {int(first.header['image_series_index'])}"]
    role = first.meta.first("GADGETRON_DataRole")
    if role not in (None, "", "Image"):
        words.append(str(role))
    words.append(" + ".join(sorted({image_type_name(image) for image in images})))
    return " · ".join(words)


def series_details(images: Sequence[Image]) -> str:
    """What a series holds, e.g. `128 x 128 uint16 · 10 images`."""
    first = images[0]
    channels, nz, ny, nx = first.data.shape
    words = [
        " x ".join(str(n) for n in ((nx, ny, nz) if nz > 1 else (nx, ny)))
        + f" {first.data.dtype.name}"
    ]
    if channels > 1:
        words.append(f"{channels} channels")
    words.append(f"{len(images)} image" + "s" * (len(images) != 1))
    return " · ".join(words)
