"""Reconstruct in this process: no server, no socket."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog
from ismrmrd.xsd import ismrmrdHeader

from elastron.blobs.port import BlobStore
from elastron.errors import ConfigError, DataError
from elastron.gadgets.base import Context, Item
from elastron.mrd.dataset import Dataset
from elastron.mrd.header import parse_header
from elastron.mrd.image import Image
from elastron.pipeline.assembly import build
from elastron.pipeline.config import Config
from elastron.pipeline.load import load_config, stock_config_names
from elastron.pipeline.parse import MAX_CONFIG_BYTES, parse_config


def reconstruct(
    source: str | os.PathLike[str] | Iterable[Item],
    config: str | os.PathLike[str] | bytes | Config = "default.xml",
    *,
    header: bytes | ismrmrdHeader | None = None,
    group: str = "dataset",
    storage: BlobStore | None = None,
    config_folders: Iterable[Path] = (),
    threads: int = 2,
    parameters: Mapping[str, str] | None = None,
    log: Any = None,
) -> list[Image]:
    """Reconstruct a scan and return its images.

    Args:
        source: an ISMRMRD file, or the scan's items (acquisition batches, waveforms) in order.
        config: a stock config's name, a file, XML, or a `Config`.
        header: the MRD header, for items; a file has its own.
        group: of the file.
        storage: for measurement dependencies such as noise scans; None for none.
        config_folders: looked through for a config's name before the stock configs.
        threads: for FFTs and linear algebra.
        parameters: as a node's settings for gadgets, e.g. `dump_folder`.
        log: a structlog logger; None for the one configured, else warnings to stderr.

    Returns:
        The images in the order the chain makes them.

    Raises:
        ConfigError: the config cannot be read or built.
        HeaderError, DataError: the scan cannot be read.
        ReconstructionError: a gadget failed.
    """
    parsed = _config(config, tuple(config_folders))

    def images(header: ismrmrdHeader, items: Iterable[Item]) -> Iterator[Image]:
        context = Context(
            header=header,
            storage=storage,
            threads=threads,
            parameters=parameters or {},
            log=log or _log(),
        )
        outputs = build(parsed, context)(items)
        return (output for output in outputs if isinstance(output, Image))

    if isinstance(source, (str, os.PathLike)):
        if header is not None:
            raise TypeError("A file has its own header; header= is for items.")
        with Dataset(source, group=group) as dataset:
            return list(images(dataset.header, dataset.items()))
    if header is None:
        raise DataError("Items need their MRD header: give header=, as XML or parsed.")
    if isinstance(header, bytes):
        header = parse_header(header)
    return list(images(header, source))


def _log() -> Any:
    """The configured logger; if nobody configured one, stdout stays the caller's own."""
    if structlog.is_configured():
        return structlog.get_logger()
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )


def _config(config: str | os.PathLike[str] | bytes | Config, folders: tuple[Path, ...]) -> Config:
    if isinstance(config, Config):
        return config
    if isinstance(config, bytes):
        return parse_config(config)
    is_name = isinstance(config, str) and (
        config in stock_config_names() or not Path(config).is_file()
    )
    if is_name:
        return load_config(str(config), folders)
    path = Path(config)
    try:
        with path.open("rb") as file:
            xml = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"Config {path.name!r} cannot be read: {error.strerror}.") from error
    return parse_config(xml, path.name)
