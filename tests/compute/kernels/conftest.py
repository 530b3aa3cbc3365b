"""A small market by hand: one engine, one verb an event, and its cells."""

import numpy as np
import pytest

from compute.engine import Engine
from compute.enriched import ENRICHED
from compute.table import EXECUTION, INSTRUMENTS, POSITIONS, State, Table
from ingest.event import EVENT, NO_PRICE, PRICE_SCALE, Flag, Kind
from ingest.instrument import Instrument, Reference

START_S = 1_700_000_000


def exact(price: float | None) -> int:
    return NO_PRICE if price is None else round(price * PRICE_SCALE)


class Market:
    """`at` is event time in seconds from the start; it stays where the last event put it.

    `rows`: fields of single instruments by id; `books`: those of the fund.
    """

    def __init__(self, *, count: int = 3, rows=None, books=(), **fields) -> None:
        row = {"multiplier": 1.0, "usd_rate": 1.0, "asset_class": 0, "currency": "USD"} | fields
        self.reference = Reference(
            Instrument(
                **({"id": k, "symbol": f"S{k}", "venue": "X", "tick": 0.01, "decimals": 2} | row)
                | (rows or {}).get(k, {})
            )
            for k in range(count)
        )
        self.engine = Engine(self.reference, books)
        self.at = 0.0
        self.row = np.zeros(1, ENRICHED)

    def send(self, kind: Kind, at: float | None, instrument: int, flags: int, **fields) -> np.void:
        self.at = self.at if at is None else at
        event = np.zeros(1, EVENT)
        event["ts_event"] = START_S * 10**9 + round(self.at * 1e9)
        event["kind"], event["instrument"], event["flags"] = kind, instrument, flags
        for name, value in fields.items():
            event[name] = value
        self.engine.step(event, self.row)
        return self.row[0].copy()

    def quote(self, bid, ask, *, at=None, sizes=(100.0, 100.0), instrument=0, flags=0):
        return self.send(
            *(Kind.QUOTE, at, instrument, flags),
            bid=exact(bid),
            ask=exact(ask),
            bid_size=sizes[0],
            ask_size=sizes[1],
        )

    def trade(self, price, size=100.0, *, at=None, ident=0, instrument=0, flags=0):
        fields = {"price": exact(price), "size": size, "reference": ident}
        return self.send(Kind.TRADE, at, instrument, flags, **fields)

    def bust(self, price, size=100.0, *, at=None, ident=0, instrument=0, flags=0):
        fields = {"price": exact(price), "size": size, "reference": ident}
        return self.send(Kind.BUST, at, instrument, flags, **fields)

    def status(self, code, *, at=None, instrument=0):
        return self.send(Kind.STATUS, at, instrument, 0, reference=int(code))

    def fill(self, size, price, *, fee=0.0, book=0, at=None, instrument=0, order=0, flags=0):
        fields = {"price": exact(price), "size": size, "fee": fee, "book": book}
        return self.send(Kind.FILL, at, instrument, flags, reference=order, **fields)

    def void(self, size, price, **fields):
        """The fill of the same words never was."""
        return self.fill(size, price, flags=fields.pop("flags", 0) | Flag.CORRECTED, **fields)

    def order(self, size, ident, *, decision=None, book=0, at=None, instrument=0):
        fields = {"price": exact(decision), "size": size, "book": book, "reference": ident}
        return self.send(Kind.ORDER, at, instrument, 0, **fields)

    def cash(self, kind, amount, *, book=0, at=None, instrument=0):
        fields = {"size": amount, "book": book, "reference": int(kind)}
        return self.send(Kind.CASH, at, instrument, 0, **fields)

    def split(self, new, old, *, at=None, instrument=0, kinds=(Kind.ACTION, Kind.SPLIT)):
        """Told to the positions and to the market, or to those that `kinds` names."""
        for kind in kinds:
            found = self.send(kind, at, instrument, 0, price=new, reference=old)
        return found

    def cell(self, name: str, instrument: int = 0) -> float:
        return float(self.engine.tables["instruments"][instrument, INSTRUMENTS.index(name)])

    def cells(self, *names: str) -> list[float]:
        return [self.cell(name) for name in names]

    def state(self, instrument: int = 0) -> State:
        return State(int(self.cell("state", instrument)))

    def positions(self) -> list[dict[str, float]]:
        return self.lines(POSITIONS)

    def executions(self) -> list[dict[str, float]]:
        return self.lines(EXECUTION)

    def lines(self, shape: Table) -> list[dict[str, float]]:
        self.engine.total()
        table = self.engine.tables[shape.name]
        return [
            dict(zip(shape.names, row.tolist(), strict=True))
            for row in table[~np.isnan(table[:, 0])]
        ]


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture(scope="session")
def make_market() -> type[Market]:
    return Market
