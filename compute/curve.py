"""Rule: the zero curve of a currency: its nodes, its fit to what trades, and a residual report.

Discount factors are log-linear between nodes, times are ACT/365F years from the as-of date, rates
compound continuously (see `kernels.curve`, which does the arithmetic). Fitted by least squares of
yield errors to government bonds and bills, and to short-rate futures as simple forward rates
without a convexity adjustment. A node stands at the last maturity in each of the cells that CELLS
bounds, so there are as many as the quotes can tell.
"""

from dataclasses import dataclass, field

import numpy as np

from compute.kernels import curve as kernel

CELLS = (  # Years; each ends a cell that begins after the one before.
    *(0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
    *(12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 100.0),
)
DAYS_A_YEAR = 365.0


@dataclass(frozen=True, slots=True)
class Residual:
    """How far the curve is from one quote: model - market, in basis points of yield."""

    instrument: int
    residual_bp: float


@dataclass(slots=True)
class Curve:
    """A zero curve; `q` is -ln of the discount factor at the nodes, NaN before the first fit."""

    currency: str
    as_of: int  # Day number: days since 1970-01-01.
    node: np.ndarray  # float64 [k], years, rising
    q: np.ndarray  # float64 [k]
    instruments: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    residual_bp: np.ndarray = field(default_factory=lambda: np.zeros(0))
    rounds: int = 0  # Of the last fit; -1: it did not converge, 0: it had no quotes.

    def _q(self, t: np.ndarray | float) -> np.ndarray:
        times = np.atleast_1d(np.asarray(t, np.float64))
        left, share = places(self.node, times)
        out = np.empty(times.shape)
        kernel.evaluate(self.q, left, share, out)
        return out

    def discount(self, t: np.ndarray | float) -> np.ndarray:
        """Discount factors at `t` years, 0 or more."""
        return np.exp(-self._q(t))

    def zero(self, t: np.ndarray | float) -> np.ndarray:
        """Continuously compounded zero rates at `t` years, above 0."""
        rate: np.ndarray = self._q(t) / np.atleast_1d(t)
        return rate

    def forward(self, start: np.ndarray | float, end: np.ndarray | float) -> np.ndarray:
        """Continuously compounded forward rates between two times."""
        rise: np.ndarray = self._q(end) - self._q(start)
        return rise / np.atleast_1d(np.subtract(end, start))

    def report(self) -> tuple[Residual, ...]:
        """Every quote that took part, the worst first."""
        known = np.flatnonzero(~np.isnan(self.residual_bp))
        order = known[np.argsort(-np.abs(self.residual_bp[known]), kind="stable")]
        return tuple(Residual(int(self.instruments[i]), float(self.residual_bp[i])) for i in order)


def flat(currency: str, as_of: int, rate: float) -> Curve:
    """A curve of one continuously compounded rate."""
    node = np.array(CELLS)
    return Curve(currency, as_of, node, rate * node)


def years(days: np.ndarray | int, as_of: int) -> np.ndarray:
    """Curve time of day numbers."""
    return np.asarray((np.asarray(days) - as_of) / DAYS_A_YEAR, np.float64)


def nodes(maturities: np.ndarray) -> np.ndarray:
    """The last maturity (years) in each of CELLS; one far node if there are none."""
    cells = np.searchsorted(CELLS, maturities)
    return np.array([maturities[cells == cell].max() for cell in np.unique(cells)] or [CELLS[-1]])


def places(node: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(left, share) of times among nodes, as the kernels want them."""
    left, share = np.empty(t.shape, np.int64), np.empty(t.shape)
    kernel.locate(node, t, left, share)
    return left, share
