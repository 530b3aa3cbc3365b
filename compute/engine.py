"""Rule: events become numbers. One engine, run by `live` and by `record` alike.

Enters: batches of EVENT in the order of their partition. Leaves: the tables of compute/table.py
as they stand, and beside every event the numbers that went on record with it (ENRICHED). The
engine knows nothing of Kafka, Redis, ClickHouse or the hour: the same events give the same bits
on every machine, however they were cut into batches (no fast-math, no library function whose
last bit depends on the CPU, no wall time).

State is an array of structs. The first 23 float64 of a row are the columns of INSTRUMENTS, so the
table is a view and costs nothing; what a quote touches lies in three cache lines.
"""

import copy
import functools
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from compute.enriched import ENRICHED
from compute.kernels import codes, position, step, trade, vwap
from compute.table import (
    BOOKS,
    BOOKS_MAX,
    CLASSES,
    INSTRUMENTS,
    POSITIONS,
    POSITIONS_MAX,
    State,
)
from ingest.instrument import AssetClass, Reference

CACHE_LINE_BYTES = 64
CLASS_COUNT = len(AssetClass)
_FLOAT, _INTEGER = "<f8", "<i8"
STATE = np.dtype(
    [
        # Lines 0 to 2: the table, and the mark that P&L and exposure hang on.
        *((name, _FLOAT) for name in INSTRUMENTS.names),
        ("mark", _FLOAT),
        # Line 3: what every event asks for.
        ("turn_ns", _INTEGER),  # From this event time on it is a new second for the row.
        ("newest_ns", _INTEGER),
        ("bits", _INTEGER),  # State as an integer.
        ("position_usd", _FLOAT),  # USD of a move of the mark by 1.
        ("pnl_at_zero", _FLOAT),  # P&L in USD if the mark were 0.
        ("close_prev", _FLOAT),
        ("sample", _FLOAT),  # Mid at the last grid second; NaN: no chain of samples.
        ("second", _INTEGER),
        # Line 4: the session. Pairs are a sum and its low limb.
        *((name, _FLOAT) for name in ("sum_value", "sum_value_low", "sum_size", "sum_size_low")),
        ("volume_low", _FLOAT),
        ("eligible", _INTEGER),
        ("last_ns", _INTEGER),  # Event time of the trade that is `last`.
        ("remembered", _INTEGER),  # Eligible trades so far; the newest are in PRINT.
        # Line 5: the last minute, and the volatility.
        *((f"window_{name}", _FLOAT) for name in ("value", "value_low", "size", "size_low")),
        ("window_trades", _INTEGER),
        *(("return_squares", _FLOAT), ("return_weight", _FLOAT)),
        ("annual", _FLOAT),  # 100 sqrt(seconds in a trading year of the class)
        # Line 6: fills, and what is rare.
        *(("unit_usd", _FLOAT), ("usd_rate", _FLOAT)),  # unit_usd = multiplier usd_rate
        ("base", _FLOAT),  # Realised less cost of what is open, over books, in price units.
        ("fees", _FLOAT),
        ("first_slot", _INTEGER),  # Chain of positions; -1: none.
        ("session_start", _INTEGER),  # `remembered` as the session began.
        *(("asset_class", _INTEGER), ("spare", _INTEGER)),
    ]
)
assert STATE.itemsize % CACHE_LINE_BYTES == 0
assert STATE.fields is not None
assert STATE.fields["mark"][1] == INSTRUMENTS.width * 8

BUCKET = np.dtype(  # One second of eligible trades.
    [
        *((name, _FLOAT) for name in ("value", "value_low", "size", "size_low")),
        ("trades", _INTEGER),
    ]
)
PRINT = np.dtype(  # A remembered trade; size 0: void.
    [("id", _INTEGER), ("ts_event", _INTEGER), ("price", _INTEGER), ("size", _FLOAT)]
)
SLOT = np.dtype(  # A position, in price units and the instrument's currency.
    [
        *((name, _FLOAT) for name in ("quantity", "average", "realised", "fees")),
        *((name, _INTEGER) for name in ("book", "instrument", "next", "fills")),
    ]
)
assert SLOT.itemsize == CACHE_LINE_BYTES

_EQUITY_YEAR_S = 252 * 6.5 * 3600  # Sessions of US equities.
_WEEKDAY_YEAR_S = 260 * 24 * 3600  # Round the clock, five days a week.
_CRYPTO_YEAR_S = 365 * 24 * 3600
YEAR_S = {
    AssetClass.EQUITY: _EQUITY_YEAR_S,
    AssetClass.ETF: _EQUITY_YEAR_S,
    AssetClass.EQUITY_OPTION: _EQUITY_YEAR_S,
    AssetClass.INDEX_FUTURE: _WEEKDAY_YEAR_S,
    AssetClass.RATES_FUTURE: _WEEKDAY_YEAR_S,
    AssetClass.COMMODITY_FUTURE: _WEEKDAY_YEAR_S,
    AssetClass.FUTURE_OPTION: _WEEKDAY_YEAR_S,
    AssetClass.FX: _WEEKDAY_YEAR_S,
    AssetClass.GOVERNMENT_BOND: _WEEKDAY_YEAR_S,
    AssetClass.CREDIT: _EQUITY_YEAR_S,
    AssetClass.CRYPTO_SPOT: _CRYPTO_YEAR_S,
    AssetClass.CRYPTO_PERPETUAL: _CRYPTO_YEAR_S,
}
_ANNUAL = 100.0 * np.sqrt([float(YEAR_S[asset_class]) for asset_class in AssetClass])

# Columns that are counts or sums over what has happened: 0, not unknown, before the first event.
_ZERO_AT_START = ("volume", "trades", "position", "pnl", "exposure", "state", "gaps")

_CHECKPOINT = struct.Struct("<4s6I")  # magic, layout, four sizes, crc32 of sizes and the rest
_MAGIC = b"TGE1"
_LAYOUT = zlib.crc32(
    repr((STATE.descr, BUCKET.descr, PRINT.descr, SLOT.descr, codes.COUNTERS)).encode()
)
_CELL, _COUNT, _INDEX = np.dtype("<f8"), np.dtype("<i8"), np.dtype("<u4")
_NO_ENRICHED = np.zeros(0, ENRICHED)


@functools.cache
def compiled() -> tuple[Callable[..., None], Callable[..., None]]:
    """The kernels `step` and `total`, from the disk cache where no kernel has changed since."""
    folder = Path(step.__file__).parent
    sources = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))
    stamp = zlib.crc32(sources)
    return step.build(stamp), position.build(stamp)


class Engine:
    """Tables of all instruments, and the step that moves them.

    `tables`: "instruments" [n, 23], "positions" [POSITIONS_MAX, 9], "books" [BOOKS_MAX, 6],
    "classes" [12, 6], float64, NaN unknown; the instruments are a strided view of the state.
    `oldest_ns`: int64 [n], ts_event of the first event on the row since the reader set it to 0.
    Both are replaced by `grow` and `restore` when the number of rows changes.
    """

    def __init__(self, reference: Reference) -> None:
        """One row an instrument of `reference`; nothing has happened yet."""
        self._step, self._total = compiled()
        self._state = _aligned(0, STATE)
        self._ring = _aligned(0, BUCKET).reshape(0, vwap.WINDOW_S)
        self._recent = _aligned(0, PRINT).reshape(0, trade.RECENT)
        self._slots = _empty_slots(POSITIONS_MAX)
        self._counts = np.zeros(len(codes.COUNTERS), np.int64)
        self.oldest_ns = np.zeros(0, np.int64)
        self.tables = {
            "positions": POSITIONS.empty(POSITIONS_MAX),
            "books": BOOKS.empty(BOOKS_MAX),
            "classes": CLASSES.empty(CLASS_COUNT),
        }
        self.grow(reference)

    @property
    def counters(self) -> dict[str, int]:
        """What was met so far: events, unknown instruments, refused, unmatched busts, ..."""
        return dict(zip(codes.COUNTERS, self._counts.tolist(), strict=True))

    def step(self, events: np.ndarray, enriched: np.ndarray | None) -> int:
        """Apply `events` (EVENT [n], in order); fill `enriched` (ENRICHED, n or more) if given.

        Returns n. Events that cannot be (unknown instrument, impossible size) are counted in
        `counters` and move nothing.
        """
        if enriched is None:
            enriched = _NO_ENRICHED
        elif len(enriched) < len(events):
            raise ValueError(f"enriched has {len(enriched)} rows for {len(events)} events")
        if not events.flags.c_contiguous:
            events = np.ascontiguousarray(events)
        if events.flags.writeable:  # One signature, one compilation: frames are read-only.
            events = events.view()
            events.flags.writeable = False
        self._step(
            *(events, self._state, self._ring, self._recent, self._slots),
            *(self.oldest_ns, self._counts, enriched, BOOKS_MAX),
        )
        return len(events)

    def mark_gap(self, instruments: np.ndarray, missing: int) -> None:
        """`missing` events of the source of `instruments` (ids) were never seen: GAP shows."""
        rows = np.unique(instruments)
        rows = rows[rows < len(self._state)]
        self._state["bits"][rows] |= State.GAP
        self._state["state"][rows] = self._state["bits"][rows]
        self._state["gaps"][rows] += missing
        self._touch(rows)

    def total(self) -> None:
        """Bring positions, books and classes to the marks of now; call before a cut."""
        self._total(
            *(self._state, self._slots, self._counts[codes.POSITIONS]),
            *(self.tables["positions"], self.tables["books"], self.tables["classes"]),
        )

    def grow(self, reference: Reference) -> None:
        """Take new and changed instruments; what has happened to the others stays."""
        self._resize(len(reference))
        self._reference = reference
        before = self.tables["instruments"].copy()
        array, state = reference.array, self._state
        state["close_prev"] = array["close_prev"]
        state["usd_rate"] = array["usd_rate"]
        state["unit_usd"] = array["multiplier"] * array["usd_rate"]
        state["asset_class"] = array["asset_class"]
        known = array["asset_class"] >= 0
        state["annual"][known] = _ANNUAL[array["asset_class"][known]]
        self._derive()
        now = self.tables["instruments"]
        same = (before == now) | (np.isnan(before) & np.isnan(now))
        self._touch(np.flatnonzero(~same.all(axis=1)))

    def freeze(self) -> "Engine":
        """A copy that no step moves: another thread can take its checkpoint meanwhile."""
        frozen = copy.copy(self)
        for name in ("_state", "_ring", "_recent", "_slots", "_counts", "oldest_ns"):
            setattr(frozen, name, getattr(self, name).copy())
        frozen.tables = {name: table.copy() for name, table in self.tables.items()}
        return frozen

    def checkpoint(self) -> bytes:
        """The whole state, bit for bit; empty buckets and free slots take no room."""
        used = int(self._counts[codes.POSITIONS])
        ring = self._ring.reshape(-1)
        held = _used(ring)
        recent = self._recent.reshape(-1)
        prints = _used(recent)
        body = b"".join(
            part.tobytes()
            for part in (
                *(self._counts, self._state, self.oldest_ns, self._slots[:used]),
                *(held, ring[held], prints, recent[prints], self.tables["positions"][:used]),
                *(self.tables["books"], self.tables["classes"]),
            )
        )
        sizes = (len(self._state), used, len(held), len(prints))
        return _CHECKPOINT.pack(_MAGIC, _LAYOUT, *sizes, _checksum(body, *sizes)) + body

    def restore(self, data: bytes) -> None:
        """Inverse of `checkpoint`. The reference may have grown since, not shrunk.

        ValueError, and the state as it was, where the bytes are damaged, of another layout, or
        of more instruments than the reference has.
        """
        if len(data) < _CHECKPOINT.size:
            raise ValueError(f"checkpoint of {len(data)} bytes is cut short")
        magic, layout, rows, used, held, prints, checksum = _CHECKPOINT.unpack_from(data)
        body = memoryview(data)[_CHECKPOINT.size :]
        if magic != _MAGIC or layout != _LAYOUT:
            raise ValueError("checkpoint is of another version; start from the events instead")
        if _checksum(body, rows, used, held, prints) != checksum:
            raise ValueError("checkpoint is damaged: its checksum does not fit")
        if rows > len(self._state):
            raise ValueError(f"checkpoint has {rows} rows, the reference {len(self._state)}")
        self._clear()
        reader = _Reader(body)
        self._counts[:] = reader.take(_COUNT, len(self._counts))
        self._state[:rows] = reader.take(STATE, rows)
        self.oldest_ns[:rows] = reader.take(_COUNT, rows)
        self._slots[:used] = reader.take(SLOT, used)
        index = reader.take(_INDEX, held)
        self._ring.reshape(-1)[index] = reader.take(BUCKET, held)
        index = reader.take(_INDEX, prints)
        self._recent.reshape(-1)[index] = reader.take(PRINT, prints)
        for name, height in (
            ("positions", used),
            ("books", BOOKS_MAX),
            ("classes", CLASS_COUNT),
        ):
            table = self.tables[name]
            width = table.shape[1]
            table[:height] = reader.take(_CELL, height * width).reshape(height, width)
        self.grow(self._reference)

    def _resize(self, rows: int) -> None:
        """Room for `rows` instruments; new rows know nothing yet."""
        known = len(self._state)
        if rows < known:
            raise ValueError(f"the reference shrank from {known} to {rows} rows; ids are for ever")
        if rows > known:
            state, ring, oldest = self._state, self._ring, self.oldest_ns
            recent = self._recent
            self._state = _aligned(rows, STATE)
            self._ring = _aligned(rows * vwap.WINDOW_S, BUCKET).reshape(rows, vwap.WINDOW_S)
            self._recent = _aligned(rows * trade.RECENT, PRINT).reshape(rows, trade.RECENT)
            self.oldest_ns = np.zeros(rows, np.int64)
            _start(self._state[known:])
            self._state[:known], self._ring[:known], self.oldest_ns[:known] = (
                state,
                ring,
                oldest,
            )
            self._recent[:known] = recent
        cells = self._state.view(np.float64).reshape(rows, STATE.itemsize // 8)
        self.tables["instruments"] = cells[:, : INSTRUMENTS.width]

    def _clear(self) -> None:
        """As if nothing had ever happened; the arrays stay where they are."""
        _start(self._state)
        self._ring.view(np.float64)[:] = 0.0
        self._recent.view(np.float64)[:] = 0.0
        self._slots[:] = _empty_slots(POSITIONS_MAX)
        self._counts[:] = 0
        self.oldest_ns[:] = 0
        self.tables["positions"][:] = np.nan

    def _derive(self) -> None:
        """What depends on reference data, by the formulas of the kernels, for all rows."""
        state = self._state
        unpriced = np.isnan(state["mid"]) & np.isnan(state["last"])
        state["mark"][unpriced] = state["close_prev"][unpriced]
        state["position_usd"] = state["position"] * state["unit_usd"]
        state["pnl_at_zero"] = (
            state["base"] * state["unit_usd"] - state["fees"] * state["usd_rate"] + 0.0
        )
        held = state["position"] != 0.0
        state["exposure"] = np.where(held, state["position_usd"] * state["mark"] + 0.0, 0.0)
        state["pnl"] = state["pnl_at_zero"] + state["exposure"]
        price = np.where(np.isnan(state["last"]), state["mid"], state["last"])
        close = np.where(state["close_prev"] > 0.0, state["close_prev"], np.nan)
        state["change"] = (price / close - 1.0) * 100.0

    def _touch(self, rows: np.ndarray) -> None:
        """Rows that changed without an event: as of the newest event of all."""
        if len(rows):
            newest = max(int(self._state["newest_ns"].max()), 1)
            self.oldest_ns[rows[self.oldest_ns[rows] == 0]] = newest


def _checksum(body: bytes | memoryview, *sizes: int) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("<4I", *sizes)))


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


def _used(items: np.ndarray) -> np.ndarray:
    """Indices of the items that are not all zero bits."""
    words = items.view(np.int64).reshape(len(items), items.itemsize // 8)
    return np.flatnonzero(words.any(axis=1)).astype(_INDEX)


def _aligned(rows: int, dtype: np.dtype) -> np.ndarray:
    """Zeroed array [rows] that begins at a cache line."""
    raw = np.zeros(rows * dtype.itemsize + CACHE_LINE_BYTES, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE_BYTES
    return raw[start : start + rows * dtype.itemsize].view(dtype)


def _start(state: np.ndarray) -> None:
    """Rows of STATE before their first event: prices are unknown, counts are 0."""
    state[:] = np.zeros(1, STATE)
    for name in INSTRUMENTS.names:
        state[name] = 0.0 if name in _ZERO_AT_START else np.nan
    for name in ("mark", "close_prev", "sample", "annual"):
        state[name] = np.nan
    state["asset_class"] = -1
    state["first_slot"] = -1


def _empty_slots(rows: int) -> np.ndarray:
    """Slots of positions that nobody holds."""
    slots = _aligned(rows, SLOT)
    slots["average"] = np.nan
    slots["next"] = -1
    return slots
