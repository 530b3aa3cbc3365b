"""Bars, voids and books in a real ClickHouse engine, compared with the events themselves."""

import numpy as np
import pytest

from compute import bars, chain, history, past, snapshot
from compute.archive import Archive, Block
from compute.engine import Engine
from compute.enriched import ENRICHED
from compute.fold import Fold
from compute.gather import fill
from compute.mend import Mender
from compute.row import SCHEMA
from compute.table import BOOKS, INSTRUMENTS, POSITIONS
from ingest import condition
from ingest.event import EVENT, PRICE_UNIT, Flag, Kind
from ingest.instrument import Instrument, Reference

START_NS = 1_700_000_040_000_000_000  # A whole minute.
SECOND_NS = 1_000_000_000
PLACE = (0, 1)


@pytest.fixture
def archive(archive: Archive) -> Archive:
    for statement in (*bars.ddl(archive.database), *snapshot.ddl(archive.database)):
        archive.command(statement)
    return archive


def events(total: int, seed: int, seconds: float = 200.0) -> np.ndarray:
    """Quotes, trades (some ineligible, some of size 0) and busts of a few instruments."""
    draw = np.random.default_rng(seed)
    made = np.zeros(total, EVENT)
    made["ts_event"] = START_NS + np.sort(draw.integers(0, int(seconds * 1e9), total))
    late = draw.random(total) < 0.02  # A few out of order.
    made["ts_event"][late] -= np.minimum(
        draw.integers(0, 3 * SECOND_NS, late.sum()), made["ts_event"][late] - START_NS
    )
    made["instrument"] = draw.integers(3, 7, total)
    made["kind"] = draw.choice([Kind.QUOTE, Kind.TRADE], total, p=[0.5, 0.5])
    made["price"] = draw.integers(90, 110, total) * 10**9
    made["size"] = draw.integers(0, 9, total)
    made["reference"] = np.arange(total) + 1
    made["flags"] = draw.choice([0, Flag.INELIGIBLE, Flag.BUYER], total, p=[0.6, 0.1, 0.3])
    for at in draw.integers(total // 10, total, total // 60):  # Busts of earlier trades.
        mine = np.flatnonzero(
            (made["instrument"][:at] == made["instrument"][at]) & (made["kind"][:at] == Kind.TRADE)
        )
        if len(mine):
            voided = made[mine[max(0, len(mine) - draw.integers(1, 60))]].copy()
            voided["kind"], voided["ts_event"] = Kind.BUST, made["ts_event"][at]
            made[at] = voided
    return made


def blocks(made: np.ndarray, cut: int, frame: int = 25) -> list[np.ndarray]:
    """Rows (RECORD) of whole frames, `cut` frames a block."""
    numbers = np.zeros(len(made), ENRICHED)
    numbers["vwap"], numbers["volume"] = np.arange(len(made)), np.arange(len(made)) * 2.0
    numbers["pnl"] = np.arange(len(made)) * 3.0
    numbers["position"] = made["instrument"] == 4  # Of others quiet seconds are not kept.
    frames = [
        (k, k * frame, min(frame, len(made) - k * frame)) for k in range(-(-len(made) // frame))
    ]
    cuts = range(0, len(frames), cut)
    return [fill(PLACE, frames[at : at + cut], made, numbers) for at in cuts]


def record(archive: Archive, rows: np.ndarray) -> None:
    identity = (*PLACE, int(rows["offset"][0]), int(rows["offset"][-1]), len(rows), SCHEMA)
    digest = chain.leaf(identity, [rows.tobytes()])
    sealed = chain.Sealed(*identity, digest, chain.link(chain.ORIGIN, digest))
    archive.insert([Block(sealed, 1, START_NS, [rows])])


def same(archive: Archive, step_s: int, to_s: int = 240) -> None:
    for instrument in range(3, 6):
        end = START_NS + to_s * SECOND_NS
        exact = history.bars(archive, instrument, START_NS, end, step_s)
        exact = exact[exact[:, 6] > 0]
        made = past.bars(archive, instrument, START_NS, end, step_s)
        np.testing.assert_allclose(made[:, :7], exact, rtol=1e-12, err_msg=f"{instrument}")


@pytest.mark.parametrize("cut", [7, 1000])
def test_bars_say_what_the_events_say(archive: Archive, cut: int) -> None:
    fold = Fold(archive)
    for number, rows in enumerate(blocks(events(3_000, cut), cut)):
        record(archive, rows)
        fold.add([rows])
        if number % 5 == 4:
            fold.flush()
    fold.flush()
    assert archive.rows(f"SELECT count() FROM {archive.database}.voids")[0][0] > 10
    for step_s in (1, 5, 60):
        same(archive, step_s)
    archive.command(f"OPTIMIZE TABLE {archive.database}.bars FINAL")
    same(archive, 60)


def test_bars_that_lost_trades_stand_corrected(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = events(3_000, 21)
    for at in np.flatnonzero(made["kind"] == Kind.BUST):  # Of trades that the recorder still knows.
        mine = (made["instrument"] == made["instrument"][at]) & (made["kind"] == Kind.TRADE)
        voided, moment = made[np.flatnonzero(mine[:at])[-2]].copy(), made["ts_event"][at]
        voided["kind"], voided["ts_event"] = Kind.BUST, moment
        made[at] = voided
    made["ts_event"][-40:] = START_NS + np.arange(40) * SECOND_NS  # Much too late.
    rows, mender = blocks(made, 10), Mender(archive)
    fold = Fold(archive, mender.add)
    corrections = f"SELECT count(), sum(voids) FROM {archive.database}.corrections WHERE span_s = "
    asked: list[str] = []
    raw = archive.raw
    monkeypatch.setattr(
        archive, "raw", lambda query, *a, **more: (asked.append(query), raw(query, *a, **more))[1]
    )

    def take(parts: list[np.ndarray]) -> None:
        for part in parts:
            record(archive, part)
            fold.add([part])
        fold.flush()

    take(rows[:-4])
    for now, newest_ns in ((0.0, 0), (40.0, START_NS + 60 * SECOND_NS)):
        assert not mender.step(now, newest_ns), "no minute is over yet"
    assert mender.due
    assert mender.step(80.0, START_NS + 900 * SECOND_NS)
    assert not mender.due
    busted = archive.rows(f"SELECT uniq(id) FROM {archive.database}.voids WHERE ts_trade > 0")[0][0]
    for span_s in bars.SPANS_S:
        count, left_out = archive.rows(f"{corrections}{span_s}")[0]
        assert left_out == busted > count - 1 > 10 or span_s == 60
    assert archive.rows(f"SELECT min(ts_trade) > 0 FROM {archive.database}.voids")[0][0]
    asked.clear()
    for step_s in (1, 5, 60, 120):
        same(archive, step_s)
    assert not any(".events " in query for query in asked), "nothing is made anew again"
    assert any(".corrections " in query for query in asked)
    take(rows[-4:])  # What comes to a corrected bar later counts.
    for step_s in (1, 60):
        same(archive, step_s)
    archive.command(f"TRUNCATE TABLE {archive.database}.corrections")
    later = Mender(archive)
    for now in (0.0, 40.0):
        later.step(now, START_NS + 900 * SECOND_NS)
    asked.clear()
    same(archive, 60)
    assert not any(".events " in query for query in asked), "it found what was left"


@pytest.mark.parametrize("flushed", [0, 9])
def test_a_killed_recorder_folds_each_row_once(archive: Archive, flushed: int) -> None:
    rows = blocks(events(3_000, 5), 10)
    rows, later = rows[:-3], rows[-3:]
    first = Fold(archive)
    for number, part in enumerate(rows):
        record(archive, part)
        first.add([part])
        if number == flushed:
            first.flush()
            first.flush()  # Nothing is open: nothing is inserted.
    second = Fold(archive)  # What the first one held in memory is gone.
    second.begin(archive.highest_offsets())
    assert second.catch_up()
    for part in later:  # Recorded while it catches up.
        record(archive, part)
        second.add([part])
    while second.catch_up():
        pass
    second.flush()
    same(archive, 1)
    same(archive, 60)
    third = Fold(archive)
    third.begin(archive.highest_offsets())
    third.flush()
    same(archive, 60)


def test_an_insert_that_got_no_answer_is_repeated_as_it_was(archive: Archive) -> None:
    rows = blocks(events(2_000, 8), 1000)
    fold = Fold(archive)
    for part in rows:
        record(archive, part)
        fold.add([part])
    send, lost = archive.send, []

    def failing(*given: object) -> None:
        send(*given)  # type: ignore[arg-type]
        if not lost and given[0] == "bars":
            lost.append(given)
            raise OSError("the answer is lost")

    archive.send = failing  # type: ignore[method-assign]
    with pytest.raises(OSError, match="lost"):
        fold.flush()
    fold.flush()
    same(archive, 1)


def test_series_is_the_state_after_the_newest_event(archive: Archive) -> None:
    made = events(3_000, 9)
    fold = Fold(archive)
    for rows in blocks(made, 3):
        record(archive, rows)
        fold.add([rows])
        fold.flush()
    found = past.series(
        archive, 4, START_NS, START_NS + 240 * SECOND_NS, 10, ("last", "vwap", "pnl")
    )
    mine = np.flatnonzero(made["instrument"] == 4)
    steps = made["ts_event"][mine] // (10 * SECOND_NS) * 10_000
    for t, last, vwap, pnl in found:
        inside = mine[steps == t]
        newest = inside[np.lexsort((inside, made["ts_event"][inside]))][-1]
        assert (vwap, pnl) == (newest, 3.0 * newest)
        traded = inside[
            (made["kind"][inside] == Kind.TRADE)
            & (made["size"][inside] > 0)
            & (made["flags"][inside] & Flag.INELIGIBLE == 0)
        ]
        if len(traded):
            price = made["price"][traded[np.lexsort((traded, made["ts_event"][traded]))][-1]]
            assert last == pytest.approx(price * 1e-9)
        else:
            assert np.isnan(last)
    assert len(found) == len(np.unique(steps))


def test_views_are_bars_with_their_busts_counted(archive: Archive) -> None:
    fold = Fold(archive)
    for rows in blocks(events(2_000, 4), 20):
        record(archive, rows)
        fold.add([rows])
        fold.flush()
    end = START_NS + 240 * SECOND_NS
    made = {row[0]: row for row in past.bars(archive, 5, START_NS, end, 60)}
    shown = archive.rows(
        "SELECT toUnixTimestamp(toDateTime(ts)) * 1000., open, close, volume, trades, voided "
        f"FROM {archive.database}.bars_1m WHERE instrument = 5 ORDER BY ts"
    )
    assert len(shown) == 4
    for t, opened, close, volume, trades, voided in shown:
        if not voided:
            wanted = made[t][[1, 4, 6, 7]]
            assert (opened, close, volume, trades) == pytest.approx(tuple(wanted))
        else:
            assert volume >= made[t][6]
    assert sum(row[5] for row in shown) > 0


def test_levels_are_the_volume_at_each_price(archive: Archive) -> None:
    made = events(2_000, 3)
    fold = Fold(archive)
    for rows in blocks(made, 1000):
        record(archive, rows)
        fold.add([rows])
    fold.flush()
    found = past.levels(archive, PLACE, 5, START_NS, START_NS + 300 * SECOND_NS)
    busted = made["reference"][made["kind"] == Kind.BUST]
    mine = made[(made["instrument"] == 5) & (made["kind"] == Kind.TRADE)]
    mine = mine[~np.isin(mine["reference"], busted) & (mine["size"] > 0)]
    prices = np.unique(mine["price"])[::-1]
    np.testing.assert_allclose(found[:, 0], prices * 1e-9)
    volume = [mine["size"][mine["price"] == price].sum() for price in prices]
    np.testing.assert_allclose(found[:, 1], volume)
    bought = [
        mine["size"][(mine["price"] == price) & (mine["flags"] & Flag.BUYER > 0)].sum()
        for price in prices
    ]
    np.testing.assert_allclose(found[:, 2], bought)


def test_books_and_positions_are_known_as_of_then(archive: Archive) -> None:
    tables = {"books": BOOKS.empty(4), "positions": POSITIONS.empty(6)}
    tables["books"][:2] = 0.0
    tables["books"][:2, BOOKS.index("positions")] = 2
    tables["positions"][0] = np.arange(POSITIONS.width)
    taken = snapshot.Snapshot(archive)
    for second in range(130):
        tables["books"][:2, BOOKS.index("pnl")] = (second, -second)
        now_ns = START_NS + second * SECOND_NS + 5
        assert taken.due(now_ns)
        taken.take(tables, now_ns)
        assert not taken.due(now_ns + 1)
    taken.flush()
    end = START_NS + 200 * SECOND_NS
    minutes = past.books(archive, START_NS, end, 60, 1)
    assert minutes[:, [1, 2]].tolist() == [
        [START_NS / 1e6, -59.0],
        [START_NS / 1e6 + 60_000, -119.0],
        [START_NS / 1e6 + 120_000, -129.0],
    ]
    assert len(past.books(archive, START_NS, end, 1, None)) == 260
    held = archive.rows(
        f"SELECT book, instrument, quantity, count() FROM {archive.database}.positions GROUP BY ALL"
    )
    assert [tuple(row) for row in held] == [(0, 1, 2.0, 3)]


def test_clocks_are_kept_as_told(archive: Archive) -> None:
    row = {"ts": START_NS + 7, "host": "a", "role": "host", "reference": "unknown"}
    snapshot.tell(archive, "clocks", [row | {"offset_ns": -3, "uncertainty_ns": 5}])
    found = archive.rows(
        f"SELECT toUnixTimestamp64Nano(ts), host, offset_ns FROM {archive.database}.clocks"
    )
    assert [tuple(one) for one in found] == [(START_NS + 7, "a", -3)]
    with pytest.raises(KeyError, match="offset_ns"):
        snapshot.tell(archive, "clocks", [{"ts": 1, "host": "a", "role": "b", "reference": "c"}])


def judged(total: int) -> tuple[np.ndarray, list[list[str]]]:
    """Trades of two instruments with sale conditions, and a few busts of them."""
    draw = np.random.default_rng(11)
    made, words = np.zeros(total, EVENT), []
    made["ts_event"] = START_NS + np.arange(total) * 150_000_000
    made["kind"], made["instrument"] = Kind.TRADE, np.arange(total) % 2
    made["reference"] = np.arange(total) + 1
    made["price"], made["size"] = draw.integers(90, 110, (2, total))
    made["price"] *= 10**9
    for one in made:
        words.append([["I"], [], ["Z"], ["I", "E"]][draw.integers(4)])
        one["flags"] = condition.flags("CTA", words[-1])
        one["left_out"] = condition.left_out("CTA", words[-1])
    for at in draw.integers(50, total, 12).tolist():
        voided = made[at - 8].copy()
        voided["kind"], voided["ts_event"] = Kind.BUST, made["ts_event"][at]
        made[at] = voided
    return made, words


def oracle(made: np.ndarray, words: list[list[str]], version: int) -> list[float]:
    """Open, high, low, close, VWAP, volume, trades of them all, from the table's own words."""
    busted = set(made["reference"][made["kind"] == Kind.BUST].tolist())
    alive = [
        (one["price"] * PRICE_UNIT, float(one["size"]), condition.judge("CTA", said, version))
        for one, said in zip(made, words, strict=True)
        if one["kind"] == Kind.TRADE and int(one["reference"]) not in busted
    ]
    prices, sizes = np.array([(price, size) for price, size, use in alive if use.counts_vwap]).T
    ends = (prices[0], prices.max(), prices.min(), prices[-1])
    return [*ends, (prices * sizes).sum() / sizes.sum(), sum(a[1] for a in alive), len(prices)]


def test_bars_follow_the_instruments_version_as_its_vwap_does(archive: Archive) -> None:
    made, words = judged(800)
    rows = [Instrument(k, f"V{k}", 0, "X", "USD", 1.0, 1.0, 2, vwap_table=k + 1) for k in range(2)]
    engine, numbers = Engine(Reference(rows)), np.zeros(len(made), ENRICHED)
    engine.step(made, numbers)
    cut = [(k, k * 40, 40) for k in range(20)]
    fold = Fold(archive)
    fold.versions = engine.vwap_versions
    for at in range(0, 20, 5):
        part = fill(PLACE, cut[at : at + 5], made, numbers)
        record(archive, part)
        fold.add([part])
        fold.flush()
    end, day = START_NS + 130 * SECOND_NS, 86_400
    busted = archive.rows(f"SELECT uniq(id) FROM {archive.database}.voids")[0][0]
    assert busted > 5
    for made_by in ("the recorder", "the record"):
        if made_by == "the record":
            archive.command(f"TRUNCATE TABLE {archive.database}.bars")
            for span_s in bars.SPANS_S:
                query = bars.of_events(archive.database, span_s, "1", {1: 2})
                archive.command(f"INSERT INTO {archive.database}.bars {query}")
        for one, version in ((0, 1), (1, 2)):
            mine = np.flatnonzero(made["instrument"] == one)
            said = [words[at] for at in mine]
            wanted, other = (oracle(made[mine], said, v) for v in (version, 3 - version))
            assert wanted[6] != other[6]
            (bar,) = past.bars(archive, one, START_NS, end, day)
            assert bar[1:] == pytest.approx(wanted, rel=1e-12), made_by
            (exact,) = history.bars(archive, one, START_NS, end, day, version)
            assert exact[1:] == pytest.approx(wanted[:6], rel=1e-12)
            shown = engine.tables["instruments"][one, INSTRUMENTS.index("vwap")]
            assert shown == pytest.approx(wanted[4], rel=1e-12)


def test_steps_suit_the_width() -> None:
    assert past.step_for(0, 3_600 * SECOND_NS, 600) == 10
    assert past.step_for(0, 86_400 * SECOND_NS, 1_000) == 120
