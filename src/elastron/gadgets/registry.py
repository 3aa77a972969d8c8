"""Gadgetron class names -> our classes, imported on first use.

Two sources: the gadgets of this package, and those that installed packages offer under the entry
point group `elastron.gadgets` (entry point name = class name in a config). Where both, or two
packages, have a class of the same name, a config chooses with `<dll>`: the name of the package's
distribution or of its top-level module. Without that choice our own gadget is taken.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from elastron.errors import ConfigError
from elastron.gadgets.base import Gadget

#: Entry point group of custom gadgets.
ENTRY_POINT_GROUP = "elastron.gadgets"

#: Class name -> module of this package; the class is named as here.
_MODULES = {
    "AccumulatorGadget": "accumulator",
    "AcquisitionAccumulateTriggerGadget": "acquisition_accumulate_trigger",
    "AcquisitionDistributor": "acquisition_distributor",
    "AcquisitionFanout": "fanout",
    "AsymmetricEchoAdjustROGadget": "asymmetric_echo_adjust_ro",
    "AugmentImageMetadataGadget": "augment_image_metadata",
    "AutoScaleGadget": "auto_scale",
    "BucketToBufferGadget": "bucket_to_buffer",
    "BufferDistributor": "buffer_distributor",
    "CoilReductionGadget": "coil_reduction",
    "CombineGadget": "combine",
    "ComplexToFloatGadget": "complex_to_float",
    "CropAndCombineGadget": "crop_and_combine",
    "DependencyQueryGadget": "dependency_query",
    "ExtractGadget": "extract",
    "FFTGadget": "fft",
    "FloatToIntGadget": "float_to_fix_point",
    "FloatToShortGadget": "float_to_fix_point",
    "FloatToUIntGadget": "float_to_fix_point",
    "FloatToUShortGadget": "float_to_fix_point",
    "GenericReconCartesianFFTGadget": "generic_recon_cartesian_fft",
    "GenericReconCartesianGrappaGadget": "generic_recon_cartesian_grappa",
    "GenericReconCartesianReferencePrepGadget": "generic_recon_cartesian_reference_prep",
    "GenericReconEigenChannelGadget": "generic_recon_eigen_channel",
    "GenericReconFieldOfViewAdjustmentGadget": "generic_recon_field_of_view_adjustment",
    "GenericReconImageArrayScalingGadget": "generic_recon_image_array_scaling",
    "GenericReconKSpaceFilteringGadget": "generic_recon_k_space_filtering",
    "GenericReconNoiseStdMapComputingGadget": "generic_recon_noise_std_map_computing",
    "GenericReconPartialFourierHandlingFilterGadget": (
        "generic_recon_partial_fourier_handling_filter"
    ),
    "GenericReconPartialFourierHandlingHomodyneGadget": (
        "generic_recon_partial_fourier_handling_homodyne"
    ),
    "GenericReconPartialFourierHandlingPOCSGadget": "generic_recon_partial_fourier_handling_pocs",
    "ImageAccumulator": "image_accumulator",
    "ImageArraySplitGadget": "image_array_split",
    "ImageFanout": "fanout",
    "ImageFinishGadget": "image_finish",
    "ImageIndexGadget": "image_index",
    "ImageSortGadget": "image_sort",
    "ImageWriterGadgetCPLX": "image_writer",
    "ImageWriterGadgetFLOAT": "image_writer",
    "ImageWriterGadgetUSHORT": "image_writer",
    "IsmrmrdDumpGadget": "ismrmrd_dump",
    "NoiseAdjustGadget": "noise_adjust",
    "NoiseSummaryGadget": "noise_summary",
    "PCACoilGadget": "pca_coil",
    "RemoveROOversamplingGadget": "remove_ro_oversampling",
    "SimpleReconGadget": "simple_recon",
    "SliceAccumulator": "slice_accumulator",
    "Unmixing": "unmixing",
    "UnorderedMerge": "unordered_merge",
    "WaveformFanout": "fanout",
    "cpuWeightsCalculator": "weights_calculator",
    "gpuWeightsCalculator": "weights_calculator",
}

#: Where each gadget of this package lives, `module:Class`.
GADGETS = {name: f"elastron.gadgets.{module}:{name}" for name, module in _MODULES.items()}

#: Longest list of names an error message shows.
_SHOWN_NAMES = 12


def gadget_names() -> tuple[str, ...]:
    """Class names a config may use, ours and those of installed packages, sorted."""
    return tuple(sorted({*GADGETS, *_custom()}))


def find_gadget(classname: str, dll: str | None = None) -> type[Gadget]:
    """The class behind a config's `<classname>`.

    Args:
        classname: the Gadgetron's class name, or an entry point's.
        dll: the config's `<dll>`; chooses between packages, otherwise without meaning.

    Raises:
        ConfigError: no such class, several, or it cannot be imported.
    """
    custom: Sequence[EntryPoint] = _custom().get(classname, ())
    chosen = tuple(point for point in custom if dll and dll in _homes(point))
    if not chosen and classname in GADGETS:
        module, _, attribute = GADGETS[classname].partition(":")
        return getattr(importlib.import_module(module), attribute)
    candidates = chosen or custom
    if len(candidates) == 0:
        raise ConfigError(_unknown(classname))
    if len(candidates) > 1:
        homes = ", ".join(sorted(_homes(point)[0] for point in candidates))
        raise ConfigError(
            f"Several installed packages have a gadget {classname!r}: {homes}. "
            "Name one of them in <dll>."
        )
    return _load(candidates[0])


def _unknown(classname: str) -> str:
    names = gadget_names()
    by_lower_case = {name.lower(): name for name in names}
    close = [
        by_lower_case[match]
        for match in difflib.get_close_matches(classname.lower(), by_lower_case, n=5, cutoff=0.5)
    ]
    others = [name for name in names if name not in close]
    hint = f" Did you mean {', '.join(close)}?" if close else ""
    shown = ", ".join(others[:_SHOWN_NAMES])
    more = len(others) - _SHOWN_NAMES
    return (
        f"Unknown gadget {classname[:80]!r}.{hint} Supported as well: {shown}"
        + (f" and {more} more (docs/reference/configs.md)." if more > 0 else ".")
        + " A gadget of your own is found through an installed package's entry point "
        f"in the group {ENTRY_POINT_GROUP!r}."
    )


@cache
def _custom() -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point not in found.get(point.name, ()):
            found[point.name] = (*found.get(point.name, ()), point)
    return found


def _homes(point: EntryPoint) -> tuple[str, ...]:
    """Names that choose an entry point's package: its distribution, its top-level module."""
    module = point.value.partition(":")[0].partition(".")[0]
    return (point.dist.name, module) if point.dist is not None else (module,)


def _load(point: EntryPoint) -> type[Gadget]:
    try:
        gadget = point.load()
    except Exception as error:
        raise ConfigError(
            f"Gadget {point.name!r} of package {_homes(point)[0]!r} cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not (isinstance(gadget, type) and issubclass(gadget, Gadget)):
        raise ConfigError(
            f"Entry point {point.name!r} of package {_homes(point)[0]!r} is not a subclass of "
            "elastron.gadgets.base.Gadget."
        )
    return gadget
