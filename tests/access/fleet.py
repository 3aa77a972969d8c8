"""A fleet with a door to the outside (`elastron up --expose psk`), and scans through it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from elastron.cli.app import app
from elastron.mrd.dataset import Dataset
from tests.cli.conftest import BRAIN, RunningServer


def command(*words: object) -> str:
    """Run `elastron ...` in this process; what it prints."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


class Fleet:
    """`elastron up --expose psk` with two sites.

    Attributes:
        keys: `stunnel.secrets`, as our command writes it.
        server: the running command.
        direct: the images of a scan sent without a tunnel.
    """

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "stunnel.secrets"
        self.folder = folder
        command("access", "psk", "create", "--name", "site-a", "--name", "site-b", "-f", self.keys)
        door = ("--expose", "psk", "--expose-at", "127.0.0.1:0", "--psk-file", str(self.keys))
        self.server = RunningServer("--capacity", "4", "--max", "1", "--storage", "none", *door)
        self.exposed = int(self.server.ready["exposed"].rpartition(":")[2])
        self.plain = int(self.server.address.rpartition(":")[2])
        self.direct = self.images(self.plain)

    def key(self, site: str) -> str:
        """The line of a site's key."""
        lines = self.keys.read_text().splitlines()
        return next(line for line in reversed(lines) if line.startswith((f"{site}:", f"{site}@")))

    def images(self, port: int, *options: object) -> np.ndarray:
        """Send the brain to a port of this machine; its images."""
        return self.sent("-a", f"127.0.0.1:{port}", *options)

    def sent(self, *options: object) -> np.ndarray:
        """Send the brain with these options; its images."""
        output = self.folder / "images.h5"
        output.unlink(missing_ok=True)
        command("send", BRAIN, "-q", "-o", output, "-G", "scan", "--timeout", 60, *options)
        with Dataset(output, "r", "scan") as dataset:
            (images,) = dataset.images().values()
        return np.stack([image.data for image in images])

    def log(self) -> str:
        """What the gateway, and stunnel if there is one, have logged."""
        logs = self.server.state / "logs"
        names = ("gateway.log", "stunnel.log")
        return "".join((logs / name).read_text() for name in names if (logs / name).exists())
