"""Clients that send nonsense: whatever a page says, it alone bears it; all others go on."""

import asyncio
import json
import math
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.allowance import Allowance
from app.push import ACK, ACK_MAGIC, unpack_acks
from app.screens import Screens
from compute.batch import unpack_batch
from tests.app.test_session import LAST, Desk, ack

KINDS = (
    *("ready", "hold", "viewport", "columns", "sort", "group", "filter", "select", "chart"),
    *("provenance", "acknowledge", "what_if", "nothing"),
)
KEYS = (
    *("feed", "first", "count", "shown", "column", "descending", "by", "classes", "text", "row"),
    *("on", "shut", "total", "scope", "key", "book", "instrument", "id", "chart", "minutes"),
    *("points", "rows", "kind", "trades", "alert", "number", "person", "wish", "table", "ts_ms"),
)
WILD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.sampled_from([2**31, 2**32, -(2**31), 2**63, -(2**63) - 1, 10**30, 1e308]),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["bid", "last", "symbol", "class", "asset_class", "instruments"]),
)
VALUES = st.recursive(
    WILD, lambda one: st.lists(one, max_size=4) | st.dictionaries(st.sampled_from(KEYS), one)
)
MESSAGES = st.builds(
    lambda kind, more: {**more, "type": kind},
    st.sampled_from(KINDS) | WILD,
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8),
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MESSAGES, min_size=1, max_size=6))
def test_whatever_one_page_asks_for_the_other_is_right(messages):
    loop = asyncio.new_event_loop()
    try:
        desk = Desk(loop)
        good, socket = desk.open()
        ack(good, socket)
        wild, _ = desk.open()
        for turn, message in enumerate(messages):
            wild.control(message)
            desk.change([(turn % 10, LAST, float(turn))])
            ack(good, socket)
            np.testing.assert_array_equal(socket.page.cells, desk.truth(good))
    finally:
        loop.close()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([ACK_MAGIC, 0]),
            st.integers(0, 0xFFFF),
            st.integers(0, 0xFFFF),
            st.floats(),
            st.floats(),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_an_acknowledgement_says_goes_on_the_tape_or_nowhere(paints):
    told = unpack_acks(b"".join(ACK.pack(*paint) for paint in paints))
    assert told in ([], paints) or any(math.isnan(one) for paint in paints for one in paint[3:])
    screens = Screens(None, "web-1")
    page = screens.open({"feeds": [], "title": "x"}, "")
    for _, _samples, held_ms, sequence, latency_ms in told:
        page.painted(int(sequence), latency_ms, held_ms)
    page.close()
    screens.cut()
    ((*_, batch),) = screens._pending
    entries, _ = unpack_batch(batch)
    assert len(entries) == len(told) + 1


@given(st.binary(max_size=200))
def test_random_bytes_are_no_acknowledgements(data):
    for one in unpack_acks(data):
        assert struct.unpack_from("<I", ACK.pack(*one))[0] == ACK_MAGIC


def test_deeply_nested_json_is_refused_by_python_itself():
    with pytest.raises((RecursionError, ValueError)):
        json.loads("[" * 200_000)


def test_an_allowance_is_used_up_and_fills_with_time():
    at = [0.0]
    allowance = Allowance(10, 2, lambda: at[0])
    assert allowance.take(10)
    assert not allowance.take(1)
    at[0] = 3.0
    assert allowance.take(5)
    assert not allowance.take(1)
    at[0] = 100.0
    assert allowance.take(10)
    assert not allowance.take(0.5), "it holds no more than a burst"
