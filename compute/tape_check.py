"""Rule: the tape against what the signed roots say of it; names the first wrong slice.

Each statement (compute/tape_seal.py) says where each stream stood: its slices must lead there, leaf
by leaf and link by link; the acts of users are such a stream. Slices that are gone from the
beginning of a stream have expired if they are older than the tape is kept, which acts never are;
any other that is missing is a fault. A run that was broken off goes on in each stream behind the
last slice that was right.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from compute import chain
from compute.acts import ACTS
from compute.archive import Archive
from compute.progress import Progress, Reached
from compute.tape_row import COLUMNS, SCREENS, TAPE, Sealed, leaf, unpacked
from compute.tape_seal import End, Stated, unpack

READ_SLICES = 64  # At a time: some 10 MB.
SELDOM_NS = 3_900 * 10**9  # What hardly changes is told once an hour.


class Tally(NamedTuple):
    """What was found of the tape."""

    faults: list[str]
    slices: int  # Read again and right
    since: int  # Of these, behind what the newest statement names
    expired: int  # Streams of which the beginning, or all, is no longer kept


def count(archive: Archive) -> int:
    """How many slices there are, for whoever shows how far the check is."""
    tables = (f"{archive.database}.{table}" for table in _tables(archive))
    return sum(int(archive.rows(f"SELECT count() FROM {table}")[0][0]) for table in tables)


def _tables(archive: Archive) -> list[str]:
    """Those that hold slices; a record of an older program has no acts."""
    found = archive.rows(
        "SELECT name FROM system.tables WHERE database = {database:String} "
        "AND name IN {names:Array(String)} ORDER BY name",
        {"database": archive.database, "names": [TAPE, SCREENS, ACTS]},
    )
    return [str(row[0]) for row in found]


class _Track(NamedTuple):
    """What is stated of one stream, by number."""

    table: str
    stream: str
    ends: dict[int, End]


def check(
    archive: Archive,
    stated: Iterable[Stated],
    retained_ns: dict[str, int],
    tell: Callable[[int], None] = lambda _slices: None,
    progress: Progress | None = None,
) -> Tally:
    """All of it. `retained_ns`: for each table the moment before which slices may be gone."""
    progress = progress or Progress(None, "")
    faults: list[str] = []
    slices = since = expired = 0
    tracks, broken = _tracks(stated)
    faults += broken
    for track in tracks:
        found = _stream(archive, track, retained_ns.get(track.table, 0), tell, progress)
        faults += found.faults
        slices, since, expired = slices + found.slices, since + found.since, expired + found.expired
    known = {(track.table, track.stream) for track in tracks}
    faults += [
        f"the tape has a stream {stream} in {table} that begins before it was ever stated"
        for table, stream in _old_strangers(archive, stated, known)
    ]
    return Tally(faults, slices, since, expired)


def _tracks(stated: Iterable[Stated]) -> tuple[list[_Track], list[str]]:
    tracks: dict[tuple[str, str], _Track] = {}
    broken = []
    for one in stated:
        try:
            _, ends = unpack(one.data)
        except ValueError as error:
            broken.append(f"statement {one.sealed.last} of the tape: {error}")
            continue
        for end in ends:
            place = end.table, end.stream
            track = tracks.setdefault(place, _Track(*place, {}))
            track.ends[end.number] = end
    return list(tracks.values()), broken


def _old_strangers(
    archive: Archive, stated: Iterable[Stated], known: set[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Streams that nothing states although statements were made after them."""
    moments = [unpack(one.data)[0] for one in stated if _whole(one)]
    if not moments:
        return []
    found = []
    for table in _tables(archive):
        rows = archive.rows(
            f"SELECT toString(stream), toUnixTimestamp64Nano(max(ts)) "
            f"FROM {archive.database}.{table} GROUP BY stream"
        )
        # A stream is stated with the first statement after its newest slice but a minute.
        late = max(moments) - 120 * 10**9
        found += [(table, name) for name, ts in rows if ts < late and (table, name) not in known]
    return found


def _whole(one: Stated) -> bool:
    try:
        unpack(one.data)
    except ValueError:
        return False
    return True


def _stream(
    archive: Archive,
    track: _Track,
    retained_ns: int,
    tell: Callable[[int], None],
    progress: Progress,
) -> Tally:
    """One stream from its first slice that is there, or behind what was reached."""
    where = f"{track.table} of {track.stream}"
    before = progress.streams.get((track.table, track.stream))
    done = before.number if before else -1
    left = {number: end for number, end in sorted(track.ends.items()) if number > done}
    slices, expired = (before.slices, before.expired) if before else (0, False)
    newest, since = max(track.ends), 0
    for rows in _read(archive, track, done):
        for row in rows:
            number = row.slice.number
            what = _fault(row, before)
            if before is None:
                gone = [left.pop(n) for n in list(left) if n < number]
                if number and not _may_begin(row, gone, retained_ns):
                    what = what or f"slices before {number} are gone, and not by retention"
                expired = bool(number)
            end = left.pop(number, None)
            if not what and end is not None and end.link != row.link:
                what = f"slice {number} is not the one that was stated"
            missed = next(iter(left), number + 1)
            if not what and missed < number:
                what = f"slice {missed}, which was stated, is gone"
            if what:
                return Tally([f"{where}: {what}"], slices, since, int(expired))
            slices, since = slices + 1, since + (number > newest)
            before = Reached(number, row.link, slices, expired)
        if before:
            progress.taped(track.table, track.stream, before)
        tell(len(rows))
    if left and (before is not None or any(end.ts >= retained_ns for end in left.values())):
        last = next(reversed(left))
        return Tally(
            [f"{where}: it was stated up to slice {last}: the end is cut off"], slices, 0, 0
        )
    return Tally([], slices, since, int(expired) + bool(left))


def _may_begin(row: Sealed, gone: Sequence[End], retained_ns: int) -> bool:
    """Whether what was before the first slice that is there can have expired."""
    if gone:
        return all(end.ts < retained_ns for end in gone)
    return row.slice.ts < retained_ns + SELDOM_NS


def _fault(row: Sealed, before: Reached | None) -> str:
    number = row.slice.number
    if leaf(row.slice) != row.digest:
        return f"slice {number}: its bytes are not the bytes that were sealed"
    if before is None:
        first = number == 0 and chain.link(chain.ORIGIN, row.digest) != row.link
        return f"slice {number}: its link does not begin a chain" if first else ""
    if number <= before.number:
        return f"slice {number} stands twice"
    if chain.link(before.link, row.digest) != row.link:
        return f"slice {number}: its link does not follow from slice {before.number}"
    return ""


def _read(archive: Archive, track: _Track, after: int) -> Iterator[Sequence[Sealed]]:
    """Its slices behind number `after`, those that are there now, a few at a time.

    Which there are is asked first: a stream that grows has no end, and by the moments of a few the
    table finds them without looking at the others.
    """
    table = f"{archive.database}.{track.table}"
    mine = f"stream = unhex('{track.stream.encode().hex()}')"
    told = archive.raw(
        f"SELECT number, toUnixTimestamp64Nano(ts) FROM {table} WHERE {mine} "
        f"AND toInt64(number) > {after} ORDER BY number",
        "RowBinary",
    )
    there = np.frombuffer(told, [("number", "<u8"), ("ts", "<i8")])
    names = ", ".join(f"`{name}`" for name, _ in COLUMNS)
    at = 0
    while at < len(there):
        end = min(at + READ_SLICES, len(there))
        while end < len(there) and there["number"][end] == there["number"][end - 1]:
            end += 1  # One that stands twice is told with its double.
        part, at = there[at:end], end
        yield unpacked(
            archive.raw(
                f"SELECT {names} FROM {table} WHERE {mine} "
                f"AND number >= {part['number'][0]} AND number <= {part['number'][-1]} "
                f"AND ts >= fromUnixTimestamp64Nano(toInt64({part['ts'].min()}), 'UTC') "
                f"AND ts <= fromUnixTimestamp64Nano(toInt64({part['ts'].max()}), 'UTC') "
                "ORDER BY number",
                "RowBinary",
            )
        )
