"""Rule: what a page showed at a moment, from the pushes it was sent and the paints it confirmed.

A `Screen` takes pushes by the same rule as the page's own store
(app/blocks/store.js). `recall` finds, in what is on the tape, the newest push that was painted at
or before a moment, and applies what leads to it: about twice a minute a push holds everything
that a page shows. What was acknowledged at T was painted at most one way of the network before T.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from compute.archive import Archive
from compute.asof import read_slices
from compute.batch import NO_BODY, Act, unpack_batch
from compute.tape_row import PAGES, SCREENS, PageRow, Slice

PUSH_MAGIC = 0x31504754  # "TGP1"
CELLS, ROWS, SERIES, STATUS, NAMES, ALERTS = (
    1,
    2,
    3,
    4,
    5,
    6,
)  # Kinds of sections, README of blocks.
_PUSH = struct.Struct("<IHHddd")
_SECTION = struct.Struct("<HHI")
TOTAL = 0xFFFF_FFFF  # The row of a pinned total.
SPANS_S = (90, 900, 24 * 3600)  # How far back is looked; a hidden page paints nothing for hours.


class Grid:
    """One table on a page: which rows its slots show, and their cells. As GridFeed in store.js."""

    def __init__(self, spec: dict[str, Any]) -> None:
        """Nothing is shown yet."""
        self.table, self.columns = str(spec["table"]), [str(name) for name in spec["columns"]]
        self.total, self.first = -1, 0  # Rows that the filter lets through; of the first slot.
        self.rows: list[int] = []
        self.cells = np.full((0, len(self.columns)), np.nan)

    def set_rows(self, payload: bytes) -> None:
        """A slot that shows another row is blank until its cells come."""
        self.total, self.first, count, _ = struct.unpack_from("<4I", payload)
        rows = np.frombuffer(payload, "<u4", count, 16).tolist()
        cells = np.full((count, len(self.columns)), np.nan)
        for slot, row in enumerate(rows):
            if slot < len(self.rows) and self.rows[slot] == row:
                cells[slot] = self.cells[slot]
        self.rows, self.cells = rows, cells

    def set_cells(self, payload: bytes) -> None:
        """New values of some cells."""
        count, stamped = struct.unpack_from("<II", payload)
        values = np.frombuffer(payload, "<f8", count, 16)
        cells = np.frombuffer(payload, "<u2", count, 16 + 8 * count + 6 * stamped).astype(np.int64)
        inside = cells < self.cells.size
        self.cells.reshape(-1)[cells[inside]] = values[inside]


@dataclass
class Screen:
    """What one page shows, from its pushes in order."""

    feeds: list[dict[str, Any]]
    grids: dict[int, Grid] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)
    told: dict[int, Any] = field(default_factory=dict)  # JSON by its kind.
    sequence: int = -1
    ts_push: float = 0.0

    def __post_init__(self) -> None:
        """A page as it is opened: all blank."""
        self.grids = {
            index: Grid(feed) for index, feed in enumerate(self.feeds) if feed["kind"] == "grid"
        }

    def take(self, push: bytes) -> None:
        """Apply one push, with or without the head of its WebSocket frame."""
        at = push.find(struct.pack("<I", PUSH_MAGIC), 0, 16)
        magic, count, _, sequence, self.ts_push, _ = _PUSH.unpack_from(push, at)
        if magic != PUSH_MAGIC:
            raise ValueError("not a push")
        at += _PUSH.size
        for _ in range(count):
            feed, kind, size = _SECTION.unpack_from(push, at)
            payload = push[at + 8 : at + 8 + size]
            at += 8 + size
            self._take(feed, kind, payload)
        self.sequence = int(sequence)

    def _take(self, feed: int, kind: int, payload: bytes) -> None:
        grid = self.grids.get(feed)
        if kind == ROWS and grid:
            grid.set_rows(payload)
        elif kind == CELLS and grid:
            grid.set_cells(payload)
        elif kind == SERIES:
            self._set_series(payload)
        elif kind in (STATUS, NAMES, ALERTS):
            self.told[kind] = json.loads(payload)

    def _set_series(self, payload: bytes) -> None:
        row, count, mode, _ = struct.unpack_from("<4I", payload)
        points = np.frombuffer(payload, "<f8", 4 * count, 16).reshape(4, count).T
        held = self.series.get("points")
        if mode == 1 and held is not None and self.series["row"] == row and count:
            points = np.concatenate((held[held[:, 0] < points[0, 0]], points))
        self.series = {"row": row, "points": points}


class Entry(NamedTuple):
    """One act of a page, in the order in which the web process did it."""

    ts: int
    latency_ms: float
    sequence: int
    body: bytes
    act: int


class Shown(NamedTuple):
    """What a page showed, and how that is known."""

    page: PageRow
    screen: Screen
    sent_ns: int  # When the newest painted push was sent ...
    painted_ns: int  # ... and when its paint was known to the web process.
    latency_ms: float
    wishes: list[dict[str, Any]]  # The newest of each kind and feed, as the page asked.
    next_painted_ns: int | None  # When it began to show something else; None: not on record.
    whole_ns: int  # When the push was sent that told it everything.


class NotOnRecordError(LookupError):
    """It cannot be said what was shown; the text says why."""


def pages(archive: Archive, ts: int, user: str = "", session: str = "") -> list[PageRow]:
    """Pages that were open at `ts`, the newest first; of that user or session where named."""
    found = archive.rows(
        "SELECT toUnixTimestamp64Nano(ts), session, user, desk, feeds, toString(stream), page "
        f"FROM {archive.database}.{PAGES} "
        f"WHERE ts <= fromUnixTimestamp64Nano(toInt64({ts}), 'UTC') "
        "AND (user = {user:String} OR {user:String} = '') "
        "AND (session = {session:String} OR {session:String} = '') ORDER BY ts DESC LIMIT 200",
        {"user": user, "session": session},
    )
    return [PageRow(*row) for row in found]


def recall(archive: Archive, page: PageRow, ts: int) -> Shown:
    """What `page` showed at `ts`; NotOnRecordError where that cannot be said."""
    why = f"page {page.session} was not open, or had painted nothing"
    for span_s in SPANS_S:
        entries, hole = acts(archive, page, ts, span_s)
        shown = shown_at(page, entries, ts)
        if shown is not None:
            return shown
        why = hole or why
        if ts - page.ts <= span_s * 10**9:
            break
    raise NotOnRecordError(why)


def acts(archive: Archive, page: PageRow, ts: int, span_s: int) -> tuple[list[Entry], str]:
    """Acts of the page in that span before `ts` and a little behind it, from the last hole on."""
    moment = f"fromUnixTimestamp64Nano(toInt64({ts}), 'UTC')"
    slices = read_slices(
        archive,
        SCREENS,
        f"stream = '{page.stream}' AND ts >= {moment} - INTERVAL {span_s} SECOND "
        f"AND ts_first <= {moment} + INTERVAL 5 SECOND ORDER BY number",
    )
    entries, hole = entries_of(page, slices)
    if slices and slices[0].number and slices[0].ts_first > max(page.ts, ts - span_s * 10**9):
        hole = hole or f"batches before {slices[0].number} of {page.stream} are not on the tape"
    return entries, hole


def entries_of(page: PageRow, slices: Sequence[Slice]) -> tuple[list[Entry], str]:
    """Acts of the page in successive batches, from the last hole among them on; and the hole."""
    found: list[Entry] = []
    hole, before = "", None
    for one in slices:
        if before is not None and one.number != before + 1:
            found = []
            hole = f"batches {before + 1} to {one.number - 1} of {page.stream} are not on the tape"
        before = one.number
        entries, bodies = unpack_batch(one.body)
        for row in entries[entries["page"] == page.page]:
            body = b"" if row["body"] == NO_BODY else bodies[int(row["body"])]
            found.append(
                Entry(
                    *(int(row["ts"]), float(row["latency_ms"]), int(row["sequence"])),
                    *(body, int(row["act"])),
                )
            )
    return found, hole


def shown_at(page: PageRow, entries: list[Entry], ts: int) -> Shown | None:
    """What the page showed at `ts`, by its acts; None where they do not say."""
    paints = [index for index, one in enumerate(entries) if one.act == Act.PAINTED and one.ts <= ts]
    if not paints or any(one.act == Act.CLOSE and one.ts <= ts for one in entries):
        return None
    last = covered(entries, paints[-1])
    if last is None:
        return None
    wholes = [k for k in range(last + 1) if entries[k].act == Act.WHOLE]
    if not wholes:
        return None
    start = wholes[-1]
    screen = Screen(json.loads(page.feeds))
    for one in entries[start : last + 1]:
        if one.act in (Act.SENT, Act.WHOLE):
            screen.take(one.body)
    later = [one.ts for one in entries[paints[-1] + 1 :] if one.act == Act.PAINTED]
    wishes: dict[tuple, dict[str, Any]] = {}
    for one in entries[: last + 1]:
        if one.act == Act.WISH:
            wish = json.loads(one.body)
            wishes[wish.get("type"), wish.get("feed")] = wish
    painted = entries[paints[-1]]
    return Shown(
        *(page, screen, entries[last].ts, painted.ts, painted.latency_ms),
        *(list(wishes.values()), later[0] if later else None, entries[start].ts),
    )


def covered(entries: Sequence[Entry], paint: int) -> int | None:
    """Index of the newest push that the paint at index `paint` put on the glass.

    A paint acknowledges a sequence. Where several pushes had the same one, the paints of it that
    follow have put the last of them on the glass, each at least one.
    """
    sequence = entries[paint].sequence
    pushes = [k for k, one in enumerate(entries) if one.act in (Act.SENT, Act.WHOLE)]
    # Sequences rise within a life of the page's connection; what was sent later is not painted.
    sent = [k for k in pushes if k < paint and entries[k].sequence <= sequence]
    if not sent:
        return None
    alike = [k for k in pushes if entries[k].sequence == sequence]
    if len(alike) < 2:
        return sent[-1]
    more = sum(one.act == Act.PAINTED and one.sequence == sequence for one in entries[paint + 1 :])
    left = [k for k in alike if k < paint]
    count = max(1, min(len(left), len(alike) - more))
    return left[count - 1] if left else sent[-1]


def rows_of(shown: Shown, names: Iterable[tuple[int, str]] = ()) -> list[dict[str, Any]]:
    """The screen as plain lists: one dict a table with its rows, cells by column; NaN is None."""
    symbols = dict(names)
    out = []
    for index, grid in shown.screen.grids.items():
        if not grid.rows:
            continue
        rows = []
        for row, cells in zip(grid.rows, grid.cells.tolist(), strict=True):
            known = [None if value != value else value for value in cells]  # noqa: PLR0124 (NaN)
            name: int | str = "total" if row == TOTAL else row
            one: dict[str, Any] = {
                "row": name,
                "cells": dict(zip(grid.columns, known, strict=True)),
            }
            if grid.table == "instruments" and row in symbols:
                one["symbol"] = symbols[row]
            rows.append(one)
        out.append(
            {
                "feed": index,
                "table": grid.table,
                "first": grid.first,
                "total": grid.total,
                "rows": rows,
            }
        )
    return out
