from elastron.gadgets.image_finish import ImageFinishGadget
from elastron.wire.messages import Query, Text

from .scan_parts import batch, noise, run


def test_everything_passes_texts_for_the_client_too():
    items = [batch(noise(1, 1, 4)), Text("hello"), Query("gadgetron::info", 1)]
    assert run(ImageFinishGadget, items) == items
