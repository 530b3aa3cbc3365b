"""Shape: the fund's books in memory: positions, their fills, orders, currencies, as arrays.

Kernels get them as one tuple, `Ledger.arrays(state)`. Money per position is kept per unit of
multiplier in the currency the instrument pays in (its own; an inverse contract's base coin) and
becomes USD where it is shown. What one unit of an instrument is worth at price p is v(p): p, or
-1/p where the contract is inverse; costs and lots are kept in v, so one law serves both. A coin
that an inverse contract pays in is worth the contract's own mark.
"""

import copy
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from compute.flat import Part
from compute.table import BOOKS, BOOKS_MAX, CLASSES, EXECUTION, EXECUTION_ROWS, POSITIONS
from compute.table import POSITIONS_MAX as SLOTS_MAX
from ingest.fund import Book
from ingest.instrument import AssetClass, Instrument, Reference

LOTS_MAX = 65_536  # Fills remembered and lots open, over all positions: kernels/lots.py.
ORDERS_MAX = 4_096  # The newest; a fill of an older order has no slippage.
CURRENCIES_MAX = 256
POSITIONS_STEP = 1_024  # The table of positions grows by this many rows.

_FLOAT, _INTEGER = "<f8", "<i8"


def _fields(kind: str, names: str) -> list[tuple[str, str]]:
    return [(name, kind) for name in names.split()]


SLOT = np.dtype(
    [
        *_fields(_INTEGER, "book instrument next fills"),
        *_fields(_INTEGER, "first last lots remembered forgotten order"),  # Chain of its LOTs.
        *_fields(_FLOAT, "fees dividends coupons funding borrow"),
        *_fields(_FLOAT, "flow_base paid_base"),  # -sum dq v, income - fees: at the rates of then.
        *_fields(_FLOAT, "sod close close_told sod_flow sod_paid sod_rate"),  # Start of day.
        ("close_due", _FLOAT),  # What close_told is once the reference has had the splits.
        *_fields(_FLOAT, "day_size day_value day_paid"),  # sum dq, sum dq v, income - fees of today
        *_fields(_FLOAT, "arrival_cost arrival_worth vwap_cost vwap_worth"),  # kernels/slippage.py
        *_fields(_FLOAT, "decision_cost decision_worth order_fees order_worth"),
    ]
)
COST = np.dtype(_fields(_FLOAT, "quantity average realised fifo"))  # Two a slot: now, then.
LOT = np.dtype(
    [
        *_fields(_INTEGER, "reference next"),
        *_fields(_FLOAT, "size value fee rate"),  # size 0: older than what is remembered.
    ]
)
ORDER = np.dtype(
    [
        *_fields(_INTEGER, "reference slot before ts_event session fills"),
        *_fields(_FLOAT, "size decision arrival"),
        *_fields(_FLOAT, "sum_value sum_value_low sum_size sum_size_low"),  # As it was placed.
        *_fields(_FLOAT, "filled value vwap fees"),
    ]
)
TERMS = np.dtype(  # Of an instrument, from reference data.
    [
        *_fields(_INTEGER, "currency inverse funded venue"),
        *_fields(_FLOAT, "multiplier"),
    ]
)
CURRENCY = np.dtype(  # USD of one unit: scale x mid ** power of instrument `row`, else `usd`.
    [*_fields(_INTEGER, "row power"), *_fields(_FLOAT, "scale usd")]
)
BOOK = np.dtype(_fields(_INTEGER, "currency fifo trader"))
CONTROL = ("lots_high", "lots_free", "lots_used", "orders")

_MINOR = {"GBX": "GBP", "GBp": "GBP", "ZAc": "ZAR", "ZAC": "ZAR", "ILA": "ILS"}  # Hundredths.
_UNFUNDED = (
    *(AssetClass.INDEX_FUTURE, AssetClass.RATES_FUTURE, AssetClass.COMMODITY_FUTURE),
    *(AssetClass.FX, AssetClass.CRYPTO_PERPETUAL),
)
_SIZES = struct.Struct("<2I")


class Arrays(NamedTuple):
    """All that a kernel of this room may touch."""

    state: np.ndarray
    slots: np.ndarray  # SLOT [SLOTS_MAX]
    costs: np.ndarray  # COST [SLOTS_MAX, 2]: as it is, and before the remembered fills
    lots: np.ndarray  # LOT [LOTS_MAX]
    open: np.ndarray  # float64 [LOTS_MAX, 2]: what FIFO has left of the lot, now and then
    orders: np.ndarray  # ORDER [ORDERS_MAX]
    terms: np.ndarray  # TERMS [instruments]
    currencies: np.ndarray  # CURRENCY [CURRENCIES_MAX]
    books: np.ndarray  # BOOK [BOOKS_MAX]
    control: np.ndarray  # int64 [len(CONTROL)]


DTYPES = (  # Of `Arrays` after the state.
    *(SLOT, COST, LOT, np.dtype(_FLOAT), ORDER, TERMS, CURRENCY, BOOK, np.dtype(_INTEGER)),
)


class Ledger:
    """The arrays, what they are worth as tables, and both as bytes."""

    def __init__(self, books: Iterable[Book] = ()) -> None:
        """`books`: those of the fund; a book that is not among them is in USD, average cost."""
        self.slots = np.zeros(SLOTS_MAX, SLOT)
        self.costs = np.zeros((SLOTS_MAX, 2), COST)
        self.lots, self.open = np.zeros(LOTS_MAX, LOT), np.zeros((LOTS_MAX, 2))
        self.orders = np.zeros(ORDERS_MAX, ORDER)
        self.control = np.zeros(len(CONTROL), np.int64)
        self.terms = np.zeros(0, TERMS)
        self.currencies = np.zeros(CURRENCIES_MAX, CURRENCY)
        self.books = np.zeros(BOOKS_MAX, BOOK)
        self._codes: dict[str, int] = {}
        self._fund = tuple(books)
        self._positions = POSITIONS.empty(SLOTS_MAX)
        self.tables = {
            "positions": self._positions[:POSITIONS_STEP],
            "books": BOOKS.empty(BOOKS_MAX),
            "classes": CLASSES.empty(len(AssetClass)),
            "execution": EXECUTION.empty(EXECUTION_ROWS),
        }
        self._grown: tuple[Reference | None, int] = (None, 0)
        self.clear()

    def arrays(self, state: np.ndarray) -> Arrays:
        """The tuple for kernels; `state` is the engine's."""
        return Arrays(
            *(state, self.slots, self.costs, self.lots, self.open, self.orders),
            *(self.terms, self.currencies, self.books, self.control),
        )

    def clear(self) -> None:
        """As if nothing had ever happened; the arrays stay where they are."""
        for array in (self.slots, self.costs, self.lots, self.orders):
            array.view(np.uint8)[:] = 0
        self.open[:], self.control[:] = 0.0, 0
        self.costs["average"] = np.nan
        for name in ("next", "first", "last"):
            self.slots[name] = -1
        self.control[CONTROL.index("lots_free")] = -1
        self._positions[:] = np.nan
        self.tables["execution"][:] = np.nan

    def grow(self, reference: Reference, used: int) -> None:
        """Terms, currencies and official closes from the reference rows; `used` slots are taken."""
        if self._grown != (reference, reference.version):  # A state that is restored brings none.
            self._grown = (reference, reference.version)
            self._learn(reference)
        slots = self.slots[:used]
        close = reference.array["close_prev"][slots["instrument"]]
        told = np.isfinite(close) & (close != slots["close_told"])
        news = told & (close != slots["close_due"])  # A close restated for a split is none.
        slots["close"][news] = slots["close_due"][news] = close[news]
        slots["close_told"][told] = close[told]

    def _learn(self, reference: Reference) -> None:
        """Terms, currencies and books."""
        self.terms = np.zeros(len(reference), TERMS)
        self._codes = {}
        self.currencies[:] = (-1, 1, 1.0, np.nan)
        self._code("USD", 1.0)
        rows = sorted(reference.by_id.values(), key=lambda row: row.id)
        venues: dict[str, int] = {}
        for row in rows:
            currency = self._code(row.currency, row.usd_rate)
            venue = venues.setdefault(row.venue, row.id)
            self.terms[row.id] = (currency, row.inverse, _funded(row), venue, row.multiplier)
        self._pair(rows)
        traders: dict[str, int] = {}
        self.books[:] = (0, 0, -1)
        for book in self._fund:
            trader = traders.setdefault(book.trader, book.id)
            currency = self._code(book.currency, np.nan)
            self.books[book.id] = (currency, book.cost == "fifo", trader)

    def _code(self, currency: str, usd: float) -> int:
        """Number of a currency; `usd`, the reference's rate, stands if it is the first known."""
        number = self._codes.setdefault(currency, len(self._codes))
        if number >= CURRENCIES_MAX:
            raise ValueError(f"{currency}: more than {CURRENCIES_MAX} currencies in reference data")
        entry = self.currencies[number]
        entry["scale"] = 0.01 if currency in _MINOR else 1.0
        if np.isnan(entry["usd"]):
            entry["usd"] = usd
        return number

    def _pair(self, rows: list[Instrument]) -> None:
        """Give every currency the spot instrument that quotes it against USD, the first listed."""
        pairs: dict[str, tuple[int, int]] = {}
        for row in rows:
            base = row.base
            spot = row.asset_class in (AssetClass.FX, AssetClass.CRYPTO_SPOT) and not row.expiry
            if spot and base and not row.right and row.multiplier == 1.0:
                if row.currency == "USD":
                    pairs.setdefault(base, (row.id, 1))
                elif base == "USD":
                    pairs.setdefault(row.currency, (row.id, -1))
        for name, number in self._codes.items():
            entry, pair = self.currencies[number], pairs.get(_MINOR.get(name, name))
            if pair and name != "USD":
                entry["row"], entry["power"] = pair

    @property
    def legs(self) -> np.ndarray:
        """Instruments that tell what currencies are worth, int64, rising."""
        rows = self.currencies["row"]
        return np.unique(rows[rows >= 0])

    def widen(self, used: int) -> dict[str, np.ndarray]:
        """The tables, the one of positions with room for `used` slots; rows once shown stay."""
        shown = max(len(self.tables["positions"]), -(-used // POSITIONS_STEP) * POSITIONS_STEP)
        if shown != len(self.tables["positions"]):
            self.tables["positions"] = self._positions[:shown]
        return self.tables

    def copy(self) -> "Ledger":
        """A copy that no kernel moves."""
        other = copy.copy(self)
        for name in ("slots", "costs", "lots", "open", "orders", "control"):
            setattr(other, name, getattr(self, name).copy())
        other.tables = {name: table.copy() for name, table in self.tables.items()}
        other._positions = self._positions.copy()  # noqa: SLF001
        other.tables["positions"] = other._positions[: len(self.tables["positions"])]  # noqa: SLF001
        return other

    def pack(self, used: int) -> tuple[Part, ...]:
        """All that happened, without the slots and lots that are free: parts for `flat`."""
        high = int(self.control[CONTROL.index("lots_high")])
        orders = min(int(self.control[CONTROL.index("orders")]), ORDERS_MAX)
        self.widen(used)  # Whoever never asks for totals has positions all the same.
        return (
            _SIZES.pack(high, orders),
            *(self.control, self.slots[:used], self.costs[:used]),
            *(self.lots[:high], self.open[:high], self.orders[:orders]),
            *(self.tables[name][:used] for name in ("positions",)),
            *(self.tables[name] for name in ("books", "classes", "execution")),
        )

    def unpack(self, body: memoryview, used: int) -> None:
        """Inverse of `pack`."""
        self.clear()
        high, orders = _SIZES.unpack_from(body)
        at = _SIZES.size
        self.widen(used)
        for target in (
            *(self.control, self.slots[:used], self.costs[:used]),
            *(self.lots[:high], self.open[:high], self.orders[:orders]),
            *(self._positions[:used], self.tables["books"], self.tables["classes"]),
            self.tables["execution"],
        ):
            target[...] = _read(body, at, target)
            at += target.nbytes


def _read(body: memoryview, at: int, like: np.ndarray) -> Any:
    return np.frombuffer(body, like.dtype, like.size, at).reshape(like.shape)


def _funded(row: Instrument) -> bool:
    """Whether a position is paid for in full, so that its cost carries currency risk.

    A future, a perpetual or an option margined like one is not paid for; in a currency pair both
    legs are held; a spread is no price that anyone pays.
    """
    margined = row.premium == "futures" or row.quote == "spread"
    return row.asset_class not in _UNFUNDED and not margined


LAYOUT = repr((SLOT.descr, COST.descr, LOT.descr, ORDER.descr, LOTS_MAX, ORDERS_MAX, CONTROL))
