from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from elastron.wire import encode
from elastron.wire.messages import ConfigName, ConfigXml, HeaderXml, Message
from elastron.wire.scan_mark import (
    OPENING_BYTES,
    XML_DECLARATION,
    mark_of,
    marked,
    new_mark,
    unmarked,
)

CONFIG = XML_DECLARATION + b"<configuration><version>2</version></configuration>"


def opening(message: Message) -> bytes:
    return b"".join(map(bytes, encode(message)))[:OPENING_BYTES]


def test_a_mark_is_found_in_the_first_bytes_and_taken_out_again() -> None:
    mark = new_mark()
    sent = marked(CONFIG, mark)
    assert mark_of(opening(ConfigXml(sent))) == mark
    assert unmarked(sent) == CONFIG


def test_marks_differ() -> None:
    assert len({new_mark() for _ in range(100)}) == 100


def test_what_has_no_mark() -> None:
    sent = marked(CONFIG, new_mark())
    for message in (ConfigXml(CONFIG), HeaderXml(sent), ConfigName("default.xml")):
        assert mark_of(opening(message)) is None
    assert mark_of(opening(ConfigXml(b" " + sent))) is None
    assert mark_of(opening(ConfigXml(sent))[:50]) is None
    assert unmarked(CONFIG) == CONFIG


@given(st.binary(max_size=OPENING_BYTES))
def test_whatever_comes_is_no_error(data: bytes) -> None:
    assert mark_of(data) is None
    assert unmarked(data) == data
