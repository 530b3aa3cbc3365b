"""Rule: average cost and FIFO of one position at the same time, and the fill that never was.

Fill (dq, v) on a position q at average a: away from zero, a moves to the weighted mean and FIFO
opens a lot; towards zero, realised += (v - a) closed and a stays, while FIFO closes its oldest
lots first, fifo += (v - v_lot) closed; through zero, all is closed and the rest opens at v. Both
keep, at every event,   realised - q a = fifo - sum(open v_lot) = -sum dq v.

The REMEMBERED newest fills of a position are kept, and its cost as it was before them (THEN, the
second column of `costs` and `open`). To forget the oldest is to run the same law on THEN. A fill
that is void is taken out and the law run anew from THEN: the position is, to the bit, what it
would be had the fill never come. A void fill that is no longer remembered is taken back by its
reverse at its own price: the total is right, only what counts as realised is that of a trade.

A pool of lots serves all positions. Its limits: a position remembers REMEMBERED fills and beside
them OLD lots from before; with more, its two oldest lots become one at their mean (the identity
holds, FIFO is a mean between the two; counted as `lots_merged`). While less than half the pool is
free, only positions with fewer than RESERVED entries take more; others forget or merge first.
"""

import numpy as np
from numba import njit

from compute.kernels.codes import LOTS_MERGED

NOW, THEN = 0, 1
REMEMBERED = 64
OLD = 64
RESERVED = 4  # Half a pool of 65,536 is 4 for each of 8,192 positions, so one is never refused.
# A rest this small beside the fill is rounding of decimal sizes (0.1 + 0.2 - 0.3), not a position.
FLAT_SHARE = 1e-12

HIGH, FREE, USED, ORDERS = 0, 1, 2, 3  # Of the control array.


@njit(nogil=True, boundscheck=False, error_model="numpy")
def apply(ledger, index, when, size, value):
    """Run the law on the cost of slot `index`; what of `size` opens a lot (signed, 0: none)."""
    cost = ledger.costs[index, when]
    held = cost.quantity
    total = held + size
    if abs(total) <= FLAT_SHARE * max(abs(held), abs(size)):
        total = 0.0
    opens = size
    if held == 0.0:
        cost.average = value
        total = size
    elif (held > 0.0) == (size > 0.0):
        cost.average += (value - cost.average) * (size / total)
    else:
        reverses = total != 0.0 and (total > 0.0) != (held > 0.0)
        all_of_it = total == 0.0 or reverses
        closed = held if all_of_it else -size
        cost.realised += (value - cost.average) * closed
        cost.fifo += _consume(ledger, index, when, closed, all_of_it, value)
        opens = total if reverses else 0.0
        if reverses:
            cost.average = value
        elif total == 0.0:
            cost.average = np.nan
    cost.quantity = total
    return opens


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _consume(ledger, index, when, closed, all_of_it, value):
    """Close `closed` (signed as held) of the oldest lots, or all there are; realised on them."""
    realised = 0.0
    number = ledger.slots[index].first
    while number >= 0:
        lot = ledger.lots[number]
        is_open = ledger.open[number, when]
        if is_open != 0.0:
            taken = is_open
            if not all_of_it and abs(closed) < abs(is_open):
                taken = closed
            realised += (value - lot.value) * taken
            ledger.open[number, when] = is_open - taken
            closed -= taken
            if not all_of_it and closed == 0.0:
                break
        number = lot.next
    return realised


@njit(nogil=True, boundscheck=False, error_model="numpy")
def take(ledger, counts, index, size, value, fee, rate, reference):
    """A fill of size other than 0: remember it and run the law; False where there is no room."""
    slot = ledger.slots[index]
    while slot.remembered >= REMEMBERED:
        _forget(ledger, counts, index)
    reserve = ledger.lots.shape[0] // 2
    while ledger.lots.shape[0] - ledger.control[USED] <= reserve:
        if slot.lots < RESERVED:
            break
        if slot.remembered > 0:
            _forget(ledger, counts, index)
        else:
            _merge(ledger, counts, index)
    number = _allocate(ledger)
    if number < 0:
        return False
    lot = ledger.lots[number]
    lot.reference, lot.next = reference, -1
    lot.size, lot.value, lot.fee, lot.rate = size, value, fee, rate
    ledger.open[number, NOW], ledger.open[number, THEN] = 0.0, 0.0
    if slot.last >= 0:
        ledger.lots[slot.last].next = number
    else:
        slot.first = number
    slot.last = number
    slot.lots += 1
    slot.remembered += 1
    ledger.open[number, NOW] = apply(ledger, index, NOW, size, value)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _allocate(ledger):
    control = ledger.control
    number = control[FREE]
    if number >= 0:
        control[FREE] = ledger.lots[number].next
    elif control[HIGH] < ledger.lots.shape[0]:
        number = control[HIGH]
        control[HIGH] += 1
    else:
        return -1
    control[USED] += 1
    return number


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _unlink(ledger, index, before, number):
    """Take lot `number`, which follows `before` (-1: is the first), out of the slot's chain."""
    slot, lot = ledger.slots[index], ledger.lots[number]
    if before >= 0:
        ledger.lots[before].next = lot.next
    else:
        slot.first = lot.next
    if slot.last == number:
        slot.last = before
    slot.lots -= 1
    lot.size, lot.value, lot.fee, lot.rate, lot.reference = 0.0, 0.0, 0.0, 0.0, 0
    ledger.open[number, NOW], ledger.open[number, THEN] = 0.0, 0.0
    lot.next = ledger.control[FREE]
    ledger.control[FREE] = number
    ledger.control[USED] -= 1


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _forget(ledger, counts, index):
    """Run the law on THEN with the oldest remembered fill; what it opened is an old lot."""
    slot = ledger.slots[index]
    number = slot.first
    while ledger.lots[number].size == 0.0:  # Old lots come first.
        number = ledger.lots[number].next
    lot = ledger.lots[number]
    ledger.open[number, THEN] = apply(ledger, index, THEN, lot.size, lot.value)
    lot.size = 0.0
    slot.remembered -= 1
    slot.forgotten += 1
    before, number = -1, slot.first
    while number >= 0:
        after = ledger.lots[number].next
        if ledger.lots[number].size == 0.0 and ledger.open[number, THEN] == 0.0:
            _unlink(ledger, index, before, number)
        else:
            before = number
        number = after
    while slot.lots - slot.remembered > OLD:
        _merge(ledger, counts, index)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _merge(ledger, counts, index):
    """Make one lot of the two oldest; of what is open now the difference goes into realised."""
    slot = ledger.slots[index]
    number = slot.first
    one, two = ledger.lots[number], ledger.lots[slot.first].next
    into = ledger.lots[two]
    first, second = ledger.open[number, THEN], ledger.open[two, THEN]
    mean = one.value + (into.value - one.value) * (second / (first + second))
    now_first, now_second = ledger.open[number, NOW], ledger.open[two, NOW]
    ledger.costs[index, NOW].fifo += now_first * (mean - one.value)
    ledger.costs[index, NOW].fifo += now_second * (mean - into.value)
    into.value = mean
    ledger.open[two, NOW], ledger.open[two, THEN] = now_first + now_second, first + second
    _unlink(ledger, index, -1, number)
    counts[LOTS_MERGED] += 1


@njit(nogil=True, boundscheck=False, error_model="numpy")
def find(ledger, index, reference, size, value):
    """The newest remembered fill of these three, or -1; and what comes before it in the chain."""
    found, found_before = -1, -1
    before, number = -1, ledger.slots[index].first
    while number >= 0:
        lot = ledger.lots[number]
        same = lot.size == size and lot.value == value and lot.reference == reference
        if same and lot.size != 0.0:
            found, found_before = number, before
        before, number = number, lot.next
    return found, found_before


@njit(nogil=True, boundscheck=False, error_model="numpy")
def void(ledger, index, before, number):
    """Take the fill `number` out, and run the law anew from THEN."""
    slot = ledger.slots[index]
    _unlink(ledger, index, before, number)
    slot.remembered -= 1
    now, then = ledger.costs[index, NOW], ledger.costs[index, THEN]
    now.quantity, now.average = then.quantity, then.average
    now.realised, now.fifo = then.realised, then.fifo
    number = slot.first
    while number >= 0:
        ledger.open[number, NOW] = ledger.open[number, THEN]
        number = ledger.lots[number].next
    number = slot.first
    while number >= 0:
        lot = ledger.lots[number]
        if lot.size != 0.0:
            ledger.open[number, NOW] = apply(ledger, index, NOW, lot.size, lot.value)
        number = lot.next


@njit(nogil=True, boundscheck=False, error_model="numpy")
def split(ledger, index, new, old):
    """`new` units for `old` ones: sizes grow, values shrink, money stays."""
    for when in range(2):
        cost = ledger.costs[index, when]
        cost.quantity = cost.quantity * new / old
        cost.average = cost.average * old / new
    number = ledger.slots[index].first
    while number >= 0:
        lot = ledger.lots[number]
        lot.size = lot.size * new / old
        lot.value = lot.value * old / new
        for when in range(2):
            ledger.open[number, when] = ledger.open[number, when] * new / old
        number = lot.next


@njit(nogil=True, boundscheck=False, error_model="numpy")
def fifo_average(cost):
    """Mean value of the lots that are open, by the identity of both methods; NaN: none is."""
    if cost.quantity == 0.0:
        return np.nan
    return cost.average + (cost.fifo - cost.realised) / cost.quantity
