"""Writing images as the reference client does."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Self

from elastron.mrd.dataset import Dataset
from elastron.mrd.image import Image


def time_stamp_group() -> str:
    """The reference client's default group: the local date and time."""
    return datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")


class ImageFile:
    """An HDF5 file that images are appended to as they come.

    The file and the group are made with the first image, so that a scan that fails at once leaves
    nothing behind; images of one file and group are appended to those that are there.

    Args:
        path: of the file.
        group: that holds `image_<series>/{header,data,attributes}`; None: date and time.

    Raises:
        DataError: from `append`, if the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], group: str | None = None) -> None:
        self.path = Path(path)
        self.group = group or time_stamp_group()
        self.counts: dict[str, int] = {}
        self._dataset: Dataset | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def append(self, image: Image) -> None:
        """Write one image."""
        if self._dataset is None:
            self._dataset = Dataset(self.path, "a", self.group)
        series = f"image_{int(image.header['image_series_index'])}"
        name = self._dataset.append_image(series, image)
        self.counts[name] = self.counts.get(name, 0) + 1

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None
