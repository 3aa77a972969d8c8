"""Images as NIfTI files, with the affine of their true place in the patient.

Importing this module without nibabel raises ElastronError, which says how to install it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elastron.client.export.geometry import SAME_DIRECTION, Stack, image_geometry, stack_slices
from elastron.client.export.planes import image_type_name
from elastron.client.export.window import Part, real_part
from elastron.errors import DataError, ElastronError
from elastron.mrd.image import Image

try:
    import nibabel
except ModuleNotFoundError as missing:
    raise ElastronError("NIfTI export needs nibabel: pip install 'elastron[nifti]'") from missing

#: What goes into files of its own; slices become the third axis and everything else (repetitions,
#: cardiac phases, averages) the fourth.
_SEPARATING_COUNTERS = ("contrast", "set")

_SCANNER = 1  # NIfTI: coordinates of the scanner


def export_nifti(
    name: str, images: Sequence[Image], folder: Path, *, part: Part = Part.MAGNITUDE
) -> list[Path]:
    """Write a series as `.nii.gz`: axes x, y, z, then time, then channels where there are any.

    Contrasts, sets, image types, orientations and slabs get files of their own. Values are
    stored as they are, without scaling.

    Args:
        name: of the series; begins the files' names.
        images: of one series.
        folder: must exist.
        part: what to store of complex images.

    Raises:
        DataError: slices are unevenly spaced, or some lack repetitions others have.
    """
    groups = _groups(images)
    paths = []
    for number, (words, members) in enumerate(groups, start=1):
        stack = stack_slices(members)
        stem = name if len(groups) == 1 else "_".join([name, *words, f"{number:02d}"])
        path = folder / f"{stem}.nii.gz"
        nifti = nibabel.Nifti1Image(_volume(stack, members, part), stack.geometry.ras_affine)
        _describe(nifti, stack)
        nibabel.save(nifti, path)
        paths.append(path)
    return paths


def _groups(images: Sequence[Image]) -> list[tuple[list[str], list[Image]]]:
    """Images that go into one file, with the words that tell the file apart."""
    groups: dict[Hashable, tuple[list[str], list[Image]]] = {}
    for image in images:
        geometry = image_geometry(image)
        words = [f"{c}{int(image.header[c])}" for c in _SEPARATING_COUNTERS if image.header[c]]
        words.append(image_type_name(image))
        step = SAME_DIRECTION * 10
        place = np.round(geometry.directions / step).astype(int).tobytes()
        slab = tuple(np.round(geometry.origin, 1)) if geometry.shape[2] > 1 else ()
        key = (*words, image.data.shape, image.data.dtype.str, place, slab)
        groups.setdefault(key, (words, []))[1].append(image)
    return list(groups.values())


def _volume(stack: Stack, images: Sequence[Image], part: Part) -> np.ndarray:
    """Values in NIfTI's order (x, y, z[, time[, channel]])."""
    times = {len(indices) for indices in stack.slices}
    if len(times) > 1:
        raise DataError(
            f"Slices have between {min(times)} and {max(times)} images each, so they do not fill "
            "a volume for every time: is the file complete?"
        )
    steps = times.pop()
    channels, nz, ny, nx = images[0].data.shape
    depth = nz if len(stack.slices) == 1 else len(stack.slices)
    dtype = real_part(images[0].data[:0], part).dtype
    # Time outermost and x innermost is both our order of images and NIfTI's order in the file.
    volume = np.empty((channels, steps, depth, ny, nx), dtype)
    for z, indices in enumerate(stack.slices):
        for time, index in enumerate(indices):
            values = real_part(images[index].data, part)
            volume[:, time, z : z + nz] = values
    array = volume.transpose(4, 3, 2, 1, 0)
    if channels == 1:
        array = array[..., 0]
        if steps == 1:
            array = array[..., 0]
    return array


def _describe(nifti: Any, stack: Stack) -> None:
    affine = stack.geometry.ras_affine
    nifti.set_sform(affine, code=_SCANNER)
    columns = stack.geometry.directions
    if np.allclose(columns.T @ columns, np.eye(3), atol=SAME_DIRECTION):
        nifti.set_qform(affine, code=_SCANNER)
    else:  # a sheared stack: a quaternion cannot say so, the matrix can
        nifti.set_qform(None, code=0)
    nifti.header.set_xyzt_units("mm")
    nifti.header.set_dim_info(freq=0, phase=1, slice=2)
    nifti.header["descrip"] = b"Elastron"
