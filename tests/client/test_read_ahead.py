from __future__ import annotations

import threading

import pytest

from elastron.client.read_ahead import ReadAhead


def test_items_come_in_order():
    with ReadAhead(range(100)) as items:
        assert list(items) == list(range(100))


def test_it_is_no_further_ahead_than_allowed():
    taken = []
    waiting = threading.Event()

    def source():
        for number in range(100):
            taken.append(number)
            if number == 3:
                waiting.set()
            yield number

    with ReadAhead(source(), depth=2) as items:
        assert next(iter(items)) == 0
        assert waiting.wait(60)  # one consumed, two queued, one in hand
        assert len(taken) == 4


def test_errors_come_where_the_item_would_have():
    def source():
        yield 1
        raise OSError("unplugged")

    with ReadAhead(source()) as items:
        iterator = iter(items)
        assert next(iterator) == 1
        with pytest.raises(OSError, match="unplugged"):
            next(iterator)


def test_leaving_early_ends_the_thread():
    with ReadAhead(iter(int, 1)) as items:  # endless
        next(iter(items))
    assert not any(thread.name == "elastron-read" for thread in threading.enumerate())
    assert list(items)[2:] == []
