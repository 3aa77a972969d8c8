"""Where the pixels of an MRD image lie in the patient.

MRD headers speak LPS millimetres, as DICOM does: `position` is the centre of the image, and
`read_dir`, `phase_dir` and `slice_dir` point along x, y and z of the pixel array. The centre of
an image of `n` pixels is pixel `n // 2`: the centred FFT puts the centre of the encoded field of
view there, and the original's DICOM writer (position - FOV/2 for the first pixel) agrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from elastron.errors import DataError
from elastron.mrd.image import Image

#: LPS to RAS: x and y change sign. NIfTI is RAS, MRD and DICOM are LPS.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: Positions that differ by less are the same slice (mm).
SAME_POSITION_MM = 1e-2

#: Directions whose product differs by less from 0 or 1 are orthogonal or parallel. Headers hold
#: float32 cosines, often rounded to a few digits on their way through scanner software.
SAME_DIRECTION = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Place of one image or volume.

    Attributes:
        affine: float64 (4, 4): pixel (x, y, z, 1) -> LPS mm; pixel centres.
        shape: pixels along x, y, z.
        assumed: the header held no usable directions or field of view, and axial directions
            or pixels of 1 mm were taken instead.
    """

    affine: np.ndarray
    shape: tuple[int, int, int]
    assumed: bool = False

    @property
    def spacing(self) -> np.ndarray:
        """Pixel spacing along x, y, z in mm; float64 (3,)."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors of x, y, z as columns; float64 (3, 3)."""
        return self.affine[:3, :3] / self.spacing

    @property
    def origin(self) -> np.ndarray:
        """Centre of the first pixel, LPS mm; float64 (3,)."""
        return self.affine[:3, 3]

    @property
    def center(self) -> np.ndarray:
        """The header's position: pixel `n // 2` of every axis, LPS mm; float64 (3,)."""
        middle = np.array([n // 2 for n in self.shape], dtype=float)
        return self.affine[:3, :3] @ middle + self.origin

    def at_slice(self, z: int) -> Geometry:
        """Geometry of one slice of a volume."""
        affine = self.affine.copy()
        affine[:3, 3] += z * affine[:3, 2]
        return Geometry(affine, (self.shape[0], self.shape[1], 1), self.assumed)

    @property
    def ras_affine(self) -> np.ndarray:
        """pixel -> RAS mm, as NIfTI wants it; float64 (4, 4)."""
        return LPS_TO_RAS @ self.affine


def image_geometry(image: Image) -> Geometry:
    """Geometry of one image from its header.

    Headers without directions (all zero, as some simulators leave them) get axial ones; a field
    of view of zero gives pixels of 1 mm; `assumed` then says so.
    """
    header = image.header
    _, nz, ny, nx = image.data.shape
    shape = (nx, ny, nz)
    directions = np.stack(
        [np.asarray(header[name], dtype=float) for name in ("read_dir", "phase_dir", "slice_dir")],
        axis=1,
    )
    fov = np.asarray(header["field_of_view"], dtype=float)
    spacing = fov / shape
    assumed = not (np.isfinite(fov).all() and (fov > 0).all())
    if assumed:
        spacing = np.where(np.isfinite(spacing) & (spacing > 0), spacing, 1.0)
    norms = np.linalg.norm(directions, axis=0)
    if not _usable(directions, norms):
        directions, assumed = np.eye(3), True
    else:
        directions = directions / norms
    position = np.nan_to_num(np.asarray(header["position"], dtype=float))
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = position - affine[:3, :3] @ np.array([n // 2 for n in shape], dtype=float)
    return Geometry(affine, shape, assumed)


def _usable(directions: np.ndarray, norms: np.ndarray) -> bool:
    if not np.isfinite(directions).all() or (norms < 0.5).any():
        return False
    return abs(np.linalg.det(directions / norms)) > SAME_DIRECTION


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Images that lie on one regular grid.

    Attributes:
        geometry: of the whole stack.
        slices: for each position along z, the indices of the images there, in their order.
    """

    geometry: Geometry
    slices: tuple[tuple[int, ...], ...]


def stack_slices(images: Sequence[Image]) -> Stack:
    """Order 2D images along their slice direction and find the grid they lie on.

    Slices are ordered by where they are, not by their slice number: scanners number them
    interleaved or backwards. The step between slices comes from their positions, so gaps and
    sheared stacks come out right; the field of view along z only serves a single slice.

    Args:
        images: all of one matrix size; 2D images, or volumes that all have one position.

    Raises:
        DataError: sizes or directions differ, slices are not evenly spaced, or volumes lie at
            several positions.
    """
    geometries = [image_geometry(image) for image in images]
    first = geometries[0]
    for geometry in geometries[1:]:
        if geometry.shape != first.shape:
            raise DataError(
                f"Images of {_size(first.shape)} and {_size(geometry.shape)} cannot be stacked."
            )
        if not np.allclose(
            geometry.affine[:3, :3],
            first.affine[:3, :3],
            atol=SAME_DIRECTION * first.spacing.max(),
        ):
            raise DataError(
                "Images of different orientation or pixel size cannot be stacked: "
                "export their series apart."
            )
    groups = _positions(geometries, first.directions[:, 2])
    slices = tuple(tuple(group) for group in groups)
    if len(groups) == 1:
        return Stack(first, slices)
    if first.shape[2] > 1:
        raise DataError(
            f"{len(groups)} volumes at different positions cannot be stacked into one: "
            "export the slabs apart."
        )
    origins = np.array([geometries[group[0]].origin for group in groups])
    step = (origins[-1] - origins[0]) / (len(groups) - 1)
    expected = origins[0] + np.arange(len(groups))[:, None] * step
    error = np.abs(expected - origins).max()
    # A tenth of a slice is far above rounding and far below a forgotten slice.
    if error > max(0.1 * np.linalg.norm(step), SAME_POSITION_MM):
        raise DataError(
            f"The {len(groups)} slices are not evenly spaced (up to {error:.2f} mm off a regular "
            "grid), so no single volume can hold them."
        )
    affine = first.affine.copy()
    affine[:3, 2] = step
    affine[:3, 3] = origins[0]
    assumed = any(geometry.assumed for geometry in geometries)
    shape = (first.shape[0], first.shape[1], len(groups))
    return Stack(Geometry(affine, shape, assumed), slices)


def _positions(geometries: Sequence[Geometry], normal: np.ndarray) -> list[list[int]]:
    """Indices grouped by position, ordered along `normal`."""
    depth = np.array([geometry.origin @ normal for geometry in geometries])
    groups: list[list[int]] = []
    for index in np.argsort(depth, kind="stable"):
        origin = geometries[index].origin
        if groups:
            offset = np.linalg.norm(origin - geometries[groups[-1][0]].origin)
            if offset < SAME_POSITION_MM:
                groups[-1].append(int(index))
                continue
        groups.append([int(index)])
    for group in groups:
        group.sort()
    return groups


def _size(shape: Iterable[int]) -> str:
    return " x ".join(str(n) for n in shape)
