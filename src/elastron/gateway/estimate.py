"""How much memory a session will need, roughly, from its header and its config's name.

What a chain holds is k-space: of one image where it works slice by slice, of a whole repetition
(all slices, contrasts, phases, sets and averages) in the generic chains, of all repetitions where
it compares them. The factors are measured (docs/explanation/placement.md); the estimate of a stock
chain lies within a factor of 2.5 of what a session takes, from 7 MB on.

Only the sizes are read: matrix, counters and channels. What a header says of a patient is passed
over without being kept.
"""

from __future__ import annotations

import contextlib
import fnmatch
import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.parsers.expat import ExpatError, ParserCreate

#: Sizes stand before the long user parameters; more would only cost time.
_HEADER_BYTES_MAX = 128 * 1024
#: The same for tags; a header of 8 encodings has a thousand.
_TAGS_MAX = 10_000
_SAMPLE_BYTES = 8  # complex64
#: Channels of a header that does not tell them.
_COILS_ASSUMED = 16
_UINT16_MAX = 65535
_MB = 1_000_000

_ENCODING = ("ismrmrdHeader", "encoding")
_MATRIX = (*_ENCODING, "encodedSpace", "matrixSize")
_LIMITS = (*_ENCODING, "encodingLimits")
_CHANNELS = ("ismrmrdHeader", "acquisitionSystemInformation", "receiverChannels")
_WHOLE_REPETITION = ("slice", "contrast", "phase", "set", "average")


@dataclass(frozen=True, slots=True)
class _Chain:
    """What a chain takes.

    Attributes:
        base: bytes, whatever the scan.
        flat: bytes for each byte of two-dimensional k-space held at once.
        deep: the same for three dimensions.
        held: counters all of whose values are held at once.
    """

    base: int
    flat: float
    deep: float
    held: tuple[str, ...] = ()


_GENERIC = _Chain(8 * _MB, 1.3, 2.6, _WHOLE_REPETITION)
#: By name, first match; what is not known counts as generic, which is rather too much.
_CHAINS: tuple[tuple[str, _Chain], ...] = (
    ("isalive.xml", _Chain(_MB, 0.0, 0.0)),
    ("gtquery.xml", _Chain(_MB, 0.0, 0.0)),
    ("default*.xml", _Chain(3 * _MB, 1.2, 1.2)),
    ("grappa*.xml", _Chain(16 * _MB, 1.2, 1.2)),
    ("*_SNR.xml", _Chain(8 * _MB, 1.3, 2.0, (*_WHOLE_REPETITION, "repetition"))),
    ("*RealTimeCine*.xml", _Chain(8 * _MB, 1.3, 2.6, (*_WHOLE_REPETITION, "repetition"))),
)
#: Queues and results on their way, when a scan has more than one image.
_FLOW_BYTES = 10 * _MB


def session_memory_bytes(header_xml: bytes, config_name: str = "") -> int:
    """Memory a session of this header and config will add to an idle worker's (bytes), roughly.

    Args:
        header_xml: the MRD header as it came.
        config_name: asked for by the client; empty for a config by value.

    Returns:
        0 when the header does not tell: nothing is known then.
    """
    sizes = _read_sizes(header_xml)
    matrix = [sizes.get((*_MATRIX, axis), 0) for axis in "xyz"]
    if not matrix[0] or not matrix[1]:
        return 0
    coils = sizes.get(_CHANNELS, 0) or _COILS_ASSUMED
    image_bytes = matrix[0] * matrix[1] * max(1, matrix[2]) * coils * _SAMPLE_BYTES
    chain = _chain_of(config_name)

    def count(counters: Iterable[str]) -> int:
        return math.prod(1 + sizes.get((*_LIMITS, name, "maximum"), 0) for name in counters)

    held_bytes = image_bytes * count(chain.held)
    many = count((*_WHOLE_REPETITION, "repetition")) > 1
    factor = chain.flat if matrix[2] <= 1 else chain.deep
    return round(chain.base + factor * held_bytes + many * _FLOW_BYTES)


def _chain_of(config_name: str) -> _Chain:
    for pattern, chain in _CHAINS:
        if fnmatch.fnmatchcase(config_name, pattern):
            return chain
    return _GENERIC


class _Sizes:
    """Keeps the numbers above of what a parser finds, and nothing else."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, ...], int] = {}
        self._path: tuple[str, ...] = ()
        self._too_deep = 0
        self._tags = 0
        self._text: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._tags += 1
        if self._tags > _TAGS_MAX:
            raise ValueError("too many tags")
        if self._too_deep or len(self._path) >= len(_MATRIX) + 1:
            self._too_deep += 1
            return
        self._path = path = (*self._path, tag.rpartition(":")[2])
        limit = path[:3] == _LIMITS and path[-1] == "maximum"
        self._text = [] if limit or path[:-1] == _MATRIX or path == _CHANNELS else None

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        if self._too_deep:
            self._too_deep -= 1
            return
        if self._text is not None:
            digits = "".join(self._text).strip()
            if digits.isdecimal() and len(digits) <= 5:
                # Of several encodings the largest counts.
                known = self.found.get(self._path, 0)
                self.found[self._path] = max(known, min(int(digits), _UINT16_MAX))
            self._text = None
        self._path = self._path[:-1]


def _refuse(*_: object) -> None:
    raise ValueError("a document type declaration")  # so there are no entities either


def _read_sizes(header_xml: bytes) -> dict[tuple[str, ...], int]:
    sizes = _Sizes()
    # Bare expat: a scan waits for this, and ElementTree takes three times as long.
    parser = ParserCreate()
    parser.StartElementHandler = sizes.start
    parser.EndElementHandler = sizes.end
    parser.CharacterDataHandler = sizes.data
    parser.StartDoctypeDeclHandler = _refuse
    # The node will say what is wrong with a header; what came before that counts here.
    with contextlib.suppress(ExpatError, ValueError, LookupError):
        parser.Parse(bytes(header_xml[:_HEADER_BYTES_MAX]).lstrip(b"\0 \t\r\n"), False)
    return sizes.found
