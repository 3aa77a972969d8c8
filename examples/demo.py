"""From raw data to pictures in half a minute: `make demo`.

Starts a fleet on this machine, sends a real in-vivo scan and a simulated one through its port,
and draws what comes back. Everything it does is a command that you can type yourself; each is
shown before it runs.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

REPOSITORY = Path(__file__).resolve().parents[1]
BRAIN = Path("examples/brain_R2.h5")
#: Where everything goes; another folder may be given on the command line.
OUTPUT = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
IMAGES, MONTAGE, PICTURES = OUTPUT / "images.h5", OUTPUT / "montage.png", OUTPUT / "pictures"
PHANTOM, LOG = OUTPUT / "phantom.h5", OUTPUT / "server.log"

GADGETRON_PORT = 9002
ADMIN_PORT = 9080

console = Console(highlight=False)


class DemoFailedError(Exception):
    """A step did not work; what it said is on the terminal already."""


def main() -> int:
    os.chdir(REPOSITORY)
    clear_output()
    console.print(
        Panel.fit("[bold]Elastron[/bold]\nMR raw data in, images out", border_style="cyan")
    )
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal must not leave a server
        signal.signal(number, signal.default_int_handler)
    started = time.monotonic()
    try:
        with Server() as server:
            phantom_options = ("--matrix", "192", "--coils", "8", "--slices", "5")
            step("A scan of the Shepp-Logan phantom, simulated")
            elastron("phantom", PHANTOM, *phantom_options)
            step("A human head, 3 T, 16 coils, every second line left out: GRAPPA")
            send(BRAIN, server, "brain", "Generic_Cartesian_Grappa.xml")
            step("The phantom, fully sampled")
            send(PHANTOM, server, "phantom", "default.xml")
            step("What came back")
            elastron("view", IMAGES, "-o", MONTAGE)
            elastron("export", IMAGES, "--to", "png", "-o", PICTURES)
            step("The fleet that did it")
            elastron("status", "--gateway", server.admin)
    except DemoFailedError as failure:
        console.print(f"[bold red]The demo failed:[/] {failure}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 130
    show_where_things_are(server, time.monotonic() - started)
    return 0


class Server:
    """`elastron up` in a process of its own, on the Gadgetron's port if that is free."""

    def __enter__(self) -> Server:
        port = GADGETRON_PORT if is_free(GADGETRON_PORT) else 0
        admin = ADMIN_PORT if is_free(ADMIN_PORT) else 0
        step("A server")
        if port == 0:
            console.print(f"Port {GADGETRON_PORT} is taken here, so this demo uses a free one.")
        options = ("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}")
        options += ("--data", str(OUTPUT / "data"), "--state", str(OUTPUT / "state"))
        show_command("up", *options)
        started = time.monotonic()
        with LOG.open("w") as log:
            self.process = subprocess.Popen(  # noqa: S603  - our own command
                [*program(), "up", "--json", *options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C is for this demo; it stops the server itself, in order.
                start_new_session=True,
            )
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            self.process.wait()
            raise DemoFailedError(f"the server did not start; it said:\n{LOG.read_text()}")
        ready = json.loads(line)
        self.address: str = ready["scans"]
        self.admin: str = ready["admin"]
        console.print(
            f"[green]✓[/] takes scans at [bold]{self.address}[/], "
            f"its sessions are at {self.admin}/sessions  "
            f"[dim]{time.monotonic() - started:.1f} s[/]",
            soft_wrap=True,
        )
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        step("The server is told to end")
        console.print("[green]✓[/] it did" if code == 0 else f"[red]✗[/] it ended with {code}")


def send(scan: Path, server: Server, group: str, config: str) -> None:
    elastron("send", scan, "-a", server.address, "-c", config, "-o", IMAGES, "-G", group)


def elastron(*words: object) -> None:
    """Run a command of Elastron, on this terminal."""
    show_command(*words)
    done = subprocess.run([*program(), *map(str, words)], check=False)  # noqa: S603  - likewise
    if done.returncode:
        raise DemoFailedError(f"elastron {words[0]} ended with {done.returncode}")


def show_command(*words: object) -> None:
    line = Text("$ elastron ", "dim")
    line.append(shlex.join(map(str, words)), "not dim cyan")
    console.print(line, soft_wrap=True)


def step(words: str) -> None:
    console.print(f"\n[bold]{words}[/]")


def program() -> list[str]:
    return [sys.executable, "-m", "elastron"]


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def clear_output() -> None:
    """Remove what an earlier run left, and nothing else."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for path in (IMAGES, MONTAGE, PHANTOM, LOG, *PICTURES.glob("*/*.png")):
        path.unlink(missing_ok=True)


def show_where_things_are(server: Server, seconds: float) -> None:
    console.print(f"\n[bold green]Done[/] in {seconds:.0f} s, through {server.address}. Look at")
    for name, path, what in (
        ("montage", MONTAGE, "all images, labelled"),
        ("pictures", PICTURES, "each image as PNG"),
        ("images", IMAGES, "ISMRMRD HDF5, as gadgetron_ismrmrd_client writes it"),
        ("log", LOG, "what the server said"),
    ):
        line = Text.assemble((f"  {name:10}", "dim"), (str(path.resolve()), "bold"))
        console.print(line.append(f"  {what}", "not bold dim"), soft_wrap=True)
    command = os.path.relpath(Path(sys.executable).with_name("elastron"))
    console.print(
        f"Next, a scan of yours: [cyan]{command} up[/] and [cyan]{command} send SCAN.h5[/]"
    )


if __name__ == "__main__":
    sys.exit(main())
