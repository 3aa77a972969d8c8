"""A phantom scan that stands still in the middle for as long as wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from elastron.cli.checking import Verdict, compare_images
from elastron.client import Client
from elastron.errors import ElastronError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.pipeline import reconstruct
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions

#: Readouts that are sent before it stands still.
HELD_AT = 8
_CONFIG = "default.xml"


class HeldScan:
    """A scan under way, in a thread of its own.

    Its data stop after some readouts until `finish`: it occupies a node for as long. Whoever
    looks at the gateway's sessions knows it by how many readouts there are: `go_on` changes that.

    Args:
        client: of the fleet; its time-out must be longer than the scan is held.
        seed: of the noise; scans of different seeds differ.
    """

    def __init__(self, client: Client, seed: int = 0) -> None:
        self._client = client
        settings = PhantomSettings(matrix=64, coils=4, noise_readouts=0, seed=seed)
        self._header, batches = phantom_acquisitions(settings)
        self._readouts = [
            batch.select(slice(i, i + 1)) for batch in batches for i in range(len(batch))
        ]
        self._allowed = HELD_AT
        self._change = threading.Condition()
        self._verdict: Verdict | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> HeldScan:
        """Send the first readouts."""
        self._thread.start()
        return self

    @property
    def readouts(self) -> int:
        """How many readouts may have been sent by now."""
        return self._allowed

    @property
    def over(self) -> Verdict | None:
        """What came of it, if it has ended."""
        return self._verdict

    def go_on(self, readouts: int) -> None:
        """Send some more."""
        with self._change:
            self._allowed += readouts
            self._change.notify_all()

    def finish(self) -> None:
        """Send the rest."""
        self.go_on(len(self._readouts))

    def result(self, timeout_s: float) -> Verdict | None:
        """Send the rest and wait; None: it has not ended in time."""
        self.finish()
        self._thread.join(timeout_s)
        return self._verdict

    def _run(self) -> None:
        began = time.monotonic()
        try:
            result = self._client.send((self._header, self._paced()), _CONFIG)
            ours = reconstruct(list(self._readouts), _CONFIG, header=self._header)
            difference, problem = compare_images(result.images, ours)
            self._verdict = Verdict(
                _CONFIG, len(result.images), difference, result.seconds, problem
            )
        except (ElastronError, OSError) as error:
            seconds = time.monotonic() - began
            self._verdict = Verdict(_CONFIG, 0, None, seconds, str(error))

    def _paced(self) -> Iterator[AcquisitionBatch]:
        for number, readout in enumerate(self._readouts):
            with self._change:
                self._change.wait_for(lambda number=number: number < self._allowed)
            yield readout
