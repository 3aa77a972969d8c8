"""What the zygote does once so that no session has to: imports, parsing, a reconstruction."""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from importlib import resources

import numpy as np
import structlog

from elastron.errors import ElastronError
from elastron.gadgets.base import Context
from elastron.gadgets.registry import find_gadget, gadget_names
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.header import parse_header
from elastron.node.settings import NodeSettings
from elastron.pipeline import build, config_names, load_config
from elastron.service.queries import QUERIES, answer

# Imported here though others import them when they need them.
_MODULES = ("scipy.fft", "scipy.linalg", "elastron.node.session")
_CHANNELS, _SAMPLES, _LINES = 2, 64, 32


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
    try:
        _reconstruct_something()
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


def _reconstruct_something() -> None:
    """A tiny scan through the stock chains: header parsing, FFT and BLAS are warm after it."""
    headers = np.zeros(_LINES, ACQUISITION_HEADER)
    headers["version"] = 1
    headers["number_of_samples"] = _SAMPLES
    headers["active_channels"] = headers["available_channels"] = _CHANNELS
    headers["center_sample"] = _SAMPLES // 2
    headers["sample_time_us"] = 5
    headers["read_dir"] = (1, 0, 0)
    headers["phase_dir"] = (0, 1, 0)
    headers["slice_dir"] = (0, 0, 1)
    headers["idx"]["kspace_encode_step_1"] = np.arange(_LINES)
    headers["flags"][-1] = np.uint64(1 << 7)  # last in slice
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((_LINES, _CHANNELS, _SAMPLES, 2)).astype(np.float32)
    batch = AcquisitionBatch(headers, samples.view(np.complex64)[..., 0])
    for name in ("default.xml", "Generic_Cartesian_FFT.xml"):
        # One thread: threads do not survive the forks to come.
        context = Context(header=parse_header(warmup_header()), threads=1)
        for _ in build(load_config(name), context)([batch]):
            pass
