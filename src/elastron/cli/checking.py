"""Phantoms through a server, against the same chains in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich.table import Table

from elastron.cli.console import print_json, show_error, stdout
from elastron.client import Client
from elastron.errors import ConnectError, ElastronError
from elastron.mrd.image import Image
from elastron.pipeline import reconstruct
from elastron.recon.phantom_scan import Calibration, PhantomSettings, phantom_acquisitions

#: One without calibration, one with coil maps, one with GRAPPA.
CONFIGS = ("default.xml", "Generic_Cartesian_FFT.xml", "Generic_Cartesian_Grappa.xml")
#: Relative L2 difference: far above what other libraries' rounding makes, far below what is seen.
DIFFERENCE_MAX = 2e-2


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one scan.

    Attributes:
        config: asked for.
        images: that came.
        difference: largest relative L2 difference to our own images; None: none to compare.
        seconds: from connecting to the end.
        problem: what is wrong, in words; empty: nothing.
    """

    config: str
    images: int
    difference: float | None
    seconds: float
    problem: str


def check_server(
    client: Client, configs: Sequence[str] | None, *, scans: int, json: bool = False
) -> bool:
    """Send phantoms and show what came of them.

    Args:
        client: of the server.
        configs: by name; None: `CONFIGS`.
        scans: by each config.
        json: show it as JSON.

    Returns:
        All is well.
    """
    verdicts: list[Verdict] = []
    try:
        for config in configs or CONFIGS:
            verdicts += [check_config(client, config) for _ in range(scans)]
    except ConnectError as error:  # the next one would not get through either
        verdicts.append(Verdict("", 0, None, 0.0, str(error)))
    if json:
        print_json([asdict(each) for each in verdicts])
    else:
        stdout().print(_table(verdicts))
        for problem in dict.fromkeys(each.problem for each in verdicts if each.problem):
            show_error(problem)
    return not any(each.problem for each in verdicts)


def check_config(client: Client, config: str) -> Verdict:
    """Send a phantom that suits a config, and compare.

    Raises:
        ConnectError: nobody answers.
    """
    grappa = "rappa" in config
    settings = PhantomSettings(
        matrix=64,
        coils=4,
        acceleration=(2 if grappa else 1, 1),
        calibration=Calibration.EMBEDDED,
        calibration_lines=16,
        noise_readouts=256,
    )
    header, batches = phantom_acquisitions(settings)
    items = list(batches)
    try:
        result = client.send((header, items), config)
    except ConnectError:
        raise
    except ElastronError as error:
        return Verdict(config, 0, None, 0.0, str(error))
    try:
        ours = reconstruct(items, config, header=header)
    except ElastronError as error:
        words = f"not a config of ours, so only the number of images is known: {error}"
        problem = "" if result.images else words
        return Verdict(config, len(result.images), None, result.seconds, problem)
    difference, problem = compare_images(result.images, ours)
    return Verdict(config, len(result.images), difference, result.seconds, problem)


def compare_images(theirs: list[Image], ours: list[Image]) -> tuple[float | None, str]:
    """Largest relative L2 difference, and what is wrong; empty: nothing."""
    if len(theirs) != len(ours):
        return None, f"{len(theirs)} images came, {len(ours)} were expected"
    largest = 0.0
    for their, our in zip(theirs, ours, strict=True):
        if their.data.shape != our.data.shape:
            return None, f"an image has the shape {their.data.shape}, not {our.data.shape}"
        one, other = np.abs(their.data).astype(np.float64), np.abs(our.data).astype(np.float64)
        scale = float(np.linalg.norm(other)) or 1.0
        largest = max(largest, float(np.linalg.norm(one - other)) / scale)
    if not largest <= DIFFERENCE_MAX:
        return largest, f"images differ by {largest:.1%}"
    return largest, ""


def _table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(box=None, header_style="dim")
    for name in ("", "config", "images", "difference", "seconds"):
        table.add_column(name)
    for each in verdicts:
        mark = "[red]✗[/]" if each.problem else "[green]✓[/]"
        difference = "" if each.difference is None else f"{each.difference:.1e}"
        table.add_row(mark, each.config, str(each.images), difference, f"{each.seconds:.2f}")
    return table
