"""Averages against exact arithmetic, and the minute against one that remembers everything."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import START_NS, instruments
from compute.engine import Engine
from compute.enriched import ENRICHED
from ingest.event import EVENT, Kind

VWAP_ERROR_MAX = 1e-12  # The stated bound, relative; in truth a few times 1e-16.


def trades(count: int, rng: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
    events = np.zeros(count, EVENT)
    events["kind"] = Kind.TRADE
    events["ts_event"] = START_NS + np.arange(count) * 1_000_000
    events["price"] = rng.integers(600_000_000_000_000, 700_000_000_000_000, count)  # 600,000.
    events["size"] = sizes
    events["reference"] = np.arange(count)
    return events


def busts_of(events: np.ndarray) -> np.ndarray:
    busts = events.copy()
    busts["kind"] = Kind.BUST
    return busts


def session_vwap(engine: Engine) -> float:
    return float(engine._state["vwap"][0])


def test_a_million_trades_and_busts_stay_within_1e_12_of_exact():
    rng = np.random.default_rng(5)
    engine = Engine(instruments(1))
    value = size = 0
    for _ in range(50):
        events = trades(20_000, rng, rng.integers(1, 10**7, 20_000).astype(float))
        void = rng.random(20_000) < 0.5
        engine.step(events, None)
        engine.step(busts_of(events[void]), None)
        kept = events[~void]
        value += sum(p * int(q) for p, q in zip(kept["price"].tolist(), kept["size"], strict=True))
        size += int(kept["size"].sum())
    assert engine.counters["busts_unmatched"] == 0
    row = engine._state[0]
    assert Fraction(row["sum_value"]) + Fraction(row["sum_value_low"]) == value  # Exactly.
    assert Fraction(row["sum_size"]) + Fraction(row["sum_size_low"]) == size
    truth = Fraction(value, size) / 10**9
    assert abs(Fraction(session_vwap(engine)) / truth - 1) <= Fraction(VWAP_ERROR_MAX)


def test_decimal_sizes_of_any_scale_stay_within_1e_12_of_exact():
    rng = np.random.default_rng(6)
    engine = Engine(instruments(1))
    sizes = 10.0 ** rng.integers(-8, 9, 20_000) * rng.random(20_000)
    events = trades(20_000, rng, sizes)
    engine.step(events, None)
    engine.step(busts_of(events[::2]), None)
    kept = [
        (price, Fraction(size))
        for price, size in zip(events["price"][1::2].tolist(), sizes[1::2], strict=True)
    ]
    truth = sum(price * size for price, size in kept) / sum(size for _, size in kept) / 10**9
    assert abs(Fraction(session_vwap(engine)) / truth - 1) <= Fraction(VWAP_ERROR_MAX)


def test_all_busts_leave_exactly_nothing():
    rng = np.random.default_rng(7)
    engine = Engine(instruments(1))
    events = trades(5_000, rng, rng.random(5_000))
    engine.step(events, None)
    engine.step(busts_of(rng.permutation(events)), None)
    row = engine._state[0]
    names = ("sum_value", "sum_value_low", "sum_size", "sum_size_low", "volume", "trades")
    assert [row[name] for name in names] == [0.0] * 6
    assert np.isnan(row["vwap"])


ticks = st.tuples(
    st.integers(0, 2_500),  # tenths of a second since the tick before
    st.integers(0, 700),  # and how late the trade is
    st.integers(-50, 500),  # price
    st.sampled_from([1.0, 0.1, 250.0, 1e9]),
)


@given(st.lists(ticks, min_size=1, max_size=60))
@settings(deadline=None)
def test_the_minute_is_the_trades_of_the_last_60_seconds_of_event_time(steps):
    events = np.zeros(len(steps), EVENT)
    events["kind"] = Kind.TRADE
    now = np.cumsum([step[0] for step in steps]) * 100_000_000
    events["ts_event"] = START_NS + now - np.array([step[1] for step in steps]) * 100_000_000
    events["price"] = [step[2] * 10**7 for step in steps]
    events["size"] = [step[3] for step in steps]
    out = np.zeros(len(events), ENRICHED)
    Engine(instruments(1)).step(events, out)
    seconds = events["ts_event"] // 10**9
    newest = 0
    # A trade that was late beyond the minute is in no bucket and never enters one.
    entered: list[int] = []
    for index, second in enumerate(seconds.tolist()):
        newest = max(newest, second)
        if second > newest - 60:
            entered.append(index)
        inside = [k for k in entered if seconds[k] > newest - 60]
        if not inside:
            assert np.isnan(out["vwap_1m"][index])
            continue
        sizes = [Fraction(size) for size in events["size"][inside]]
        value = sum(p * q for p, q in zip(events["price"][inside].tolist(), sizes, strict=True))
        truth = float(value / sum(sizes) / 10**9)
        assert abs(out["vwap_1m"][index] - truth) <= 4e-15 * max(abs(truth), 1e-9)


def test_quotes_let_the_minute_pass_too(market):
    market.trade(10.0, at=0)
    market.quote(9.0, 11.0, at=59.999)
    assert market.cell("vwap_1m") == 10.0
    market.quote(9.0, 11.0, at=60.0)
    assert np.isnan(market.cell("vwap_1m"))
    assert market.cell("vwap") == 10.0
