"""Working ahead: the same items, the same order, the same errors, and nothing left running."""

import threading
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.common.prefetch import prefetch

# Far above what any machine needs: passing does not depend on it, only how soon a hang is called one.
HANG_S = 30.0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.none(), st.integers(), st.booleans()), max_size=30), st.integers(-1, 8))
def test_same_items_in_the_same_order(items, depth):
    assert list(prefetch(iter(items), depth)) == items


def test_an_error_arrives_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise KeyError("third")

    stream = prefetch(items(), 8)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(KeyError, match="third"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)


def test_no_more_than_depth_items_are_made_ahead():
    made = []
    reached = threading.Event()

    def items():
        for number in count():
            made.append(number)
            if number == 4:
                reached.set()
            yield number

    stream = prefetch(items(), 3)
    assert next(stream) == 0
    # One taken, three in the queue, one in the thread's hand: item 4 is made, item 5 has no place to go.
    assert reached.wait(HANG_S)
    assert not threading.Event().wait(0.3)
    assert made == [0, 1, 2, 3, 4]
    stream.close()


def test_nothing_is_made_before_it_is_asked_for():
    made = []
    stream = prefetch((made.append(i) for i in range(3)), 2)
    assert made == []
    stream.close()
    assert made == []


def test_closing_early_stops_the_thread():
    before = set(threading.enumerate())
    stream = prefetch(count(), 2)
    assert next(stream) == 0
    (thread,) = set(threading.enumerate()) - before
    stream.close()
    thread.join(HANG_S)
    assert not thread.is_alive()


def test_the_thread_ends_with_the_items():
    before = set(threading.enumerate())
    stream = prefetch(range(5), 1)
    next(stream)
    threads = set(threading.enumerate()) - before
    assert list(stream) == [1, 2, 3, 4]
    for thread in threads:
        thread.join(HANG_S)
        assert not thread.is_alive()
