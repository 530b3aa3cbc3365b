"""Rule: the way of one frame from Kafka to glass, from what is on record: when it was where.

A frame's name, TOPIC:PARTITION:OFFSET, is the one id. The record has its events and the block that
brought them; the tape has what `live` told and what each page was sent and painted. The event is
found again there by its instrument and its own time: the first cell `ts_event` of that row that is
as new as the event holds it, because a row's cells move together.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from compute import delta
from compute.archive import Archive
from compute.asof import read_slices, scatter
from compute.batch import Act
from compute.screen import NotOnRecordError, Screen, acts, pages
from compute.table import INSTRUMENTS
from compute.tape_row import TAPE, PageRow
from ingest.event import OWN, Kind
from ingest.source import TOPICS

TOLD_SECONDS = 30  # How long after an event a cut or a push is looked for.
SPAN_SECONDS = 90  # Before it: twice a minute a push holds all that a page shows.
_TS = INSTRUMENTS.index("ts_event")
_NEAR_MS = 1e-3  # A moment in ms as float64 is right to 0.0002.


class Stage(NamedTuple):
    """One stage of the way."""

    stage: str
    ts: int  # ns
    detail: str


class Traced(NamedTuple):
    """One event of the frame, and the stages in the order of their moments."""

    name: str  # TOPIC:PARTITION:OFFSET:INDEX
    kind: str
    instrument: int
    events: int  # In the whole frame.
    stages: list[Stage]


def trace(archive: Archive, place: tuple[int, int, int], index: int | None = None) -> Traced:
    """The way of a frame's event: of `index`, else of its last one that moved a market row.

    `place` is (topic index, partition, offset). NotOnRecordError where the record has no such
    event.
    """
    topic, partition, offset = place
    name = f"{TOPICS[topic]}:{partition}:{offset}"
    rows = archive.rows(
        "SELECT `index`, kind, instrument, toUnixTimestamp64Nano(ts_event), "
        f"toUnixTimestamp64Nano(ts_recv), source FROM {archive.database}.events "
        f"WHERE topic = {topic} AND partition = {partition} AND offset = {offset} ORDER BY `index`"
    )
    if not rows:
        raise NotOnRecordError(f"frame {name} is not on record")
    taken = [row for row in rows if row[1] in [*Kind]]
    if not taken:
        raise NotOnRecordError(f"frame {name} was refused: it is in the topic quarantine")
    told = [row for row in taken if index is None or row[0] == index]
    if not told:
        raise NotOnRecordError(f"frame {name} has no event {index}")
    moving = [row for row in told if not OWN[row[1]]] or told
    number, kind, row, made, received, source = moving[-1]
    stages = [
        Stage("made", made, f"source {source}"),
        Stage("received", received, "by whoever framed it"),
    ]
    stages += _recorded(archive, place)
    stages += _told(archive, row, made)
    for page in pages(archive, made + TOLD_SECONDS * 10**9):
        stages += _shown(archive, page, row, made)
    stages.sort(key=lambda stage: stage.ts)
    return Traced(f"{name}:{number}", Kind(kind).name.lower(), row, len(rows), stages)


def _recorded(archive: Archive, place: tuple[int, int, int]) -> list[Stage]:
    topic, partition, offset = place
    found = archive.rows(
        f"SELECT toUnixTimestamp64Nano(ts), first, last FROM {archive.database}.blocks "
        f"WHERE topic = {topic} AND partition = {partition} AND first <= {offset} "
        f"AND last >= {offset} LIMIT 1"
    )
    return [Stage("recorded", ts, f"in the block {first} to {last}") for ts, first, last in found]


def _told(archive: Archive, row: int, made: int) -> list[Stage]:
    """The first slice of `live` on tape that holds it: told at that cut or one shortly before."""
    slices = read_slices(
        archive,
        TAPE,
        f"stream = 'live' AND ts >= {_moment(made)} "
        f"AND ts <= {_moment(made + TOLD_SECONDS * 10**9)} ORDER BY number LIMIT 400",
    )
    for one in slices:
        if one.whole:
            image = delta.unpack_image(one.body)
            place, table = (image.epoch, image.sequence), image.tables.get(INSTRUMENTS.name)
        else:
            (epoch, sequence, _), sections = delta.unpack(one.body)
            place, table = (epoch, sequence), None
            for section in sections:
                if section.table is INSTRUMENTS:
                    table = INSTRUMENTS.empty(section.capacity)
                    scatter(section, table)
        if table is not None and row < len(table) and table[row, _TS] >= made / 1e6 - _NEAR_MS:
            return [Stage("told", one.ts, f"by live, at cut {place[0]}-{place[1]} at the latest")]
    return []


def _shown(archive: Archive, page: PageRow, row: int, made: int) -> Iterator[Stage]:
    """The push that first brought it to a page, and its paint there."""
    entries, _ = acts(archive, page, made + TOLD_SECONDS * 10**9, SPAN_SECONDS + TOLD_SECONDS)
    screen, whole = Screen(json.loads(page.feeds)), False
    sent = -1
    for one in entries:
        if one.act in (Act.SENT, Act.WHOLE):
            whole = whole or one.act == Act.WHOLE  # Before it, what the page showed is not known.
            screen.take(one.body)
            if whole and sent < 0 and one.ts >= made and _shows(screen, row, made):
                sent = one.sequence
                yield Stage("pushed", one.ts, f"to {page.session}, {page.desk}, push {sent}")
        elif one.act == Act.PAINTED and 0 <= sent <= one.sequence:
            way = f"{one.latency_ms:.1f} ms after the oldest event in it"
            yield Stage("painted", one.ts, f"by {page.session}, {way}")
            return


def _shows(screen: Screen, row: int, made: int) -> bool:
    for grid in screen.grids.values():
        if grid.table != INSTRUMENTS.name or row not in grid.rows:
            continue
        if "ts_event" in grid.columns:
            cell = grid.cells[grid.rows.index(row), grid.columns.index("ts_event")]
            if cell >= made / 1e6 - _NEAR_MS:
                return True
    return False


def _moment(ns: int) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({ns}), 'UTC')"
