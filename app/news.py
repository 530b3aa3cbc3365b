"""Rule: what happened in the market, as a list that people read: halts, gaps, corrections, moves.

Enters: the mirror, looked at once a second. Leaves: the newest NEWS_MAX happenings, oldest first.
It begins with what stands when somebody first looks, and ends when nobody does; what came and
went between two looks is not told here but on the record.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from app.figures import Figure
from app.mirror import Mirror
from compute.table import INSTRUMENTS, State

NEWS_MAX = 120  # More than anybody scrolls through; 5 kB.
FIRST_MAX = 40  # Of those that stand at the first look: a whole market may be shut.
LEAP_MS = 30_000.0  # A clock that leaps so far is another moment: what was before is not news.
MOVE_STEP_PCT = 5.0  # Of the day: each multiple is told once, on the way away from nought.
TOLD = State.HALTED | State.AUCTION | State.GAP | State.CORRECTED  # All else is of a moment.
STANDS = State.HALTED | State.GAP
_STATE, _CHANGE, _TS = (INSTRUMENTS.index(name) for name in ("state", "change", "ts_event"))


class News(Figure):
    """Rows [n, 5]: ms, instrument, state now and before (bits of TOLD), move of the day in %.

    The move is that multiple of MOVE_STEP_PCT which was passed; NaN where it is news of a state.
    """

    every_s = 1.0
    loads = False

    def __init__(self, wish: Mapping[str, Any], mirror: Mirror) -> None:
        """All of it: a wish says no more."""
        super().__init__(wish, mirror)
        self.rows = np.zeros((0, 5))
        self.facts = {"step": MOVE_STEP_PCT}
        self._states = np.zeros(0, np.int64)
        self._steps = np.zeros(0)
        self._at_ms = -np.inf

    def refresh(self, now_ns: int) -> bool:
        """What differs from the last look."""
        table = self.mirror.tables[INSTRUMENTS.name]
        now_ms = now_ns / 1e6
        if not -1_000.0 <= now_ms - self._at_ms <= LEAP_MS:
            self.rows, self._states, self._steps = self.rows[:0], self._states[:0], self._steps[:0]
        self._at_ms = now_ms
        states = np.nan_to_num(table[:, _STATE]).astype(np.int64) & int(TOLD)
        steps = np.trunc(np.nan_to_num(table[:, _CHANGE]) / MOVE_STEP_PCT)
        steps[self._options(len(table))] = 0.0
        first = not len(self._states)
        if first:
            was, before = np.where(states & int(STANDS), 0, states), steps
        else:
            was, before = (_grown(old, len(table)) for old in (self._states, self._steps))
        self._states, self._steps = states, _farthest(steps, before)
        new = self._told(table, states, was, now_ms)
        if first:
            new = new[:FIRST_MAX]
        moved = np.flatnonzero(self._steps != before)
        moves = np.column_stack(
            (np.full(len(moved), now_ms), moved, states[moved], states[moved], steps[moved])
        )
        moves[:, 4] *= MOVE_STEP_PCT
        if not len(new) and not len(moves):
            return False
        rows = np.concatenate((self.rows, new, moves))
        self.rows = rows[np.argsort(rows[:, 0], kind="stable")][-NEWS_MAX:]
        return True

    def _told(
        self, table: np.ndarray, states: np.ndarray, was: np.ndarray, now_ms: float
    ) -> np.ndarray:
        """Rows of the instruments whose state differs, at the moment of their newest event."""
        which = np.flatnonzero(states != was)
        at = table[which, _TS]
        at = np.where(np.isfinite(at), np.minimum(at, now_ms), now_ms)
        blank = np.full(len(which), np.nan)
        return np.column_stack((at, which, states[which], was[which], blank))

    def _options(self, size: int) -> np.ndarray:
        """Of ids: bool, whether it has a strike: such move by so much all day long."""
        found = np.zeros(size, np.bool_)
        known = self.mirror.reference.by_id.values()
        found[[one.id for one in known if one.strike is not None and one.id < size]] = True
        return found


def _grown(old: np.ndarray, size: int) -> np.ndarray:
    """As long as the table is by now; what is new in it was nought before."""
    return np.concatenate((old[:size], np.zeros(max(0, size - len(old)), old.dtype)))


def _farthest(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Steps away from nought that were told: those of now where the side is another, or farther."""
    other = np.sign(now) * np.sign(before) < 0
    return np.where(other | (np.abs(now) > np.abs(before)), now, before)


KINDS: dict[str, Callable[[Mapping[str, Any], Mirror], Figure]] = {"news": News}
