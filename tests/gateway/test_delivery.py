"""Delivery: whatever a replay gives in whatever order, each message once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from elastron.gateway.delivery import Delivery
from elastron.wire.framing import Frame
from elastron.wire.messages import MessageId

from .frames import image


def key(frame: Frame) -> tuple[int, int, int]:
    return frame.message_id, frame.identity, frame.content


def run(delivery: Delivery, frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if delivery.take(frame)]


def test_all_of_the_first_attempt_is_delivered() -> None:
    delivery = Delivery()
    frames = [image(1), image(1), image(2, 5), image(1)]
    assert run(delivery, frames) == frames
    assert delivery.delivered == 4
    assert not delivery.incomplete


def test_a_replay_gives_the_rest_in_another_order() -> None:
    delivery = Delivery()
    run(delivery, [image(1), image(2)])
    delivery.new_attempt()
    assert run(delivery, [image(3), image(2), image(4), image(1)]) == [image(3), image(4)]
    assert not delivery.incomplete


def test_other_bits_in_the_same_image_make_no_second_image() -> None:
    delivery = Delivery()
    run(delivery, [image(1, 10), image(2, 20)])
    delivery.new_attempt()
    assert run(delivery, [image(2, 21), image(1, 11), image(3, 31)]) == [image(3, 31)]
    assert not delivery.incomplete


def test_equal_messages_are_counted() -> None:
    delivery = Delivery()
    run(delivery, [image(1, 7), image(1, 7)])
    delivery.new_attempt()
    assert len(run(delivery, [image(1, 7)] * 5)) == 3
    delivery.new_attempt()
    assert run(delivery, [image(1, 7)] * 5) == []


def test_images_of_one_header_in_another_order_need_one_replay_more() -> None:
    delivery = Delivery()
    run(delivery, [image(1, 10)])
    delivery.new_attempt()
    assert run(delivery, [image(1, 20)]) == []  # the same image with other bits, it seems
    assert not delivery.incomplete
    assert run(delivery, [image(1, 10)]) == []  # so that was another one
    assert delivery.incomplete
    delivery.new_attempt()
    assert run(delivery, [image(1, 20), image(1, 10)]) == [image(1, 20)]
    assert not delivery.incomplete


def test_kinds_are_told_apart() -> None:
    delivery = Delivery()
    run(delivery, [image(1)])
    delivery.new_attempt()
    waveform = Frame(MessageId.WAVEFORM, 0, 10, 1, 1, 0)
    assert delivery.take(waveform)


def test_an_endless_scan_cannot_be_replayed() -> None:
    delivery = Delivery(messages_max=3)
    for index in range(3):
        assert delivery.take(image(index))
    assert delivery.replayable
    assert delivery.take(image(3))
    assert not delivery.replayable


scans = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12)


@given(scans, st.lists(st.integers(0, 12), max_size=4), st.randoms(use_true_random=False))
def test_every_message_once_if_replays_give_the_same(
    scan: list[tuple[int, int]], cuts: list[int], random: object
) -> None:
    """Attempts cut short anywhere, each in its own order, then whole ones: equal bits."""
    frames = [image(*each) for each in scan]
    delivery, got = Delivery(), Counter[tuple[int, int, int]]()
    for cut in [*cuts, len(frames), len(frames)]:
        got.update(map(key, run(delivery, frames[:cut])))
        assert not got - Counter(map(key, frames))
        complete = cut >= len(frames) and not delivery.incomplete
        if complete:
            break
        delivery.new_attempt()
        random.shuffle(frames)  # type: ignore[attr-defined]
    assert complete
    assert got == Counter(map(key, frames))


@given(scans, st.lists(st.integers(0, 12), max_size=4), st.randoms(use_true_random=False))
def test_every_header_as_often_as_it_came_if_bits_differ(
    scan: list[tuple[int, int]], cuts: list[int], random: object
) -> None:
    headers = [identity for identity, _ in scan]
    delivery, got, content = Delivery(), Counter[int](), 0
    for cut in [*cuts, len(headers)]:
        for header in headers[:cut]:
            content += 1  # never the same twice
            if delivery.take(image(header, content)):
                got[header] += 1
        assert not got - Counter(headers)
        assert not delivery.incomplete
        if cut >= len(headers):
            break
        delivery.new_attempt()
        random.shuffle(headers)  # type: ignore[attr-defined]
    assert got == Counter(headers)
