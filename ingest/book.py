"""Rule: order messages -> best bid and ask after each message.

A full book (`depth` 0) is told of every order from the first on. It keeps orders by id, sizes by
price, and the queue: a modify that moves the price or grows the size goes to the back of it.

A book of `depth` n > 0 is told only of what touches the n best prices of a side, so it knows
sizes only above an *edge*: prices worse than that may hold orders that nobody announced. When a
best price empties, what comes to light behind it was never announced either, and the side is
unknown (NO_PRICE) until a new order above the edge makes it known again, or a `seed` tells.
What this book says is therefore exact; what it cannot know it does not say. Such messages speak
for themselves (side, price, size), hence no orders are kept.
"""

from enum import IntEnum

import numpy as np
from numba import njit

from ingest.event import NO_PRICE

MESSAGE = np.dtype(
    [
        ("order", "<i8"),
        ("price", "<i8"),  # 1e-9; of CANCEL, DELETE and EXECUTE read only where depth > 0
        ("size", "<i8"),  # ADD, MODIFY: what rests then; CANCEL, EXECUTE: what goes
        ("side", "i1"),  # 1 bid, -1 ask
        ("action", "u1"),
    ]
)
TOP = np.dtype([("bid", "<i8"), ("ask", "<i8"), ("bid_size", "<i8"), ("ask_size", "<i8")])


class Action(IntEnum):
    """What a message does to the book."""

    NONE = 0
    ADD = 1
    MODIFY = 2
    CANCEL = 3  # A part, or all if nothing is left.
    DELETE = 4
    EXECUTE = 5
    CLEAR = 6


_ADD, _MODIFY, _DELETE, _CLEAR = map(int, (Action.ADD, Action.MODIFY, Action.DELETE, Action.CLEAR))
_NOWHERE = 2**62  # A key no price has: below it nothing, above it everything is known.

# Columns of an order; its size is signed (+ bid, - ask) and 0 marks a free place.
_ID, _PRICE, _SIZE, _PRIORITY = range(4)
# Columns of a level; its key is the price of a bid, minus the price of an ask: best is greatest.
_KEY, _VOLUME = range(2)
# Places in `tally`; the first two are the numbers of levels of the bid and of the ask.
_ORDERS, _NEXT, _UNKNOWN, _CONFLICTS, _SEEDED = range(2, 7)


class Book:
    """The book of one instrument; `apply` is the only thing that changes it."""

    def __init__(self, depth: int = 0) -> None:
        """`depth`: how many prices a side the messages speak of; 0 is all."""
        self.depth = depth
        self._orders = np.zeros((1024, 4), np.int64)
        self._levels = np.zeros((2, 256, 2), np.int64)
        self._edges = np.full(2, _NOWHERE if depth else -_NOWHERE, np.int64)
        self._tally = np.zeros(7, np.int64)

    @property
    def orders(self) -> int:
        """Resting orders."""
        return int(self._tally[_ORDERS])

    @property
    def unknown(self) -> int:
        """Messages so far that named an order which does not rest here."""
        return int(self._tally[_UNKNOWN])

    @property
    def conflicts(self) -> int:
        """Messages so far that contradict a book of limited depth; the message was believed."""
        return int(self._tally[_CONFLICTS])

    @property
    def seeded(self) -> int:
        """Times a side was taken from `seeds`."""
        return int(self._tally[_SEEDED])

    def apply(self, messages: np.ndarray, seeds: np.ndarray | None = None) -> np.ndarray:
        """TOP [n] after each of MESSAGE [n]; NO_PRICE and size 0 where a side is empty or unknown.

        `seeds`, int64 [n, 2, depth, 2] (row, side, level from the best, price and size), tells
        a book of limited depth what lies behind an edge after each message; size 0 is no level,
        a first size below 0 is a row that cannot tell.
        """
        self._grow(len(messages))
        top = np.empty(len(messages), TOP)
        rows = np.empty((0, 2, 1, 2), np.int64) if seeds is None else seeds
        book = (self._orders, self._levels, self._edges, self._tally)
        _apply(messages, top, *book, self.depth, rows)
        return top

    def ahead(self, order: int) -> int | None:
        """Size that rests at the order's price before it in the queue; None: no such order."""
        slot = _find(self._orders, order)
        mine = self._orders[slot]
        if mine[_SIZE] == 0:
            return None
        orders = self._orders
        same = (orders[:, _PRICE] == mine[_PRICE]) & (orders[:, _SIZE] * np.sign(mine[_SIZE]) > 0)
        return int(np.abs(orders[same & (orders[:, _PRIORITY] < mine[_PRIORITY]), _SIZE]).sum())

    def _grow(self, messages: int) -> None:
        # The kernel never allocates: half of the places stay free, so a search ends soon.
        places = len(self._orders)
        while places < 2 * (self.orders + messages):
            places *= 2
        if places > len(self._orders) and not self.depth:
            old = self._orders[self._orders[:, _SIZE] != 0]
            self._orders = np.zeros((places, 4), np.int64)
            for row in old:
                self._orders[_find(self._orders, row[_ID])] = row
        levels = int(self._tally[:2].max()) + messages
        if levels > self._levels.shape[1]:
            wide = np.zeros((2, 2 * levels, 2), np.int64)
            wide[:, : self._levels.shape[1]] = self._levels
            self._levels = wide


@njit(cache=True)
def _apply(messages, top, orders, levels, edges, tally, depth, seeds):
    for i in range(len(messages)):
        message = messages[i]
        if message.action == _CLEAR:
            orders[:] = 0
            tally[:_NEXT] = 0
            edges[:] = -_NOWHERE
        elif message.action and depth:
            _view(message, levels, edges, tally, depth)
        elif message.action:
            _order(message, orders, levels, tally)
        for side in range(2):
            if len(seeds) and tally[side] < depth and edges[side] > -_NOWHERE:
                _seed(side, seeds[i, side], levels, edges, tally, depth)
        bids, asks = tally[0], tally[1]
        top[i].bid = levels[0, bids - 1, _KEY] if bids else NO_PRICE
        top[i].bid_size = levels[0, bids - 1, _VOLUME] if bids else 0
        top[i].ask = -levels[1, asks - 1, _KEY] if asks else NO_PRICE
        top[i].ask_size = levels[1, asks - 1, _VOLUME] if asks else 0


@njit(cache=True)
def _order(message, orders, levels, tally):
    """A message to the full book."""
    slot = _find(orders, message.order)
    size = orders[slot, _SIZE]
    price = orders[slot, _PRICE]
    if (size == 0) != (message.action == _ADD):
        tally[_UNKNOWN] += 1
    if message.action in (_ADD, _MODIFY):
        left = message.size * message.side
        # The queue is kept unless price or side move or the size grows.
        kept = price == message.price and left * size > 0 and abs(left) <= abs(size)
        price_new = message.price
    else:
        left = 0 if message.action == _DELETE else abs(size) - message.size
        left = max(left, 0) * (1 if size > 0 else -1)
        kept = True
        price_new = price
    if size:
        _shift(levels, tally, 0 if size > 0 else 1, price if size > 0 else -price, -abs(size))
    if left:
        _shift(
            levels, tally, 0 if left > 0 else 1, price_new if left > 0 else -price_new, abs(left)
        )
        tally[_ORDERS] += size == 0
        if not kept:
            tally[_NEXT] += 1
            orders[slot, _PRIORITY] = tally[_NEXT]
        orders[slot, _ID] = message.order
        orders[slot, _PRICE] = price_new
        orders[slot, _SIZE] = left
    elif size:
        tally[_ORDERS] -= 1
        _erase(orders, slot)


@njit(cache=True)
def _view(message, levels, edges, tally, depth):
    """A message to a book of limited depth."""
    side = 0 if message.side > 0 else 1
    key = message.price * message.side
    delta = message.size if message.action == _ADD else -message.size
    known = tally[side]
    if key > edges[side]:
        tally[_CONFLICTS] += _shift(levels, tally, side, key, delta)
        if tally[side] > depth:  # The worst fell out of sight.
            tally[side] = depth
            levels[side, :depth] = levels[side, 1 : depth + 1].copy()
        if tally[side] == depth:
            edges[side] = levels[side, 0, _KEY] - 1
    elif depth == 1:
        # It touched the best price, so nothing better is there, and what is there is unknown.
        tally[_CONFLICTS] += known > 0
        tally[side] = 0
        edges[side] = key


@njit(cache=True)
def _seed(side, rows, levels, edges, tally, depth):
    if rows[0, 1] < 0:
        return
    count = 0
    while count < depth and rows[count, 1] > 0:
        count += 1
    for i in range(count):
        levels[side, count - 1 - i, _KEY] = rows[i, 0] if side == 0 else -rows[i, 0]
        levels[side, count - 1 - i, _VOLUME] = rows[i, 1]
    tally[side] = count
    tally[_SEEDED] += 1
    edges[side] = levels[side, 0, _KEY] - 1 if count == depth else -_NOWHERE


@njit(cache=True)
def _shift(levels, tally, side, key, delta):
    """Add `delta` to the volume at `key`; True where more goes than was there."""
    count = tally[side]
    at = count  # First level from the best downwards that is not better than the key.
    while at > 0 and levels[side, at - 1, _KEY] > key:
        at -= 1
    if at > 0 and levels[side, at - 1, _KEY] == key:
        volume = levels[side, at - 1, _VOLUME] + delta
        levels[side, at - 1, _VOLUME] = volume
        if volume <= 0:
            for i in range(at - 1, count - 1):
                levels[side, i] = levels[side, i + 1]
            tally[side] = count - 1
        return volume < 0
    if delta <= 0:
        return True
    for i in range(count, at, -1):
        levels[side, i] = levels[side, i - 1]
    levels[side, at, _KEY] = key
    levels[side, at, _VOLUME] = delta
    tally[side] = count + 1
    return False


@njit(cache=True)
def _find(orders, order):
    """Place of `order`, or the free place where it belongs (open addressing, linear probing)."""
    slot = _home(orders, order)
    while orders[slot, _SIZE] != 0 and orders[slot, _ID] != order:
        slot = (slot + 1) & (len(orders) - 1)
    return slot


@njit(cache=True)
def _home(orders, order):
    # Fibonacci hashing: ids of one venue share their low or high bits, a product spreads them.
    spread = (np.uint64(order) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    return np.int64(spread) & (len(orders) - 1)


@njit(cache=True)
def _erase(orders, slot):
    """Free a place; what probed past it moves up, so no search meets a hole (Knuth 6.4, R)."""
    mask = len(orders) - 1
    hole = slot
    at = (slot + 1) & mask
    while orders[at, _SIZE] != 0:
        home = _home(orders, orders[at, _ID])
        if ((at - home) & mask) >= ((at - hole) & mask):
            orders[hole] = orders[at]
            hole = at
        at = (at + 1) & mask
    orders[hole, _SIZE] = 0
