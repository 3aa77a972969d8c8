"""Images made for tests: where every pixel lies is known."""

from __future__ import annotations

import numpy as np

from elastron.mrd.image import IMAGE_HEADER, Image, ImageDataType
from elastron.mrd.meta import Meta


def make_image(
    data: np.ndarray,
    *,
    position=(0.0, 0.0, 0.0),
    directions: np.ndarray | None = None,
    fov=None,
    meta: Meta | None = None,
    **fields: int,
) -> Image:
    """An image of `data` (y, x), (z, y, x) or (channels, z, y, x); directions in columns."""
    while data.ndim < 4:
        data = data[np.newaxis]
    directions = np.eye(3) if directions is None else directions
    shape = data.shape[:0:-1]
    header = np.zeros((), IMAGE_HEADER)
    header["version"] = 1
    header["data_type"] = ImageDataType.of(data.dtype)
    header["matrix_size"] = shape
    header["channels"] = data.shape[0]
    header["field_of_view"] = shape if fov is None else fov
    header["position"] = position
    for column, name in enumerate(("read_dir", "phase_dir", "slice_dir")):
        header[name] = directions[:, column]
    header["image_type"] = 1
    header["image_index"] = 1
    header["image_series_index"] = 1
    for name, value in fields.items():
        header[name] = value
    return Image(header, data, meta or Meta())


def rotation(alpha: float, beta: float, gamma: float) -> np.ndarray:
    """Any orientation, from three angles in radians."""

    def turn(angle: float, first: int, second: int) -> np.ndarray:
        matrix = np.eye(3)
        matrix[first, first] = matrix[second, second] = np.cos(angle)
        matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
        return matrix

    return turn(alpha, 0, 1) @ turn(beta, 1, 2) @ turn(gamma, 0, 2)


def place(image: Image, x: int, y: int, z: int) -> np.ndarray:
    """LPS mm of a pixel's centre, straight from the header's definition."""
    header = image.header
    nx, ny, nz = (int(n) for n in header["matrix_size"])
    step = np.asarray(header["field_of_view"], float) / (nx, ny, nz)
    return (
        np.asarray(header["position"], float)
        + (x - nx // 2) * step[0] * np.asarray(header["read_dir"], float)
        + (y - ny // 2) * step[1] * np.asarray(header["phase_dir"], float)
        + (z - nz // 2) * step[2] * np.asarray(header["slice_dir"], float)
    )


#: A linear field over the patient; its value in a pixel tells where the pixel is.
GRADIENT = np.array([1.0, 100.0, 10_000.0])


def image_of_places(
    shape: tuple[int, int, int], *, position, directions: np.ndarray, fov, **fields: int
) -> Image:
    """float64 image (x, y, z pixels = `shape`) whose values are `GRADIENT @ place`."""
    nx, ny, nz = shape
    image = make_image(
        np.zeros((nz, ny, nx)), position=position, directions=directions, fov=fov, **fields
    )
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                image.data[0, z, y, x] = GRADIENT @ place(image, x, y, z)
    return image
