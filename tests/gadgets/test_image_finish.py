from elastron.gadgets.image_finish import ImageFinishGadget
from elastron.wire.messages import Query, Text

from .scan_parts import batch, noise, run


def test_texts_end_here_and_all_else_passes():
    item, query = batch(noise(1, 1, 4)), Query("gadgetron::info", 1)
    assert run(ImageFinishGadget, [item, Text("hello"), query]) == [item, query]
