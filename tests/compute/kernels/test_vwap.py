"""Averages against exact arithmetic, and the minute against one that remembers everything."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import START_NS, instruments
from compute.engine import Engine
from ingest.event import EVENT, Flag, Kind

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


WINDOWS = {"vwap_1m": 1, "vwap_5m": 5, "vwap_30m": 30}  # Column, seconds of a bucket.


def exact_mean(events: np.ndarray, indexes: list[int]) -> float:
    sizes = [Fraction(size) for size in events["size"][indexes]]
    value = sum(p * q for p, q in zip(events["price"][indexes].tolist(), sizes, strict=True))
    return float(value / sum(sizes) / 10**9)


@given(st.lists(ticks, min_size=1, max_size=60), st.sampled_from([1, 4, 40]))
@settings(deadline=None)
def test_a_window_is_the_trades_of_its_last_60_buckets_of_event_time(steps, pace):
    events = np.zeros(len(steps), EVENT)
    events["kind"] = Kind.TRADE
    now = np.cumsum([step[0] for step in steps]) * 100_000_000 * pace
    late = np.array([step[1] for step in steps]) * 100_000_000 * pace
    events["ts_event"] = START_NS + now - late
    events["instrument"] = 10  # Crypto: the session lasts 1 h 46 min from here.
    events = events[events["ts_event"] < START_NS + 6_300 * 10**9]
    events["price"] = [step[2] * 10**7 for step in steps[: len(events)]]
    events["size"] = [step[3] for step in steps[: len(events)]]
    engine = Engine(instruments(12))
    seconds = events["ts_event"] // 10**9
    # A trade that was late beyond a window is in no bucket and never enters one.
    entered: dict[str, list[int]] = {name: [] for name in WINDOWS}
    newest = 0
    for index, second in enumerate(seconds.tolist()):
        engine.step(events[index : index + 1], None)
        newest = max(newest, second)
        for name, width in WINDOWS.items():
            first = newest // width - 60
            if second // width > first:
                entered[name].append(index)
            inside = [k for k in entered[name] if seconds[k] // width > first]
            shown = float(engine._state[name][10])
            if not inside:
                assert np.isnan(shown)
                continue
            truth = exact_mean(events, inside)
            assert abs(shown - truth) <= 4e-15 * max(abs(truth), 1e-9)


def joined(*parts: np.ndarray) -> np.ndarray:
    """Of EVENT still: numpy's own would lay the union out flat."""
    return np.frombuffer(b"".join(part.tobytes() for part in parts), EVENT)


@given(
    st.lists(
        st.tuples(
            *(st.integers(0, 90), st.integers(1, 10**15), st.floats(1e-8, 1e8)),
            *(st.booleans(), st.sampled_from([0, 0, 1, 2])),  # auction; busted, corrected
        ),
        min_size=1,
        max_size=32,
    )
)
@settings(deadline=None)
def test_busts_and_corrections_re_derive_every_average(steps):
    events = np.zeros(len(steps), EVENT)
    events["kind"], events["reference"] = Kind.TRADE, np.arange(len(steps))
    events["ts_event"] = START_NS + np.cumsum([step[0] for step in steps]) * 10**9
    events["price"], events["size"] = [s[1] for s in steps], [s[2] for s in steps]
    events["flags"] = [int(Flag.AUCTION) if step[3] else 0 for step in steps]
    events["instrument"] = 10
    fate = np.array([step[4] for step in steps])
    busts = events[fate > 0].copy()
    busts["kind"], busts["ts_event"] = Kind.BUST, events["ts_event"][-1]
    busts["flags"] |= np.where(fate[fate > 0] == 2, int(Flag.CORRECTED), 0).astype(np.uint8)
    corrected = events[fate == 2].copy()
    corrected["price"] += 1_000_000_000
    corrected["ts_event"] = events["ts_event"][-1]
    told = joined(events, busts, corrected)
    left = joined(events[fate == 0], corrected)
    engine = Engine(instruments(12))
    engine.step(told, None)
    assert engine.counters["busts_unmatched"] == 0
    newest = int(events["ts_event"][-1]) // 10**9
    inside = {"vwap": left, "vwap_ex": left[left["flags"] & Flag.AUCTION == 0]}
    for name, width in WINDOWS.items():
        inside[name] = left[left["ts_event"] // 10**9 // width > newest // width - 60]
    for name, trades_left in inside.items():
        shown = float(engine._state[name][10])
        if len(trades_left) == 0:
            assert np.isnan(shown)
            continue
        truth = exact_mean(trades_left, list(range(len(trades_left))))
        # Sums of 106 bits: 2**-104 of what went through them, of which little may be left.
        through = Fraction(float((told["price"] * told["size"]).sum()))
        size = sum(Fraction(one) for one in trades_left["size"])
        slack = float(through / size / 10**9) * 2.0**-95
        assert abs(shown - truth) <= 4e-15 * abs(truth) + slack


def test_without_auctions_is_the_session_less_its_auctions(market):
    market.trade(10.0, 100.0, ident=1, flags=Flag.AUCTION)
    assert market.cells("vwap") == [10.0]
    assert np.isnan(market.cell("vwap_ex"))
    market.trade(12.0, 50.0, ident=2)
    market.trade(14.0, 50.0, ident=3)
    assert market.cells("vwap", "vwap_ex") == [11.5, 13.0]
    market.bust(10.0, 100.0, ident=1, flags=Flag.AUCTION)
    assert market.cells("vwap", "vwap_ex") == [13.0, 13.0]


def test_quotes_let_the_minute_pass_too(market):
    market.trade(10.0, at=0)
    market.quote(9.0, 11.0, at=59.999)
    assert market.cell("vwap_1m") == 10.0
    market.quote(9.0, 11.0, at=60.0)
    assert np.isnan(market.cell("vwap_1m"))
    assert market.cells("vwap", "vwap_5m", "vwap_30m") == [10.0, 10.0, 10.0]
    market.quote(9.0, 11.0, at=1_830.0)
    assert np.isnan(market.cell("vwap_30m"))
    assert market.cell("vwap") == 10.0
