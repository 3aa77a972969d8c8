"""What a VM size's name tells: Standard_NC4as_T4_v3 has 4 cores and an NVIDIA GPU.

Convention: "Azure virtual machine sizes naming conventions":
family, optional sub-family, vCPUs, optional constrained vCPUs, additive features, accelerator,
version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_SIZE = re.compile(
    r"(?:Standard|Basic)_(?P<family>[A-Z]{1,3}?)(?P<cores>\d+)(?:-(?P<active>\d+))?"
    r"(?P<features>[a-z]*)(?:_(?P<rest>.+))?",
    re.IGNORECASE,
)
_AMD_GPUS = re.compile(r"MI\d+|V620|V710", re.IGNORECASE)


class Gpu(StrEnum):
    """Who makes the GPUs of a size."""

    NONE = "none"
    NVIDIA = "nvidia"
    AMD = "amd"  # nothing of ours runs on these


@dataclass(frozen=True)
class SizeName:
    """Parts of a VM size's name."""

    family: str
    cores: int
    features: str
    gpu: Gpu


def read_size(name: str) -> SizeName | None:
    """The parts of a VM size's name; None where it follows no known pattern."""
    match = _SIZE.fullmatch(name)
    if match is None:
        return None
    family = match["family"].upper()
    rest = match["rest"] or ""
    gpu = Gpu.NONE
    if family.startswith("N") and not family.startswith("NP"):  # NP: FPGAs
        # NVv4 (Standard_NV8as_v4) has AMD's MI25, and its name does not say so.
        is_nv_v4 = family == "NV" and "a" in match["features"].lower() and rest.lower() == "v4"
        gpu = Gpu.AMD if is_nv_v4 or _AMD_GPUS.search(rest) else Gpu.NVIDIA
    return SizeName(family, int(match["active"] or match["cores"]), match["features"], gpu)


def has_gpu(name: str) -> bool:
    """Whether machines of this size have an NVIDIA GPU, by the size's name."""
    size = read_size(name)
    return size is not None and size.gpu is Gpu.NVIDIA
