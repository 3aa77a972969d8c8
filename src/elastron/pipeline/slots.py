"""What a config's readers and writers mean on the wire.

The codec (`elastron.wire`) knows every message; a reader or writer here only says which of them
this config takes or sends.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from elastron.errors import ConfigError
from elastron.pipeline.config import Reader, Writer
from elastron.wire.messages import MessageId

#: Reader class -> the message it reads.
READERS: Mapping[str, MessageId] = {
    "AcquisitionBucketReader": MessageId.BUCKET,
    "AcquisitionReader": MessageId.ACQUISITION,
    "BufferReader": MessageId.RECON_DATA,
    "GadgetIsmrmrdAcquisitionMessageReader": MessageId.ACQUISITION,
    "GadgetIsmrmrdWaveformMessageReader": MessageId.WAVEFORM,
    "ImageReader": MessageId.IMAGE,
    "IsmrmrdImageArrayReader": MessageId.IMAGE_ARRAY,
    "MRIImageReader": MessageId.IMAGE,
    "TextReader": MessageId.TEXT,
    "WaveformReader": MessageId.WAVEFORM,
}

#: Writer class -> the message it writes.
WRITERS: Mapping[str, MessageId] = {
    "AcquisitionBucketWriter": MessageId.BUCKET,
    "AcquisitionWriter": MessageId.ACQUISITION,
    "BufferWriter": MessageId.RECON_DATA,
    "DependencyQueryWriter": MessageId.DEPENDENCY_QUERY,
    "GadgetIsmrmrdAcquisitionMessageWriter": MessageId.ACQUISITION,
    "GadgetIsmrmrdWaveformMessageWriter": MessageId.WAVEFORM,
    "ImageWriter": MessageId.IMAGE,
    "IsmrmrdImageArrayWriter": MessageId.IMAGE_ARRAY,
    "MRIImageWriter": MessageId.IMAGE,
    "TextWriter": MessageId.TEXT,
    "WaveformWriter": MessageId.WAVEFORM,
}


def readable_messages(readers: Iterable[Reader]) -> frozenset[MessageId]:
    """Messages the client may send.

    Raises:
        ConfigError: a class nobody knows, or a slot that is not its message.
    """
    messages = set()
    for reader in readers:
        message = _find(READERS, reader.classname, "reader")
        if reader.slot not in (None, message):
            raise ConfigError(
                f"Reader {reader.classname!r} reads message {message} ({message.name}), "
                f"not slot {reader.slot}."
            )
        messages.add(message)
    return frozenset(messages)


def writable_messages(writers: Iterable[Writer]) -> frozenset[MessageId]:
    """Messages that go back to the client.

    Raises:
        ConfigError: a class nobody knows.
    """
    return frozenset(_find(WRITERS, writer.classname, "writer") for writer in writers)


def _find(known: Mapping[str, MessageId], classname: str, kind: str) -> MessageId:
    if classname not in known:
        close = difflib.get_close_matches(classname, known, n=3)
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        raise ConfigError(
            f"Unknown {kind} {classname[:80]!r}.{hint} Supported: {', '.join(known)}."
        )
    return known[classname]
