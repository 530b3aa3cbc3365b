"""Rule: default swaps as grids for the kernels, and a name's hazard curve from its tenors.

Grids are made once a day and curve (`grids`); `kernels.credit` prices on them. `HazardCurve` is
piecewise constant between the maturities of the name's quoted tenors and gives the bucketed CS01:
one quote at a time moves by 1 bp, the hazards are found again, the swap is priced again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compute.curve import DAYS_A_YEAR, Curve, places
from compute.kernels import credit
from compute.kernels import curve as curve_kernel
from compute.schedule import swap_dates

RECOVERY = 0.4  # Of senior debt, where the reference does not say: the standard contract's own.
BASIS_POINT = 1e-4
YEAR_360 = 360.0


@dataclass(frozen=True, slots=True)
class Grids:
    """Grids of n swaps, flat: see `kernels.credit`. A swap that is over has no points."""

    point: np.ndarray  # int64 [n + 1]
    t: np.ndarray  # float64 [m]
    accrual: np.ndarray
    pay: np.ndarray
    pay_t: np.ndarray
    settle_t: np.ndarray  # float64 [n]
    accrued: np.ndarray  # years of premium, to the trade date included


Prepared = tuple[Grids, np.ndarray, np.ndarray, np.ndarray]  # Grids, and q at t, pay_t, settle_t.


def grids(
    maturities: Sequence[int],
    as_of: int,
    breaks: Sequence[np.ndarray],
    holidays: Sequence[int] = (),
) -> Grids:
    """Grids of standard contracts; `breaks`: for each, the nodes and knots (years) in its way."""
    parts = [_grid(*pair, as_of, holidays) for pair in zip(maturities, breaks, strict=True)]
    sizes = [len(part[0]) for part in parts]
    t, accrual, pay, pay_t = (
        np.concatenate([np.zeros(0), *(part[k] for part in parts)]) for k in range(4)
    )
    ends = np.array([part[4] for part in parts]).reshape(-1, 2)
    return Grids(
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        *(t, accrual, pay, pay_t),
        ends[:, 0].copy(),
        ends[:, 1].copy(),
    )


def _grid(
    maturity: int, breaks: np.ndarray, as_of: int, holidays: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[float, float]]:
    dates = swap_dates(maturity, as_of, holidays)
    if dates is None:
        empty = np.zeros(0)
        return empty, empty, empty, empty, (np.nan, np.nan)
    begins = (dates.accrual_start - 1 - as_of) / DAYS_A_YEAR
    ends = (dates.accrual_end - 1 - as_of) / DAYS_A_YEAR
    inner = breaks[(breaks > 0.0) & (breaks < ends[-1])]
    t = np.unique(np.concatenate(([0.0], inner, ends)))
    period = np.minimum(np.searchsorted(ends, t, side="right"), len(ends) - 1)
    accrual = (t - begins[period]) * DAYS_A_YEAR / YEAR_360
    pay, pay_t = np.zeros(len(t)), np.zeros(len(t))
    at = np.searchsorted(t, ends)
    pay[at] = (dates.accrual_end - dates.accrual_start) / YEAR_360
    pay_t[at] = (dates.payment - as_of) / DAYS_A_YEAR
    accrued = max(0, as_of + 1 - int(dates.accrual_start[0])) / YEAR_360
    return t, accrual, pay, pay_t, ((dates.settle - as_of) / DAYS_A_YEAR, accrued)


def on_curve(node: np.ndarray, q: np.ndarray, t: np.ndarray) -> np.ndarray:
    """-ln of the discount factor at times `t` [m]."""
    out = np.empty(len(t))
    curve_kernel.evaluate(q, *places(node, t), out)
    return out


def moves(t: np.ndarray) -> np.ndarray:
    """What -1 bp on each tent of the curve adds to ln of the discount factor: [m, 6]."""
    out = np.empty((len(t), len(curve_kernel.KEYS)))
    curve_kernel.moves(t, out)
    return out


class HazardCurve:
    """One name: hazards between the maturities of its tenors, from their par spreads."""

    def __init__(
        self,
        curve: Curve,
        maturities: Sequence[int],
        recovery: float = RECOVERY,
        holidays: Sequence[int] = (),
    ) -> None:
        """`maturities`: day numbers, rising. ValueError where they do not rise or are over."""
        if list(maturities) != sorted(set(maturities)) or min(maturities) <= curve.as_of:
            raise ValueError("tenors must mature in rising order, after the as-of date")
        self.curve, self.recovery, self.holidays = curve, recovery, holidays
        self.knot = (np.asarray(maturities) - curve.as_of) / DAYS_A_YEAR
        self._tenors = self._prepare(maturities)

    def _prepare(self, maturities: Sequence[int]) -> Prepared:
        breaks = np.concatenate((self.curve.node, self.knot))
        made = grids(maturities, self.curve.as_of, [breaks] * len(maturities), self.holidays)
        times = (made.t, made.pay_t, made.settle_t)
        q, pay_q, settle_q = (on_curve(self.curve.node, self.curve.q, t) for t in times)
        return made, q, pay_q, settle_q

    def hazards(self, spreads: np.ndarray) -> np.ndarray:
        """Hazard rates [m] from par spreads [m] (fractions); NaN from the first without answer."""
        made, q, pay_q, settle_q = self._tenors
        hazard = np.empty(len(spreads))
        credit.bootstrap(
            *(made.point, made.t, q, made.accrual, made.pay, pay_q, settle_q, made.accrued),
            *(self.recovery, np.asarray(spreads, np.float64), self.knot, hazard),
        )
        return hazard

    def value(self, maturity: int, coupon: float, spreads: np.ndarray) -> tuple[float, float]:
        """(value, par spread) of protection on 1 until `maturity`, without its accrued."""
        return self._value(self._prepare([maturity]), coupon, self.hazards(spreads))

    def _value(self, swap: Prepared, coupon: float, hazard: np.ndarray) -> tuple[float, float]:
        made, q, pay_q, settle_q = swap
        found: tuple[float, float] = credit.valued(
            *(made.point, made.t, q, made.accrual, made.pay, pay_q, settle_q, made.accrued),
            *(np.array([coupon]), np.array([self.recovery]), self.knot, hazard, 0),
        )
        return found

    def cs01(self, maturity: int, coupon: float, spreads: np.ndarray) -> tuple[float, np.ndarray]:
        """(parallel, by tenor [m]): the value's change for +1 bp of all quotes, and of each.

        Central differences over 1 bp: what the buckets' sum lacks of the parallel figure is of
        third order, below 1e-6 of it.
        """
        prepared = self._prepare([maturity])
        tenors = len(spreads)

        def moved(by: np.ndarray) -> float:
            up, down = (
                self._value(prepared, coupon, self.hazards(spreads + sign * by))[0]
                for sign in (0.5, -0.5)
            )
            return up - down

        each = np.array([moved(BASIS_POINT * row) for row in np.eye(tenors)])
        return moved(np.full(tenors, BASIS_POINT)), each
