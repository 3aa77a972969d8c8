"""What the gadgets that work on image arrays read from the attributes of the first image."""

from __future__ import annotations

from elastron.errors import DataError
from elastron.mrd.buffers import ImageArray, SamplingLimit
from elastron.mrd.meta import Meta, MetaValue


def attributes(array: ImageArray) -> Meta:
    """Attributes of the first image; empty if there are none."""
    return array.meta[0] if array.meta else Meta()


def data_role(array: ImageArray) -> str:
    """What the array holds, as in `GADGETRON_DataRole`; empty if it does not say."""
    return str(attributes(array).first("GADGETRON_DataRole", ""))


def encoding_space(array: ImageArray, n_encodings: int) -> int:
    """The encoding space the images come from; 0 if they do not say.

    Raises:
        DataError: the MRD header has no such encoding space.
    """
    encoding = int(_number(attributes(array).first("encoding", 0), "encoding"))
    if not 0 <= encoding < n_encodings:
        raise DataError(
            f"images of encoding space {encoding}, but the MRD header describes {n_encodings}; "
            "correct encoding_space_ref or the header"
        )
    return encoding


def sampling_limits(array: ImageArray) -> dict[int, SamplingLimit]:
    """What was sampled of each encoded axis.

    Returns:
        Axis of `array.data` -> limits, for the readout (-1), E1 (-2) and, of volumes, E2 (-3).
        Limits that are absent or do not fit the axis mean that it was sampled in full.
    """
    meta = attributes(array)
    limits = {}
    for axis, name in ((-1, "RO"), (-2, "E1"), (-3, "E2")):
        n = array.data.shape[axis]
        if axis == -3 and n <= 1:
            continue
        limit = SamplingLimit(0, n // 2, n - 1)
        values = meta.get(f"sampling_limits_{name}", [])
        if len(values) >= 3:
            first, center, last = (int(_number(v, "sampling_limits")) for v in values[:3])
            if 0 <= first <= last < n:
                limit = SamplingLimit(first, center, last)
        limits[axis] = limit
    return limits


def extent_mm(array: ImageArray, name: str) -> tuple[float, float, float] | None:
    """A field of view among the attributes (x, y, z), or None if it is not there."""
    values = attributes(array).get(name, [])
    if len(values) < 3:
        return None
    x, y, z = (_number(value, name) for value in values[:3])
    return x, y, z


def _number(value: MetaValue | None, name: str) -> float:
    try:
        return float(value if value is not None else 0)
    except ValueError:
        raise DataError(f"image attribute {name} is {str(value)[:40]!r}, not a number") from None
