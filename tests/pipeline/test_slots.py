"""Readers and writers of the original's class names."""

from __future__ import annotations

import pytest

from elastron.errors import ConfigError
from elastron.pipeline.config import Reader, Writer
from elastron.pipeline.slots import readable_messages, writable_messages
from elastron.wire.messages import MessageId


def test_both_families_of_names() -> None:
    assert readable_messages(
        [
            Reader("GadgetIsmrmrdAcquisitionMessageReader", slot=1008),
            Reader("AcquisitionReader"),
            Reader("WaveformReader"),
        ]
    ) == {MessageId.ACQUISITION, MessageId.WAVEFORM}
    assert writable_messages([Writer("MRIImageWriter"), Writer("DependencyQueryWriter")]) == {
        MessageId.IMAGE,
        MessageId.DEPENDENCY_QUERY,
    }


def test_a_slot_must_be_the_readers_message() -> None:
    with pytest.raises(ConfigError, match=r"'AcquisitionReader' reads message 1008.*not slot 1022"):
        readable_messages([Reader("AcquisitionReader", slot=1022)])


def test_unknown_classes_are_named_with_the_known() -> None:
    with pytest.raises(ConfigError, match=r"Unknown reader 'AquisitionReader'.*mean Acquisition"):
        readable_messages([Reader("AquisitionReader")])
    with pytest.raises(ConfigError, match=r"Unknown writer 'DicomImageWriter'.*Supported: "):
        writable_messages([Writer("DicomImageWriter")])
