"""Rule: messages to the books of many instruments -> where a best bid or ask changed.

A venue that tells sizes by price instead of orders fits the same book: a price on a side is an
order of its own (`level`), and a new size modifies it.
"""

import numpy as np

from ingest.book import MESSAGE, TOP, Action, Book
from ingest.event import NO_PRICE

SIZE_PLACES = 8  # A size that is no whole number is counted in 1e-8, as crypto venues do.
SIZE_SCALE = 10**SIZE_PLACES


def level(price: int, size: int, side: int) -> tuple[int, int, int, int, int]:
    """A row of MESSAGE: `size` now rests at `price`, 0 is nothing; `side` 1 bid, -1 ask."""
    return 2 * price + (side < 0), price, size, side, Action.MODIFY


CLEAR = (0, 0, 0, 0, int(Action.CLEAR))


class Depths:
    """The books, and the best prices last told, by instrument."""

    def __init__(self) -> None:
        """No book yet; each begins with its instrument's first message."""
        self._books: dict[int, Book] = {}
        self._last: dict[int, np.ndarray] = {}

    def changes(
        self, instruments: np.ndarray, messages: np.ndarray, whole: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows at which the top is another than last told, ascending, and TOP there.

        `whole` marks the rows after which a book may be looked at: the last of a message.
        """
        rows, tops = [np.empty(0, np.int64)], [np.empty(0, TOP)]
        for number in np.unique(instruments).tolist():
            mine = np.flatnonzero(instruments == number)
            book = self._books.setdefault(number, Book())
            last = self._last.setdefault(number, np.array([(NO_PRICE, NO_PRICE, 0, 0)], TOP))
            ends = whole[mine]
            found = book.apply(messages[mine])[ends]
            told = found != np.concatenate((last, found[:-1]))
            if len(found):
                last[:] = found[-1:]
            rows.append(mine[ends][told])
            tops.append(found[told])
        at = np.concatenate(rows)
        order = np.argsort(at, kind="stable")
        return at[order], np.concatenate(tops)[order]


def messages(rows: list[tuple[int, int, int, int, int]]) -> np.ndarray:
    """MESSAGE [n] of rows as `level` makes them."""
    return np.array(rows, MESSAGE)
