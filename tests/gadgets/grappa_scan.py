"""Chains around the GRAPPA gadgets, on simulated scans."""

from __future__ import annotations

import numpy as np

from elastron.gadgets.acquisition_accumulate_trigger import AcquisitionAccumulateTriggerGadget
from elastron.gadgets.bucket_to_buffer import BucketToBufferGadget
from elastron.gadgets.generic_recon_cartesian_grappa import GenericReconCartesianGrappaGadget
from elastron.gadgets.generic_recon_cartesian_reference_prep import (
    GenericReconCartesianReferencePrepGadget,
)
from elastron.gadgets.generic_recon_eigen_channel import GenericReconEigenChannelGadget
from elastron.gadgets.remove_ro_oversampling import RemoveROOversamplingGadget
from elastron.recon.phantom_scan import (
    Calibration,
    PhantomSettings,
    phantom_acquisitions,
    phantom_images,
)

from .scan_parts import make


def settings(**kwargs) -> PhantomSettings:
    """A small scan with little noise."""
    values = {"matrix": 64, "coils": 8, "noise_level": 1e-3, "calibration_lines": 20, **kwargs}
    return PhantomSettings(**values)


def sorted_kspace(scan, *, hybrid=False, buffer=None, trigger=None):
    """MRD header and an iterator of `ReconData`."""
    header, batches = phantom_acquisitions(scan)
    items = iter(batches)
    for gadget, properties in (
        (RemoveROOversamplingGadget, {}),
        (AcquisitionAccumulateTriggerGadget, {"trigger_dimension": "", **(trigger or {})}),
        (BucketToBufferGadget, {"N_dimension": "contrast", **(buffer or {})}),
    ):
        items = make(gadget, header, properties=properties, hybrid_output=hybrid)(items)
    return header, items


def reconstructed(
    scan, *, hybrid=False, buffer=None, trigger=None, prep=None, eigen=None, grappa=None
):
    """Image arrays of the chain, in order."""
    header, items = sorted_kspace(scan, hybrid=hybrid, buffer=buffer, trigger=trigger)
    chain = [(GenericReconCartesianReferencePrepGadget, prep or {})]
    if eigen is not None:
        chain.append((GenericReconEigenChannelGadget, eigen))
    chain.append((GenericReconCartesianGrappaGadget, grappa or {}))
    for gadget, properties in chain:
        items = make(gadget, header, properties=properties)(items)
    return list(items)


def difference(image, truth):
    """Relative L2 difference of magnitudes."""
    return np.linalg.norm(np.abs(image) - truth) / np.linalg.norm(truth)


__all__ = [
    "Calibration",
    "PhantomSettings",
    "difference",
    "phantom_images",
    "reconstructed",
    "settings",
    "sorted_kspace",
]
