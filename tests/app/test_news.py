"""What happened, made of two looks at the mirror."""

from types import SimpleNamespace

import numpy as np
import pytest

from app.news import FIRST_MAX, LEAP_MS, MOVE_STEP_PCT, NEWS_MAX, News
from app.view import View, match_key, view_key
from compute.table import INSTRUMENTS, POSITIONS, State
from ingest.instrument import AssetClass, Reference
from ingest.universe import universe

ROWS = universe(400)
SHARE = next(row.id for row in ROWS if row.asset_class == AssetClass.EQUITY)
OPTION = next(row.id for row in ROWS if row.strike is not None)
STATE, CHANGE, TS = (INSTRUMENTS.index(name) for name in ("state", "change", "ts_event"))
SECOND_NS = 1_000_000_000
NOW_MS = 1_800_000_000_000.0


def market():
    """Everything trades, nothing has moved."""
    table = INSTRUMENTS.empty(len(ROWS))
    table[:, STATE], table[:, CHANGE], table[:, TS] = 0.0, 0.0, NOW_MS - 5.0
    reference = Reference(ROWS)
    return SimpleNamespace(tables={INSTRUMENTS.name: table}, reference=reference), table


def look(news, after_s):
    """Whether anything was new then."""
    return news.refresh(round(NOW_MS * 1e6) + round(after_s * SECOND_NS))


def test_a_halt_is_told_once_and_its_end_too():
    mirror, table = market()
    news = News({}, mirror)
    assert not look(news, 0)
    table[SHARE, STATE] = State.HALTED | State.ESTIMATED
    table[SHARE, TS] = NOW_MS + 900.0
    assert look(news, 1)
    assert not look(news, 2)
    ms, row, now, was, move = news.rows[-1]
    assert (ms, row, now, was) == (NOW_MS + 900.0, SHARE, State.HALTED, 0)
    assert np.isnan(move)
    table[SHARE, STATE] = 0
    assert look(news, 3)
    assert news.rows[-1, 2:4].tolist() == [0, State.HALTED]
    assert len(news.rows) == 2


def test_what_is_of_a_moment_is_no_news():
    mirror, table = market()
    news = News({}, mirror)
    look(news, 0)
    table[:, STATE] = State.CROSSED | State.ONE_SIDED | State.INDICATIVE | State.LOCKED
    assert not look(news, 1)


def test_what_stands_at_the_first_look_is_told_but_not_a_market_s_worth():
    mirror, table = market()
    table[:, STATE] = State.HALTED
    news = News({}, mirror)
    assert look(news, 0)
    assert len(news.rows) == FIRST_MAX


def test_a_move_is_told_at_each_step_away_from_nought_and_not_on_the_way_back():
    mirror, table = market()
    news = News({}, mirror)
    look(news, 0)
    said = []
    for second, change in enumerate((4.9, 5.1, 4.0, 5.2, -5.5, 11.0), 1):
        table[SHARE, CHANGE] = table[OPTION, CHANGE] = change
        if look(news, second):
            said.append(news.rows[-1, 4])
    assert said == [MOVE_STEP_PCT, -MOVE_STEP_PCT, 2 * MOVE_STEP_PCT]
    assert set(news.rows[:, 1]) == {SHARE}  # Options move so all day long.


def test_the_list_has_a_limit_and_begins_anew_at_another_moment():
    mirror, table = market()
    news = News({}, mirror)
    for second in range(6):
        table[:60, STATE] = State.AUCTION if second % 2 else 0
        look(news, second)
    assert len(news.rows) == NEWS_MAX
    assert (np.diff(news.rows[:, 0]) >= 0).all()
    look(news, 6 + 2 * LEAP_MS / 1e3)
    assert len(news.rows) == 0
    look(news, 0)  # Back in time.
    assert len(news.rows) == 0


def test_a_market_that_grows_is_followed():
    mirror, table = market()
    news = News({}, mirror)
    mirror.tables[INSTRUMENTS.name] = table[:100]
    look(news, 0)
    mirror.tables[INSTRUMENTS.name] = table
    table[300, STATE] = State.HALTED
    assert look(news, 1)
    assert news.rows[:, 1].tolist() == [300]


def test_a_filter_finds_words_currencies_and_several_books():
    """Each word in the symbol; a currency is what a line is paid in; a strategy is some books."""
    table = POSITIONS.empty(40)
    table[:30, POSITIONS.index("book")] = np.arange(30) % 3
    table[:30, POSITIONS.index("instrument")] = np.arange(30)
    rows = INSTRUMENTS.empty(len(ROWS))
    mirror = SimpleNamespace(
        tables={"instruments": rows, "positions": table},
        changed={"instruments": rows * 0, "positions": table * 0},
        reference=Reference(ROWS),
        reference_version=1,
    )

    def found(of, match=None, **asked):
        key = view_key(of, ["ts_event"] if of == "instruments" else ["quantity"])
        key = key._replace(match=match_key(of, match or {}), **asked)
        return View(key, mirror).order.tolist()

    assert found("positions", {"book": [0, 2]}) == [k for k in range(30) if k % 3 != 1]
    assert found("positions", {"book": 1}) == list(range(1, 30, 3))
    euro = [row.id for row in ROWS if row.currency == "EUR"]
    assert found("instruments", text="currency:eur") == euro
    assert 0 < len(euro) < len(ROWS)
    option = ROWS[OPTION].symbol.split()
    assert OPTION in found("instruments", text=f"{option[-1]} {option[0]}")
    with pytest.raises(ValueError, match="64 at most"):
        match_key("positions", {"book": list(range(65))})
