"""Rule: the day's P&L by what it came of, for the fund and each of its groups.

A part of compute/risk.py, behind exposure: it knows the positions and groups of exposure's newest
step, follows what each position earns (kernels/attribution.py), and fills the table ATTRIBUTION,
whose rows are those of EXPOSURES. Nothing is kept over a restart: what was earned before it is
told apart less finely, never wrongly.
"""

from typing import Any

import numpy as np

from compute.exposure import Exposure
from compute.kernels import attribution
from compute.table import ANALYTICS, ATTRIBUTION, INSTRUMENTS, POSITIONS
from compute.term import TERMS, terms
from ingest.instrument import Reference

_HELD = np.array([POSITIONS.index(name) for name in attribution.HELD])
_MARKED = np.array([INSTRUMENTS.index(name) for name in attribution.MARKED])
_MODELLED = np.array([ANALYTICS.index(name) for name in attribution.MODELLED])
_NONE = np.zeros(0, np.int64)


class Attribution:
    """See compute.risk.Part."""

    def __init__(self, exposure: Exposure) -> None:
        """`exposure`: the part that steps before this one."""
        self.exposure = exposure
        self.tables: dict[str, np.ndarray] = {ATTRIBUTION.name: ATTRIBUTION.empty(0)}
        self.parts = np.zeros((0, attribution.WIDTH))  # Of each position.
        self._state = np.zeros(0, attribution.STATE)
        self._terms = np.zeros(0, TERMS)

    def prepare(self) -> None:
        """Compile what every step needs, or load it."""
        tables = (POSITIONS.empty(0), _HELD, INSTRUMENTS.empty(0), _MARKED)
        self.explain(*tables[::2], ANALYTICS.empty(0), 0)
        nobody = np.zeros((0, 1), np.int32), np.zeros((0, 1), np.int8), _NONE
        attribution.gather(self.parts, *nobody, np.zeros((0, 2), np.int64), self.parts)

    def grow(self, reference: Reference) -> None:
        """Take new and changed instruments."""
        self._terms = terms(reference)

    def step(self, tables: Any, changed: Any, now_ns: int) -> np.ndarray:
        """Bring the table up to date; no row of ANALYTICS is written."""
        members = self.exposure.members
        if members is None:
            return _NONE
        rows = tables[POSITIONS.name][: len(members.cells)]
        self.explain(rows, tables[INSTRUMENTS.name], tables[ANALYTICS.name], now_ns)
        groups = self.exposure.groups
        out = ATTRIBUTION.empty(len(groups))
        out[:, :2] = groups.identities()
        attribution.gather(
            *(self.parts, members.cells, members.signs, members.cell_group, members.parents),
            out[:, 2:],
        )
        self.tables[ATTRIBUTION.name] = out
        return _NONE

    def explain(
        self, positions: np.ndarray, instruments: np.ndarray, analytics: np.ndarray, now_ns: int
    ) -> None:
        """`parts` of these rows of POSITIONS, float64 [n, WIDTH] in USD."""
        size = len(positions)
        if size > len(self._state):
            grown = np.zeros(size, attribution.STATE)
            grown[: len(self._state)] = self._state
            self._state = grown
        self.parts = np.zeros((size, attribution.WIDTH))
        have = min(len(self._terms), len(instruments), len(analytics))
        attribution.explain(
            *(positions, _HELD, instruments, _MARKED, analytics, _MODELLED),
            *(self._terms[:have], now_ns / 1e6, self._state, self.parts),
        )


assert ATTRIBUTION.width - 2 == attribution.WIDTH
