"""What a page may ask of `risk`: what is of the right shape goes on, and nothing beside it."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ask import TEXT_MAX, TRADES_MAX, ask

TRADE = {"book": 2, "instrument": 17, "quantity": -5, "price": None}
ACKNOWLEDGE = {"type": "acknowledge", "alert": "3-0-17", "person": " Ann Lee "}


def test_an_acknowledgement_is_in_the_name_that_the_server_knows():
    made = ask(ACKNOWLEDGE | {"extra": "x" * 9}, "", "web-1-1")
    plain = {"type": "acknowledge", "id": "web-1-1", "alert": "3-0-17"}
    assert made == plain | {"person": "Ann Lee"}
    assert ask(ACKNOWLEDGE, "Bo", "n") == plain | {"id": "n", "person": "Bo"}
    assert ask(plain, "Bo", "n") == plain | {"id": "n", "person": "Bo"}
    assert ask(ACKNOWLEDGE | {"number": 3}, "", "n")["number"] == 3


def test_trades_are_built_anew():
    trades = [TRADE | {"admin": True}, {"book": 0, "instrument": 0, "quantity": 1.5, "price": 9}]
    made = ask({"type": "what_if", "trades": trades, "id": "page's", "person": "x"}, "", "n")
    assert made == {
        "type": "what_if",
        "id": "n",
        "trades": [
            {"book": 2, "instrument": 17, "quantity": -5.0},
            {"book": 0, "instrument": 0, "quantity": 1.5, "price": 9.0},
        ],
    }


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "sell_everything"},
        {"type": ["acknowledge"]},
        {"type": "acknowledge", "person": "Ann"},
        ACKNOWLEDGE | {"alert": ""},
        ACKNOWLEDGE | {"alert": 7},
        ACKNOWLEDGE | {"person": " "},
        ACKNOWLEDGE | {"person": None},
        ACKNOWLEDGE | {"person": "A\u202enn"},
        ACKNOWLEDGE | {"person": "x" * (TEXT_MAX + 1)},
        ACKNOWLEDGE | {"number": True},
        ACKNOWLEDGE | {"number": "1"},
        {"type": "what_if"},
        {"type": "what_if", "trades": []},
        {"type": "what_if", "trades": {"0": TRADE}},
        {"type": "what_if", "trades": [TRADE] * (TRADES_MAX + 1)},
        {"type": "what_if", "trades": ["x"]},
        {"type": "what_if", "trades": [TRADE | {"book": 64}]},
        {"type": "what_if", "trades": [TRADE | {"book": -1}]},
        {"type": "what_if", "trades": [TRADE | {"book": 1.0}]},
        {"type": "what_if", "trades": [TRADE | {"instrument": True}]},
        {"type": "what_if", "trades": [TRADE | {"instrument": 10**30}]},
        {"type": "what_if", "trades": [TRADE | {"quantity": "1"}]},
        {"type": "what_if", "trades": [TRADE | {"quantity": math.nan}]},
        {"type": "what_if", "trades": [TRADE | {"quantity": 10**400}]},
        {"type": "what_if", "trades": [TRADE | {"price": math.inf}]},
        {"type": "what_if", "trades": [{"book": 1}]},
    ],
)
def test_nonsense_goes_no_further(message):
    with pytest.raises((ValueError, TypeError, KeyError)):
        ask(message, "", "n")


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(["acknowledge", "what_if"]),
    st.dictionaries(st.sampled_from(["alert", "person", "number", "trades"]), anything),
)
def test_what_goes_on_is_json_of_known_keys(kind, fields):
    try:
        made = ask({"type": kind, **fields}, "", "n")
    except (ValueError, TypeError, KeyError):
        return
    assert set(made) <= {"type", "id", "alert", "person", "number", "trades"}
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_what_goes_on_is_understood_by_risk():
    from compute.ask import Acknowledge, WhatIf, read

    heard = read(json.dumps(ask(ACKNOWLEDGE | {"number": 2}, "", "web-5006-1-1")).encode())
    assert heard == Acknowledge("web-5006-1-1", "3-0-17", "Ann Lee", 2)
    heard = read(json.dumps(ask({"type": "what_if", "trades": [TRADE]}, "", "a-1")).encode())
    assert isinstance(heard, WhatIf)
    assert heard.trades[0] == (2, 17, -5.0, None)
