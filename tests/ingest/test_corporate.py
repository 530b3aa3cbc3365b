"""Corporate actions: the fund, the market and the reference go over to new units together."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from compute.engine import Engine
from compute.table import INSTRUMENTS, POSITIONS, State
from ingest.clock import VirtualClock
from ingest.event import EVENT, OWN, Cash, Kind, Status
from ingest.frame import decode
from ingest.instrument import Instrument, Reference
from ingest.market import Market
from ingest.replay import Replay, Synthetic
from ingest.universe import universe

ROWS = universe(600)
START_NS = 1_780_000_000_000_000_000
STEP_NS = 50_000_000


def made(seed: int = 7, per_hour: float = 3_600.0) -> Market:
    """A market with an action about as often as one fits."""
    rates = {"halts_per_minute": 6.0, "halt_s": 0.4, "actions_per_hour": per_hour}
    return Market(ROWS, seed, fills_per_second=40.0, **rates)


def rounds(market: Market, seconds: float, rate: float = 2_000.0) -> Iterator[np.ndarray]:
    """Events of one round after another, those of the market before the fund's."""
    yield market.opening(START_NS)
    for k in range(round(seconds * 1e9 / STEP_NS)):
        ts = START_NS + k * STEP_NS
        yield market.step(ts, ts + STEP_NS, round(rate * STEP_NS / 1e9))
        yield market.fills(ts, ts + STEP_NS)


def of_kind(events: np.ndarray, *kinds: Kind) -> np.ndarray:
    return events[np.isin(events["kind"], [int(kind) for kind in kinds])]


@dataclass
class Desk:
    """An engine that takes the rounds as they come, and what it said of each action."""

    engine: Engine
    reference: Reference

    def line(self, instrument: int) -> dict[str, float]:
        """Sums over the books that hold it."""
        self.engine.total()
        table = self.engine.tables["positions"]
        held = table[table[:, POSITIONS.index("instrument")] == instrument]
        names = ("quantity", "pnl", "day_pnl", "value")
        return {name: float(held[:, POSITIONS.index(name)].sum()) for name in names}

    def cell(self, name: str, instrument: int) -> float:
        return float(self.engine.tables["instruments"][instrument, INSTRUMENTS.index(name)])


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk(Engine(Reference(ROWS)), Reference(ROWS))


def test_a_split_moves_no_money_and_leaves_the_day_as_it_was(desk: Desk) -> None:
    market, splits, restated = made(), 0, 0
    for k, events in enumerate(rounds(market, 20.0)):
        actions = of_kind(events, Kind.ACTION)
        first = int(np.argmax(events["kind"] == Kind.ACTION)) if len(actions) else len(events)
        desk.engine.step(events[:first], None)
        for action in actions:
            place, ratio = int(action["instrument"]), action["price"] / action["reference"]
            before = desk.line(place)
            for at in range(first, len(events)):  # The two halves, one after the other.
                desk.engine.step(events[at : at + 1], None)
                now = desk.line(place)
                for name in ("pnl", "day_pnl", "value"):
                    assert now[name] == pytest.approx(before[name], rel=1e-9, abs=1e-3)
            assert now["quantity"] == pytest.approx(before["quantity"] * ratio)
            assert int(desk.cell("state", place)) & State.HALTED
            assert np.isnan(desk.cell("vwap", place))
            splits += 1
        for row in market.took_rows(START_NS + k // 2 * STEP_NS):
            day = desk.line(row.id)["day_pnl"]
            desk.reference.update([row])
            desk.engine.grow(desk.reference)
            assert desk.line(row.id)["day_pnl"] == pytest.approx(day, rel=1e-12)
            assert abs(desk.cell("change", row.id)) < 25.0
            restated += 1
    assert splits >= 4
    assert restated >= 3
    assert desk.engine.counters["refused"] == 0


def test_the_identity_holds_through_all_of_it() -> None:
    engine, market = Engine(Reference(ROWS)), made(seed=11)
    cash, held = np.zeros(len(ROWS)), np.zeros(len(ROWS))
    units = np.array([row.multiplier for row in ROWS])
    kinds = set()
    for events in rounds(market, 20.0):
        engine.step(events, None)
        for event in events[OWN[events["kind"]]]:
            place, kind = int(event["instrument"]), int(event["kind"])
            kinds.add(kind)
            if kind == Kind.ACTION:
                held[place] = held[place] * event["price"] / event["reference"]
            elif kind == Kind.CASH:
                cash[place] += event["size"]
            elif kind == Kind.FILL and not ROWS[place].inverse:
                void = -1.0 if event["flags"] & 4 else 1.0
                held[place] += void * event["size"]
                cash[place] -= void * event["size"] * event["price"] / 1e9 * units[place]
                cash[place] -= void * event["fee"]
    assert kinds == {Kind.FILL, Kind.ORDER, Kind.CASH, Kind.ACTION}
    table, shares = engine.tables["instruments"], [r.id for r in ROWS if r.asset_class == 0]
    usd = np.array([row.usd_rate for row in ROWS])[shares]
    mark = table[shares, INSTRUMENTS.index("mark")]
    assert table[shares, INSTRUMENTS.index("position")] == pytest.approx(held[shares])
    expected = (cash[shares] + held[shares] * mark * units[shares]) * usd
    assert table[shares, INSTRUMENTS.index("pnl")] == pytest.approx(expected, rel=1e-9, abs=1e-2)


def test_it_all_happens_in_a_halt_and_prices_go_on_in_new_units() -> None:
    market = made(seed=3)
    events = np.concatenate([one.view(np.int64).reshape(-1, 8) for one in rounds(market, 20.0)])
    events = events.reshape(-1).view(EVENT)
    splits = np.flatnonzero(events["kind"] == Kind.SPLIT)
    assert len(splits) >= 3
    for at in splits.tolist():
        place, factor = events["instrument"][at], events["reference"][at] / events["price"][at]
        mine = np.flatnonzero(events["instrument"] == place)
        before, after = mine[mine < at - 1], mine[mine > at]
        assert events["kind"][at - 1] == Kind.ACTION
        assert events["kind"][before[-1]] == Kind.STATUS
        assert events["reference"][before[-1]] == Status.HALTED
        if len(after) == 0:
            continue
        assert (events["kind"][after[0]], events["reference"][after[0]]) == (Kind.STATUS, 0)
        quoted = [events["bid"][k] for k in before if events["kind"][k] == Kind.QUOTE]
        later = [events["price"][k] for k in after if events["kind"][k] == Kind.TRADE]
        assert later[0] == pytest.approx(quoted[-1] * factor, rel=0.02)
        assert later[0] % round(ROWS[place].tick * 1e9) == 0
        assert not of_kind(events[after[after < at + 3]], Kind.BUST).size


def test_a_dividend_is_paid_to_who_held_and_taken_off_the_price() -> None:
    market, held, paid = made(seed=5), {}, 0
    for events in rounds(market, 20.0):
        for event in of_kind(events, Kind.FILL, Kind.ACTION, Kind.CASH):
            key = int(event["book"]), int(event["instrument"])
            if event["kind"] == Kind.FILL:
                sign = -1.0 if event["flags"] & 4 else 1.0
                held[key] = held.get(key, 0.0) + sign * event["size"]
            elif event["kind"] == Kind.ACTION:
                for one in [one for one in held if one[1] == key[1]]:
                    held[one] *= event["price"] / event["reference"]
            elif event["reference"] == Cash.DIVIDEND:
                assert event["size"] * held[key] > 0
                paid += 1
    assert paid > 3


def test_without_actions_nothing_else_is_another() -> None:
    with_, without = made(per_hour=1e-6), made(per_hour=0.0)
    for one, other in zip(rounds(with_, 2.0), rounds(without, 2.0), strict=True):
        assert one.tobytes() == other.tobytes()


def test_the_restated_row_is_published_after_the_action() -> None:
    told: list[tuple[str, bytes]] = []

    class Log:
        def publish(self, topic: str, partition: int, value: bytes, key: object = None) -> None:
            told.append((topic, value))

        def flush(self, seconds: float) -> int:
            return 0

    clock = VirtualClock(START_NS)
    replay = Replay(Synthetic(made(), 2_000.0), ROWS, Log(), now_ns=clock)
    for _ in range(400):
        clock.advance(0.05)
        replay.step()
    rows = [(k, Instrument.from_json(v)) for k, (t, v) in enumerate(told) if t == "reference"]
    late = rows[len(ROWS) :]
    assert late
    for topic, kind in (("fills", Kind.ACTION), ("md.equity", Kind.SPLIT)):
        for k, row in late:
            events = [decode(value).events for t, value in told[:k] if t == topic]
            found = np.concatenate(
                [
                    one["price"][(one["kind"] == kind) & (one["instrument"] == row.id)]
                    for one in events
                ]
            )
            assert len(found) == 1 + sum(one.id == row.id and at < k for at, one in late)
            assert row.close_prev != ROWS[row.id].close_prev
