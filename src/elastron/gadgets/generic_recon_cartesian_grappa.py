"""GenericReconCartesianGrappaGadget: GRAPPA, coil combination, g-factor and SNR maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from pydantic import Field

from elastron.errors import DataError
from elastron.gadgets.base import Context, Hybrid, Item, Properties
from elastron.gadgets.coil_map_properties import CoilMapProperties
from elastron.gadgets.generic_recon_base import (
    CalibrationMode,
    DataRole,
    EncodingInfo,
    GenericReconGadget,
    sampled_lines,
    slices_of,
    snr_scaling,
)
from elastron.mrd.acquisition import ReadoutDomain
from elastron.mrd.buffers import DataBuffered, ImageArray, ReconBit, ReconData
from elastron.recon.calibration import coil_map_images
from elastron.recon.combination import interpolated
from elastron.recon.eigen_channels import count_kept
from elastron.recon.fft import fft
from elastron.recon.grappa import (
    GrappaSettings,
    calibrate,
    g_factor,
    unmixing_coefficients,
)
from elastron.recon.undersampled import unmixed_image


class CartesianGrappaProperties(CoilMapProperties):
    """Properties of `GenericReconCartesianGrappaGadget`.

    Attributes:
        image_series: base of the series numbers: images + 1, g-factor + 20, SNR + 300 for the
            first encoding space.
        coil_map_matrix: an addition to the original's: coil maps are estimated on a grid halved
            in y and x, with half the window, and interpolated, for as long as it has so many
            pixels and at least twice the calibration lines; 0 for the full grid, as in the
            original.
        send_out_gfactor: send g-factor maps.
        send_out_snr_map: send images divided by the g-factor, in SNR units.
        grappa_kSize_RO: source points of the kernel along RO.
        grappa_kSize_E1: along E1.
        grappa_kSize_E2: along E2, in 3D.
        grappa_reg_lamda: Tikhonov parameter, relative to the mean eigenvalue.
        grappa_calib_over_determine_ratio: equations per unknown at most, in 3D.
        downstream_coil_compression: fit only the strongest channels.
        downstream_coil_compression_thres: those with at least this share of the first one's
            energy; negative for all.
        downstream_coil_compression_num_modesKept: if positive, channels to fit.
    """

    coil_map_matrix: int = Field(128, ge=0)
    send_out_gfactor: bool = False
    send_out_snr_map: bool = False
    grappa_kSize_RO: int = Field(5, ge=1, le=64)  # noqa: N815
    grappa_kSize_E1: int = Field(4, ge=1, le=64)  # noqa: N815
    grappa_kSize_E2: int = Field(4, ge=1, le=64)  # noqa: N815
    grappa_reg_lamda: float = Field(0.0005, ge=0)
    grappa_calib_over_determine_ratio: float = Field(45, ge=0)
    downstream_coil_compression: bool = True
    downstream_coil_compression_thres: float = 0.002
    downstream_coil_compression_num_modesKept: int = 0  # noqa: N815


@dataclass(frozen=True, slots=True, eq=False)
class _Calibration:
    """Unmixing coefficients, and what they were computed from.

    Attributes:
        reference: to tell whether new calibration data is the same.
        matrix: z, y, x.
        unmixing: (LOC, S, N) -> complex64 (channels, z, y, x).
        gfactor: float32, (LOC, S, N, 1, z, y, x); None without acceleration, or if not asked for.
    """

    reference: np.ndarray
    matrix: tuple[int, ...]
    unmixing: dict[tuple[int, int, int], np.ndarray]
    gfactor: np.ndarray | None

    def serves(self, reference: np.ndarray, matrix: tuple[int, ...]) -> bool:
        """Whether it holds for this calibration data."""
        return (
            self.matrix == matrix
            and self.reference.shape == reference.shape
            # One sample tells new data from old; all are compared only if it agrees.
            and bool(
                self.reference.flat[reference.size // 2] == reference.flat[reference.size // 2]
            )
            and np.array_equal(self.reference, reference)
        )


class GenericReconCartesianGrappaGadget(GenericReconGadget[CartesianGrappaProperties]):
    """Turns k-space into combined images.

    Calibration happens where data comes with a reference (see
    `GenericReconCartesianReferencePrepGadget`), and is kept per encoding space and slice for
    data that comes without, and for references that have not changed.
    """

    properties_type: ClassVar[type[Properties]] = CartesianGrappaProperties
    hybrid: ClassVar[Hybrid] = Hybrid.CONSUMES
    accepts: ClassVar[tuple[type, ...]] = (ReconData,)

    def __init__(self, properties: CartesianGrappaProperties, context: Context) -> None:
        super().__init__(properties, context)
        self._calibrations: dict[tuple[int, tuple[int, ...]], _Calibration] = {}

    def process(self, item: ReconData) -> Iterable[Item]:
        """Reconstruct; g-factor and SNR maps go out before the images, as in the original.

        The item is emptied, so that k-space can go while the images are processed.
        """
        bits, item.bits = item.bits, []
        for encoding in range(len(bits)):
            bit = bits.pop(0)
            arrays = self._reconstruct(encoding, bit) if bit.data.data.size else []
            del bit
            while arrays:
                yield arrays.pop(0)

    def _reconstruct(self, encoding: int, bit: ReconBit) -> list[ImageArray]:
        info = self.scan.encoding(encoding)
        calibration = self._calibration(encoding, bit, info)
        images = self.image_array(bit, self._unmixed(bit.data, calibration, info), encoding)
        gfactor, series = calibration.gfactor, self.properties.image_series
        arrays: list[ImageArray] = []
        if self.properties.send_out_gfactor and bit.reference is not None and gfactor is not None:
            maps = ImageArray(gfactor.astype(np.complex64), images.headers, images.meta)
            arrays.append(
                self.numbered(maps, encoding, series + 10 * (encoding + 2), DataRole.GFACTOR)
            )
        if self.properties.send_out_snr_map:
            snr = replace(
                images, data=images.data if gfactor is None else _divided(images.data, gfactor)
            )
            arrays.append(
                self.numbered(snr, encoding, series + 100 * (encoding + 3), DataRole.SNR_MAP)
            )
        arrays.append(self.numbered(images, encoding, series + encoding + 1, DataRole.IMAGE))
        return arrays

    def _calibration(self, encoding: int, bit: ReconBit, info: EncodingInfo) -> _Calibration:
        """What `bit` is to be unmixed with."""
        key, reference = (encoding, slices_of(bit.data)), bit.reference
        if reference is None:
            if key in self._calibrations:
                return self._calibrations[key]
            raise DataError(
                f"the data of encoding space {encoding} is accelerated and came without "
                "calibration lines, and none came before; acquire them, or correct "
                "parallelImaging in the MRD header"
            )
        matrix = bit.data.data.shape[4:]
        known = self._calibrations.pop(key, None)
        if known is None or not known.serves(reference.data, matrix):
            del known  # its memory is needed
            known = self._calibrate(reference, matrix, info)
        self._calibrations[key] = known
        return known

    def _calibrate(
        self, reference: DataBuffered, matrix: tuple[int, ...], info: EncodingInfo
    ) -> _Calibration:
        p = self.properties
        settings = GrappaSettings(
            acceleration=info.acceleration,
            kernel=(p.grappa_kSize_RO, p.grappa_kSize_E1, p.grappa_kSize_E2),
            regularization=p.grappa_reg_lamda,
            over_determination=p.grappa_calib_over_determine_ratio,
            fit_sampled=p.downstream_coil_compression,
        )
        data = reference.data
        targets = self._count_targets(data[0, 0, 0])
        accelerated = info.acceleration != (1, 1)
        unmixing: dict[tuple[int, int, int], np.ndarray] = {}
        gfactor = None
        if accelerated and (p.send_out_gfactor or p.send_out_snr_map):
            gfactor = np.empty((*data.shape[:3], 1, *matrix), np.float32)
        for index in np.ndindex(*data.shape[:3]):
            lines = data[index]
            if not accelerated:
                unmixing[index] = np.conj(self._coil_map(lines[:targets], reference, matrix, info))
                continue
            maps = self._coil_map(lines[:targets], reference, matrix, info)
            kernel = calibrate(lines, targets, settings)
            unmixing[index] = unmixing_coefficients(kernel, maps)
            if gfactor is not None:
                gfactor[index] = g_factor(unmixing[index], kernel.acceleration)
        self.context.log.debug(
            "calibrated", channels=data.shape[3], fitted=targets, calibration=info.calibration.value
        )
        return _Calibration(data, matrix, unmixing, gfactor)

    def _count_targets(self, reference: np.ndarray) -> int:
        p = self.properties
        if not p.downstream_coil_compression:
            return len(reference)
        energies = np.array([np.vdot(one, one).real for one in reference])
        return count_kept(
            energies,
            threshold=p.downstream_coil_compression_thres,
            modes=p.downstream_coil_compression_num_modesKept,
        )

    def _coil_map(
        self,
        lines: np.ndarray,
        reference: DataBuffered,
        matrix: tuple[int, ...],
        info: EncodingInfo,
    ) -> np.ndarray:
        p, (depth, height, width) = self.properties, matrix
        if reference.readout_domain is ReadoutDomain.IMAGE:
            lines = fft(lines, -1, threads=self.context.threads)
        size, fold = p.coil_map_kernel_size_readout, 1
        # The images of few calibration lines are smooth.
        while (
            0 < p.coil_map_matrix <= min(height, width) // 2
            and 2 * lines.shape[2] <= height // 2
            and not (height % 2 or width % 2)
        ):
            height, width, fold = height // 2, width // 2, 2 * fold
            size = max(min(size, 3), size // 2)
        images = coil_map_images(
            lines,
            reference.sampling.limits,
            (width, height, depth),
            about_center=info.calibration
            in {CalibrationMode.INTERLEAVED, CalibrationMode.NO_ACCELERATION},
            threads=self.context.threads,
        )
        # One thread: the arrays are so small that threads would wait for the interpreter.
        maps = p.coil_map(images, size)
        return interpolated(maps, fold) if fold > 1 else maps

    def _unmixed(
        self, buffered: DataBuffered, calibration: _Calibration, info: EncodingInfo
    ) -> np.ndarray:
        """Combined images; complex64, (LOC, S, N, 1, z, y, x)."""
        data = buffered.data
        scale = 1.0
        acceleration, ratio = snr_scaling(buffered)
        if acceleration > 1:
            # The coefficients preserve the signal, x R; this preserves the noise instead.
            scale = ratio / (info.acceleration[0] * info.acceleration[1])
        readout = buffered.readout_domain is ReadoutDomain.KSPACE
        sampled = sampled_lines(buffered)
        last = max(calibration.unmixing)
        out = np.empty((*data.shape[:3], 1, *data.shape[4:]), np.complex64)
        for loc, s, n in np.ndindex(*data.shape[:3]):
            out[loc, s, n, 0] = unmixed_image(
                data[loc, s, n],
                sampled[loc, s, n],
                calibration.unmixing[loc, min(s, last[1]), min(n, last[2])],
                readout=readout,
                threads=self.context.threads,
            )
        if scale != 1.0:
            out *= np.float32(scale)
        return out


def _divided(images: np.ndarray, gfactor: np.ndarray) -> np.ndarray:
    """Images / g-factor, whose last S and N serve for all beyond; 0 where g is 0."""
    s = np.minimum(np.arange(images.shape[1]), gfactor.shape[1] - 1)
    n = np.minimum(np.arange(images.shape[2]), gfactor.shape[2] - 1)
    g = gfactor[:, s][:, :, n]
    return np.divide(images, g, out=np.zeros_like(images), where=g > 0)
