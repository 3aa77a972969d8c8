"""Encoding counters (`idx` of an acquisition), in the order they have on the wire."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

# ISMRMRD 1.x, EncodingCounters: 17 uint16.
COUNTERS = np.dtype(
    [
        ("kspace_encode_step_1", "<u2"),
        ("kspace_encode_step_2", "<u2"),
        ("average", "<u2"),
        ("slice", "<u2"),
        ("contrast", "<u2"),
        ("phase", "<u2"),
        ("repetition", "<u2"),
        ("set", "<u2"),
        ("segment", "<u2"),
        ("user", "<u2", (8,)),
    ]
)

#: Names a config may give a dimension.
EncodingCounter = Literal[
    "kspace_encode_step_1",
    "kspace_encode_step_2",
    "average",
    "slice",
    "contrast",
    "phase",
    "repetition",
    "set",
    "segment",
    "user_0",
    "user_1",
    "user_2",
    "user_3",
    "user_4",
    "user_5",
    "user_6",
    "user_7",
]
COUNTER_NAMES: tuple[str, ...] = get_args(EncodingCounter)


def counter(headers: np.ndarray, name: str) -> np.ndarray:
    """Values of one counter.

    Args:
        headers: structured array of acquisition headers, any shape.
        name: one of `COUNTER_NAMES`.

    Returns:
        uint16 array of the shape of `headers`.
    """
    if name not in COUNTER_NAMES:
        raise KeyError(name)
    if name.startswith("user_"):
        return headers["idx"]["user"][..., int(name[5:])]
    return headers["idx"][name]
