"""Which images of a file a command works on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elastron.cli.console import show_remark
from elastron.client.groups import file_contents, newest
from elastron.errors import DataError
from elastron.mrd.dataset import Dataset
from elastron.mrd.image import Image

Series = dict[str, list[Image]]


def chosen_groups(file: Path, groups: Sequence[str]) -> tuple[str, ...]:
    """Groups asked for; else the newest if all are named by their time, else all.

    Raises:
        DataError: no images, or no such group.
    """
    known = file_contents(file).images
    if not known:
        raise DataError(
            f"{file} holds no images. Send a scan first: elastron send SCAN.h5 -o {file}"
        )
    for group in groups:
        if group not in known:
            raise DataError(f"{file} has no images in group {group!r}; it has {_listed(known)}.")
    if groups:
        return tuple(groups)
    chosen = newest(known)
    if len(chosen) < len(known):
        others = len(known) - len(chosen)
        show_remark(f"Showing group {chosen[0]!r}; {others} older left out (see --group).")
    return chosen


def read_series(file: Path, group: str, numbers: Sequence[int]) -> Series:
    """The series of a group, all or those of certain numbers.

    Raises:
        DataError: a number that no series has.
    """
    with Dataset(file, "r", group) as dataset:
        everything = {name: list(dataset.iter_images(name)) for name in dataset.image_groups()}
    found = {name: images for name, images in everything.items() if images}
    if not numbers:
        return found
    there = {name: int(images[0].header["image_series_index"]) for name, images in found.items()}
    for number in numbers:
        if number not in there.values():
            known = ", ".join(str(n) for n in sorted(set(there.values())))
            raise DataError(f"{file} [{group}] has no series {number}; it has {known}.")
    return {name: images for name, images in found.items() if there[name] in numbers}


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
