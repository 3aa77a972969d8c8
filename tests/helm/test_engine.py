"""The scripts beside an upstream Gadgetron, run by real shells."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.helm.harness import CHARTS, named, render
from tests.patience import wait_for

README = CHARTS / "gadgetron" / "examples" / "original-readme.yaml"
WAIT_S = 120.0
DATA_FOLDER, LOG_FOLDER = "/tmp/gadgetron_data", "/tmp/gadgetron_log"  # noqa: S108  - the image's

#: Debian's, Ubuntu's, and what some call sh.
SHELLS = [name for name in ("dash", "bash") if shutil.which(name)]


class Door:
    """An HTTP server that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failures = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                outer.asked.append(f"{self.command} {self.path}")
                outer.failures -= 1
                self.send_response(503 if outer.failures >= 0 else 200)
                self.end_headers()
                self.wfile.write(b'["10.0.0.7:9002"]')

            do_GET = do_POST = answer  # noqa: N815  - http.server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    thread = threading.Thread(target=door.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield door
    door.server.shutdown()
    thread.join()
    door.server.server_close()


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The scripts as mounted, with the image's and the pod's folders in a folder of ours."""
    for name, text in named(render("gadgetron", README), "ConfigMap", "gt1-gadgetron-scripts")[
        "data"
    ].items():
        here = text.replace("/opt/entrypoint.sh", f"{tmp_path}/entrypoint.sh")
        here = here.replace(LOG_FOLDER, str(tmp_path)).replace("sleep 2", "sleep 0.1")
        (tmp_path / name).write_text(here)
    return tmp_path


def _program(path: Path, text: str) -> None:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def _start(scripts: Path, shell: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [shutil.which(shell) or shell, str(scripts / "start.sh"), "-p", "9002"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": f"{scripts}:{os.environ['PATH']}", "TMPDIR": str(scripts), **env},
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_it_starts_as_its_image_does(scripts: Path, shell: str, door: Door):
    _program(scripts / "entrypoint.sh", 'echo "by the entrypoint: $*"; echo trouble >&2; exit 7\n')
    process = _start(scripts, shell, ELASTRON_STORAGE_ADDRESS=door.url)
    out, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 7
    assert f"by the entrypoint: -E {door.url} -p 9002\n" in out
    assert (
        (scripts / "gadgetron.log").read_text()
        == out
        == out[: out.index("trouble")] + ("trouble\n")
    )


def test_without_an_entrypoint_the_path_has_it(scripts: Path):
    _program(scripts / "gadgetron", 'echo "by the path: $*"\n')
    out, _ = _start(scripts, SHELLS[0]).communicate(timeout=WAIT_S)
    assert out == "by the path: -p 9002\n"


def test_it_waits_for_the_storage_server(scripts: Path, door: Door):
    _program(scripts / "gadgetron", "echo up\n")
    door.failures = 5
    out, _ = _start(scripts, SHELLS[0], ELASTRON_STORAGE_ADDRESS=door.url).communicate(
        timeout=WAIT_S
    )
    assert out == "up\n"
    assert len(door.asked) > 3
    assert set(door.asked) == {"GET /healthcheck"}


def test_sigterm_ends_the_wait_for_the_storage_server(scripts: Path, door: Door):
    door.failures = 10_000
    process = _start(scripts, SHELLS[0], ELASTRON_STORAGE_ADDRESS=door.url)
    wait_for(lambda: door.asked, what="a question", timeout_s=WAIT_S)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == 128 + signal.SIGTERM


def test_an_image_without_curl_and_wget_starts_at_once(scripts: Path, door: Door):
    _program(scripts / "gadgetron", "echo up\n")
    tools = scripts / "tools"
    tools.mkdir()
    for name in ("mkfifo", "rm", "sleep", "tee"):
        (tools / name).symlink_to(shutil.which(name) or name)
    process = _start(
        scripts, SHELLS[0], ELASTRON_STORAGE_ADDRESS=door.url, PATH=f"{scripts}:{tools}"
    )
    out, _ = process.communicate(timeout=WAIT_S)
    assert out == "up\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("gadgetron", "status"),
    [
        # as the real one: no handler of its own
        ("echo >UP; exec sleep 600\n", 128 + signal.SIGTERM),
        ("trap 'echo going; exit 3' TERM\necho >UP; while :; do sleep 0.05; done\n", 3),
    ],
)
def test_sigterm_reaches_it(scripts: Path, shell: str, gadgetron: str, status: int):
    _program(scripts / "gadgetron", gadgetron.replace("UP", f"{scripts}/up"))
    process = _start(scripts, shell)
    # Until the shell's own trap is set, and it only waits: the default ends it as well.
    shell_itself = psutil.Process(process.pid)
    wait_for(
        lambda: (scripts / "up").exists() and shell_itself.status() == psutil.STATUS_SLEEPING,
        what="a Gadgetron that is waited for",
        timeout_s=WAIT_S,
    )
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == status


@pytest.mark.parametrize("program", ["curl", "wget"])
def test_the_sidecar_is_asked_with_either_program(scripts: Path, door: Door, program: str):
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    tools = scripts / "tools"
    tools.mkdir()
    (tools / program).symlink_to(found)
    for name in ("workers.sh", "drain.sh"):
        script = scripts / name
        script.write_text(script.read_text().replace("http://127.0.0.1:9080", door.url))
        done = subprocess.run(
            [shutil.which("sh") or "/bin/sh", str(script)],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
            env={"PATH": str(tools)},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == '["10.0.0.7:9002"]'
    assert door.asked[0] == "GET /workers"
    assert door.asked[1].endswith(" /drain")


def test_the_pod_gives_it_what_it_needs():
    pod = named(render("gadgetron", README), "Deployment", "gt1-gadgetron-node")["spec"]
    gadgetron, sidecar = pod["template"]["spec"]["containers"]
    assert gadgetron["command"] == ["/bin/sh", "/opt/scripts/start.sh"]
    env = {each["name"]: each.get("value") for each in gadgetron["env"]}
    assert env["GADGETRON_REMOTE_WORKER_COMMAND"] == "/opt/scripts/workers.sh"
    assert env["ELASTRON_STORAGE_ADDRESS"] == "http://gt1-gadgetron-storage.imaging:8080"
    paths = {each["mountPath"] for each in gadgetron["volumeMounts"]}
    assert {DATA_FOLDER, LOG_FOLDER, "/opt/scripts"} <= paths
    for container in (gadgetron, sidecar):
        assert container["lifecycle"]["preStop"]
    assert gadgetron["readinessProbe"]["httpGet"]["port"] == 9080
