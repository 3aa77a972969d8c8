"""Files with secrets: for their owner's eyes, and written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from elastron.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows: there one person works on the keys at a time
    fcntl = None

#: Of any file that is read here.
_BYTES_MAX = 1 << 20


def read_small(path: Path) -> str:
    """A text file's content.

    Raises:
        ConfigError: it cannot be read, is no text, or is too large to be what is looked for.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > _BYTES_MAX:
        raise ConfigError(f"{path} has more than {_BYTES_MAX} bytes; is it the right file?")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8; is it the right file?") from None


def write_secret(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Put `content` into `path`: whoever reads it sees the old or the new, never half of one.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    path = path.resolve()  # a link stays one
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if mode != 0o600:
                Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one of us changes `path` at a time; the others wait.

    Raises:
        ConfigError: there is no such folder.
    """
    if fcntl is None:
        yield
        return
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY)  # a lock file would be left behind
    except OSError as error:
        raise ConfigError(f"{path.resolve().parent}: {error.strerror}.") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
