"""Rule: Databento DBN, market by order -> trades, and best bid and ask.

By Databento's documentation of the schema `mbo`: A, M, C and R change the book. T is a trade
(side = aggressor, N where there is none, as in an auction), F the fill of an order that rested;
neither touches the book, for a C or M with the result follows. A packet is whole at F_LAST, and
only then is the book looked at. A snapshot of resting orders counts as one packet.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ingest.book import MESSAGE, TOP, Action, Book
from ingest.event import NO_PRICE, Flag, Kind
from ingest.feeds import blocks
from ingest.feeds.dbn_head import instrument, read_head
from ingest.feeds.feed import Feed, Tally, events, moved, weave

RECORD = np.dtype(
    [
        *(("length", "u1"), ("rtype", "u1"), ("publisher", "<u2"), ("instrument", "<u4")),
        *(("ts_event", "<i8"), ("order", "<i8"), ("price", "<i8"), ("size", "<u4")),
        *(("flags", "u1"), ("channel", "u1"), ("action", "u1"), ("side", "u1")),
        *(("ts_recv", "<i8"), ("ts_in_delta", "<i4"), ("sequence", "<u4")),
    ]
)
assert RECORD.itemsize == 56
_RTYPE_MBO = 160
_LAST, _SNAPSHOT = 128, 32  # flags


def _by_letter(letters: bytes, values: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
    table = np.zeros(256, kind)
    table[list(letters)] = values
    return table


_ACTIONS = _by_letter(b"AMCR", (Action.ADD, Action.MODIFY, Action.CANCEL, Action.CLEAR), np.uint8)
_SIDES = _by_letter(b"BA", (1, -1), np.int8)
_AGGRESSOR = _by_letter(b"BA", (Flag.BUYER, Flag.SELLER), np.uint8)


class _Market(NamedTuple):
    """One instrument of the file, and what goes on from chunk to chunk."""

    id: int
    book: Book
    last: np.ndarray  # TOP [1]: the last that was told.


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A file of schema mbo, plain or Zstandard."""
    with path.open("rb") as file:
        plain = file.read(3) == b"DBN"
    data = blocks.plain(path) if plain else blocks.zstd(path, tally)
    head, rest = read_head(data, path)
    names = sorted(head.names.items())
    rows = [instrument(*name, first_id + i, path) for i, (_, name) in enumerate(names)]
    numbers = [number for number, _ in names]
    step = RECORD.itemsize + head.record_bytes_more
    records = _records(chain((rest,), data), step, head.size, str(path), tally)
    markets = {
        number: _Market(row.id, Book(), np.array([(NO_PRICE, NO_PRICE, 0, 0)], TOP))
        for number, row in zip(numbers, rows, strict=True)
    }
    return Feed(rows, _chunks(records, markets, str(path), tally), tally)


def _records(
    data: Iterator[bytes], step: int, at: int, place: str, tally: Tally
) -> Iterator[np.ndarray]:
    """Arrays of RECORD. What is no mbo record is refused, and reading goes on behind it."""
    rest = b""
    for block in data:
        rest += block
        while len(rest) >= step:
            raw = np.frombuffer(rest, np.uint8, len(rest) // step * step).reshape(-1, step)
            rows = np.ascontiguousarray(raw[:, : RECORD.itemsize]).view(RECORD)[:, 0]
            good = (rows["rtype"] == _RTYPE_MBO) & (rows["length"] == step // 4)
            count = len(rows) if good.all() else int(np.argmin(good))
            if count:
                yield rows[:count]
            size = 0 if count == len(rows) else 4 * rest[count * step] or step
            rest = rest[count * step :]
            at += count * step
            if size:
                tally.refuse(f"{place} byte {at} unpacked", "not an mbo record", rest[:size])
                rest = rest[size:]
                at += size
    if rest:
        tally.refuse(f"{place} byte {at} unpacked", "ends within a record", rest)


def _chunks(
    records: Iterator[np.ndarray], markets: dict[int, _Market], place: str, tally: Tally
) -> Iterator[np.ndarray]:
    held = np.zeros(0, RECORD)  # The last record: whether it ends a snapshot, the next one tells.
    for block in chain(records, (np.zeros(1, RECORD),)):
        rows = np.concatenate((held, block))
        held = rows[-1:]
        done, after = rows[:-1], rows[1:]
        snapshot = done["flags"] & _SNAPSHOT != 0
        whole = (done["flags"] & _LAST != 0) | (snapshot & (after["flags"] & _SNAPSHOT == 0))
        parts = []
        for number in np.unique(done["instrument"]).tolist():
            mine = np.flatnonzero(done["instrument"] == number)
            if number in markets:
                parts.append(_market(done[mine], mine, whole[mine], markets[number], tally))
                continue
            reason = f"instrument {number} is not in the head of the file"
            for row in mine.tolist():
                tally.refuse(f"{place} record {tally.rows + row + 1}", reason, done[row].tobytes())
        tally.rows += len(done)
        if parts:
            order, found = (np.concatenate(part) for part in zip(*parts, strict=True))
            if len(found):
                yield found[np.argsort(order, kind="stable")]


def _market(
    rows: np.ndarray, at: np.ndarray, whole: np.ndarray, market: _Market, tally: Tally
) -> tuple[np.ndarray, np.ndarray]:
    """Of one instrument's records, which stand `at` in their chunk: events and where they stand."""
    messages = np.empty(len(rows), MESSAGE)
    for field in ("order", "price", "size"):
        messages[field] = rows[field]
    messages["side"], messages["action"] = _SIDES[rows["side"]], _ACTIONS[rows["action"]]
    ends = np.flatnonzero(whole)
    tops = market.book.apply(messages)[ends]
    told = moved(tops, market.last)
    if len(tops):
        market.last[:] = tops[-1:]

    quoted, tops = ends[told], tops[told]
    quotes = _envelope(Kind.QUOTE, market.id, rows[quoted])
    for field in TOP.names or ():
        quotes[field] = tops[field]
    # Matching leaves no crossed book: one that is crossed collects orders for an auction.
    crossed = (tops["bid"] > tops["ask"]) & (tops["ask"] != NO_PRICE)
    snapshot = rows["flags"][quoted] & _SNAPSHOT != 0
    quotes["flags"] = crossed * np.uint8(Flag.AUCTION) | snapshot * np.uint8(Flag.SNAPSHOT)
    traded = np.flatnonzero(rows["action"] == ord("T"))
    trades = _envelope(Kind.TRADE, market.id, rows[traded])
    trades["price"], trades["size"] = rows["price"][traded], rows["size"][traded]
    trades["reference"] = tally.rows + at[traded] + 1
    trades["flags"] = _AGGRESSOR[rows["side"][traded]]
    tally.skipped["does not change the best bid or ask"] += len(rows) - len(quotes) - len(trades)
    order = np.sort(np.concatenate((at[traded], at[quoted])))
    return order, weave(trades, traded, quotes, quoted)


def _envelope(kind: Kind, number: int, rows: np.ndarray) -> np.ndarray:
    out = events(kind, number, rows["ts_event"], rows["sequence"])
    out["ts_recv"] = rows["ts_recv"]
    return out
