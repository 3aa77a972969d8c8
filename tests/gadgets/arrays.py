"""Image arrays and contexts for the tests of the gadgets after the reconstruction."""

import numpy as np

from elastron.gadgets.base import Context, Gadget
from elastron.mrd.buffers import ImageArray
from elastron.mrd.image import IMAGE_HEADER
from elastron.mrd.meta import Meta
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions


def context(**settings) -> Context:
    """Of a phantom scan."""
    header, _ = phantom_acquisitions(PhantomSettings(**settings))
    return Context(header=header, threads=1)


def build(gadget: type[Gadget], context: Context, **properties) -> Gadget:
    """A gadget with properties as they stand in a config: text."""
    text = {name: str(value) for name, value in properties.items()}
    return gadget(gadget.properties_type.model_validate(text), context)


def image_array(data: np.ndarray, role: str = "Image", **attributes) -> ImageArray:
    """Images (LOC, S, N, CHA, z, y, x) with headers and attributes."""
    headers = np.zeros(data.shape[:3], IMAGE_HEADER)
    headers["image_series_index"] = 1
    headers["image_index"] = np.arange(headers.size).reshape(headers.shape)
    headers["matrix_size"] = data.shape[:-4:-1]
    meta = []
    for index in range(headers.size):
        one = Meta({"GADGETRON_DataRole": [role], "encoding": [0], "number": [index]})
        for name, values in attributes.items():
            one.put(name, *values)
        meta.append(one)
    return ImageArray(data.astype(np.complex64), headers, meta)


def noise(*shape: int) -> np.ndarray:
    """Complex white noise; complex64."""
    random = np.random.default_rng(5)
    return random.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]
