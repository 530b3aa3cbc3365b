"""A made-up record for charts: seeded walks that end where the fake market is now."""

import math
from typing import Any

import numpy as np

from compute.table import INSTRUMENTS


class MadePast:
    """What app.figures.Past asks of the record."""

    def __init__(self, market: Any) -> None:
        """`market` has the tables of now."""
        self.market = market

    def _walk(self, row: int, from_ns: int, to_ns: int, step_s: int) -> tuple[Any, Any]:
        t = np.arange(from_ns // 10**9 // step_s, to_ns // 10**9 // step_s) * step_s * 1e3
        draw = np.random.default_rng(row)
        last = self.market.tables["instruments"][row, INSTRUMENTS.index("last")]
        unit = self.market.unit[row]
        walk = np.cumsum(draw.normal(0, 3, len(t)))
        return t, last + np.round(walk - (walk[-1] if len(t) else 0)) * unit

    def bars(self, row: int, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
        """Bars around the walk."""
        t, close = self._walk(row, from_ns, to_ns, step_s)
        draw, unit = np.random.default_rng(row + 1), self.market.unit[row]
        opened = np.concatenate((close[:1], close[:-1]))
        high = np.maximum(opened, close) + draw.integers(0, 4, len(t)) * unit
        low = np.minimum(opened, close) - draw.integers(0, 4, len(t)) * unit
        volume = np.round(draw.pareto(2, len(t)) * 900 + 100)
        return np.column_stack((t, opened, high, low, close, (high + low) / 2, volume, volume / 50))

    def lasts(self, row: int, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
        """The walk."""
        return np.column_stack(self._walk(row, from_ns, to_ns, step_s))

    def levels(self, place: tuple[int, int], row: int, from_ns: int, to_ns: int) -> np.ndarray:
        """Sixty prices around the last."""
        assert len(place) == 2
        last = self.market.tables["instruments"][row, INSTRUMENTS.index("last")]
        steps = np.arange(30, -30, -1)
        volume = np.round(9_000 * np.exp(-((steps / 11.0) ** 2)) + 100)
        prices = last + steps * self.market.unit[row]
        return np.column_stack((prices, volume, volume * 0.4, volume * 0.5, volume / 100))

    def books(self, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
        """A wave for each book."""
        t = np.arange(from_ns // 10**9 // step_s, to_ns // 10**9 // step_s) * step_s * 1e3
        return np.concatenate(
            [
                np.column_stack((np.full(len(t), b), t, 4e5 * np.sin(t / 3e6 + b) + 1e5 * math.pi))
                for b in range(8)
            ]
        )
