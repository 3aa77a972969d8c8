"""The Shepp-Logan phantom, birdcage coils and receiver noise.

Coordinates are relative: -1 … 1 spans the field of view along each axis, 0 lies on index n // 2,
where the centred FFTs have their centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elastron.errors import DataError


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """One homogeneous part of the phantom.

    Attributes:
        intensity: added inside the surface.
        semi_axes: along x, y, z, before the rotation.
        center: x, y, z.
        angle_deg: rotation about z, counter-clockwise.
    """

    intensity: float
    semi_axes: tuple[float, float, float]
    center: tuple[float, float, float]
    angle_deg: float = 0.0


# Shepp and Logan, IEEE Trans Nucl Sci 21 (1974), with the raised contrast of Toft (1996) and the
# extents along z of Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), ch. 3.
SHEPP_LOGAN: tuple[Ellipsoid, ...] = (
    Ellipsoid(1.0, (0.69, 0.92, 0.9), (0.0, 0.0, 0.0)),
    Ellipsoid(-0.8, (0.6624, 0.874, 0.88), (0.0, -0.0184, 0.0)),
    Ellipsoid(-0.2, (0.11, 0.31, 0.22), (0.22, 0.0, 0.0), -18.0),
    Ellipsoid(-0.2, (0.16, 0.41, 0.28), (-0.22, 0.0, 0.0), 18.0),
    Ellipsoid(0.1, (0.21, 0.25, 0.41), (0.0, 0.35, 0.0)),
    Ellipsoid(0.1, (0.046, 0.046, 0.05), (0.0, 0.1, 0.0)),
    Ellipsoid(0.1, (0.046, 0.046, 0.05), (0.0, -0.1, 0.0)),
    Ellipsoid(0.1, (0.046, 0.023, 0.05), (-0.08, -0.605, 0.0)),
    Ellipsoid(0.1, (0.023, 0.023, 0.05), (0.0, -0.606, 0.0)),
    Ellipsoid(0.1, (0.023, 0.046, 0.05), (0.06, -0.605, 0.0)),
)


def relative_coordinates(n: int) -> np.ndarray:
    """Positions of `n` pixels, -1 … 1, with 0 on index n // 2; float64, shape (n,)."""
    return (np.arange(n) - n // 2) / (n / 2)


def rasterize(
    ellipsoids: tuple[Ellipsoid, ...], z: np.ndarray, y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """Sum of the ellipsoids' intensities at the points of a grid.

    Args:
        ellipsoids: the parts.
        z: relative coordinates of the slices, shape (nz,).
        y: of the rows, shape (ny,).
        x: of the columns, shape (nx,).

    Returns:
        float32, shape (nz, ny, nx).
    """
    image = np.zeros((len(z), len(y), len(x)), np.float32)
    for part in ellipsoids:
        angle = np.deg2rad(part.angle_deg)
        dx = (x - part.center[0])[None, :]
        dy = (y - part.center[1])[:, None]
        along = (dx * np.cos(angle) + dy * np.sin(angle)) / part.semi_axes[0]
        across = (dy * np.cos(angle) - dx * np.sin(angle)) / part.semi_axes[1]
        in_plane = along**2 + across**2
        through = ((z - part.center[2]) / part.semi_axes[2]) ** 2
        for index, squared in enumerate(through):
            image[index][in_plane + squared <= 1] += part.intensity
    return image


def shepp_logan(matrix: int | tuple[int, ...]) -> np.ndarray:
    """The modified Shepp-Logan phantom, values 0 … 1.

    Args:
        matrix: n for (n, n), or (y, x), or (z, y, x) for the three-dimensional phantom.

    Returns:
        float32 of that shape.
    """
    shape = (matrix, matrix) if isinstance(matrix, int) else matrix
    *volume, n_y, n_x = shape
    z = relative_coordinates(volume[0]) if volume else np.zeros(1)
    image = rasterize(SHEPP_LOGAN, z, relative_coordinates(n_y), relative_coordinates(n_x))
    return image if volume else image[0]


def coil_sensitivities(
    n_coils: int,
    matrix: int | tuple[int, ...],
    *,
    relative_radius: float = 1.5,
    normalize: bool = False,
) -> np.ndarray:
    """Smooth complex sensitivities of a birdcage array.

    The elements lie on a circle about z. Their magnitude falls with the distance, and the phase
    turns about the element, as in Fessler's mri_birdcage and the ISMRMRD tools. For a volume
    the elements stand on two rings in turn, z = ±0.5, so that they encode along z too.

    Args:
        n_coils: number of elements.
        matrix: n for (n, n), or (y, x), or (z, y, x).
        relative_radius: of the circle, in half fields of view.
        normalize: divide by the root sum of squares over the coils.

    Returns:
        complex64, shape (n_coils, *matrix).
    """
    shape = (matrix, matrix) if isinstance(matrix, int) else matrix
    *volume, n_y, n_x = shape
    z = relative_coordinates(volume[0]) if volume else np.zeros(1)
    y, x = relative_coordinates(n_y), relative_coordinates(n_x)
    coils = np.empty((n_coils, len(z), n_y, n_x), np.complex64)
    for index in range(n_coils):
        angle = 2 * np.pi * index / n_coils
        ring = 0.5 - index % 2 if volume else 0.0
        dx = x[None, :] - relative_radius * np.cos(angle)
        dy = y[:, None] - relative_radius * np.sin(angle)
        phase = np.exp(1j * (np.arctan2(dx, -dy) - angle))
        for plane, dz in zip(coils[index], z - ring, strict=True):
            plane[...] = phase / np.sqrt(dx**2 + dy**2 + dz**2)
    if normalize:
        coils /= np.sqrt(np.sum(np.abs(coils) ** 2, axis=0))
    return coils if volume else coils[:, 0]


def noise_covariance(n_coils: int, level: float, correlation: float = 0.0) -> np.ndarray:
    """Covariance of receivers that are coupled to their neighbours.

    Args:
        n_coils: number of receivers.
        level: standard deviation of the real, and of the imaginary, part of one sample.
        correlation: of neighbours, 0 … below 1; it falls geometrically with their distance.

    Returns:
        complex128, shape (n_coils, n_coils): E[n nᴴ], so the diagonal is 2 level².
    """
    index = np.arange(n_coils)
    offset = index[:, None] - index[None, :]
    # The phase makes it a truly complex matrix, as a measured one is.
    return 2 * level**2 * float(correlation) ** np.abs(offset) * np.exp(0.3j * offset)


class NoiseSource:
    """Draws receiver noise of a given coil covariance.

    Args:
        covariance: complex, (n_coils, n_coils), Hermitian, positive semidefinite: E[n nᴴ].
        seed: of the generator; equal seeds give equal noise.

    Raises:
        DataError: `covariance` is not positive semidefinite.
    """

    def __init__(self, covariance: np.ndarray, seed: int | np.random.Generator) -> None:
        values, vectors = np.linalg.eigh(covariance)
        if values[0] < -1e-9 * max(values[-1], 1e-300):
            raise DataError("coil noise covariance is not positive semidefinite")
        root = vectors * np.sqrt(np.maximum(values, 0) / 2)
        self._root = root.astype(np.complex64)
        self._diagonal = np.allclose(covariance, np.diag(np.diag(covariance)))
        self._deviations = np.sqrt(np.real(np.diag(covariance)) / 2).astype(np.float32)
        self._random = np.random.default_rng(seed)

    def draw(self, n: int, samples: int) -> np.ndarray:
        """Noise of `n` readouts; complex64, shape (n, n_coils, samples)."""
        shape = (n, len(self._root), samples)
        white = self._random.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]
        if self._diagonal:
            return white * self._deviations[:, None]
        return np.matmul(self._root, white)
