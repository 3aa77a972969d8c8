"""Config and header that come again with each part."""

from __future__ import annotations

import pytest

from elastron.errors import ConfigError, HeaderError
from elastron.mrd.header import parse_header, serialize_header
from elastron.node.repeated import header_of_part, inline_config
from elastron.pipeline import parse_config
from elastron.pipeline.serialize import serialize_config
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions

XML = b"<configuration><version>2</version><readers/><writers/><stream/></configuration>"


def test_a_config_is_parsed_once_and_told_from_a_persons() -> None:
    theirs = serialize_config(parse_config(XML))
    config, by_node = inline_config(theirs)
    assert by_node
    assert config == parse_config(theirs)
    assert inline_config(bytes(bytearray(theirs)))[0] is config
    assert inline_config(XML)[1] is False


def test_a_gadget_that_changes_its_header_changes_no_other_parts() -> None:
    header, _ = phantom_acquisitions(PhantomSettings(matrix=32, coils=1))
    xml = serialize_header(header)
    first = header_of_part(xml)
    assert first == parse_header(xml)
    first.encoding.clear()
    assert header_of_part(xml) == parse_header(xml)


def test_errors_come_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ConfigError):
            inline_config(b"<no/>")
        with pytest.raises(HeaderError):
            header_of_part(b"<no/>")
