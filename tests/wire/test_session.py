"""Every message in every state, against the protocol's table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import ConnectionLostError, ProtocolError, StateError
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.buffers import Bucket, ImageArray, ReconData
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.mrd.meta import Meta
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire import TRANSITIONS, Action, Decoder, ServerSession, State, encode, message_id
from elastron.wire import messages as m
from elastron.wire.messages import Message, MessageId

EVERY: dict[MessageId, Message] = {
    MessageId.FILENAME: m.ConfigName("default.xml"),
    MessageId.CONFIG: m.ConfigXml(b"<configuration/>"),
    MessageId.HEADER: m.HeaderXml(b"<ismrmrdHeader/>"),
    MessageId.CLOSE: m.Close(),
    MessageId.TEXT: m.Text("hello"),
    MessageId.QUERY: m.Query("gadgetron::version", 1),
    MessageId.RESPONSE: m.Response("4.7.2", 1),
    MessageId.ERROR: m.Error("boom"),
    MessageId.ACQUISITION: AcquisitionBatch(
        np.zeros(1, ACQUISITION_HEADER), np.zeros((1, 1, 1), np.complex64)
    ),
    MessageId.DICOM_WITHNAME: m.DicomWithName(b"", "a.dcm"),
    MessageId.DEPENDENCY_QUERY: m.DependencyQuery(Meta()),
    MessageId.IMAGE: Image(np.zeros((), IMAGE_HEADER), np.zeros((1, 1, 1, 1), np.float32)),
    MessageId.RECON_DATA: ReconData([]),
    MessageId.IMAGE_ARRAY: ImageArray(
        np.zeros((1,) * 7, np.complex64), np.zeros((1,) * 3, IMAGE_HEADER), []
    ),
    MessageId.WAVEFORM: Waveform(np.zeros((), WAVEFORM_HEADER), np.zeros((1, 1), np.uint32)),
    MessageId.BUCKET: Bucket(),
}
DATA = {number for number in MessageId if number >= 1008}

# Section 3 of the protocol, written out a second time.
LEGAL = {
    State.CONFIG: {
        MessageId.FILENAME: (Action.CONFIGURE, State.HEADER),
        MessageId.CONFIG: (Action.CONFIGURE, State.HEADER),
        MessageId.QUERY: (Action.ANSWER, State.CONFIG),
        MessageId.CLOSE: (Action.FINISH, State.FINISHED),
    },
    State.HEADER: {
        MessageId.HEADER: (Action.START, State.STREAM),
        MessageId.TEXT: (Action.LOG, State.HEADER),
        MessageId.QUERY: (Action.ANSWER, State.HEADER),
        MessageId.CLOSE: (Action.START_EMPTY, State.VOID),
    },
    State.STREAM: {
        MessageId.TEXT: (Action.LOG, State.STREAM),
        MessageId.QUERY: (Action.ANSWER, State.STREAM),
        MessageId.CLOSE: (Action.END_INPUT, State.FINISHED),
        **dict.fromkeys(DATA, (Action.PROCESS, State.STREAM)),
    },
    State.VOID: {},
    State.FINISHED: {},
}
SECOND_CONFIG = "Received second config file. Only one allowed."
TEXTS = {
    (State.CONFIG, MessageId.HEADER): "Received ISMRMRD header before config file.",
    (State.HEADER, MessageId.FILENAME): SECOND_CONFIG,
    (State.HEADER, MessageId.CONFIG): SECOND_CONFIG,
    (State.STREAM, MessageId.FILENAME): SECOND_CONFIG,
    (State.STREAM, MessageId.CONFIG): SECOND_CONFIG,
    (State.STREAM, MessageId.HEADER): "Received second ISMRMRD header. Only one allowed.",
}


def session_in(state: State) -> ServerSession:
    session = ServerSession()
    session.state = state
    return session


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("number", MessageId)
def test_every_message_in_every_state(state: State, number: MessageId) -> None:
    session = session_in(state)
    if number in LEGAL[state]:
        action, after = LEGAL[state][number]
        assert session.receive(EVERY[number]) is action
        assert session.state is after
        return
    with pytest.raises(StateError) as caught:
        session.receive(EVERY[number])
    assert session.state is State.FINISHED
    text = TEXTS.get((state, number))
    if text is not None:
        assert str(caught.value) == text
    else:
        assert f"{number.name} ({number.value})" in str(caught.value)
        assert state.value in str(caught.value)


@given(st.lists(st.sampled_from(MessageId), max_size=12))
def test_any_order_of_messages(numbers: list[MessageId]) -> None:
    session = ServerSession()
    started = configured = 0
    for number in numbers:
        before = session.state
        try:
            action = session.receive(EVERY[number])
        except StateError:
            assert session.state is State.FINISHED
            assert number not in LEGAL[before]
            break
        assert (action, session.state) == LEGAL[before][number]
        configured += action is Action.CONFIGURE
        started += action in (Action.START, Action.START_EMPTY)
        assert started <= configured <= 1
        assert action is not Action.PROCESS or started


def test_ids_are_those_on_the_wire() -> None:
    assert EVERY.keys() == set(MessageId)
    for number, message in EVERY.items():
        assert message_id(message) is number
        decoder = Decoder()
        decoder.feed(b"".join(map(bytes, encode(message))))
        (decoded,) = decoder.messages()
        assert message_id(decoded) is number


def test_readers_decide_what_data_is_taken() -> None:
    session = session_in(State.STREAM)
    session.set_readable(frozenset({MessageId.ACQUISITION, MessageId.TEXT}))
    assert session.receive(EVERY[MessageId.ACQUISITION]) is Action.PROCESS
    assert session.receive(EVERY[MessageId.TEXT]) is Action.PROCESS
    assert session.receive(EVERY[MessageId.QUERY]) is Action.ANSWER
    with pytest.raises(StateError, match=r"WAVEFORM \(1026\).*STREAM.*readers"):
        session.receive(EVERY[MessageId.WAVEFORM])


@pytest.mark.parametrize("state", [State.CONFIG, State.HEADER, State.STREAM])
def test_reserved_bytes_of_a_query(state: State) -> None:
    session = session_in(state)
    with pytest.raises(ProtocolError, match=r"Unsupported value in reserved bytes\."):
        session.receive(m.Query("gadgetron::version", 1, reserved=1))
    assert session.state is State.FINISHED


@pytest.mark.parametrize("state", State)
def test_the_end_without_close(state: State) -> None:
    session = session_in(state)
    if state in (State.HEADER, State.STREAM):
        with pytest.raises(ConnectionLostError, match=state.value):
            session.eof()
    else:
        session.eof()
    assert session.state is State.FINISHED


def test_the_table_names_no_data() -> None:
    assert not {number for _, number in TRANSITIONS} & DATA
