"""Rule: a zip of QuantConnect Lean -> events. Which layout an entry has, its lines tell.

Names carry the rest, see `lean_names`; times are milliseconds after midnight in the market's zone.
A bad entry is refused; the other entries are still read. A zip of one contract is read as a stream;
one of many (an option chain, the months of a future: one day of bars) is put in order of time.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from ingest.feeds import bars, blocks, lean_bars, lean_equity, lean_fx, lean_names
from ingest.feeds.feed import Feed, FeedError, Tally, by_time, midnight_ns
from ingest.feeds.lines import columns
from ingest.instrument import Instrument

Spec = tuple[int, ...]


class Layout(NamedTuple):
    """How the lines of one kind of entry read; `kind` is the class if the path tells none."""

    first_line: re.Pattern[bytes]
    spec: Callable[[int], Spec]  # of the power of ten of its prices
    events: Callable[[Iterator[np.ndarray], int, int, Tally], Iterator[np.ndarray]]
    kind: str = ""


LAYOUTS = (
    Layout(
        re.compile(rb"[\d.]+(,\d+){4},[A-Z]?,[\dA-Fa-f]*,[01]"),
        *(lambda _: lean_equity.QUOTE, lean_equity.quotes, "equity"),
    ),
    Layout(
        re.compile(rb"[\d.]+,\d+,\d+,[A-Z]?,[\dA-Fa-f]*,[01]"),
        *(lambda _: lean_equity.TRADE, lean_equity.trades, "equity"),
    ),
    Layout(
        re.compile(rb"[\d.]+,-?[\d.]+,[\d.]+,[a-z]+,\w*,[01]"),
        *(lambda _: lean_bars.FUTURE_TRADE, lean_bars.future_trades),
    ),
    Layout(re.compile(rb"[\d.]+,[\d.]+,[\d.]+"), lambda _: lean_fx.QUOTE, lean_fx.quotes, "forex"),
    Layout(re.compile(rb"\d+(,-?[\d.]+){5}"), lean_bars.trade_bar, bars.trades),
    Layout(re.compile(rb"\d+(,-?[\d.]*){10}"), lean_bars.quote_bar, lean_bars.quotes),
    Layout(re.compile(rb"\d+,\d+"), lambda _: lean_bars.OPEN_INTEREST, lean_bars.open_interest),
)
DAY_NS_MAX = 25 * 3_600_000_000_000  # The day on which clocks go back has 25 hours.


class _Entry(NamedTuple):
    info: ZipInfo
    layout: Layout
    spec: Spec
    instrument: int
    start_ns: int  # Midnight; of bars one period later, so that a row's time is its close.


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """All entries of a zip. FeedError where none of them can be read."""
    try:
        with ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except BadZipFile as error:
        raise FeedError(f"not a whole zip ({error})", path, "fetch the file again") from None
    found: dict[str, Instrument] = {}
    kind = lean_names.folder_class(path)
    entries = [
        known
        for info in infos
        if (known := _known(path, info, kind, (found, first_id, tally))) is not None
    ]
    if not entries:
        why = tally.refused[-1].reason if tally.refused else "there is no entry in it"
        raise FeedError(
            f"no entry is a Lean file ({why})",
            path,
            "ticks, bars and open interest are read as Lean names and lays them",
        )
    chunks = _chunks(path, entries, tally)
    return Feed(list(found.values()), chunks if len(entries) == 1 else by_time(chunks), tally)


def _known(
    path: Path, info: ZipInfo, kind: str, into: tuple[dict[str, Instrument], int, Tally]
) -> _Entry | None:
    """What an entry is; None, refused, where it is nothing this version reads."""
    found, first_id, tally = into
    place = f"{path}!{info.filename}"
    name = lean_names.NAME.match(Path(info.filename).name)
    if name is None:
        tally.refuse(place, "the name is not YYYYMMDD_symbol_...csv")
        return None
    probe = Tally()
    head = next(iter(blocks.entry(path, info, probe)), b"")
    told = _layout(head)
    if told is None:
        for refusal in probe.refused:
            tally.refuse(*refusal)
        if head or not probe.refused:
            tally.refuse(place, f"not a layout of this version, begins with {head[:60]!r}")
        return None
    layout, line = told
    kind = kind or layout.kind
    if not kind:
        tally.refuse(place, f"keep it below a folder named {', '.join(lean_names.CLASSES)}")
        return None
    try:
        instrument, underlying, zone = lean_names.named(name, kind, path, line)
    except FeedError as error:
        tally.refuse(place, str(error))
        return None
    if underlying is not None:
        below = found.setdefault(
            underlying.symbol, replace(underlying, id=first_id + len(found))
        ).id
        instrument = replace(instrument, underlying=below)
    number = found.setdefault(instrument.symbol, replace(instrument, id=first_id + len(found))).id
    if kind == "index" and layout.events is bars.trades:
        layout = layout._replace(events=lean_bars.levels)
    places = 5 if kind in lean_names.SCALED else 9
    start = (
        midnight_ns(name["date"], zone) + lean_names.PERIOD_NS[(name["period"] or "tick").lower()]
    )
    return _Entry(info, layout, layout.spec(places), number, start)


def _layout(head: bytes) -> tuple[Layout, bytes] | None:
    # A line that is damaged may stand first, so any of the first hundred may tell.
    for line in head.split(b"\n", 100)[:100]:
        for layout in LAYOUTS:
            if layout.first_line.fullmatch(line.rstrip(b"\r")):
                return layout, line
    return None


def _chunks(path: Path, entries: list[_Entry], tally: Tally) -> Iterator[np.ndarray]:
    for info, layout, spec, instrument, start in entries:
        text = blocks.entry(path, info, tally)
        place = f"{path}!{info.filename}"
        rows = _of_the_day(columns(text, spec, place, tally), place, tally)
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
