"""Where the readouts of the classic GRAPPA chain belong in k-space."""

from __future__ import annotations

import numpy as np
from ismrmrd.xsd import ismrmrdHeader

from elastron.errors import ConfigError, DataError
from elastron.mrd.acquisition import AcquisitionBatch


class LineGrid:
    """k-space of one 2D image: lines x samples, of the reconstructed matrix.

    Raises:
        ConfigError: the MRD header describes something else than one 2D encoding space whose
            lines are those of the image.
    """

    def __init__(self, header: ismrmrdHeader) -> None:
        if len(header.encoding) != 1:
            raise ConfigError(
                f"the classic GRAPPA chain takes one encoding space, the MRD header describes "
                f"{len(header.encoding)}; use Generic_Cartesian_Grappa.xml"
            )
        encoding = header.encoding[0]
        encoded, recon = encoding.encodedSpace.matrixSize, encoding.reconSpace.matrixSize
        if recon.z != 1 or encoded.z != 1 or encoded.y != recon.y:
            raise ConfigError(
                f"the classic GRAPPA chain makes 2D images with as many lines as were encoded; "
                f"encoded are {encoded.y} x {encoded.z}, wanted {recon.y} x {recon.z} (y x z). "
                "Use Generic_Cartesian_Grappa.xml"
            )
        limit = encoding.encodingLimits.kspace_encoding_step_1
        self.samples: int = recon.x
        self.lines: int = recon.y
        self.center = limit.center if limit is not None else encoded.y // 2
        self.offset = encoded.y // 2 - self.center
        slices = encoding.encodingLimits.slice
        self.slices = 1 + (slices.maximum if slices is not None else 0)

    def place(self, batch: AcquisitionBatch) -> np.ndarray:
        """The line of each readout of a batch; int64, (n,).

        Raises:
            DataError: a readout is not of this grid.
        """
        headers = batch.headers
        lines = headers["idx"]["kspace_encode_step_1"].astype(np.int64) + self.offset
        wrong = (lines < 0) | (lines >= self.lines) | (headers["idx"]["kspace_encode_step_2"] > 0)
        if wrong.any():
            first = headers[int(np.argmax(wrong))]
            raise DataError(
                f"readout {first['scan_counter']} has kspace_encode_step_1 "
                f"{first['idx']['kspace_encode_step_1']} and _2 "
                f"{first['idx']['kspace_encode_step_2']}, outside of the {self.lines} lines of "
                "the MRD header's 2D matrix"
            )
        if batch.data.shape[2] != self.samples:
            raise DataError(
                f"readout {headers['scan_counter'][0]} has {batch.data.shape[2]} samples, the "
                f"reconstructed matrix {self.samples}; is RemoveROOversamplingGadget missing?"
            )
        numbers = headers["idx"]["slice"]
        if (numbers >= self.slices).any():
            raise DataError(
                f"readout {headers['scan_counter'][0]} is of slice {numbers.max()}, the MRD "
                f"header describes {self.slices}"
            )
        return lines


def same_shape(batches: list[AcquisitionBatch]) -> None:
    """Check that all batches have as many channels and the same readout domain.

    Raises:
        DataError: they differ.
    """
    kinds = {(batch.data.shape[1], batch.readout_domain) for batch in batches}
    if len(kinds) > 1:
        raise DataError(
            f"the readouts of one slice have {sorted(channels for channels, _ in kinds)} channels"
        )
