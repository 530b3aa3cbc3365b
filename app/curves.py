"""Rule: figures of one moment that no table of the page holds: all of one instrument, and its kin.

A quote is every number that live and risk tell of one instrument. A term is what trades beside it
along time: the contracts of one future, the bonds of one issuer, forwards of a pair, the venues of
one coin. Everything is the mirror's; nothing is read from the record.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from app.figures import Figure
from app.mirror import Mirror
from compute.kin import coin, commodity
from compute.table import ANALYTICS, INSTRUMENTS, POSITIONS
from ingest.instrument import FUTURES, AssetClass, Instrument

TERM_MAX = 64
_COINS = frozenset({AssetClass.CRYPTO_SPOT, AssetClass.CRYPTO_PERPETUAL})
_TOLD = ("mark", "change", "volume", "position")  # Of live.
_MODELLED = ("yield", "duration", "dv01", "z_spread_bp")  # Of risk.
_TOLD_AT = [INSTRUMENTS.index(name) for name in _TOLD]
_MODELLED_AT = [ANALYTICS.index(name) for name in _MODELLED]
_OF, _FUNDING = POSITIONS.index("instrument"), POSITIONS.index("funding")


class Quote(Figure):
    """One row: all columns of INSTRUMENTS, then all of ANALYTICS, of one instrument."""

    loads = False

    def __init__(self, wish: Mapping[str, Any], mirror: Mirror) -> None:
        """`row` of the wish."""
        super().__init__(wish, mirror)
        self.row = int(wish["row"])
        self.facts = {"row": self.row, "columns": [*INSTRUMENTS.names, *ANALYTICS.names]}

    def refresh(self, now_ns: int) -> bool:
        """What live and risk say of it now."""
        live, told = self.mirror.tables[INSTRUMENTS.name], self.mirror.tables[ANALYTICS.name]
        if not 0 <= self.row < len(live):
            return False
        beside = told[self.row] if self.row < len(told) else np.full(ANALYTICS.width, np.nan)
        row = np.concatenate((live[self.row], beside))[None]
        if np.array_equal(row, self.rows, equal_nan=True):
            return False
        self.rows = row
        return True


class Term(Figure):
    """The kin of one instrument by expiry: columns row, t_ms of expiry, then _TOLD, _MODELLED.

    Last stands what positions of it were paid in funding, USD. Without an expiry t_ms is NaN.
    """

    every_s = 0.3
    loads = False

    def __init__(self, wish: Mapping[str, Any], mirror: Mirror) -> None:
        """`row` of the wish; `yields`: of a future on bonds those bonds."""
        super().__init__(wish, mirror)
        self.row, self._yields = int(wish["row"]), bool(wish.get("yields"))
        self._for = (-1, -1)
        self._ids = np.zeros(0, np.int64)
        self._when = np.zeros(0)

    def _find(self) -> None:
        state = self.mirror.reference_version, self.mirror.reference.version
        if state == self._for:
            return
        self._for = state
        by_id = self.mirror.reference.by_id
        mine = by_id.get(self.row)
        while mine and mine.strike is not None and mine.underlying in by_id:
            mine = by_id[mine.underlying]  # Of an option its underlying's.
        if self._yields and mine and mine.asset_class == AssetClass.RATES_FUTURE:
            mine = by_id.get(mine.ctd) or _bond_of(mine, by_id.values())
        family = kin(mine) if mine else None
        found = [one for one in by_id.values() if kin(one) == family] if family else []
        found.sort(key=lambda one: (one.expiry, one.symbol))
        del found[TERM_MAX:]
        self._ids = np.array([one.id for one in found], np.int64)
        self._when = np.array([_day_ms(one.expiry) for one in found])
        self.facts = {
            "row": self.row,
            "family": family[-1] if family else "",
            "asset_class": int(mine.asset_class) if mine else -1,
            "columns": ["row", "t_ms", *_TOLD, *_MODELLED, "funding"],
        }

    def refresh(self, now_ns: int) -> bool:
        """What live and risk say of them now."""
        self._find()
        live, told = self.mirror.tables[INSTRUMENTS.name], self.mirror.tables[ANALYTICS.name]
        within = self._ids < min(len(live), len(told))
        ids = self._ids[within]
        rows = np.column_stack(
            (
                *(ids, self._when[within], live[ids][:, _TOLD_AT], told[ids][:, _MODELLED_AT]),
                self._funding(ids),
            )
        )
        if rows.shape == self.rows.shape and np.array_equal(rows, self.rows, equal_nan=True):
            return False
        self.rows = rows
        return True

    def _funding(self, ids: np.ndarray) -> np.ndarray:
        """USD by instrument, over all books; NaN where nothing is held."""
        table = self.mirror.tables[POSITIONS.name]
        out = np.full(len(ids), np.nan)
        for place, number in enumerate(ids.tolist()):
            mine = table[table[:, _OF] == number] if len(table) else table
            if len(mine):
                out[place] = mine[:, _FUNDING].sum()
        return out


def kin(one: Instrument) -> tuple[Any, ...] | None:
    """What instruments of one term have in common, its name last; None where there is none."""
    kind = AssetClass(one.asset_class)
    if one.strike is not None:
        return None
    if kind in FUTURES:
        product = commodity(one.symbol)
        return None if "-" in one.symbol else (kind, one.venue, one.currency, product)
    if kind == AssetClass.GOVERNMENT_BOND:
        return (kind, one.currency, one.country or one.issuer or one.currency)
    if kind == AssetClass.CREDIT:
        return (kind, one.quote, one.currency, one.issuer or one.currency)
    if kind == AssetClass.FX:
        return (kind, one.currency, one.base or one.symbol[:3])
    if kind in _COINS:
        return ("coin", coin(one.symbol))
    return None


def _bond_of(future: Instrument, rows: Iterable[Instrument]) -> Instrument | None:
    """A government's bond in the future's currency; the lowest id."""
    bonds = (one for one in rows if one.asset_class == AssetClass.GOVERNMENT_BOND)
    return next((one for one in bonds if one.currency == future.currency), None)


def _day_ms(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1e3 if day else np.nan


KINDS: dict[str, Callable[[Mapping[str, Any], Mirror], Figure]] = {"quote": Quote, "term": Term}
