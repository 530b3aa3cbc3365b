"""Rule: what each chart shows: its past from the record, its present from the mirror.

A figure is a matrix of numbers and a few facts beside it, made for a width in points and shared by
all pages that look at the same. `load` runs in a thread, with the record; the rest in the server's
loop. What lies between two looks at the mirror is not seen live: the newest bar of a candle is of
samples until the record's own bar, a few seconds later, takes its place.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from app.mirror import Mirror
from compute.table import ANALYTICS, BOOKS, INSTRUMENTS, POSITIONS

SECOND_NS = 1_000_000_000
POINTS_MAX = 2_000  # A 4K page is 3,840 px wide and a bar takes two.
LINES_MAX = 8
LEVELS_MAX = 48  # Lines of 20 px on a page of 1,080.
CELLS_MAX = 80  # Of a treemap: more would be too small to be read.
OPTIONS_MAX = 600
LEVELS_SECONDS = 300
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600)


class Past(Protocol):
    """What figures need of the record, see compute/past.py; called in a thread."""

    def bars(self, row: int, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
        """[n, 8]: t_ms, open, high, low, close, vwap, volume, trades."""

    def lasts(self, row: int, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
        """[n, 2]: t_ms, last."""

    def levels(self, place: tuple[int, int], row: int, from_ns: int, to_ns: int) -> np.ndarray:
        """[n, 5]: price, volume, bought, sold, trades."""

    def books(self, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
        """[n, 3]: book, t_ms, pnl."""


class Figure:
    """One of them. `rows` [n, k] with t in the first column where `appends`."""

    every_s = 0.15
    reload_s = 10.0
    appends = False
    loads = True

    def __init__(self, wish: Mapping[str, Any], mirror: Mirror) -> None:
        """`wish` is the page's, checked here: KeyError and ValueError where it makes no sense."""
        self.mirror = mirror
        self.rows = np.zeros((0, 1))
        self.facts: dict[str, Any] = {}

    def load(self, past: Past, now_ns: int) -> Any:
        """Read from the record, in a thread; what `take` is given."""

    def take(self, loaded: Any) -> None:
        """The record has answered."""

    def refresh(self, now_ns: int) -> bool:
        """Look at the mirror; whether anything is new."""
        return False


class Timed(Figure):
    """A figure over `minutes` of time, in steps that give at most `points` of them."""

    appends = True

    def __init__(self, wish: Mapping[str, Any], mirror: Mirror) -> None:
        """`minutes` and `points` of the wish."""
        super().__init__(wish, mirror)
        span_s = min(max(float(wish["minutes"]), 1.0), 7 * 1_440.0) * 60
        points = min(max(int(wish["points"]), 20), POINTS_MAX)
        self.span_s = span_s
        self.step_s = next((s for s in STEPS_S if span_s / s <= points), STEPS_S[-1])
        self.facts = {"step_s": self.step_s, "span_s": span_s}
        self._loaded = False

    def window(self, now_ns: int) -> tuple[int, int]:
        """From where to read: all at first, then only the newest."""
        back_s = 30 + 3 * self.step_s if self._loaded else self.span_s
        return now_ns - round(back_s * SECOND_NS), now_ns + SECOND_NS

    def cut(self, now_ms: float) -> None:
        """Let go what has left the window."""
        keep = self.rows[:, 0] >= now_ms - self.span_s * 1e3 - self.step_s * 1e3
        if not keep.all():
            self.rows = self.rows[keep]

    def join(self, newer: np.ndarray) -> None:
        """Write rows over those of the same moments."""
        if not len(newer):
            return
        old = self.rows[~np.isin(self.rows[:, 0], newer[:, 0])] if len(self.rows) else newer[:0]
        rows = np.concatenate((old, newer))
        self.rows = rows[np.argsort(rows[:, 0], kind="stable")]


class Candles(Timed):
    """Open, high, low, close, VWAP, volume of one instrument."""

    def __init__(self, wish: Mapping[str, Any], mirror: Mirror) -> None:
        """`row` of the wish."""
        super().__init__(wish, mirror)
        self.row = int(wish["row"])
        self.rows = np.zeros((0, 8))
        self.facts["row"] = self.row
        self._volume = math.nan

    def load(self, past: Past, now_ns: int) -> Any:
        """Bars as the record has them."""
        return past.bars(self.row, *self.window(now_ns), self.step_s)

    def take(self, loaded: np.ndarray) -> None:
        """The record's bars; its newest may be less than what is known live."""
        if len(loaded) and len(self.rows):
            newest = loaded[-1]
            mine = self.rows[self.rows[:, 0] == newest[0]]
            if len(mine) and mine[0, 6] > newest[6]:
                loaded = loaded[:-1]
        self.join(loaded)
        self._loaded = True

    def refresh(self, now_ns: int) -> bool:
        """The newest bar, of samples."""
        table = self.mirror.tables[INSTRUMENTS.name]
        if not 0 <= self.row < len(table):
            return False
        last, volume, ts = table[self.row, [_LAST, _VOLUME, _TS]]
        grown = volume - self._volume
        self._volume = volume
        self.cut(now_ns / 1e6)
        if not grown > 0 or math.isnan(last) or math.isnan(ts):  # Nothing, or the first look.
            return False
        t = ts // (self.step_s * 1e3) * self.step_s * 1e3
        at = np.flatnonzero(self.rows[:, 0] == t)
        if len(at):
            bar = self.rows[at[0]].copy()
            if math.isnan(bar[1]):
                bar[1:6] = last
            paid = bar[5] * bar[6] + last * grown
            bar[2], bar[3], bar[4] = max(bar[2], last), min(bar[3], last), last
            bar[6] += grown
            bar[5] = paid / bar[6]
            bar[7] += 1
        else:
            bar = np.array([t, last, last, last, last, last, grown, 1.0])
        self.join(bar[None])
        return True


class Lines(Timed):
    """Last prices of several instruments, each as % of its first in the window."""

    def __init__(self, wish: Mapping[str, Any], mirror: Mirror) -> None:
        """`rows` of the wish."""
        super().__init__(wish, mirror)
        self.of = [int(row) for row in wish["rows"]][:LINES_MAX]
        if not self.of:
            raise ValueError("lines need instruments")
        self.rows = np.zeros((0, 1 + len(self.of)))
        self.facts["rows"] = self.of

    def load(self, past: Past, now_ns: int) -> Any:
        """A column for each."""
        return [past.lasts(row, *self.window(now_ns), self.step_s) for row in self.of]

    def take(self, loaded: list[np.ndarray]) -> None:
        """On the steps that any of them has; a step without a trade keeps the last before it."""
        moments = np.unique(np.concatenate([one[:, 0] for one in loaded]))
        new = np.full((len(moments), 1 + len(self.of)), np.nan)
        new[:, 0] = moments
        for column, one in enumerate(loaded, 1):
            new[np.searchsorted(moments, one[:, 0]), column] = one[:, 1]
        self.join(new)
        for column in range(1, self.rows.shape[1]):
            self.rows[:, column] = _filled(self.rows[:, column])
        self._loaded = True

    def refresh(self, now_ns: int) -> bool:
        """The newest point, of samples."""
        table = self.mirror.tables[INSTRUMENTS.name]
        known = [row for row in self.of if 0 <= row < len(table)]
        if len(known) != len(self.of):
            return False
        t = now_ns // (self.step_s * SECOND_NS) * self.step_s * 1e3
        point = np.concatenate(([t], table[self.of, _LAST]))
        if len(self.rows) and np.array_equal(self.rows[-1], point, equal_nan=True):
            return False
        self.join(point[None])
        self.cut(now_ns / 1e6)
        return True


class Pnl(Timed):
    """P&L of the fund and of each book, USD thousands."""

    def __init__(self, wish: Mapping[str, Any], mirror: Mirror) -> None:
        """Nothing more of the wish."""
        super().__init__(wish, mirror)
        self._books = 0
        self.facts |= {"unit": "USD k"}

    def load(self, past: Past, now_ns: int) -> Any:
        """Snapshots that the recorder took."""
        return past.books(*self.window(now_ns), self.step_s)

    def take(self, loaded: np.ndarray) -> None:
        """A column for each book, and their sum where all are known."""
        self._loaded = True
        if not len(loaded):
            return
        self._widen(int(loaded[:, 0].max()) + 1)
        moments = np.unique(loaded[:, 1])
        new = np.full((len(moments), 2 + self._books), np.nan)
        new[:, 0] = moments
        new[np.searchsorted(moments, loaded[:, 1]), 2 + loaded[:, 0].astype(int)] = loaded[:, 2]
        new[:, 1] = np.nansum(new[:, 2:], axis=1)
        self.join(new)

    def _widen(self, books: int) -> None:
        if books > self._books or self.rows.shape[1] < 2:
            wide = np.full((len(self.rows), 2 + max(books, self._books)), np.nan)
            wide[:, : self.rows.shape[1]] = self.rows
            self.rows, self._books = wide, max(books, self._books)

    def refresh(self, now_ns: int) -> bool:
        """The newest point."""
        table = self.mirror.tables[BOOKS.name]
        held = np.flatnonzero(np.isfinite(table[:, _BOOK_PNL]))
        held = held[table[held, BOOKS.index("positions")] > 0]
        if not len(held):
            return False
        self._widen(int(held.max()) + 1)
        t = now_ns // (self.step_s * SECOND_NS) * self.step_s * 1e3
        point = np.full(2 + self._books, np.nan)
        point[0], point[1] = t, table[held, _BOOK_PNL].sum()
        point[2 + held] = table[held, _BOOK_PNL]
        if len(self.rows) and np.array_equal(self.rows[-1], point, equal_nan=True):
            return False
        self.join(point[None])
        self.cut(now_ns / 1e6)
        return True


class Depth(Figure):
    """Best bid and ask with their sizes, and what traded at each price of the last minutes.

    The engine keeps the top of the book: there is no deeper depth to show. Columns price, volume,
    bought, sold, trades.
    """

    reload_s = 5.0

    def __init__(self, wish: Mapping[str, Any], mirror: Mirror) -> None:
        """`row` of the wish."""
        super().__init__(wish, mirror)
        self.row = int(wish["row"])
        self.levels = self.rows = np.zeros((0, 5))
        self.facts = {"row": self.row, "seconds": LEVELS_SECONDS}
        self._seen: tuple[float, ...] = ()
        self._volume = math.nan

    def load(self, past: Past, now_ns: int) -> Any:
        """Volume at each price."""
        known = self.mirror.reference.by_id.get(self.row)
        if known is None:
            return np.zeros((0, 5))
        place = int(known.asset_class), known.shard
        return past.levels(place, self.row, now_ns - LEVELS_SECONDS * SECOND_NS, now_ns)

    def take(self, loaded: np.ndarray) -> None:
        """In place of what was added live."""
        self.levels, self._seen = loaded.copy(), ()

    def refresh(self, now_ns: int) -> bool:
        """The quote, and what has traded since at the price of the last."""
        table = self.mirror.tables[INSTRUMENTS.name]
        if not 0 <= self.row < len(table):
            return False
        names = ("bid", "ask", "bid_size", "ask_size", "last", "volume")
        seen = tuple(table[self.row, [INSTRUMENTS.index(name) for name in names]].tolist())
        if seen == self._seen:
            return False
        bid, ask, bid_size, ask_size, last, volume = self._seen = seen
        grown, self._volume = volume - self._volume, volume
        if grown > 0 and math.isfinite(last):
            at = np.flatnonzero(np.isclose(self.levels[:, 0], last, rtol=1e-12))
            if len(at):
                self.levels[at[0], 1] += grown
            else:
                new = np.concatenate((self.levels, [[last, grown, 0.0, 0.0, 1.0]]))
                self.levels = new[np.argsort(-new[:, 0])]
        quote = {"bid": bid, "ask": ask, "bid_size": bid_size, "ask_size": ask_size, "last": last}
        self.facts |= {name: v if math.isfinite(v) else None for name, v in quote.items()}
        middle = next((v for v in (last, bid, ask) if math.isfinite(v)), 0.0)
        near = np.argsort(np.abs(self.levels[:, 0] - middle), kind="stable")[:LEVELS_MAX]
        self.rows = self.levels[np.sort(near)]
        return True


class Chain(Figure):
    """Options of one underlying: what smile and ladder of Greeks are drawn of.

    Columns expiry (its number among the facts' expiries), strike, sign, IV bid, IV ask, smile,
    delta, gamma, vega, theta, bid, ask, position, row.
    """

    every_s = 0.2
    loads = False

    def __init__(self, wish: Mapping[str, Any], mirror: Mirror) -> None:
        """`row`: the underlying, or one of the options on it."""
        super().__init__(wish, mirror)
        self.row = int(wish["row"])
        self._for = (-1, -1)
        self._ids = np.zeros(0, np.int64)
        self._terms = np.zeros((0, 3))

    def _find(self) -> None:
        state = self.mirror.reference_version, self.mirror.reference.version
        if state == self._for:
            return
        self._for = state
        by_id = self.mirror.reference.by_id
        mine = by_id.get(self.row)
        under = mine.underlying if mine and mine.strike is not None else self.row
        found = [
            one
            for one in by_id.values()
            if one.underlying == under and one.strike is not None and one.right in ("C", "P")
        ]
        expiries = sorted({one.expiry for one in found})
        found.sort(key=lambda one: (one.expiry, one.strike, one.right))
        del found[OPTIONS_MAX:]
        self._ids = np.array([one.id for one in found], np.int64)
        self._terms = np.array(
            [
                (expiries.index(one.expiry), one.strike, 1.0 if one.right == "C" else -1.0)
                for one in found
            ]
        ).reshape(-1, 3)
        symbol = by_id[under].symbol if under in by_id else ""
        self.facts = {"symbol": symbol, "under": under, "expiries": expiries}
        self.facts["chosen"] = (
            expiries.index(mine.expiry) if mine and mine.expiry in expiries else 0
        )

    def refresh(self, now_ns: int) -> bool:
        """What risk and live say of them now."""
        self._find()
        live, told = self.mirror.tables[INSTRUMENTS.name], self.mirror.tables[ANALYTICS.name]
        within = self._ids < min(len(live), len(told))
        ids, terms = self._ids[within], self._terms[within]
        rows = np.concatenate(
            (terms, told[ids][:, _GREEKS], live[ids][:, _QUOTE], ids[:, None]), axis=1
        )
        forwards = told[ids, ANALYTICS.index("forward")]
        count = len(self.facts["expiries"])
        mean = [forwards[(terms[:, 0] == k) & np.isfinite(forwards)] for k in range(count)]
        told_forwards = [float(np.median(one)) if len(one) else None for one in mean]
        same = self.facts.get("forwards") == told_forwards
        if same and np.array_equal(rows, self.rows, equal_nan=True):
            return False
        self.rows, self.facts = rows, self.facts | {"forwards": told_forwards}
        return True


class Holdings(Figure):
    """Positions gathered by book and class, and the largest of them.

    Columns kind (0 book and class, 1 position), book, class, row (-1), net, gross, P&L; net and
    gross in USD, P&L in USD.
    """

    every_s = 0.5
    loads = False

    def refresh(self, now_ns: int) -> bool:
        """What live says of positions now."""
        table = self.mirror.tables[POSITIONS.name]
        held = table[np.isfinite(table[:, _HELD]).all(axis=1)] if len(table) else table
        held = held[held[:, POSITIONS.index("quantity")] != 0] if len(held) else held
        if not len(held):
            return False
        book, row, value, pnl = (held[:, place] for place in _HELD)
        by_id = self.mirror.reference.by_id
        kinds = np.array([int(by_id[int(k)].asset_class) if int(k) in by_id else 0 for k in row])
        cells, at = np.unique(book * 64 + kinds, return_inverse=True)
        sums = np.zeros((len(cells), 3))
        for column, values in enumerate((value, np.abs(value), pnl)):
            sums[:, column] = np.bincount(at, values, len(cells))
        top = np.argsort(-np.abs(value), kind="stable")[:CELLS_MAX]
        zero, one = np.zeros(len(cells)), np.ones(len(top))
        groups = np.column_stack((zero, cells // 64, cells % 64, zero - 1, sums))
        lines = np.column_stack(
            (one, book[top], kinds[top], row[top], value[top], np.abs(value[top]), pnl[top])
        )
        rows = np.concatenate((groups, lines))
        if rows.shape == self.rows.shape and np.array_equal(rows, self.rows):
            return False
        self.rows = rows
        return True


def _filled(values: np.ndarray) -> np.ndarray:
    """NaN becomes the value before it."""
    at = np.where(np.isnan(values), 0, np.arange(len(values)))
    out: np.ndarray = values[np.maximum.accumulate(at)] if len(values) else values
    return out


_LAST, _VOLUME, _TS = (INSTRUMENTS.index(name) for name in ("last", "volume", "ts_event"))
_BOOK_PNL = BOOKS.index("pnl")
_GREEKS = [
    ANALYTICS.index(name)
    for name in ("implied_bid", "implied_ask", "smile", "delta", "gamma", "vega", "theta")
]
_QUOTE = [INSTRUMENTS.index(name) for name in ("bid", "ask", "position")]
_HELD = [POSITIONS.index(name) for name in ("book", "instrument", "value", "pnl")]
KINDS: dict[str, Callable[[Mapping[str, Any], Mirror], Figure]] = {
    "candles": Candles,
    "lines": Lines,
    "pnl": Pnl,
    "depth": Depth,
    "chain": Chain,
    "holdings": Holdings,
}
