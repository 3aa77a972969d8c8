"""Answers to QUERY messages: the Gadgetron's, and `elastron::status`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from typing import Any

import elastron

#: Version of the Gadgetron whose protocol and stock configs this follows; ours follows the plus.
GADGETRON_VERSION = "4.7.2"
UNKNOWN = "Unknown query"


@cache
def _ismrmrd_version() -> str:
    return metadata.version("ismrmrd")


def _version() -> str:
    return f"{GADGETRON_VERSION}+elastron.{elastron.__version__}"


def _build() -> str:
    return f"elastron-{elastron.__version__}"


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _info() -> str:
    # Layout of the original, for scripts that read it.
    lines = [
        "Gadgetron Version Info",
        f"  -- Version            : {_version()}",
        f"  -- Git SHA1           : {_build()}",
        f"  -- System Memory size : {_memory_bytes() // 2**20} MB",
        "  -- Python Support     : YES",
        "  -- Julia Support      : NO",
        "  -- Matlab Support     : NO",
        "  -- CUDA Support       : NO",
        "",
    ]
    return "\n".join(lines)


_ANSWERS: dict[str, Callable[[], str]] = {
    "ismrmrd::version": _ismrmrd_version,
    "gadgetron::version": _version,
    "gadgetron::build": _build,
    "gadgetron::info": _info,
    "gadgetron::info::memory": lambda: str(_memory_bytes()),
    "gadgetron::info::python": lambda: "1",
    "gadgetron::info::matlab": lambda: "0",
    "gadgetron::info::cuda": lambda: "0",
    "gadgetron::cuda::devices": lambda: "0",
    "gadgetron::cuda::driver": lambda: "N/A",
    "gadgetron::cuda::runtime": lambda: "N/A",
    "gadgetron::cuda::memory": lambda: "",
    "gadgetron::cuda::capabilities": lambda: "",
}

#: Every query with an answer of its own.
QUERIES: tuple[str, ...] = (*_ANSWERS, "elastron::status")


def answer_status(status: Mapping[str, Any]) -> str:
    """The answer to `elastron::status`: JSON.

    Args:
        status: of the node; nothing of a scan itself.
    """
    return json.dumps({"version": elastron.__version__, **status})


def answer(query: str, *, status: Mapping[str, Any]) -> str:
    """The answer to one query.

    Args:
        query: as received.
        status: what `elastron::status` tells, as JSON; nothing of the scan itself.

    Returns:
        The answer; `UNKNOWN` as from the original for anything else.
    """
    if query == "elastron::status":
        return answer_status(status)
    return _ANSWERS.get(query, lambda: UNKNOWN)()
