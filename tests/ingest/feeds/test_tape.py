"""Books of many instruments, told in any number of cuts, are each what it would be alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.event import NO_PRICE, Kind
from ingest.feeds import drafts
from ingest.feeds.depth import CLEAR, level
from ingest.feeds.feed import Tally
from ingest.feeds.tape import Tape

CHANGES = st.lists(
    st.tuples(
        st.integers(0, 2),  # instrument
        st.sampled_from([1, -1]),
        st.integers(1, 6),  # price, on both sides of one another
        st.integers(0, 3),  # size, 0 takes it away
        st.booleans(),  # whether a cut follows
        st.booleans(),  # whether the book is cleared first
    ),
    max_size=60,
)


@given(CHANGES)
def test_each_change_of_the_top_is_told_once(changes):
    tally = Tally()
    tape, parts = Tape(tally, 1), []
    books, last, expected = {}, {}, []
    for line, (number, side, rung, size, cut, clear) in enumerate(changes):
        price = 10 * rung if side > 0 else 10 * rung + 100
        tape.book((line, line, line, number), [CLEAR] * clear + [level(price, size, side)])
        book = {} if clear else books.get(number, {})
        books[number] = {**book, (side, price): size}
        bids = [one for (own, one), left in books[number].items() if own > 0 and left]
        asks = [one for (own, one), left in books[number].items() if own < 0 and left]
        top = max(bids, default=NO_PRICE), min(asks, default=NO_PRICE)
        top += (books[number].get((1, top[0]), 0), books[number].get((-1, top[1]), 0))
        if top != last.get(number, (NO_PRICE, NO_PRICE, 0, 0)):
            expected.append((line, number, *top))
        last[number] = top
        if cut:
            parts.append(tape.cut())
    parts.append(tape.cut())
    fields = ("sequence", "instrument", "bid", "ask", "bid_size", "ask_size")
    found = [tuple(row[field] for field in fields) for part in parts for row in part]
    assert found == expected
    assert tally.skipped.total() == len(changes) - len(expected)


def test_events_in_between_keep_their_place():
    tape = Tape(Tally(), 10)
    tape.event(drafts.trade((1, 1, 1, 0), 5, 1.0, 1))
    tape.book((2, 2, 2, 0), [level(4, 15, 1), level(3, 1, 1)])
    tape.event(drafts.bust((3, 3, 3, 0), 5, 1.0, 1))
    tape.book((4, 4, 4, 0), [level(6, 20, -1)])
    found = tape.cut()
    assert found["kind"].tolist() == [Kind.TRADE, Kind.QUOTE, Kind.BUST, Kind.QUOTE]
    assert found["bid_size"][[1, 3]].tolist() == [1.5, 1.5]
    assert found["ask_size"][[1, 3]].tolist() == [0, 2]
    assert len(tape.cut()) == 0


def test_chunks_hold_every_event_once():
    packed = [drafts.trade((i, i, i, 0), i, 1.0, i) for i in range(20_000)]
    chunks = list(drafts.chunks(packed))
    assert np.concatenate(chunks)["reference"].tolist() == list(range(20_000))
    assert max(map(len, chunks)) == 8_192
