"""Rule: events become numbers. One engine, run by `live` and by `record` alike.

Enters: batches of EVENT in the order of their partition. Leaves: the tables of compute/table.py
as they stand, and beside every event the numbers that went on record with it (ENRICHED). The
engine knows nothing of Kafka, Redis, ClickHouse or the hour: the same events give the same bits
on every machine, however they were cut into batches (no fast-math, no library function whose
last bit depends on the CPU, no wall time).

State is an array of structs. Float64 8 to 38 of a row are the columns of INSTRUMENTS, so the table
is a view and costs nothing. What a quote reads and writes lies in the row's first three cache
lines: what every event asks for, the numbers that go on record, the quote itself.

Sessions begin at the reset instants of the instrument's calendar (compute/session.py) or with the
flag RESET; the kernel stops at an event whose time is not covered yet, the table of instants
grows, and it goes on.
"""

import copy
import functools
import math
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from compute.enriched import ENRICHED
from compute.flat import Part, flat
from compute.kernels import codes, step, total, trade, volatility, vwap
from compute.ledger import DTYPES, LAYOUT, Arrays, Ledger
from compute.session import NAMES, Sessions
from compute.table import INSTRUMENTS, STALE_S, WIDE_SHARE, WIDE_TICKS, MarkSource, State
from ingest import calendar
from ingest.event import EVENT
from ingest.fund import Book
from ingest.instrument import AssetClass, Reference

CACHE_LINE_BYTES, HUGE_PAGE_BYTES = 64, 2 << 20
CLASS_COUNT = len(AssetClass)
_FLOAT, _INTEGER = "<f8", "<i8"
STATE = np.dtype(
    [
        # Line 0: what every event asks for.
        ("turn_ns", _INTEGER),  # From this event time on it is a new second for the row.
        ("newest_ns", _INTEGER),  # Event time; of own events too, unlike the column ts_event.
        ("bits", _INTEGER),  # State and more: kernels/codes.py.
        ("position_usd", _FLOAT),  # USD of a move of the mark by 1.
        ("pnl_at_zero", _FLOAT),  # P&L in USD if the mark were 0.
        ("wide_share", _FLOAT),  # Of the mid; a book that is wider is no tight one ...
        ("wide_floor", _FLOAT),  # ... if it is wider than this too, in price units.
        ("remembered", _INTEGER),  # Eligible trades so far; the newest are in PRINT.
        # Lines 1 to 4: the table. Line 1 is ENRICHED, line 2 what a quote moves besides.
        *((name, _FLOAT) for name in INSTRUMENTS.names),
        ("fresh_ms", _FLOAT),  # Age from which a mark gives way to a wide mid.
        # Line 5: the session. Pairs are a sum and its low limb.
        *((name, _FLOAT) for name in ("sum_value", "sum_value_low", "sum_size", "sum_size_low")),
        ("volume_low", _FLOAT),
        ("eligible", _INTEGER),
        ("last_ns", _INTEGER),  # Event time of the trade that is `last`.
        ("close_prev", _FLOAT),
        # Line 6: the clock.
        ("second", _INTEGER),
        ("session_ns", _INTEGER),  # Reset instant at which the session began; 0: no event yet.
        ("reset_ns", _INTEGER),  # The next reset instant.
        ("session_start", _INTEGER),  # `remembered` as the session began.
        ("sample", _FLOAT),  # Mid at the last whole second.
        *(("return_squares", _FLOAT), ("return_weight", _FLOAT)),
        ("annual", _FLOAT),  # 100 sqrt(seconds in a trading year of the class)
        # Line 7: the grid of realised volatility, and the night.
        ("grid_ns", _INTEGER),  # Its next instant.
        ("interval_ns", _INTEGER),
        ("grid_sample", _FLOAT),  # Mid at its last instant; NaN: none in this chain yet.
        ("grid_annual", _FLOAT),  # 100 sqrt(intervals in a trading year)
        ("returned", _INTEGER),  # Returns so far; the newest are in `squares`.
        ("mid_before", _FLOAT),  # The last mid before the session.
        ("vwap_version", _INTEGER),  # Its bit in an event's `left_out`.
        ("calendar", _INTEGER),  # Place in ingest.calendar.CALENDARS.
        # Line 8: fills.
        *(("unit_usd", _FLOAT), ("usd_rate", _FLOAT)),  # unit_usd = multiplier usd_rate
        ("base", _FLOAT),  # Realised less cost of what is open, over books, in price units.
        ("fees", _FLOAT),  # Less income.
        ("first_slot", _INTEGER),  # Chain of positions; -1: none.
        ("asset_class", _INTEGER),
        ("owed", _FLOAT),  # Mark of a unit held / mark: not 1 between the two halves of a split.
        ("day_ns", _INTEGER),  # Reset instant at which the day of the positions began; 0: none.
    ]
)
assert STATE.itemsize % CACHE_LINE_BYTES == 0
assert STATE.fields is not None
FIRST_COLUMN = STATE.fields[INSTRUMENTS.names[0]][1] // 8
assert STATE.fields["fresh_ms"][1] == (FIRST_COLUMN + INSTRUMENTS.width) * 8
assert INSTRUMENTS.names[: len(ENRICHED.names or ())] == ENRICHED.names

SUM = np.dtype(  # Of eligible trades: a bucket, a window, an open second (kernels/vwap.py).
    [
        *((name, _FLOAT) for name in ("value", "value_low", "size", "size_low")),
        ("trades", _INTEGER),
    ]
)
PRINT = np.dtype(  # A remembered trade; size 0: void.
    [("id", _INTEGER), ("ts_event", _INTEGER), ("price", _INTEGER), ("size", _FLOAT)]
)
LEG = np.dtype(  # What a pair of currencies tells of itself, for engines that do not have it.
    [("row", _INTEGER), ("mid", _FLOAT), ("ts_event", _FLOAT), ("state", _FLOAT)]
)
ROWS: dict[str, tuple[np.dtype, tuple[int, ...]]] = {  # Arrays with a row an instrument.
    "_state": (STATE, ()),
    "_sums": (SUM, (vwap.SUMS,)),
    "_ring": (SUM, (vwap.WINDOWS, vwap.BUCKETS)),
    "_recent": (PRINT, (trade.RECENT,)),
    "_squares": (np.dtype(_FLOAT), (volatility.RETURNS,)),
}
SPARSE = ("_ring", "_recent", "_squares")  # Mostly empty: a checkpoint keeps what is not.

_BY_CLASS = {
    "fresh_ms": np.array(STALE_S) * 1e3,
    "wide_share": np.array(WIDE_SHARE),
    "interval_ns": np.array([calendar.sample_s(one) for one in AssetClass]) * codes.SECOND_NS,
}

# Columns that are counts or sums over what has happened: 0, not unknown, before the first event.
_ZERO_AT_START = ("volume", "trades", "position", "pnl", "exposure", "state", "gaps")

_CHECKPOINT = struct.Struct("<4s7I")  # magic, layout, five sizes, crc32 of sizes and the rest
_MAGIC = b"TGE1"
_LAYOUT = zlib.crc32(
    repr((STATE.descr, SUM.descr, vwap.SUMS, PRINT.descr, LAYOUT, codes.COUNTERS)).encode()
)
_COUNT, _INDEX = np.dtype("<i8"), np.dtype("<u4")
_NO_ENRICHED = np.zeros(0, ENRICHED)
_NO_EVENTS = np.frombuffer(b"", EVENT)


@functools.cache
def compiled() -> tuple[Callable[..., None], Callable[..., None]]:
    """The kernels `step` and `total`, from the disk cache where no kernel has changed since."""
    folder = Path(step.__file__).parent
    sources = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))
    stamp = zlib.crc32(sources)
    layouts = [dtype for dtype, _ in ROWS.values()]
    return step.build(stamp, (*layouts, *DTYPES), Arrays), total.build(stamp)


def _entry(kernel: Callable[..., Any], arguments: Iterable[Any]) -> Callable[..., Any]:
    """The kernel's machine code for arguments of these types.

    Numba looks at the types of all arguments at each call, 10 us for two dozen arrays of records,
    where the work of a batch is 25: here they never change. The code still refuses an array of
    another item size.
    """
    compile_for = getattr(kernel, "compile", None)
    if compile_for is None:
        return kernel  # A plain function.
    entry: Callable[..., Any] = compile_for(tuple(numba.typeof(one) for one in arguments))
    return entry


class Engine:
    """Tables of all instruments, and the step that moves them.

    `tables`: "instruments" [n, 31], "positions" [POSITIONS_MAX, 9], "books" [BOOKS_MAX, 6],
    "classes" [12, 6], float64, NaN unknown; the instruments are a strided view of the state.
    `oldest_ns`: int64 [n], ts_event of the first event on the row since the reader set it to 0.
    Both are replaced by `grow` and `restore` when the number of rows changes.
    """

    _state: np.ndarray
    _sums: np.ndarray
    _ring: np.ndarray
    _recent: np.ndarray
    _squares: np.ndarray
    _arguments: tuple[Any, ...]
    _advance: Callable[..., int]

    def __init__(self, reference: Reference, books: Iterable[Book] = ()) -> None:
        """One row an instrument of `reference`; nothing has happened yet. `books`: the fund's."""
        self._step, self._total = compiled()
        for name, (dtype, width) in ROWS.items():
            setattr(self, name, _aligned(0, dtype).reshape(0, *width))
        self._sessions = Sessions()
        self._ledger = Ledger(books)
        self._counts = np.zeros(len(codes.COUNTERS), np.int64)
        self.oldest_ns = np.zeros(0, np.int64)
        self.tables = dict(self._ledger.tables)
        self.grow(reference)

    @property
    def counters(self) -> dict[str, int]:
        """What was met so far: events, unknown instruments, refused, unmatched busts, ..."""
        return dict(zip(codes.COUNTERS, self._counts.tolist(), strict=True))

    @property
    def vwap_versions(self) -> np.ndarray:
        """By instrument the bit of its version of the eligibility table, uint8; a copy."""
        return self._state["vwap_version"].astype(np.uint8)

    def step(self, events: np.ndarray, enriched: np.ndarray | None) -> int:
        """Apply `events` (EVENT [n], in order); fill `enriched` (ENRICHED, n or more) if given.

        Returns n. Events that cannot be (unknown instrument, impossible size) are counted in
        `counters` and move nothing.
        """
        if enriched is None:
            enriched = _NO_ENRICHED
        elif len(enriched) < len(events):
            raise ValueError(f"enriched has {len(enriched)} rows for {len(events)} events")
        known = events.dtype is EVENT or events.dtype == EVENT  # To compare costs 0.3 us.
        if not known or enriched.dtype != ENRICHED:
            raise TypeError(f"events of {events.dtype}, enriched of {enriched.dtype}")
        if not events.flags.c_contiguous:
            events = np.ascontiguousarray(events)
        done = self._advance(events, enriched, *self._arguments)
        while done < len(events):  # An event outside of the sessions known so far.
            self._sessions.cover(int(events["ts_event"][done]))
            self._bind()
            done += self._advance(events[done:], enriched[done:], *self._arguments)
        return done

    def _bind(self) -> None:
        """Gather the kernel's arguments; call when one of the arrays is another."""
        sessions = self._sessions
        arrays = [getattr(self, name) for name in ROWS]
        arrays += self._ledger.arrays(self._state)[1:]
        arrays += (self.oldest_ns, self._counts, sessions.instants, sessions.spans)
        self._planned = arrays  # The plan holds their addresses alone.
        plan = np.array([(one.ctypes.data, len(one)) for one in arrays], np.int64)
        self._arguments = (plan, sessions.low_ns, sessions.high_ns)
        self._advance = _entry(self._step, (_NO_EVENTS, _NO_ENRICHED, *self._arguments))

    def mark_gap(self, instruments: np.ndarray, missing: int) -> None:
        """`missing` events of the source of `instruments` (ids) were never seen: GAP shows.

        `missing` 0: all that was missing has come late, so a row that was quoted since is whole
        again, and the others are with their next quote.
        """
        rows = np.unique(instruments)
        rows = rows[rows < len(self._state)]
        state = self._state
        if missing:
            booked = ~(np.isnan(state["bid"][rows]) & np.isnan(state["ask"][rows]))
            waits = np.where(booked, codes.UNQUOTED, 0)
            state["bits"][rows] = state["bits"][rows] & ~codes.FILLED | waits | State.GAP
            state["gaps"][rows] += missing
        else:
            rows = rows[state["bits"][rows] & State.GAP != 0]
            waits = state["bits"][rows] & codes.UNQUOTED != 0
            state["bits"][rows[waits]] |= codes.FILLED
            rows = rows[~waits]
            state["bits"][rows] &= ~int(State.GAP)
        shown = state["state"][rows].astype(np.int64) & ~int(State.GAP)
        state["state"][rows] = shown | state["bits"][rows] & State.GAP
        self._touch(rows)

    def total(self) -> None:
        """Bring positions, books and classes to the marks of now; call before a cut."""
        used = int(self._counts[codes.POSITIONS])
        self.tables |= self._ledger.widen(used)
        self._total(
            *(self._ledger.arrays(self._state), used, self.oldest_ns),
            *(self.tables["positions"], self.tables["books"], self.tables["classes"]),
            self.tables["execution"],
        )

    @property
    def legs(self) -> np.ndarray:
        """Rows of the pairs that tell what currencies are worth, int64 (kernels/currency.py)."""
        return self._ledger.legs

    def lend(self, legs: np.ndarray) -> None:
        """Take what another engine has of pairs whose events this one does not get: LEG."""
        rows = legs["row"]
        state = self._state[rows]
        state["mid"], state["ts_event"] = legs["mid"], legs["ts_event"]
        moments = np.nan_to_num(legs["ts_event"]) * 1e6
        state["newest_ns"] = np.maximum(state["newest_ns"], moments.astype(np.int64))
        frozen = np.nan_to_num(legs["state"]).astype(np.int64) & codes.FROZEN
        state["bits"] = state["bits"] & ~codes.FROZEN | frozen
        self._state[rows] = state

    def grow(self, reference: Reference) -> None:
        """Take new and changed instruments; what has happened to the others stays."""
        self._resize(len(reference))
        self.reference = reference
        before = self.tables["instruments"].copy()
        array, state = reference.array, self._state
        state["close_prev"] = array["close_prev"]
        state["usd_rate"] = array["usd_rate"]
        state["unit_usd"] = array["multiplier"] * array["usd_rate"]
        state["asset_class"] = array["asset_class"]
        self._describe(array)
        self._ledger.grow(reference, int(self._counts[codes.POSITIONS]))
        self._bind()
        self._derive()
        now = self.tables["instruments"]
        same = (before == now) | (np.isnan(before) & np.isnan(now))
        self._touch(np.flatnonzero(~same.all(axis=1)))

    def _describe(self, array: np.ndarray) -> None:
        """What a row's asset class and calendar say; a row nobody described has no sessions."""
        known = np.flatnonzero(array["asset_class"] >= 0)
        state, asset_class = self._state, array["asset_class"][known]
        calendars = array["calendar"][known]
        self._sessions.use(frozenset(calendars.tolist()))
        moved = known[state["calendar"][known] != calendars]
        state["calendar"][known] = calendars
        state["vwap_version"][known] = 1 << (array["vwap_table"][known] - 1)
        state["reset_ns"][moved] = 0  # The next event finds its session.
        for name, by_class in _BY_CLASS.items():
            state[name][known] = by_class[asset_class]
        for name, own in (
            ("fresh_ms", array["stale_s"] * 1e3),
            ("wide_share", array["wide_share"]),
        ):
            told = np.flatnonzero(~np.isnan(own))
            state[name][told] = own[told]
        state["wide_floor"] = WIDE_TICKS * array["tick"]
        for code in np.unique(calendars).tolist():
            rows = known[calendars == code]
            name = calendar.CALENDARS[NAMES[code]].name
            second = calendar.periods_per_year(name, 1.0)
            state["annual"][rows] = 100.0 * np.sqrt(second)
            interval_s = state["interval_ns"][rows] / 1e9
            state["grid_annual"][rows] = 100.0 * np.sqrt(second / interval_s)

    def freeze(self, spare: "Engine | None" = None) -> "Engine":
        """A copy that no step moves: another thread can take its checkpoint meanwhile.

        `spare`: a copy of before that nobody needs any more. Its memory is used again; to ask for
        40 MB anew takes five times as long as to fill them.
        """
        frozen = copy.copy(self)
        for name in (*ROWS, "_counts", "oldest_ns"):
            own = getattr(self, name)
            room = None if spare is None else getattr(spare, name)
            if room is None or room.shape != own.shape:
                room = np.empty_like(own)
            _bytes(room)[:] = _bytes(own)  # Records are copied field by field, bytes at once.
            setattr(frozen, name, room)
        frozen._ledger = self._ledger.copy()  # noqa: SLF001
        frozen.tables = {name: table.copy() for name, table in self.tables.items()}
        return frozen

    def warm(self) -> None:
        """Have all the memory that a state may need; asked for when it is restored it takes longer.

        To be called before anything has happened.
        """
        for name in SPARSE:
            _bytes(getattr(self, name))[:] = 0

    def checkpoint(self) -> memoryview:
        """The whole state, bit for bit; empty buckets and free slots take no room."""
        used = int(self._counts[codes.POSITIONS])
        parts: list[Part] = [self._counts, self._state, self._sums, self.oldest_ns]
        held = []
        for name in SPARSE:
            items = getattr(self, name).reshape(-1)
            index = _used(items)
            held.append(len(index))
            parts += [index, items[index]]
        whole = flat([bytes(_CHECKPOINT.size), *parts, *self._ledger.pack(used)])
        sizes = (len(self._state), used, *held)
        checksum = _checksum(whole[_CHECKPOINT.size :], *sizes)
        _CHECKPOINT.pack_into(whole, 0, _MAGIC, _LAYOUT, *sizes, checksum)
        return whole

    def restore(self, data: bytes | memoryview) -> None:
        """Inverse of `checkpoint`. The reference may have grown since, not shrunk.

        ValueError, and the state as it was, where the bytes are damaged, of another layout, or
        of more instruments than the reference has.
        """
        if len(data) < _CHECKPOINT.size:
            raise ValueError(f"checkpoint of {len(data)} bytes is cut short")
        magic, layout, rows, used, *held, checksum = _CHECKPOINT.unpack_from(data)
        body = memoryview(data)[_CHECKPOINT.size :]
        if magic != _MAGIC or layout != _LAYOUT:
            raise ValueError("checkpoint is of another version; start from the events instead")
        if _checksum(body, rows, used, *held) != checksum:
            raise ValueError("checkpoint is damaged: its checksum does not fit")
        if rows > len(self._state):
            raise ValueError(f"checkpoint has {rows} rows, the reference {len(self._state)}")
        self._clear()
        reader = _Reader(body)
        self._counts[:] = reader.take(_COUNT, len(self._counts))
        self._state[:rows] = reader.take(STATE, rows)
        self._sums[:rows] = reader.take(SUM, rows * vwap.SUMS).reshape(rows, vwap.SUMS)
        self.oldest_ns[:rows] = reader.take(_COUNT, rows)
        for name, count in zip(SPARSE, held, strict=True):
            items = getattr(self, name).reshape(-1)
            index = reader.take(_INDEX, count)
            items[index] = reader.take(items.dtype, count)
        self._ledger.unpack(reader.rest(), used)
        self.tables |= self._ledger.tables
        self.grow(self.reference)

    def _resize(self, rows: int) -> None:
        """Room for `rows` instruments; new rows know nothing yet."""
        known = len(self._state)
        if rows < known:
            raise ValueError(f"the reference shrank from {known} to {rows} rows; ids are for ever")
        if rows > known:
            before = {name: getattr(self, name) for name in ROWS}
            for name, (dtype, width) in ROWS.items():
                grown = _aligned(rows * math.prod(width), dtype).reshape(rows, *width)
                grown[:known] = before[name][:known]
                setattr(self, name, grown)
            oldest, self.oldest_ns = self.oldest_ns, np.zeros(rows, np.int64)
            self.oldest_ns[:known] = oldest
            _start(self._state[known:])
        cells = self._state.view(np.float64).reshape(rows, STATE.itemsize // 8)
        self.tables["instruments"] = cells[:, FIRST_COLUMN : FIRST_COLUMN + INSTRUMENTS.width]

    def _clear(self) -> None:
        """As if nothing had ever happened; the arrays stay where they are.

        What was never written to stays so: to ask the system for memory takes longest here.
        """
        _start(self._state)
        self._sums.view(np.float64)[:] = 0.0
        for name in SPARSE if self._counts[codes.EVENTS] else ():
            items = getattr(self, name).reshape(-1)
            items[_used(items)] = np.zeros(1, items.dtype)
        self._ledger.clear()
        self._counts[:] = 0
        self.oldest_ns[:] = 0

    def _derive(self) -> None:
        """What depends on reference data, by the formulas of the kernels, for all rows."""
        state = self._state
        source = state["mark_source"]
        unpriced = np.isnan(source) | (source == MarkSource.PREVIOUS_CLOSE)
        state["mark"][unpriced] = state["close_prev"][unpriced]
        closed = unpriced & ~np.isnan(state["close_prev"])
        source[unpriced] = np.where(closed[unpriced], float(MarkSource.PREVIOUS_CLOSE), np.nan)
        state["bits"][unpriced] &= ~codes.ROUGH
        state["bits"][closed] |= codes.ROUGH
        bits = state["bits"]
        rough = np.where(bits & (codes.ROUGH | codes.WIDE) != 0, int(State.ESTIMATED), 0)
        state["state"] = bits & codes.SHOWN | rough
        inverse = self._ledger.terms["inverse"] != 0
        value = state["position"] * (state["unit_usd"] * state["owed"])
        flow = state["base"] * state["unit_usd"] - state["fees"] * state["usd_rate"] + 0.0
        state["position_usd"] = np.where(inverse, flow, value)
        state["pnl_at_zero"] = np.where(inverse, 0.0 - value, flow)
        held = state["position_usd"] != 0.0
        state["exposure"] = np.where(held, state["position_usd"] * state["mark"] + 0.0, 0.0)
        state["pnl"] = state["pnl_at_zero"] + state["exposure"]
        price = np.where(np.isnan(state["last"]), state["mid"], state["last"])
        close = np.where(state["close_prev"] > 0.0, state["close_prev"], np.nan)
        state["change"] = (price / close - 1.0) * 100.0

    def _touch(self, rows: np.ndarray) -> None:
        """Rows that changed without an event: as of the newest event of all.

        Before the first there is no moment, and no reader who was told anything.
        """
        newest = int(self._state["newest_ns"].max(initial=0))
        if newest > 0:
            self.oldest_ns[rows[self.oldest_ns[rows] == 0]] = newest


def _checksum(body: bytes | memoryview, *sizes: int) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("<5I", *sizes)))


class _Reader:
    """Arrays one after another out of a checkpoint's body."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._offset = 0

    def take(self, dtype: np.dtype, count: int) -> np.ndarray:
        """The next `count` items, without a copy."""
        items = np.frombuffer(self._body, dtype, count, self._offset)
        self._offset += items.nbytes
        return items

    def rest(self) -> memoryview:
        """All that follows."""
        return self._body[self._offset :]


def _used(items: np.ndarray) -> np.ndarray:
    """Indices of the items that are not all zero bits."""
    words = items.view(np.int64).reshape(len(items), items.dtype.itemsize // 8)
    return np.flatnonzero(functools.reduce(np.bitwise_or, words.T)).astype(_INDEX)


def _aligned(rows: int, dtype: np.dtype) -> np.ndarray:
    """Zeroed array [rows] that begins at a cache line."""
    size = rows * dtype.itemsize + CACHE_LINE_BYTES
    if size > HUGE_PAGE_BYTES // 2:
        size = max(size, 2 * HUGE_PAGE_BYTES)  # numpy asks for huge pages from here on.
    raw = np.zeros(size, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE_BYTES
    return raw[start : start + rows * dtype.itemsize].view(dtype)


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _start(state: np.ndarray) -> None:
    """Rows of STATE before their first event: prices are unknown, counts are 0."""
    state[:] = np.zeros(1, STATE)
    for name in INSTRUMENTS.names:
        state[name] = 0.0 if name in _ZERO_AT_START else np.nan
    for name in ("close_prev", "sample", "annual", "grid_sample", "grid_annual", "mid_before"):
        state[name] = np.nan
    for name in ("asset_class", "calendar", "first_slot"):
        state[name] = -1
    state["interval_ns"] = codes.SECOND_NS
    state["reset_ns"] = step.NEVER_NS
    state["bits"] = codes.BLANK
    state["owed"] = 1.0
