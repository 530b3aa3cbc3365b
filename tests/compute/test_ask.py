"""Whatever a browser sends is an ask, or is refused in a sentence."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.ask import PERSON_LENGTH_MAX, TRADES_MAX, Acknowledge, AskError, WhatIf, read
from compute.bus import ASK_BYTES_MAX
from compute.holding import Trade

SEEN = {"type": "acknowledge", "alert": "3-0-17", "person": "R. Okafor"}
TRADE = {"book": 1, "instrument": 17, "quantity": -250}
DONE = {"type": "what_if", "id": "ab-1", "trades": [TRADE]}


def pack(told) -> bytes:
    return json.dumps(told).encode()


def test_asks_are_read():
    assert read(pack(SEEN)) == Acknowledge("", "3-0-17", "R. Okafor")
    more = {**SEEN, "id": "x", "number": 2, "person": "  Zoë \u674e "}
    assert read(pack(more)) == Acknowledge("x", "3-0-17", "Zoë 李", 2)
    priced = {**TRADE, "price": 99.5}
    trades = (Trade(1, 17, -250.0), Trade(1, 17, -250.0, 99.5))
    assert read(pack({**DONE, "trades": [TRADE, priced]})) == WhatIf("ab-1", trades)


@pytest.mark.parametrize(
    "person",
    [
        *("", " ", "\t\n", "x" * (PERSON_LENGTH_MAX + 1), "a\x00b", "a\nb", "\x1b[2J", None, 7),
        *("a\u202eb", "\u200b", "a\x7f", ["R. Okafor"], {"name": "R."}, "a\ud800"),
    ],
)
def test_nobody_acknowledges_nothing(person):
    with pytest.raises(AskError, match="is acknowledged by a person"):
        read(pack({**SEEN, "person": person}))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (b"", "JSON object"),
        (b"\xff\x00", "JSON object"),
        (b"[1]", "JSON object"),
        (b"[" * 30_000, "JSON object"),
        (b" " * (ASK_BYTES_MAX + 1), "limit"),
        ({}, "type is one of"),
        ({"type": ["what_if"]}, "type is one of"),
        ({**SEEN, "alert": ""}, "no alert"),
        ({**SEEN, "alert": "9" * 65}, "no alert"),
        ({**SEEN, "number": True}, "whole number"),
        ({**DONE, "id": ""}, "gives an id"),
        ({**DONE, "id": "a:b"}, "id is 1 to 64"),
        ({**DONE, "id": 3}, "id is 1 to 64"),
        ({**DONE, "trades": []}, "1 to 200"),
        ({**DONE, "trades": [TRADE] * (TRADES_MAX + 1)}, "1 to 200"),
        ({**DONE, "trades": [7]}, "trade 1: book"),
        ({**DONE, "trades": [TRADE, {**TRADE, "book": 64}]}, "trade 2: book"),
        ({**DONE, "trades": [{**TRADE, "book": True}]}, "trade 1: book"),
        ({**DONE, "trades": [{**TRADE, "instrument": -1}]}, "trade 1: instrument"),
        ({**DONE, "trades": [{**TRADE, "quantity": "9"}]}, "trade 1: quantity"),
        ({**DONE, "trades": [{**TRADE, "quantity": 1e300}]}, "trade 1: quantity"),
        ({**DONE, "trades": [{**TRADE, "quantity": 10**400}]}, "trade 1: quantity"),
        ({**DONE, "trades": [{**TRADE, "quantity": float("nan")}]}, "trade 1: quantity"),
        ({**DONE, "trades": [{**TRADE, "price": "cheap"}]}, "trade 1: price"),
    ],
)
def test_what_cannot_be_is_said(told, said):
    with pytest.raises(AskError, match=said):
        read(told if isinstance(told, bytes) else pack(told))


def test_who_waits_is_told_also_when_it_cannot_be():
    with pytest.raises(AskError) as error:
        read(pack({**DONE, "trades": []}))
    assert error.value.name == "ab-1"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
keys = st.sampled_from(["type", "id", "alert", "person", "number", "trades"])
values = anything | st.sampled_from(["acknowledge", "what_if", "R. Okafor", [TRADE], "3-0-17", "x"])


@given(st.dictionaries(keys, values).map(pack) | st.binary(max_size=200) | anything.map(pack))
def test_nothing_else_is_raised(data):
    with contextlib.suppress(AskError):
        assert isinstance(read(data), Acknowledge | WhatIf)
