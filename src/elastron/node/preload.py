"""What the zygote does once so that no session has to: imports, parsing, a reconstruction."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import time
from collections.abc import Iterable
from importlib import resources
from typing import cast

import structlog

from elastron.errors import ElastronError
from elastron.gadgets.base import Context, Item
from elastron.gadgets.registry import find_gadget, gadget_names
from elastron.mrd.header import parse_header, serialize_header
from elastron.node.settings import NodeSettings
from elastron.pipeline import build, config_names, load_config
from elastron.recon.phantom_scan import Calibration, PhantomSettings, phantom_acquisitions
from elastron.service.queries import QUERIES, answer
from elastron.wire import Decoder, encode
from elastron.wire.messages import Close, ConfigName, HeaderXml

# Imported here though others import them when they need them.
_MODULES = ("scipy.fft", "scipy.linalg", "elastron.node.session")
#: Stock chains and the acceleration of the scans they are warmed up with.
_CHAINS = (
    ("default.xml", 1),
    ("Generic_Cartesian_FFT.xml", 1),
    ("Generic_Cartesian_Grappa.xml", 2),
)


def preload(settings: NodeSettings) -> None:
    """Import everything, read every config, run one small scan; all in this thread.

    What fails here would fail in a session as well, where its client hears of it; here it is
    logged.
    """
    log = structlog.get_logger()
    began = time.monotonic()
    for module in _MODULES:
        importlib.import_module(module)
    if settings.storage_url is not None:
        importlib.import_module("elastron.blobs.client")
    for name in gadget_names():
        try:
            find_gadget(name)
        except Exception as error:  # somebody's package
            log.warning("a gadget cannot be imported", gadget=name, reason=str(error))
    for name in config_names(settings.config_folders):
        try:
            load_config(name, settings.config_folders)
        except ElastronError as error:
            log.warning("a config cannot be read", config=name, reason=str(error))
    for query in QUERIES:
        answer(query, status={})
    rehearsal()
    try:
        reconstruct_something()
    except Exception as error:
        log.warning("warming up failed", reason=str(error))
    log.debug("zygote is warm", seconds=round(time.monotonic() - began, 3))


def warn_of_threads() -> None:
    """Log a warning if this process has threads: it is about to be forked."""
    with contextlib.suppress(OSError):  # a kernel that does not tell
        threads = len(os.listdir("/proc/self/task"))  # those of libraries included
        if threads > 1:
            structlog.get_logger().warning(
                "an imported gadget has started threads; they do not survive into workers, and "
                "what waits for them may hang: start them in the gadget's __call__",
                threads=threads - 1,
            )


def warmup_header() -> bytes:
    """A header that a scanner might send."""
    return (resources.files("elastron.node") / "warmup_header.xml").read_bytes()


@functools.cache
def rehearsal() -> bytes:
    """What the client of a tiny scan through `default.xml` sends; a socket holds all of it."""
    header, batches = phantom_acquisitions(PhantomSettings(matrix=32, coils=2, oversampling=2))
    opening = (ConfigName("default.xml"), HeaderXml(serialize_header(header)))
    return b"".join(
        bytes(buffer) for message in (*opening, *batches, Close()) for buffer in encode(message)
    )


def reconstruct_something() -> None:
    """Tiny scans through the stock chains: parsing, decoding, FFT and BLAS are warm after it."""
    parse_header(warmup_header())  # has parts that the phantom's header lacks
    for name, acceleration in _CHAINS:
        settings = PhantomSettings(
            matrix=64,
            coils=8,
            acceleration=(acceleration, 1),
            calibration=Calibration.EMBEDDED,
            calibration_lines=24,
            noise_readouts=1,
            oversampling=2,
        )
        header, batches = phantom_acquisitions(settings)
        # One thread: threads do not survive the forks to come.
        log = structlog.wrap_logger(structlog.testing.CapturingLogger())
        context = Context(header=parse_header(serialize_header(header)), threads=1, log=log)
        decoder = Decoder()
        for batch in batches:
            for buffer in encode(batch):
                decoder.feed(buffer)
        for _ in build(load_config(name), context)(cast("Iterable[Item]", decoder.messages())):
            pass
