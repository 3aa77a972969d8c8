"""What lies where in an HDF5 file: scans and groups of images."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import h5py

from elastron.errors import DataError
from elastron.mrd.dataset import Dataset

#: The reference client's groups: date and time, so that sorting them sorts by age.
_TIME_STAMP = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}")

#: Groups looked at; more is not a file of scans or images.
_GROUPS_MAX = 10_000
_DEPTH_MAX = 4


@dataclass(frozen=True, slots=True)
class Contents:
    """Groups of a file.

    Attributes:
        scans: groups with raw data.
        images: groups with image series, `image_<series>`.
    """

    scans: tuple[str, ...]
    images: tuple[str, ...]


def file_contents(path: str | os.PathLike[str]) -> Contents:
    """Find scans and images in a file.

    Raises:
        DataError: no such file, or not HDF5.
    """
    if not os.path.isfile(path):
        raise DataError(f"There is no file {os.fspath(path)}.")
    scans: list[str] = []
    images: list[str] = []
    try:
        with h5py.File(path, "r") as file:
            names = _groups(file)
    except OSError as error:
        raise DataError(f"{os.fspath(path)} is no HDF5 file that can be read: {error}") from error
    for name in names:
        with Dataset(path, "r", name) as dataset:
            if dataset.acquisition_count:
                scans.append(name)
            if dataset.image_groups():
                images.append(name)
    return Contents(tuple(scans), tuple(images))


def _groups(file: h5py.File) -> list[str]:
    """Names of all groups but those of single series, outer ones first."""
    found: list[str] = []
    level: list[str] = [""]
    for _ in range(_DEPTH_MAX):
        inner: list[str] = []
        for name in level:
            group = file[name or "/"]
            if not isinstance(group, h5py.Group):
                continue
            for key, item in group.items():
                if isinstance(item, h5py.Group) and not {"header", "data"} <= set(item):
                    inner.append(f"{name}/{key}".lstrip("/"))
        found += inner
        level = inner
        if len(found) > _GROUPS_MAX:
            raise DataError(f"The file has more than {_GROUPS_MAX} groups.")
    return found


def newest(groups: tuple[str, ...]) -> tuple[str, ...]:
    """The latest group if all are times, else all of them."""
    if groups and all(_TIME_STAMP.fullmatch(group) for group in groups):
        return (max(groups),)
    return groups
