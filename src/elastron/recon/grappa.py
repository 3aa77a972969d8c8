"""GRAPPA: kernels from calibration data, unmixing coefficients, g-factor.

- Kernel: Griswold MA, et al. Generalized autocalibrating partially parallel acquisitions.
  Magn Reson Med 2002;47:1202-1210.
- Image-domain kernel and g-factor: Breuer FA, et al. General formulation for quantitative
  g-factor calculation in GRAPPA reconstructions. Magn Reson Med 2009;62:739-746.
- Unmixing coefficients: Saybasili H, et al. HTGRAPPA. Magn Reson Med 2009;61:1425-1433.

Numerical choices (kernel positions, regularisation, rows of the system) are those of Gadgetron
4.7.2, so that results agree; the way there is not: the normal equations are summed up block by
block, and the image-domain kernel is never stored.

Arrays are (channels, E2, E1, RO) in k-space and (channels, z, y, x) in image space; 2D is E2 = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import scipy.linalg
from array_api_compat import array_namespace, is_numpy_array

from elastron.errors import DataError

#: Rows of the calibration system are built in blocks of about this size, to stay in cache.
_BLOCK_BYTES = 1 << 20
#: What an accelerator is given at a time.
_BATCH_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class GrappaSettings:
    """How a kernel is calibrated.

    Attributes:
        acceleration: along E1 and E2.
        kernel: number of source points along RO, E1, E2; RO is made odd. E2 counts in 3D only.
        regularization: Tikhonov parameter, relative to the mean of the diagonal of A^H A.
        over_determination: rows of A per column, at most; 3D only. Rows beyond are cut along the
            readout, around its strongest sample.
        fit_sampled: the acquired points are fitted too, as they must be when the targets are
            other (virtual) channels than the sources; else they are kept.
    """

    acceleration: tuple[int, int]
    kernel: tuple[int, int, int] = (5, 4, 4)
    regularization: float = 0.0005
    over_determination: float = 45.0
    fit_sampled: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class GrappaKernel:
    """A convolution kernel, from undersampled to full k-space.

    Attributes:
        taps: complex64, (targets, E2 taps, E1 taps, RO taps, sources).
        offsets: displacement of each tap along E2, E1, RO: target index minus source index.
        acceleration: the product of both factors.
    """

    taps: Any
    offsets: tuple[np.ndarray, np.ndarray, np.ndarray]
    acceleration: int


def source_positions(points: int, acceleration: int) -> np.ndarray:
    """Source lines of a kernel relative to its first target: e.g. 4 points, R=2: -2, 0, 2, 4."""
    first = -(points // 2 - 1) if points % 2 == 0 else -(points // 2)
    return np.arange(first, first + points) * acceleration


def calibrate(reference: Any, n_targets: int, settings: GrappaSettings) -> GrappaKernel:
    """Fit a kernel to fully sampled calibration data.

    Minimises |A w - b|² + λ|w|² over all positions where the kernel fits into the data, with
    λ = regularization x trace(A^H A) / columns, in double precision.

    Args:
        reference: complex64, (channels, E2, E1, RO); any array-API namespace.
        n_targets: the first so many channels are the targets.
        settings: see `GrappaSettings`.

    Raises:
        DataError: the data is too small for the kernel, empty or not finite.
    """
    system = _System.of(reference.shape, n_targets, settings)
    rows = _readout_range(reference, system, settings)
    normal, right = _normal_equations(_correlations(reference, system, rows), system)
    weights = _solve(normal, right, settings.regularization)
    taps, offsets = _convolution_kernel(weights, system, settings)
    xp = array_namespace(reference)
    return GrappaKernel(xp.asarray(taps), offsets, math.prod(settings.acceleration))


@dataclass(frozen=True, slots=True)
class _System:
    """Layout of the linear system.

    Attributes:
        sources: positions along E2, E1, RO of the source points.
        targets: positions along E2, E1 of the fitted points.
        channels: sources.
        n_targets: target channels.
        first: lowest position along E2, E1, RO of the kernel's origin.
        count: number of such positions.
    """

    sources: tuple[np.ndarray, np.ndarray, np.ndarray]
    targets: tuple[tuple[int, int], ...]
    channels: int
    n_targets: int
    first: tuple[int, int, int]
    count: tuple[int, int, int]

    @classmethod
    def of(cls, shape: tuple[int, ...], n_targets: int, settings: GrappaSettings) -> _System:
        channels, *sizes = shape
        r1, r2 = settings.acceleration
        half = settings.kernel[0] // 2
        flat = sizes[0] == 1
        sources = (
            np.zeros(1, np.int64) if flat else source_positions(settings.kernel[2], r2),
            source_positions(settings.kernel[1], r1),
            np.arange(-half, half + 1),
        )
        targets = tuple(product(range(1 if flat else r2), range(r1)))
        if not settings.fit_sampled:
            targets = targets[1:]
        first = tuple(int(-positions[0]) for positions in sources)
        # Targets never reach beyond the last source line: R - 1 < R.
        count = tuple(
            size - lo - max(int(positions[-1]), 0)
            for size, lo, positions in zip(sizes, first, sources, strict=True)
        )
        if min(count) < 1:
            spans = [size + 1 - fits for size, fits in zip(sizes, count, strict=True)]
            raise DataError(
                f"the calibration data has {sizes[2]} x {sizes[1]} x {sizes[0]} samples (RO x E1 "
                f"x E2), the GRAPPA kernel needs {spans[2]} x {spans[1]} x {spans[0]}; acquire "
                "more calibration lines or choose a smaller kernel (grappa_kSize_E1, _E2)"
            )
        if n_targets > channels:
            raise DataError(f"{n_targets} target channels asked of {channels}")
        return cls(sources, targets, channels, n_targets, first, count)  # type: ignore[arg-type]

    @property
    def columns(self) -> int:
        """Columns of A: source points x channels."""
        return math.prod(len(positions) for positions in self.sources) * self.channels

    @property
    def points(self) -> list[tuple[int, int, int]]:
        """Points across the readout, sources first: E2, E1, channels.

        A target at the kernel's origin is a source point, and not listed twice.
        """
        sources = [(int(k2), int(k1), self.channels) for k2, k1 in product(*self.sources[:2])]
        return sources + [(*t, self.n_targets) for t in self.targets if t != (0, 0)]

    @property
    def target_rows(self) -> np.ndarray:
        """Where the fitted channels stand among the channels of `points`."""
        width = self.channels
        n_sources = len(self.sources[0]) * len(self.sources[1])
        origin = n_sources - 1
        for i, (k2, k1, _) in enumerate(self.points[:n_sources]):
            if k2 == k1 == 0:
                origin = i
        following, starts = n_sources * width, []
        for target in self.targets:
            starts.append(origin * width if target == (0, 0) else following)
            following += 0 if target == (0, 0) else self.n_targets
        return (np.array(starts)[:, None] + np.arange(self.n_targets)).ravel()


def _readout_range(reference: Any, system: _System, settings: GrappaSettings) -> slice:
    """Positions along the readout to use, relative to the first possible one."""
    count = system.count[2]
    if reference.shape[1] == 1 or settings.over_determination <= 1:
        return slice(0, count)
    rows = math.ceil(settings.over_determination * system.columns)
    used = max(1, rows // (system.count[0] * system.count[1]))
    if used >= count:
        return slice(0, count)
    xp = array_namespace(reference)
    profile = xp.abs(xp.sum(reference[0], axis=(0, 1)))
    peak, half = int(xp.argmax(profile)), system.first[2]
    start = peak - used // 2 - half if peak > used // 2 + half else 0
    return slice(start, min(start + used, count))


def _correlations(reference: Any, system: _System, readout: slice) -> np.ndarray:
    """Correlations of the points' channels, summed over all positions of the kernel.

    Element [a, p, b, q] belongs to [A, B]^H [A, B]: channel p at readout position a of the
    kernel with channel q at position b. All blocks with the same b - a hold sums over nearly
    the same samples, so that those with a = 0 are summed up in full, and the others follow from
    their neighbours by the samples that enter and leave.

    Returns:
        complex128, (RO points, channels, RO points, channels); valid for b >= a.
    """
    points, kro = system.points, len(system.sources[2])
    size = sum(channels for *_, channels in points)
    width = readout.stop - readout.start
    x0 = readout.start  # of the kernel's first sample
    first2, first1, _ = system.first
    xp = array_namespace(reference)
    step = max(1, _BLOCK_BYTES // (8 * size * kro * width))
    summed = np.zeros((size, kro, size), np.complex128)
    change = np.zeros(((kro - 1) * size,) * 2, np.complex128)
    for e2 in range(first2, first2 + system.count[0]):
        views = [
            reference[:channels, e2 + k2, first1 + k1 : first1 + k1 + system.count[1], x0:]
            for k2, k1, channels in points
        ]
        for start in range(0, system.count[1], step):
            stop = min(start + step, system.count[1])
            rows = [v[:, start:stop, :] for v in views]
            shifted = [v[..., b : b + width] for b in range(kro) for v in rows]
            stacked = xp.reshape(xp.concat(shifted), (kro * size, -1))
            products = stacked @ xp.conj(xp.matrix_transpose(stacked[:size, :]))
            summed += _host(products).reshape(kro, size, size).transpose(2, 0, 1)
        for sign, x in ((-1, 0), (1, width)) if kro > 1 else ():
            edge = xp.concat([v[..., x : x + kro - 1] for v in views])
            edge = xp.reshape(xp.permute_dims(edge, (2, 0, 1)), ((kro - 1) * size, -1))
            change += sign * _host(xp.conj(edge) @ xp.matrix_transpose(edge))

    out = np.empty((kro, size, kro, size), np.complex128)
    out[0] = summed
    change = change.reshape(kro - 1, size, kro - 1, size)
    for a in range(1, kro):
        out[a, :, a:] = out[a - 1, :, a - 1 : -1] + change[a - 1, :, a - 1 :]
    return out


def _normal_equations(correlations: np.ndarray, system: _System) -> tuple[np.ndarray, np.ndarray]:
    """A^H A (upper triangle valid) and A^H B from the correlations."""
    kro = len(correlations)
    n_sources = system.columns // kro
    normal = correlations[:, :n_sources, :, :n_sources].reshape(system.columns, -1)
    targets, center = system.target_rows, kro // 2
    right = np.empty((kro, n_sources, len(targets)), np.complex128)
    right[: center + 1] = correlations[: center + 1, :n_sources, center][:, :, targets]
    for a in range(center + 1, kro):
        right[a] = correlations[center, targets, a, :n_sources].conj().T
    return normal, right.reshape(system.columns, -1)


def _solve(normal: np.ndarray, right: np.ndarray, regularization: float) -> np.ndarray:
    """Tikhonov solution; complex128, (columns, targets). Overwrites `normal`."""
    diagonal = np.einsum("ii->i", normal)
    mean = float(diagonal.real.mean())
    if not (np.isfinite(mean) and mean > 0):
        raise DataError(
            "the calibration data is empty or not finite; check the calibration lines of the scan"
        )
    diagonal += mean * regularization
    try:
        factor = scipy.linalg.cho_factor(normal, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError as error:
        raise DataError(
            "the GRAPPA calibration cannot be solved: the calibration data is degenerate; "
            "raise grappa_reg_lamda or check the calibration lines"
        ) from error
    return scipy.linalg.cho_solve(factor, right, check_finite=False)


def _host(x: Any) -> np.ndarray:
    if is_numpy_array(x):
        return x
    return np.asarray(x.get() if hasattr(x, "get") else x)


def _convolution_kernel(
    weights: np.ndarray, system: _System, settings: GrappaSettings
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Sort the weights by displacement; every (target, source) pair has its own."""
    shape = tuple(len(positions) for positions in system.sources)
    # (RO, E2, E1, sources, target points, targets)
    by_target = weights.reshape(
        shape[2], *shape[:2], system.channels, len(system.targets), system.n_targets
    )
    spans = []
    for axis, positions in enumerate(system.sources[:2]):
        last = max((target[axis] for target in system.targets), default=0)
        spans.append(np.arange(-int(positions[-1]), last - int(positions[0]) + 1))
    offsets = (spans[0], spans[1], -system.sources[2])
    taps = np.zeros(
        (system.n_targets, len(spans[0]), len(spans[1]), shape[2], system.channels), np.complex64
    )
    for t, (o2, o1) in enumerate(system.targets):
        for i, k2 in enumerate(system.sources[0]):
            for j, k1 in enumerate(system.sources[1]):
                where = (slice(None), o2 - k2 - spans[0][0], o1 - k1 - spans[1][0])
                taps[where] = np.moveaxis(by_target[:, i, j, :, t], -1, 0)
    if not settings.fit_sampled:
        center = tuple(int(np.flatnonzero(o == 0)[0]) for o in offsets)
        taps[(slice(None), *center)] = np.eye(system.n_targets, system.channels)
    return taps, offsets


def unmixing_coefficients(kernel: GrappaKernel, coil_map: Any) -> Any:
    """Coefficients that turn aliased channel images into one combined image.

    u_src(r) = Σ_dst conj(c_dst(r)) Σ_t k_dst,src(t) exp(2πi t r / N): the image-domain kernel
    followed by the coil combination (unit-norm coil map), at every pixel.

    Args:
        kernel: from `calibrate`.
        coil_map: complex64, (targets, z, y, x); its shape sets the matrix.

    Returns:
        complex64, (sources, z, y, x); in memory (z, y, sources, x).
    """
    xp = array_namespace(coil_map)
    n_targets, depth, height, width = coil_map.shape
    taps = kernel.taps
    n_sources = taps.shape[-1]
    phase_z, phase_y, phase_x = (
        _phases(xp, size, offsets)
        for size, offsets in zip((depth, height, width), kernel.offsets, strict=True)
    )
    n_basis = phase_x.shape[1] * n_targets
    # (E2 taps, E1 taps, sources, RO taps x targets)
    taps = xp.permute_dims(taps, (1, 2, 4, 3, 0))
    t2, t1 = taps.shape[:2]
    by_z = phase_z @ xp.reshape(taps, (t2, -1))
    out = xp.empty((depth, height, n_sources, width), dtype=xp.complex64)
    phase_x = xp.matrix_transpose(phase_x)[:, None, :]
    in_place = is_numpy_array(out)
    step = height if in_place else max(1, _BATCH_BYTES // (8 * width * n_basis))
    for z, y in product(range(depth), range(0, height, step)):
        y1 = min(y + step, height)
        by_y = phase_y[y:y1, ...] @ xp.reshape(by_z[z, :], (t1, -1))
        by_y = xp.reshape(by_y, (y1 - y, n_sources, n_basis))
        coil = xp.conj(xp.permute_dims(coil_map[:, z, y:y1, :], (1, 0, 2)))
        if not in_place:
            basis = xp.reshape(phase_x * coil[:, None, ...], (-1, n_basis, width))
            out[z, y:y1, ...] = by_y @ basis
            continue
        # Line by line, so that all stays in the innermost cache.
        basis = np.empty((n_basis // n_targets, n_targets, width), np.complex64)
        flat = basis.reshape(n_basis, width)
        for i in range(height):
            np.multiply(phase_x, coil[i], out=basis)
            np.matmul(by_y[i], flat, out=out[z, i])
    return xp.permute_dims(out, (2, 0, 1, 3))


def _phases(xp: Any, size: int, offsets: np.ndarray) -> Any:
    """exp(2πi t r / N), centred; complex64, (size, taps)."""
    position = np.arange(size) - size // 2
    angle = 2 * np.pi / size * ((position[:, None] * offsets[None, :]) % size)
    return xp.asarray(np.exp(1j * angle).astype(np.complex64))


def g_factor(unmixing: Any, acceleration: int) -> Any:
    """Noise amplification: sqrt(Σ|u|²) / R; float32, (z, y, x).

    For prewhitened data, unit-norm coil maps and signal-preserving coefficients.
    """
    xp = array_namespace(unmixing)
    total = xp.zeros(unmixing.shape[1:], dtype=xp.float32)
    for channel in range(unmixing.shape[0]):
        one = unmixing[channel, ...]
        total += xp.real(one) ** 2 + xp.imag(one) ** 2
    return xp.sqrt(total) / acceleration


def unmix(aliased: Any, unmixing: Any) -> Any:
    """Combined image Σ_c u_c a_c; complex64, (z, y, x).

    Args:
        aliased: complex64, (channels, z, y, x); channels beyond those of `unmixing` are unused.
        unmixing: complex64, (channels, z, y, x).
    """
    image = unmixing[0, ...] * aliased[0, ...]
    for channel in range(1, unmixing.shape[0]):
        image += unmixing[channel, ...] * aliased[channel, ...]
    return image
