"""The synthetic market has what real streams have, and is the same for the same calls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.event import EVENT, NO_PRICE, OWN, PRICE_UNIT, Flag, Kind, Status
from ingest.fills import OPENING_FILLS
from ingest.instrument import AssetClass
from ingest.market import Market, _bust
from ingest.universe import universe

START_NS = 1_780_000_000_000_000_000
STEP_NS = 4_000_000
ROWS = universe()
CLASSES = np.array([row.asset_class for row in ROWS])
PLAIN = np.array([not row.right for row in ROWS])  # An option moves many times as much.
TICKS = np.array([round(row.tick * 1e9) for row in ROWS])
CLOSES = np.array([row.close_prev for row in ROWS])
USD = np.array([row.multiplier * row.usd_rate for row in ROWS])  # Of a point and a unit.


def stream(market: Market, seconds: float, rate: float, step_ns: int = STEP_NS) -> np.ndarray:
    """`seconds` of `market` in steps, as one array of EVENT."""
    steps, count = round(seconds * 1e9 / step_ns), round(rate * step_ns / 1e9)
    events = np.empty(steps * count, EVENT)
    for step in range(steps):
        ts = START_NS + step * step_ns
        events[step * count : (step + 1) * count] = market.step(ts, ts + step_ns, count)
    return events


@pytest.fixture(scope="module")
def events() -> np.ndarray:
    """Two seconds at 500,000 events/s, with many short halts: a million events."""
    return stream(Market(ROWS, halts_per_minute=1_200, halt_s=0.3), 2.0, 500_000)


def kind(events: np.ndarray, wanted: Kind) -> np.ndarray:
    return events[events["kind"] == wanted]


def two_sided(events: np.ndarray) -> np.ndarray:
    quotes = kind(events, Kind.QUOTE)
    return quotes[(quotes["bid"] != NO_PRICE) & (quotes["ask"] != NO_PRICE)]


def test_times_are_ordered_and_within_their_step(events: np.ndarray) -> None:
    assert (np.diff(events["ts_event"]) >= 0).all()
    steps = (events["ts_event"] - START_NS) // STEP_NS
    assert (np.bincount(steps) == 2_000).all()


def test_times_are_even_outside_bursts() -> None:
    market = Market(ROWS, bursts_per_second=0)
    times = market.step(START_NS, START_NS + 1_000_000, 1_000)["ts_event"]
    assert (times == START_NS + np.arange(1_000) * 1_000).all()


def test_four_fifths_are_quotes_and_every_class_speaks(events: np.ndarray) -> None:
    assert 0.79 < len(kind(events, Kind.QUOTE)) / len(events) < 0.81
    share = np.bincount(CLASSES[events["instrument"]], minlength=12) / len(events)
    assert share.min() > 0.005
    assert (events["source"] == CLASSES[events["instrument"]]).all()


def test_activity_is_like_zipf(events: np.ndarray) -> None:
    counts = np.sort(np.bincount(events["instrument"], minlength=len(ROWS)))[::-1]
    assert 0.2 < counts[:50].sum() / counts.sum() < 0.6
    assert counts[2_500:].sum() < 0.2 * counts.sum()


def test_quotes_and_trades_stand_on_tick_with_finite_sizes(events: np.ndarray) -> None:
    quotes, trades = two_sided(events), kind(events, Kind.TRADE)
    for prices, owners in (
        (quotes["bid"], quotes),
        (quotes["ask"], quotes),
        (trades["price"], trades),
    ):
        assert (prices % TICKS[owners["instrument"]] == 0).all()
    assert (quotes["bid_size"] > 0).all()
    assert (quotes["ask_size"] > 0).all()
    assert (trades["size"] >= 0).all()


def test_one_sided_quotes_have_no_size_on_the_absent_side(events: np.ndarray) -> None:
    quotes = kind(events, Kind.QUOTE)
    for side in ("bid", "ask"):
        absent = quotes[side] == NO_PRICE
        assert absent.sum() > 50
        assert (quotes[f"{side}_size"][absent] == 0).all()
    assert not ((quotes["bid"] == NO_PRICE) & (quotes["ask"] == NO_PRICE)).any()


def test_books_lock_and_cross_for_a_moment(events: np.ndarray) -> None:
    quotes = two_sided(events)
    broken = quotes[quotes["ask"] <= quotes["bid"]]
    assert (broken["ask"] < broken["bid"]).sum() > 10
    assert (broken["ask"] == broken["bid"]).sum() > 50
    end, mended = events["ts_event"][-1], 0
    for quote in broken:
        if quote["ts_event"] + 30_000_000 > end:
            continue
        own = events[(events["instrument"] == quote["instrument"])]
        own = own[(own["ts_event"] > quote["ts_event"]) & (own["kind"] != Kind.TRADE)]
        assert own["ts_event"][0] - quote["ts_event"] <= 21_000_000  # 20 ms and the next event.
        mended += 1
    assert mended > 50


def test_some_trades_are_of_size_0_some_ineligible_some_auctions(events: np.ndarray) -> None:
    trades = kind(events, Kind.TRADE)
    assert 40 < (trades["size"] == 0).sum() < 250
    assert 500 < (trades["flags"] & Flag.INELIGIBLE > 0).sum() < 2_000
    assert 40 < (trades["flags"] & Flag.AUCTION > 0).sum() < 400
    sided = trades["flags"] & (Flag.BUYER | Flag.SELLER)
    assert 0.45 < (sided == Flag.BUYER).mean() < 0.55
    assert not (sided == Flag.BUYER | Flag.SELLER).any()


def test_prices_are_negative_where_the_close_is(events: np.ndarray) -> None:
    quotes = two_sided(events)
    negative = quotes["bid"] < 0
    assert negative.sum() > 1_000
    assert set(CLASSES[quotes["instrument"][negative]]) == {int(AssetClass.COMMODITY_FUTURE)}
    trades = kind(events, Kind.TRADE)
    assert (trades["price"] < 0).sum() > 200
    assert (trades["price"][CLOSES[trades["instrument"]] > 0] > 0).all()


def test_a_halt_ends_and_nothing_happens_within(events: np.ndarray) -> None:
    statuses = kind(events, Kind.STATUS)
    assert (statuses["reference"] == Status.HALTED).sum() > 10
    resumed = 0
    for instrument in np.unique(statuses["instrument"]):
        own = events[events["instrument"] == instrument]
        halted = False
        for event in own[np.flatnonzero(own["kind"] == Kind.STATUS)[0] :]:
            if event["kind"] == Kind.STATUS:
                assert halted == (event["reference"] == Status.TRADING)
                halted = event["reference"] == Status.HALTED
                resumed += not halted
            else:
                assert not halted, f"kind {event['kind']} while halted"
    assert resumed > 5


def test_trading_resumes_with_an_auction(events: np.ndarray) -> None:
    places = np.flatnonzero(
        (events["kind"] == Kind.STATUS) & (events["reference"] == Status.TRADING)
    )
    for place in places[places + 1 < len(events)]:
        after = events[place + 1]
        assert (after["kind"], after["instrument"]) == (Kind.TRADE, events["instrument"][place])
        assert after["flags"] & Flag.AUCTION


def test_busts_repeat_a_real_earlier_trade_once(events: np.ndarray) -> None:
    chosen = events[(events["kind"] == Kind.TRADE) | (events["kind"] == Kind.BUST)]
    names = ("kind", "instrument", "reference", "price", "size", "flags")
    told = list(zip(*(chosen[name].tolist() for name in names), strict=True))
    alive: dict[int, tuple] = {}
    busts = corrections = 0
    for place, (what, instrument, reference, price, size, flags) in enumerate(told):
        said = (instrument, price, size, flags & ~Flag.CORRECTED)
        if what == Kind.TRADE:
            assert reference not in alive
            alive[reference] = said
            continue
        assert alive.pop(reference) == said  # KeyError: no such trade, or void already.
        if flags & Flag.CORRECTED and place + 1 < len(told):
            again = told[place + 1]
            assert again[:3] == (Kind.TRADE, instrument, reference)
            assert again[5] & Flag.CORRECTED
            assert again[3:5] != (price, size)
            corrections += 1
        busts += not flags & Flag.CORRECTED
    assert busts > 3
    assert corrections > 3


def test_a_trade_is_busted_once_only() -> None:
    market, words = Market(ROWS), np.zeros((1, 8), np.int64)
    market.step(START_NS, START_NS + 10**9, 20_000)
    rows, prints = market._rows, market._prints
    voided = []
    for _ in range(3_000):  # Of the 512 trades that the market remembers.
        place = (words, words.view(np.float64), 0, START_NS)
        if _bust(market._control[0], rows, prints, *place, False):
            voided.append(int(words[0, 5]))
    assert len(voided) > 400
    assert len(set(voided)) == len(voided)


def test_a_symbol_bursts_to_50_to_480_times_its_mean() -> None:
    market, seconds, per_bin = Market(ROWS), 600, 1_000  # 10,000 events/s in bins of 0.1 s.
    counts = np.zeros((seconds * 10, len(ROWS)), np.int16)
    for place in range(len(counts)):
        ts = START_NS + place * 100_000_000
        chosen = market.step(ts, ts + 100_000_000, per_bin)["instrument"]
        counts[place] = np.bincount(chosen, minlength=len(ROWS))
    sums = np.cumsum(counts, axis=0, dtype=np.int32)
    peaks = (sums[10:] - sums[:-10]).max(axis=0)  # The busiest second, wherever it begins.
    means = sums[-1] / seconds
    bursting = (peaks >= 200) & (peaks > 20 * means)
    assert bursting.sum() > 100
    ratios = peaks[bursting] / means[bursting]
    assert ratios.min() >= 50
    assert ratios.max() <= 480


@pytest.mark.parametrize("rate", [50_000, 500_000])
def test_a_symbol_makes_100_events_in_a_millisecond(rate: int) -> None:
    events = stream(Market(ROWS, bursts_per_second=10), 2.0, rate, 8_000_000)
    fullest = 0
    for instrument in np.flatnonzero(np.bincount(events["instrument"]) > 200):
        times = events["ts_event"][events["instrument"] == instrument]
        ends = np.searchsorted(times, times + 1_000_000)
        fullest = max(fullest, int((ends - np.arange(len(times))).max()))
    assert fullest >= 100


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 3_000), min_size=1, max_size=4))
def test_the_same_seed_and_calls_give_the_same_bytes(seed: int, counts: list[int]) -> None:
    rows = universe(300)

    def run(seed: int) -> bytes:
        market = Market(rows, seed)
        parts = [market.opening(START_NS).tobytes()]
        for place, count in enumerate(counts):
            ts = START_NS + place * 10**8
            parts += [market.step(ts, ts + 10**8, count).tobytes()]
            parts += [market.fills(ts, ts + 10**8).tobytes()]
        return b"".join(parts)

    assert run(seed) == run(seed)
    assert run(seed) != run(seed + 1)


def test_one_event_a_second_is_the_same_market() -> None:
    market = Market(ROWS)
    for place in range(50):
        ts = START_NS + place * 10**9
        (event,) = market.step(ts, ts + 10**9, 1)
        assert event["ts_event"] == ts
        assert KINDS_OF_A_MARKET[event["kind"]]


KINDS_OF_A_MARKET = np.array([False, True, True, True, True, False])


def middles(market: Market) -> np.ndarray:
    books = market.opening(START_NS)
    middle = (books["bid"] + books["ask"]) / 2 * PRICE_UNIT
    return np.where((books["bid"] == NO_PRICE) | (books["ask"] == NO_PRICE), np.nan, middle)


def test_a_day_later_prices_are_still_about_their_close() -> None:
    market = Market(ROWS)
    for hour in range(24):
        market.step(START_NS + hour * 3_600 * 10**9, START_NS + (hour + 1) * 3_600 * 10**9, 50_000)
    moved = middles(market) / CLOSES - 1
    for asset_class, day in ((0, 0.030), (3, 0.030), (7, 0.010), (8, 0.010), (10, 0.06)):
        moves = moved[np.equal(CLASSES, asset_class) & PLAIN]
        moves = moves[np.isfinite(moves)]
        assert 0.0005 < np.sqrt((moves**2).mean()) < day


def test_options_move_with_their_underlyings() -> None:
    market = Market(ROWS)
    market.step(START_NS, START_NS + 3_600 * 10**9, 500_000)
    now = middles(market)
    agreed = []
    for row in ROWS:
        if row.asset_class != AssetClass.EQUITY_OPTION or not row.strike:
            continue
        spot = CLOSES[row.underlying]
        move = now[row.underlying] - spot
        if abs(row.strike / spot - 1) < 0.05 and abs(move) > 0.008 * spot:
            sign = 1 if row.right == "C" else -1
            agreed.append(np.sign(now[row.id] - CLOSES[row.id]) == sign * np.sign(move))
    assert len(agreed) > 200
    assert np.mean(agreed) > 0.9


def test_opening_shows_every_book_once() -> None:
    events = Market(ROWS).opening(START_NS)
    assert (events["instrument"] == np.arange(len(ROWS))).all()
    assert (events["kind"] == Kind.QUOTE).all()
    assert (events["flags"] == Flag.SNAPSHOT).all()
    assert (events["ts_event"] == START_NS).all()
    sided = two_sided(events)
    assert len(sided) > 0.98 * len(events)
    assert (sided["ask"] > sided["bid"]).all()


def test_bad_arguments_are_refused() -> None:
    market = Market(universe(12))
    for until, count in ((START_NS, 1), (START_NS - 1, 1), (START_NS + 1, -1)):
        with pytest.raises(ValueError, match=r"market.step: .* give"):
            market.step(START_NS, until, count)
    with pytest.raises(ValueError, match="market: instrument ids"):
        Market(universe(20)[1:])


def test_fills_open_the_books_and_keep_to_the_size_of_a_fund() -> None:
    market, held, later = Market(ROWS), np.zeros((8, len(ROWS))), 0
    for second in range(300):
        ts = START_NS + second * 10**9
        books = market.opening(ts)
        told = market.fills(ts, ts + 10**9)
        assert OWN[told["kind"]].all()
        assert (np.diff(told["ts_event"]) >= 0).all()
        fills = told[(told["kind"] == Kind.FILL) & (told["flags"] & Flag.CORRECTED == 0)]
        own = books[fills["instrument"]]
        assert (fills["price"] >= own["bid"]).all()
        assert (fills["price"] <= own["ask"]).all()
        assert (fills["fee"] >= 0).all()
        np.add.at(held, (fills["book"], fills["instrument"]), fills["size"])
        if second == 0:
            assert len(fills) > 0.95 * OPENING_FILLS
            assert set(fills["book"]) == set(range(8))
        later += len(fills) if second else 0
        market.step(ts, ts + 10**9, 1_000)
    assert 3 < later / 299 < 10
    worth = np.abs(held * CLOSES * USD)[held != 0] / 1e6
    assert np.mean((worth > 0.05) & (worth < 20)) > 0.97
    assert worth.max() < 25
    assert 100 < worth.sum() < 3_000
