"""Logs: JSON lines on stderr, or for people. No patient data reaches them."""

from __future__ import annotations

import logging
import sys

import structlog

# The original server's names; it knows both Fatal and Panic.
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "disabled": logging.CRITICAL + 1,
}

# Libraries that log URLs, statements or their parameters: subjects are in all of them.
_TALKATIVE = ("httpx", "httpcore", "sqlalchemy", "aiosqlite", "alembic", "asyncio")


def configure_logging(level: str = "info", *, pretty: bool = False) -> None:
    """Set this process's logs up.

    Args:
        level: one of `LEVELS`.
        pretty: for people instead of for programs.
    """
    number = LEVELS[level.lower()]
    renderer = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if pretty
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.handlers = [_ToStructlog()]
    uvicorn.propagate = False


class _ToStructlog(logging.Handler):
    """uvicorn's own lines, in our form; of an exception only its type."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line over."""
        extra = {}
        if record.exc_info and record.exc_info[0] is not None:
            extra["error"] = record.exc_info[0].__name__
        log = structlog.get_logger("uvicorn")
        log.log(record.levelno, record.getMessage().strip(), **extra)
