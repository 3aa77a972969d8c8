"""`elastron storage`: serve, ls, show, rm; and the original server's own variables."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from typer.testing import CliRunner

from elastron.cli.storage import app
from elastron.errors import ElastronError
from tests.cli.conftest import PATIENCE_S
from tests.patience import wait_for

SERVE = """
from elastron.cli.storage import mrd_storage_server
mrd_storage_server()
"""


class Server:
    """The command in a process of its own, told by the original's variables where to be."""

    def __init__(self, folder: Path, *flags: str, **variables: str) -> None:
        environment = {
            **{k: v for k, v in os.environ.items() if "ELASTRON" not in k},
            "MRD_STORAGE_SERVER_DATABASE_CONNECTION_STRING": str(folder / "metadata.db"),
            "MRD_STORAGE_SERVER_STORAGE_CONNECTION_STRING": str(folder / "blobs"),
            "MRD_STORAGE_SERVER_PORT": "0",
            **variables,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, *flags],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,
        )
        assert self.process.stderr is not None
        self.first = self.process.stderr.readline()

    @property
    def url(self) -> str:
        assert "storage server listens" in self.first, self.first
        return json.loads(self.first)["url"]

    def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=PATIENCE_S)
        return rest


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("storage"))
    yield started
    started.end()


@pytest.fixture(scope="module")
def noise(server: Server) -> dict[str, str]:
    """A noise measurement, as the Gadgetron stores it."""
    query = "subject=P1&device=D1&session=S1&name=noise_covariance&measurement=D1_P1_S1_7"
    url = f"{server.url}/v1/blobs/data?{query}&_ttl=48h"
    made = (
        httpx.post(url, content=b"x" * 2000, timeout=PATIENCE_S, trust_env=False)
        .raise_for_status()
        .json()
    )
    httpx.post(
        f"{server.url}/v1/blobs/data?subject=$null&name=other", timeout=PATIENCE_S, trust_env=False
    )
    return made


def run(*arguments: str, answer: str | None = None) -> str:
    result = CliRunner().invoke(app, [*arguments], input=answer, env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_ls(server: Server, noise: dict[str, str]) -> None:
    shown = run("ls", "--url", server.url)
    (line,) = [line for line in shown.splitlines() if "noise_covariance" in line]
    assert re.search(r"noise_covariance\s+\d+ s\s+2 kB\s+(1 d 23 h|2 d)\s+D1", line)
    assert "session=S1 measurement=D1_P1_S1_7" in line
    assert noise["location"].rpartition("/")[2] in line
    assert "other" in shown
    only = run("ls", "P1", "--tag", "measurement=D1_P1_S1_7", "--name", "noise_covariance",
               "--device", "D1", "--session", "S1", "--url", server.url)  # fmt: skip
    assert "noise_covariance" in only
    assert "other" not in only
    assert "noise_covariance" not in run("ls", "P2", "--url", server.url)
    assert json.loads(run("ls", "P1", "--json", "--url", server.url)) == [noise]


def test_ls_goes_over_pages(server: Server) -> None:
    for _ in range(5):
        httpx.post(
            f"{server.url}/v1/blobs/data?subject=pages",
            content=b"",
            timeout=PATIENCE_S,
            trust_env=False,
        )
    assert len(json.loads(run("ls", "pages", "--json", "--limit", "3", "--url", server.url))) == 3
    assert "There are more" in run("ls", "pages", "--limit", "3", "--url", server.url)


def test_show(server: Server, noise: dict[str, str], tmp_path: Path) -> None:
    blob_id = noise["location"].rpartition("/")[2]
    for name in (blob_id, noise["location"], noise["data"]):
        shown = run("show", name, "--url", server.url)
        for text in ("noise_covariance", "P1", "2 kB (2000 bytes)", "D1_P1_S1_7", "ago", "(in "):
            assert text in shown
    assert json.loads(run("show", blob_id, "--json", "--url", server.url)) == noise
    run("show", blob_id, "-o", str(tmp_path / "blob"), "--url", server.url)
    assert (tmp_path / "blob").read_bytes() == b"x" * 2000


def test_rm(server: Server) -> None:
    url = f"{server.url}/v1/blobs/data?subject=a/b"
    made = [
        httpx.post(url, content=b"x", timeout=PATIENCE_S, trust_env=False).json() for _ in range(2)
    ]
    ids = [re.sub("%2F", "/", item["location"].rpartition("/")[2]) for item in made]
    result = CliRunner().invoke(app, ["rm", *ids, "--url", server.url], input="n\n")
    assert result.exit_code == 1
    assert "Delete 2 blobs for good?" in result.output
    assert "Deleted 2 blobs." in run("rm", "-y", *ids, "--url", server.url)
    assert json.loads(run("ls", "a/b", "--json", "--url", server.url)) == []
    with pytest.raises(ElastronError, match="no such blob"):
        run("rm", "-y", ids[0], "--url", server.url)


def test_errors_say_what_to_do(server: Server) -> None:
    with pytest.raises(ElastronError, match="elastron storage"):
        run("ls", "--url", "http://127.0.0.1:1")
    with pytest.raises(ElastronError, match="no URL"):
        run("ls", "--url", "nonsense")
    with pytest.raises(ElastronError, match="no such blob"):
        run("show", "nonsense", "--url", server.url)
    assert CliRunner().invoke(app, ["ls", "--tag", "x"]).exit_code == 2
    assert CliRunner().invoke(app, ["--listen", "x"]).exit_code == 2
    assert CliRunner().invoke(app, ["-l", "loud"]).exit_code == 2


def test_a_token_and_the_originals_flags(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    started = Server(tmp_path, "--token-file", str(token), "-l", "Info")
    url = started.url
    httpx.get(f"{url}/v1/blobs?subject=PATIENT", timeout=PATIENCE_S, trust_env=False)
    with pytest.raises(ElastronError, match="401"):
        run("ls", "--url", url)
    assert run("ls", "--url", url, "--token-file", str(token))
    log = started.end()
    assert started.process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert any(line.get("status") == 401 for line in lines)
    assert "PATIENT" not in log


def test_our_variables_win_over_the_originals(tmp_path: Path) -> None:
    ours = tmp_path / "ours.db"
    started = Server(tmp_path, "-p", ELASTRON_STORAGE__DATABASE=str(ours))
    wait_for(ours.exists, what="our database", timeout_s=PATIENCE_S)
    assert "storage server listens" in started.first
    assert not started.first.startswith("{"), "pretty logs are for people"
    started.end()
    assert not (tmp_path / "metadata.db").exists()


def test_the_gadgetrons_own_server(tmp_path: Path) -> None:
    """As the Gadgetron starts it: by this name, with its process id."""
    started = Server(tmp_path, "--require-parent-pid", str(os.getpid()))
    assert (
        httpx.get(f"{started.url}/healthcheck", timeout=PATIENCE_S, trust_env=False).status_code
        == 200
    )
    started.end()
    assert started.process.returncode == 0
    orphan = Server(tmp_path, "--require-parent-pid", "1")
    assert orphan.process.wait(timeout=PATIENCE_S) == 0
    orphan.process.communicate()
    refused = Server(tmp_path, "--listen", "0.0.0.0:0")
    assert "error: The storage server holds patient data" in refused.first
    assert refused.process.wait(timeout=PATIENCE_S) == 1
    refused.process.communicate()


def test_an_open_port_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ElastronError, match="anybody"):
        run("--listen", "0.0.0.0:0")
    monkeypatch.setenv("MRD_STORAGE_SERVER_DATABASE_PROVIDER", "oracle")
    with pytest.raises(ElastronError, match="database_provider"):
        run()
