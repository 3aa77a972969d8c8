"""Where gadgets may write files: below the folder a node's operator chose, nowhere else.

Names come from configs and scans, so from the network: what is not a plain letter, digit or one of
`._-` is replaced, and a folder asked for that lies elsewhere is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from elastron.gadgets.base import Context

#: The node's setting (`Context.parameters`) that names the folder.
DUMP_FOLDER = "dump_folder"

_MAX_NAME = 120


def dump_folder(context: Context) -> Path | None:
    """The folder, or None if the node has none: then nothing is written."""
    text = context.parameters.get(DUMP_FOLDER, "")
    return Path(text).resolve() if text else None


def folder_below(root: Path, wanted: str) -> Path | None:
    """`wanted`, relative to `root` or absolute; None if it does not lie in `root`."""
    folder = (root / wanted).resolve()
    return folder if folder.is_relative_to(root) else None


def safe_name(text: str) -> str:
    """`text` as part of a file name: no separators, no leading dot, not too long."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip(".")[:_MAX_NAME]


def free_paths(folder: Path, stem: str, suffix: str) -> Iterator[Path]:
    """`stem.suffix`, then `stem_2.suffix`, …, in `folder`: for whoever opens with mode "x"."""
    yield folder / f"{stem}{suffix}"
    for number in count(2):
        yield folder / f"{stem}_{number}{suffix}"
