"""Which nodes there are: the Gadgetron's command and its list, and the gateway's.

The command and the list are the original's to the letter, so that a command written for it works
here and our list works there.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

from elastron.errors import ConfigError, ConnectError, ElastronError, RemoteError

#: A list of so many bytes has tens of thousands of nodes.
LIST_BYTES_MAX = 1 << 20

#: The original's grammar, a list of at least one address: any host but : [ ], or [IPv6]; any port.
#: Blanks may stand between tokens; before a port they belong to the host.
_ADDRESS = re.compile(
    r'"\s*+(?:(?P<host>[^:\[\]]+)|\[\s*+(?P<v6>[^\]]+)\])\s*+:\s*+(?P<port>[^"]+)"', re.ASCII
)
_BLANKS = re.compile(r"\s*", re.ASCII)


def parse_workers(text: str) -> list[str]:
    """Read `["host:port", "[v6]:port", ...]`.

    Raises:
        ConfigError: it is anything else; also the empty list, as in the original.
    """
    at = _BLANKS.match(text, 0).end()  # type: ignore[union-attr]  # matches always
    wrong = ConfigError(
        f"not a list of workers: {text.strip()[:200]!r}; expected "
        '["host:port", "host:port"], nothing before or after'
    )
    found: list[str] = []
    mark = "["
    while mark in "[,":
        if not text.startswith(mark, at):
            raise wrong
        at = _skip(text, at + 1)
        match = _ADDRESS.match(text, at)
        if match is None:
            raise wrong
        host = match["host"] or f"[{match['v6']}]"
        found.append(f"{host}:{match['port']}")
        at = _skip(text, match.end())
        mark = text[at : at + 1] or "end"
    if mark != "]" or _skip(text, at + 1) != len(text):
        raise wrong
    return found


def _skip(text: str, at: int) -> int:
    return _BLANKS.match(text, at).end()  # type: ignore[union-attr]


def format_workers(workers: Iterable[str]) -> str:
    """The list as the Gadgetron takes it.

    Raises:
        ConfigError: something that is no address.
    """
    workers = list(workers)
    text = "[" + ", ".join(f'"{worker}"' for worker in workers) + "]"
    # The grammar takes quotes and blanks within a host; nothing can be reached there.
    plain = not any(re.search(r'[\s"\\]', worker) for worker in workers)
    if not plain or (workers and parse_workers(text) != workers):
        raise ConfigError("a worker is listed as host:port, without quotes or blanks")
    return text


def split_command(command: str) -> list[str]:
    """A command's words, cut at blanks outside of double quotes; no shell.

    Quotes are taken off only if they enclose a whole word, so that a word may hold them: the list
    in `echo ["localhost:9003"]` reaches echo as it stands.
    """
    words = re.findall(r'(?:"[^"]*(?:"|$)|[^ "])+', command)
    stripped = [
        word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' else word for word in words
    ]
    return [word.replace('\\"', '"') for word in stripped]


def command_workers(command: str, timeout_s: float) -> list[str]:
    """Run a command and read its list; its exit status and its stderr do not matter.

    Raises:
        ConfigError: it cannot be run, or printed no list.
        ConnectError: it did not end in time.
    """
    words = split_command(command)
    if not words:
        raise ConfigError("the command for remote workers is empty")
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command, no shell
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(
            f"the command for remote workers cannot be run: {words[0]!r}: {error.strerror}"
        ) from error
    timer = threading.Timer(timeout_s, process.kill)
    timer.start()
    with process:
        assert process.stdout is not None  # noqa: S101  - a pipe was asked for
        printed = process.stdout.read(LIST_BYTES_MAX + 1)
        timed_out = not timer.is_alive()
        process.kill()
    timer.cancel()
    if timed_out:
        raise ConnectError(
            f"the command for remote workers did not end within {timeout_s:g} s: {words[0]!r}"
        )
    return parse_workers(printed.decode(errors="replace"))


def gateway_workers(url: str, timeout_s: float, *, exclude: str | None = None) -> list[str]:
    """Ask a gateway for its ready nodes, least loaded first.

    Args:
        url: of its admin server.
        timeout_s: for the answer.
        exclude: a node that is not to be listed: the asker.

    Raises:
        ConnectError: it does not answer.
        RemoteError: its answer is not a list of nodes.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url!r} is not the URL of a gateway's admin, e.g. http://host:9080")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = parts.path.rstrip("/") + "/workers" + (f"?not={quote(exclude)}" if exclude else "")
    connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(LIST_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ConnectError(
            f"The gateway's admin at {url} does not answer ({error}). Is it running, and is the "
            "address right?"
        ) from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise RemoteError(f"{url}{path} answers {answer.status} {answer.reason}.")
    try:
        workers = json.loads(body)
        if not isinstance(workers, list) or not all(isinstance(each, str) for each in workers):
            raise ValueError
        format_workers(workers)
    except (ValueError, ElastronError) as error:
        raise RemoteError(f"{url}{path} does not answer with a list of nodes.") from error
    return workers
