"""What every part of a scan repeats, config and header: a worker that stays parses it once.

Only the latest of each is kept: a worker serves one client, or the parts of one scan.
"""

from __future__ import annotations

import pickle
from functools import lru_cache

from ismrmrd.xsd import ismrmrdHeader

from elastron.mrd.header import parse_header
from elastron.pipeline import Config, parse_config, written_by_node


@lru_cache(maxsize=1)
def inline_config(xml: bytes) -> tuple[Config, bool]:
    """A config that came by value, and whether another node wrote it.

    Raises:
        ConfigError: as `parse_config` raises it; errors are not kept.
    """
    config = parse_config(xml)
    return config, written_by_node(xml, config)


def header_of_part(xml: bytes) -> ismrmrdHeader:
    """The MRD header of a part; a new object with each call, as gadgets may change theirs.

    Raises:
        HeaderError: as `parse_header` raises it; errors are not kept.
    """
    return pickle.loads(_pickled_header(xml))  # noqa: S301 - our own


@lru_cache(maxsize=1)
def _pickled_header(xml: bytes) -> bytes:
    return pickle.dumps(parse_header(xml), pickle.HIGHEST_PROTOCOL)
