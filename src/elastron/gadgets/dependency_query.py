"""Which stored measurements a scan can rely on."""

from __future__ import annotations

from collections.abc import Iterable

from elastron.blobs.keys import measurement_key
from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.meta import Meta
from elastron.wire.messages import DependencyQuery

#: What the original answers when it has nothing, so that the list is never empty.
_NOTHING = "Dummy"


class DependencyQueryProperties(Properties):
    """Properties of `DependencyQueryGadget`.

    Attributes:
        noise_dependency_prefix: begins each answer.
        noise_dependency_attrib_name: attribute the answers are listed under.
        clean_storage_while_query: without effect; what is stored expires by itself.
        time_limit_in_storage: hours; without effect, as above.
    """

    noise_dependency_prefix: str = ""
    noise_dependency_attrib_name: str = ""
    clean_storage_while_query: bool = False
    time_limit_in_storage: float = 0.0


class DependencyQueryGadget(Gadget[DependencyQueryProperties]):
    """Answers, when the input has ended, which noise scans are in storage.

    The answer is a message with attributes, `NoiseDependencies`: one `<prefix>_<measurement id>`
    for each noise dependency that the MRD header names and storage has, or `Dummy`. The original
    lists every noise file in a folder, whoever it is of; storage here is asked for what this scan
    may use, so a client that gets `Dummy` sends its noise scan again, and nothing else is told.
    """

    properties_type = DependencyQueryProperties

    def finish(self) -> Iterable[Item]:
        """The answer."""
        prefix = self.properties.noise_dependency_prefix or "GadgetronNoiseCovarianceMatrix"
        name = self.properties.noise_dependency_attrib_name or "NoiseDependencies"
        found = [f"{prefix}_{identity}" for identity in self._noise_scans() if self._has(identity)]
        meta = Meta()
        meta.put(name, *(found or [_NOTHING]))
        yield DependencyQuery(meta)

    def _noise_scans(self) -> list[str]:
        measurement = self.context.header.measurementInformation
        if measurement is None:
            return []
        return [
            each.measurementID
            for each in measurement.measurementDependency
            if each.dependencyType.lower() == "noise"
        ]

    def _has(self, measurement_id: str) -> bool:
        storage = self.context.storage
        key = measurement_key(self.context.header, "noise_covariance", measurement_id)
        return storage is not None and key is not None and storage.latest(key) is not None
