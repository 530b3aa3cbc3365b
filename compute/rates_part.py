"""Rule: rates as a part of the risk loop: the instruments' mids in, rows of ANALYTICS out.

The as-of day is that of the newest event in the table, never wall time. Everything is computed
again when a price of a bond, a default swap or a rates future has changed: one price moves its
currency's whole curve. Numbers that the curve moved are told with those of the price.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from compute.rates import CLASSES, Measures, Rates
from compute.table import ANALYTICS, INSTRUMENTS, Model
from ingest.instrument import AssetClass, Reference

MID, EVENT = INSTRUMENTS.index("mid"), INSTRUMENTS.index("ts_event")
COLUMNS = ("accrued", "duration", "dv01", "cs01", "z_spread_bp")  # Called so in both.
PLACES = {ANALYTICS.index(name): name for name in COLUMNS} | {ANALYTICS.index("yield"): "yields"}
MODEL = ANALYTICS.index("model")
MS_NS = 1_000_000


def rehearsed(part: "RatesPart", reference: Reference, now_ns: int) -> "RatesPart":
    """`part`, its kernels ready: compiled, or loaded from disk, by a round at previous closes."""
    closes = np.full(len(reference), np.nan)
    for number, row in reference.by_id.items():
        closes[number] = math.nan if row.close_prev is None else row.close_prev
    Rates(reference).step(closes, now_ns)
    return part


class RatesPart:
    """Fills COLUMNS, yield and model of ANALYTICS; `key_rates` is for exposure."""

    tables: Mapping[str, np.ndarray] = {}

    def __init__(
        self,
        share: Callable[[np.ndarray], None] | None = None,
        holidays: Sequence[int] = (),
    ) -> None:
        """`share` is handed `key_rates` whenever a longer one takes its place."""
        self.share, self.holidays = share, holidays
        self.rates: Rates | None = None
        self.measures: Measures | None = None
        self.key_rates = np.zeros((0, 6))  # float64 [ids, 6]: key_rate_dv01; NaN: not of here
        self._own = np.zeros(0, np.bool_)
        self._fresh = True

    def grow(self, reference: Reference) -> None:
        """Take new and changed instruments; they are prepared by the next step."""
        if self.rates is None or self.rates.reference is not reference:
            self.rates = Rates(reference, self.holidays)
        self._own = np.isin(reference.array["asset_class"], CLASSES)
        if len(reference) > len(self.key_rates):
            self.key_rates = np.full((len(reference), 6), np.nan)
            if self.share is not None:
                self.share(self.key_rates)
        self._fresh = True

    def step(
        self, tables: Mapping[str, np.ndarray], changed: Mapping[str, np.ndarray], now_ns: int
    ) -> np.ndarray:
        """Rows of ANALYTICS written, int64: all that have numbers here, or none."""
        nothing = np.zeros(0, np.int64)
        rows = changed[INSTRUMENTS.name]
        touched = self._own[rows[rows < len(self._own)]].any()
        instruments = tables[INSTRUMENTS.name]
        if self.rates is None or not (touched or self._fresh) or len(instruments) == 0:
            return nothing
        newest = np.fmax.reduce(instruments[:, EVENT])
        if np.isnan(newest):
            return nothing
        self._fresh = False
        found = self.rates.step(instruments[:, MID], int(newest) * MS_NS)
        analytics = tables[ANALYTICS.name]
        gone = self._gone(found.ids)
        gone = gone[gone < len(analytics)]
        analytics[np.ix_(gone, [*PLACES, MODEL])] = np.nan
        self.measures = found
        inside = found.ids < len(analytics)
        ids = found.ids[inside]
        for place, field in PLACES.items():
            analytics[ids, place] = getattr(found, field)[inside]
        analytics[ids, MODEL] = self._models(ids)
        self.key_rates[found.ids] = found.key_rate_dv01
        return np.concatenate((ids, gone))

    def _gone(self, ids: np.ndarray) -> np.ndarray:
        """Rows that had numbers and are not priced any more: what has matured or was changed."""
        if self.measures is None:
            return np.zeros(0, np.int64)
        gone: np.ndarray = np.setdiff1d(self.measures.ids, ids)
        self.key_rates[gone] = np.nan
        return gone

    def _models(self, ids: np.ndarray) -> np.ndarray:
        """The model of each row; a short-rate future needs none."""
        assert self.rates is not None
        reference = self.rates.reference.array[ids]
        future = reference["asset_class"] == AssetClass.RATES_FUTURE
        swap = np.isin(ids, self.rates.swap_ids)
        of_future = np.where(reference["ctd"] >= 0, float(Model.BOND_FUTURE), np.nan)
        of_others = np.where(swap, float(Model.CREDIT_SWAP), float(Model.BOND))
        models: np.ndarray = np.where(future, of_future, of_others)
        return models
