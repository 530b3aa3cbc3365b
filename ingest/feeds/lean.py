"""Rule: a tick zip of QuantConnect Lean -> events. Which layout an entry has, its lines tell.

Names carry the rest: an entry is `YYYYMMDD_symbol_...csv`, times are milliseconds after that
day's midnight in the market's zone. A bad entry is refused; the other entries are still read.
"""

import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from ingest.feeds import blocks, lean_equity, lean_fx
from ingest.feeds.feed import Feed, FeedError, Tally, midnight_ns
from ingest.feeds.lines import columns
from ingest.instrument import Instrument


class Layout(NamedTuple):
    """How the lines of one kind of entry read."""

    first_line: re.Pattern[bytes]
    spec: tuple[int, ...]
    instrument: Callable[[str, Path, bytes, int], tuple[Instrument, str]]  # and its time zone
    events: Callable[[Iterator[np.ndarray], int, int, Tally], Iterator[np.ndarray]]


LAYOUTS = (
    Layout(
        re.compile(rb"[\d.]+(,\d+){4},[A-Z]?,[\dA-Fa-f]*,[01]"),
        *(lean_equity.QUOTE, lean_equity.instrument, lean_equity.quotes),
    ),
    Layout(
        re.compile(rb"[\d.]+,\d+,\d+,[A-Z]?,[\dA-Fa-f]*,[01]"),
        *(lean_equity.TRADE, lean_equity.instrument, lean_equity.trades),
    ),
    Layout(
        re.compile(rb"[\d.]+,[\d.]+,[\d.]+"),
        *(lean_fx.QUOTE, lean_fx.instrument, lean_fx.quotes),
    ),
)
DAY_NS_MAX = 25 * 3_600_000_000_000  # The day on which clocks go back has 25 hours.
_NAME = re.compile(r"(?P<date>\d{8})_(?P<symbol>[A-Za-z0-9.]+)_")


class _Entry(NamedTuple):
    info: ZipInfo
    layout: Layout
    instrument: int
    midnight_ns: int


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """All entries of a zip, one after the other. FeedError where none of them can be read."""
    try:
        with ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except BadZipFile as error:
        raise FeedError(f"not a whole zip ({error})", path, "fetch the file again") from None
    found: dict[str, Instrument] = {}
    entries = [
        known for info in infos if (known := _known(path, info, found, first_id, tally)) is not None
    ]
    if not entries:
        why = tally.refused[-1].reason if tally.refused else "there is no entry in it"
        raise FeedError(
            f"no entry is a Lean tick file ({why})",
            path,
            "this version reads equity quotes and trades and FX quotes of resolution tick",
        )
    return Feed(list(found.values()), _chunks(path, entries, tally), tally)


def _known(
    path: Path, info: ZipInfo, found: dict[str, Instrument], first_id: int, tally: Tally
) -> _Entry | None:
    """What an entry is; None, refused, where it is nothing this version reads."""
    place = f"{path}!{info.filename}"
    name = _NAME.match(Path(info.filename).name)
    if name is None:
        tally.refuse(place, "the name is not YYYYMMDD_symbol_...csv")
        return None
    # A line that is damaged may stand first, so any of the first hundred may tell.
    probe = Tally()
    head = next(iter(blocks.entry(path, info, probe)), b"")
    for line, layout in product(head.split(b"\n", 100)[:100], LAYOUTS):
        if layout.first_line.fullmatch(line.rstrip(b"\r")):
            break
    else:
        for refusal in probe.refused:
            tally.refuse(*refusal)
        if head or not probe.refused:
            tally.refuse(place, f"not a layout of this version, begins with {head[:60]!r}")
        return None
    try:
        number = first_id + len(found)
        instrument, zone = layout.instrument(name["symbol"], path, line, number)
    except FeedError as error:
        tally.refuse(place, str(error))
        return None
    instrument = found.setdefault(instrument.symbol, instrument)
    return _Entry(info, layout, instrument.id, midnight_ns(name["date"], zone))


def _chunks(path: Path, entries: list[_Entry], tally: Tally) -> Iterator[np.ndarray]:
    for info, layout, instrument, start in entries:
        text = blocks.entry(path, info, tally)
        place = f"{path}!{info.filename}"
        rows = _of_the_day(columns(text, layout.spec, place, tally), place, tally)
        yield from layout.events(rows, instrument, start, tally)


def _of_the_day(rows: Iterator[np.ndarray], place: str, tally: Tally) -> Iterator[np.ndarray]:
    """Without lines that read well but cannot be: a time beyond the day is damage."""
    for block in rows:
        good = (block[:, 1] >= 0) & (block[:, 1] < DAY_NS_MAX)
        for line, *fields in block[~good].tolist():
            tally.refuse(f"{place} line {line}", "a time beyond the day", str(fields).encode())
        tally.rows -= int(np.count_nonzero(~good))
        if good.any():
            yield block if good.all() else block[good]
