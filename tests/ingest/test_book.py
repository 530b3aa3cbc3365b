"""The book against a slow one, against LOBSTER's own book file, and against CME's fills."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.book import MESSAGE, TOP, Action, Book
from ingest.event import NO_PRICE
from ingest.feeds import blocks, dbn
from ingest.feeds.dbn_head import read_head
from ingest.feeds.feed import Tally

DATA = Path(__file__).parents[3] / "shared/marketdata"
AMZN = DATA / "lobster/AMZN_2012-06-21_34200000_57600000_message_1.csv"
ES = DATA / "databento/esh4-glbx-mdp3-20231225.mbo.dbn.zst"
ES_OPEN_NS = 1_703_545_200_000_000_000  # 2023-12-25 17:00 Chicago, the first match of the session.
ADD, MODIFY, CANCEL, DELETE, EXECUTE, CLEAR = list(Action)[1:]


def messages_of(*rows):
    """(action, order, side, price, size), each."""
    out = np.zeros(len(rows), MESSAGE)
    for i, (action, order, side, price, size) in enumerate(rows):
        out[i] = (order, price, size, side, action)
    return out


class SlowBook:
    """What a book is, in the plainest words: a list of orders in the order of their priority."""

    def __init__(self):
        self.orders = []  # [id, side, price, size]

    def apply(self, action, order, side, price, size):
        found = next((one for one in self.orders if one[0] == order), None)
        if action == CLEAR:
            self.orders = []
        elif action in (ADD, MODIFY):
            if found and found[1:3] == [side, price] and size <= found[3]:
                found[3] = size
            else:
                self.orders = [one for one in self.orders if one is not found]
                self.orders.append([order, side, price, size])
        elif found:
            found[3] -= found[3] if action == DELETE else size
        self.orders = [one for one in self.orders if one[3] > 0]

    def levels(self, side):
        sizes = defaultdict(int)
        for _, order_side, price, size in self.orders:
            if order_side == side:
                sizes[price] += size
        return sorted(sizes.items(), key=lambda level: -side * level[0])

    def top(self):
        bid, ask = ((self.levels(side) or [(NO_PRICE, 0)])[0] for side in (1, -1))
        return bid[0], ask[0], bid[1], ask[1]

    def ahead(self, order):
        mine = next((one for one in self.orders if one[0] == order), None)
        if mine is None:
            return None
        before = self.orders[: self.orders.index(mine)]
        return sum(one[3] for one in before if one[1:3] == mine[1:3])


ROWS = st.lists(
    st.tuples(
        *(st.sampled_from([ADD, ADD, ADD, MODIFY, CANCEL, DELETE, EXECUTE, CLEAR]),),
        *(st.integers(1, 12), st.sampled_from([1, -1]), st.integers(1, 8), st.integers(1, 5)),
    ),
    max_size=60,
)


@given(ROWS, st.integers(1, 60))
@settings(max_examples=300, deadline=None)
def test_full_book_equals_the_slow_book_in_any_batches(rows, batch):
    book, slow = Book(), SlowBook()
    messages = messages_of(*rows)
    tops = [book.apply(messages[i : i + batch]) for i in range(0, len(rows), batch)]
    tops = np.concatenate([*tops, np.zeros(0, TOP)])
    for row, top in zip(rows, tops, strict=True):
        slow.apply(*row)
        assert tuple(top.tolist()) == slow.top()
    assert book.orders == len(slow.orders)
    assert [book.ahead(order) for order in range(13)] == [slow.ahead(i) for i in range(13)]


def test_modify_keeps_the_queue_only_if_price_stays_and_size_does_not_grow():
    start = messages_of(*((ADD, order, 1, 100, 10) for order in (1, 2, 3)))
    for change, ahead in (
        ((MODIFY, 1, 1, 100, 4), 0),
        ((MODIFY, 1, 1, 100, 11), 20),
        ((CANCEL, 1, 1, 100, 9), 0),
    ):
        book = Book()
        book.apply(np.concatenate((start, messages_of(change))))
        assert book.ahead(1) == ahead
    book.apply(messages_of((MODIFY, 2, 1, 99, 10), (MODIFY, 2, 1, 100, 10)))
    assert book.ahead(2) == 11
    assert book.ahead(9) is None


def test_many_orders_are_found_again_after_growth_and_erasure():
    ids = np.random.default_rng(7).permutation(20_000) * 4096 + 1  # Low bits all alike.
    book = Book()
    book.apply(messages_of(*((ADD, order, 1, 100 + order % 50, 1) for order in ids.tolist())))
    gone = ids[::2].tolist()
    book.apply(messages_of(*((DELETE, order, 1, 0, 0) for order in gone)))
    assert (book.orders, book.unknown) == (10_000, 0)
    tops = book.apply(messages_of(*((EXECUTE, order, 1, 0, 1) for order in ids[1::2].tolist())))
    assert (book.orders, book.unknown) == (0, 0)
    assert tops["bid"][-1] == NO_PRICE


def test_an_order_that_does_not_rest_is_counted():
    book = Book()
    book.apply(messages_of((CANCEL, 5, 1, 100, 1), (MODIFY, 6, 1, 100, 1), (ADD, 6, 1, 100, 1)))
    assert book.unknown == 3
    assert book.orders == 1


def visible(rows, depth):
    """The messages that touch the best `depth` prices of a side, and the true book after each."""
    slow, shown, levels = SlowBook(), [], []
    for action, order, *wish in rows:
        resting = next((one for one in slow.orders if one[0] == order), None)
        if (action == ADD) != (resting is None) or action in (MODIFY, CLEAR):
            continue
        side, price, size = wish
        if resting:
            side, price, rest = resting[1:]
            size = rest if action == DELETE else min(size, rest)
        elif side < 0:
            price += 10  # Asks above bids: nothing crosses.
        before = slow.levels(side)[:depth]
        slow.apply(action, order, side, price, size)
        if before != slow.levels(side)[:depth]:
            shown.append((action, order, side, price, size))
            levels.append([slow.levels(1)[:depth], slow.levels(-1)[:depth]])
    seeds = np.zeros((len(shown), 2, depth, 2), np.int64)
    for i, sides in enumerate(levels):
        for side, known in enumerate(sides):
            seeds[i, side, : len(known)] = np.array(known).reshape(-1, 2)
    return messages_of(*shown), seeds


@given(ROWS, st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_what_a_book_of_limited_depth_says_is_true(rows, depth):
    messages, truth = visible(rows, depth)
    for seeds in (None, truth):
        book = Book(depth)
        tops = book.apply(messages, seeds)
        for side, (price, size) in enumerate((("bid", "bid_size"), ("ask", "ask_size"))):
            known = tops[price] != NO_PRICE
            assert (tops[price][known] == truth[known, side, 0, 0]).all()
            assert (tops[size][known] == truth[known, side, 0, 1]).all()
            if seeds is not None:
                assert (known == (truth[:, side, 0, 1] > 0)).all()
        assert book.conflicts == 0


def test_a_limited_book_knows_a_new_best_price_but_not_what_a_sweep_reveals():
    rows = ((ADD, 1, 1, 100, 5), (ADD, 2, 1, 101, 7), (EXECUTE, 2, 1, 101, 7), (ADD, 3, 1, 101, 1))
    tops = Book(1).apply(messages_of(*rows))
    # The first may have joined others; the second is better than the best; the sweep reveals
    # 100, where meanwhile anything may have happened; the last is better than what it revealed.
    assert tops["bid"].tolist() == [NO_PRICE, 101, NO_PRICE, 101]
    assert tops["bid_size"].tolist() == [0, 7, 0, 1]


def amzn():
    if not AMZN.exists():
        pytest.skip(f"no market data: {AMZN} is absent")
    messages = np.genfromtxt(AMZN, delimiter=",", skip_header=1)[:, 1:].astype(np.int64)
    path = AMZN.with_name(AMZN.name.replace("message", "orderbook"))
    truth = np.genfromtxt(path, delimiter=",", skip_header=1).astype(np.int64)
    out = np.zeros(len(messages), MESSAGE)
    out["order"], out["size"], out["price"], out["side"] = messages[:, 1:].T
    out["action"] = np.array([0, ADD, CANCEL, DELETE, EXECUTE, 0])[messages[:, 0]]
    return out, truth.reshape(-1, 1, 2, 2)[:, :, ::-1].swapaxes(1, 2)  # row, bid ask, level, p s


def knowable(messages, best, side):
    """Rows after which the messages of a level-1 file determine this side.

    When a best price empties, the next one comes to light. Its orders came while a better price
    stood, or were hidden by one: such events are not in the file, so they cannot be known. They
    are known again at a new order better than every price touched since, for that is alone.
    """
    known, edge, out = False, None, []
    for i, (_, price, _, message_side, action) in enumerate(messages.tolist()):
        key = side * price
        if action and message_side == side:
            if known and side * best[i] < side * best[i - 1]:
                known, edge = False, key - 1  # At this price itself nothing is left.
            elif not known and action == ADD and edge is not None and key > edge:
                known = True
            elif not known:
                edge = key
        out.append(known)
    return np.array(out)


def test_amzn_equals_lobsters_own_book_wherever_the_messages_tell():
    messages, truth = amzn()
    tops = Book(1).apply(messages)
    assert len(tops) == 57_515
    rows = {}
    for side, name, place in ((1, "bid", 0), (-1, "ask", 1)):
        known = knowable(messages, truth[:, place, 0, 0], side)
        assert (known == (tops[name] != NO_PRICE)).all()
        assert (tops[name][known] == truth[known, place, 0, 0]).all()
        assert (tops[f"{name}_size"][known] == truth[known, place, 0, 1]).all()
        rows[name] = int(known.sum())
    # The others, 32,991 and 29,975, are what a level-1 message file does not determine.
    assert rows == {"bid": 24_524, "ask": 27_540}


def test_amzn_equals_lobsters_own_book_in_every_row_if_told_what_a_sweep_reveals():
    messages, truth = amzn()
    book = Book(1)
    tops = book.apply(messages, truth)
    for name, place in (("bid", 0), ("ask", 1)):
        assert (tops[name] == truth[:, place, 0, 0]).all()
        assert (tops[f"{name}_size"] == truth[:, place, 0, 1]).all()
    # Told only where it must be: at the first row and whenever a best price empties.
    bids, asks = truth[:, 0, 0, 0], truth[:, 1, 0, 0]
    sweeps = int((np.diff(bids) < 0).sum() + (np.diff(asks) > 0).sum())
    assert (book.seeded, sweeps, book.conflicts) == (sweeps + 2, 13_953, 0)


def es():
    if not ES.exists():
        pytest.skip(f"no market data: {ES} is absent")
    data = b"".join(blocks.zstd(ES, Tally()))
    records = np.frombuffer(read_head(iter([data]), ES)[1], dbn.RECORD)
    messages = np.zeros(len(records), MESSAGE)
    for field in ("order", "price", "size"):
        messages[field] = records[field]
    messages["side"] = dbn._SIDES[records["side"]]
    messages["action"] = dbn._ACTIONS[records["action"]]
    return records, messages


def test_es_finds_every_order_and_is_never_crossed_once_matching_runs():
    records, messages = es()
    book = Book()
    tops = book.apply(messages)
    assert len(tops) == 68_792
    assert book.unknown == 0
    whole = records["flags"] & 128 != 0
    two_sided = (tops["bid"] != NO_PRICE) & (tops["ask"] != NO_PRICE)
    crossed = whole & two_sided & (tops["bid"] >= tops["ask"])
    # Before the open orders collect without being matched: there the book may cross.
    assert not crossed[records["ts_event"] >= ES_OPEN_NS].any()
    assert int(crossed.sum()) == 891
    assert whole[records["ts_event"] >= ES_OPEN_NS].sum() > 40_000


def test_es_fills_come_from_the_front_of_the_queue():
    records, messages = es()
    book, done, aggressor = Book(), 0, ord("N")
    filled = {}  # Fills that the book has not been told yet: order -> (side, price), size.
    front = behind = 0
    for i in np.flatnonzero(np.isin(records["action"], list(b"TF"))).tolist():
        book.apply(messages[done:i])
        for order in messages["order"][done:i][messages["action"][done:i] != 0].tolist():
            filled.pop(order, None)
        done = i
        _, _, _, _, _, order, price, size, _, _, action, side, *_ = records[i].tolist()
        if action == ord("T"):
            aggressor = side
        elif aggressor != ord("N") and side != aggressor:
            _, before = filled.pop(order, (None, 0))
            ahead = sum(part for place, part in filled.values() if place == (side, price))
            front, behind = (
                front + (book.ahead(order) == ahead),
                behind + (book.ahead(order) != ahead),
            )
            filled[order] = (side, price), size + before
    # The others wait behind icebergs that showed their next part (an M like any other in these
    # data) and behind orders withdrawn, not filled, in the same packet.
    assert (front, behind) == (5_597, 632)
