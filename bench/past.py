"""Promise: scrubbing an hour, a move of the time machine takes <= 300 ms, hand to paint.

The product itself runs and its tape fills for a minute, while the market goes on. What it told in
that minute is put on the tape again and again, each time a minute earlier, until an hour is there:
the same slices, at the rate at which they came, with moments of their own. Then a page shows the
past and is moved to places drawn at random over the hour, and in steps around each. The page itself
measures: from the wish to the end of the frame that painted it. After each move the cells on the
page are compared with the tape's own slices, read here in the simplest way there is.
"""

import math
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
import zstandard

from app.standins import free_port
from bench.browser import Page, page
from bench.glass import addresses, product
from bench.report import machine, report
from compute import chain, delta
from compute.archive import Archive, ArchiveError
from compute.asof import NAMES, STREAMS, read_slices
from compute.bus import Bus
from compute.table import ANALYTICS, INSTRUMENTS
from compute.tape_row import COLUMNS, TAPE, ZSTD_LEVEL, Sealed, Slice, packed, seal

MOVE_MS_MAX = 300.0
ANSWER_SECONDS = 10.0
END_MS = 6_000.0  # The newest seconds are not on the tape yet, of the oldest not everything.
STEPS_MS = (1_000.0, -1_000.0, 60_000.0, -1_000.0)  # After each jump, as the buttons make them.
MOVES_MIN = 200
ROLES = ("live.", "risk.", "tape.", "web.")
START_SECONDS = 180.0  # A first start compiles the kernels.
BATCH_BYTES = 64 << 20
TOLD_MOVES = 20
ZSTD_BLOCK_BYTES = 3  # Of what a block of zstd says of itself.
TRIES = 5
MERGE_SECONDS_MAX = 240.0  # An hour that came in an hour would long be merged.
CUT_AT = delta.HEAD_BYTES - 8  # Where a slice says its moment, in a delta as in an image.
MINUTE_NS, HOUR_MS = 60 * 10**9, 3_600_000.0
SEED = 7
FEED = """(() => {
  const desk = tickglass.panel("grid").painter.desk, feed = desk.feeds.find((f) => f && f.columns);
  if (desk.sequence !== desk.painted || desk.taken || desk.unpainted) return null;
  const number = (v) => (Number.isFinite(v) ? v : null), cells = feed.rows.length * feed.width;
  return { rows: Array.from(feed.rows), columns: feed.columns, made_ms: tickglass.past().made_ms,
    cells: Array.from(feed.value.subarray(0, cells), number) };
})()"""


class Movable(NamedTuple):
    """A slice that can be had at any other moment without being compressed again."""

    slice: Slice
    at: int  # Where in its data its bytes say their moment, as they are; 0: they do not.


def movable(one: Slice) -> Movable:
    """The same slice with that moment in a block of eight bytes, which zstd leaves as it is."""
    if one.stream not in STREAMS:
        return Movable(one, 0)
    body = one.body
    packing = zstandard.ZstdCompressor(ZSTD_LEVEL).compressobj(size=len(body))
    parts = (body[:CUT_AT], body[CUT_AT : delta.HEAD_BYTES], body[delta.HEAD_BYTES :])
    head, moment, rest = (
        packing.compress(part) + packing.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for part in parts
    )
    assert moment[ZSTD_BLOCK_BYTES:] == parts[1], "zstd has packed eight bytes"
    data = head + moment + rest + packing.flush()
    return Movable(one._replace(data=data), len(head) + ZSTD_BLOCK_BYTES)


def lengthen(archive: Archive, hours: float) -> int:
    """Repeat what is on the tape, earlier and earlier, until it has so many hours; slices made."""
    wholes = archive.rows(
        "SELECT toUnixTimestamp64Nano(min(ts)), toUnixTimestamp64Nano(max(ts)) "
        f"FROM {archive.database}.{TAPE} WHERE stream = 'live' AND whole"
    )
    first, last = map(int, wholes[0])
    where = f"ts >= {_moment(first)} AND ts < {_moment(last)} ORDER BY ts, number"
    told = [movable(one) for one in read_slices(archive, TAPE, where)]
    turns = math.ceil(hours * HOUR_MS * 1e6 / (last - first))
    # Who keeps the tape lets nobody else write; this database is the bench's own.
    archive.command(f"ALTER TABLE {archive.database}.{TAPE} DROP CONSTRAINT IF EXISTS writer")
    links = dict.fromkeys(NAMES, chain.ORIGIN)
    numbers = dict.fromkeys(NAMES, 0)
    rows: list[Sealed] = []
    size = 0
    for turn in range(turns, 0, -1):
        for one in told:
            moved = _earlier(one, turn * (last - first), first)
            rows.append(seal(moved._replace(number=numbers[moved.stream]), links[moved.stream]))
            links[moved.stream], size = rows[-1].link, size + len(moved.data)
            numbers[moved.stream] += 1
            if size > BATCH_BYTES:
                _insert(archive, rows)
                rows, size = [], 0
        print(f"{turns - turn + 1} of {turns} turns of the tape", flush=True)
    _insert(archive, rows)
    return sum(numbers.values())


def _merging(archive: Archive) -> bool:
    query = f"SELECT count() FROM system.merges WHERE table = '{TAPE}'"
    return bool(archive.rows(query)[0][0])


def _earlier(given: Movable, by: int, first: int) -> Slice:
    """The slice as if it had been told so long before."""
    one, at = given
    data = one.data
    if at:  # Its bytes say their moment too.
        (ts_cut,) = struct.unpack_from("<q", data, at)
        data = data[:at] + struct.pack("<q", ts_cut - by) + data[at + 8 :]
    # The first slice of a turn follows the last one of the turn before, without a hole.
    ts_first = min(max(one.ts_first, first), one.ts) - by
    return one._replace(ts_first=ts_first, ts=one.ts - by, data=data)


def _insert(archive: Archive, rows: list[Sealed]) -> None:
    """All of them, once; again where ClickHouse was busy with something else."""
    if not rows:
        return
    names = [name for name, _ in COLUMNS]
    token = f"lengthened-{rows[0].slice.ts}-{rows[0].slice.stream}-{rows[0].slice.number}"
    for left in reversed(range(TRIES)):
        try:
            archive.send(TAPE, names, packed(rows), token, "RowBinary")
            break
        except ArchiveError:
            if not left:
                raise
            time.sleep(1.0)


def truth(archive: Archive, ts: int) -> tuple[int, dict[str, np.ndarray]]:
    """When `live` made the newest slice at `ts`, and the tables then, by the tape's own slices."""
    tables: dict[str, np.ndarray] = {}
    made = 0
    for stream in STREAMS:
        mine = f"stream = '{stream}' AND ts <= {_moment(ts)}"
        looked = f"{mine} AND ts > {_moment(ts - MINUTE_NS)} AND whole"
        (whole,) = archive.rows(
            f"SELECT toUnixTimestamp64Nano(max(ts)) FROM {archive.database}.{TAPE} WHERE {looked}"
        )[0]
        where = f"{mine} AND ts >= {_moment(int(whole))}"
        first, *others = read_slices(archive, TAPE, f"{where} ORDER BY ts, number")
        image = delta.unpack_image(first.body)
        moment = image.ts_cut
        tables |= image.tables
        for one in others:
            told = delta.decode(one.body)
            moment = told.ts_cut
            for section in told.sections:
                name = section.table.name
                table = tables.get(name, section.table.empty(0))
                if len(table) < section.capacity:
                    grown = section.table.empty(section.capacity)
                    grown[: len(table)] = table
                    table = tables[name] = grown
                delta.apply(section, table)
        made = moment if stream == STREAMS[0] else made
    return made, tables


def _moment(ts: int) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({ts}), 'UTC')"


def move(past: Page, ts_ms: float) -> float | None:
    """Milliseconds from the wish to the paint; None where it never came."""
    known = past.evaluate("window.tickglass.past().moves.length")
    past.evaluate(f"(window.tickglass.go({{ ts_ms: {ts_ms}, playing: false }}), 0)")
    try:
        past.wait_for(f"window.tickglass.past().moves.length > {known}", ANSWER_SECONDS)
    except TimeoutError:
        return None
    return float(past.evaluate("window.tickglass.past().moves.at(-1)"))


def wrong(past: Page, archive: Archive, ts_ms: float) -> tuple[int, int]:
    """Cells of the blotter that are not the tape's at that moment, and how many were compared."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while (shown := past.evaluate(FEED)) is None:
        if time.monotonic() > deadline:
            return 1, 0
    made, tables = truth(archive, round(ts_ms * 1e3) * 1_000)
    if abs(shown["made_ms"] - made / 1e6) > 1e-3:
        return 1, 0
    cells = np.array([np.nan if v is None else v for v in shown["cells"]], np.float64)
    cells = cells.reshape(len(shown["rows"]), -1)
    faults = compared = 0
    for column, name in enumerate(shown["columns"]):
        table = next((t for t in (INSTRUMENTS, ANALYTICS) if name in t.names), None)
        if table is None or table.name not in tables:
            continue
        then, rows = tables[table.name], np.array(shown["rows"], np.int64)
        wanted = np.full(len(rows), np.nan)
        inside = rows < len(then)
        wanted[inside] = then[rows[inside], table.index(name)]
        finite = np.where(np.isfinite(wanted), wanted, np.nan)
        faults += int((~np.isclose(cells[:, column], finite, 0.0, 0.0, equal_nan=True)).sum())
        compared += int(np.isfinite(finite).sum())
    return faults, compared


def places(first_ms: float, last_ms: float, moves: int) -> Iterator[tuple[str, float]]:
    """Moments to go to: drawn at random, each followed by steps."""
    draw = np.random.default_rng(SEED)
    for _ in range(-(-moves // (1 + len(STEPS_MS)))):
        at = float(draw.uniform(first_ms + 61_000.0, last_ms - 61_000.0))
        yield "jump", at
        for step in STEPS_MS:
            at += step
            yield "step", at


def _settle(bus: Bus) -> None:
    """Wait until there is something to be taped, and someone who does it."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        told = bus.health()
        missing = [role for role in ROLES if not any(name.startswith(role) for name in told)]
        if not missing and not any(row.get("starting") for row in told.values()):
            return
        time.sleep(0.2)
    raise SystemExit(f"not every role came to work within {START_SECONDS:.0f} s: {missing}")


def measure(rate: int, minutes: float, hours: float, moves: int) -> dict[str, Any]:
    """Figures of so many moves over a tape of so many hours."""
    with tempfile.TemporaryDirectory(prefix="tickglass-past-") as folder:
        data, port = Path(folder), free_port()
        with product(rate, data, port, []) as process, page() as past:
            told = addresses(data, process)
            _settle(Bus(told["redis"]))
            time.sleep(minutes * 60.0)
            archive = Archive(told["clickhouse"], told["database"])
            begun = time.monotonic()
            slices = lengthen(archive, hours) if hours else 0
            while _merging(archive) and time.monotonic() < begun + MERGE_SECONDS_MAX:
                time.sleep(1.0)
            built_s = time.monotonic() - begun
            past.goto(f"http://127.0.0.1:{port}/overview?asof=-20s")
            past.wait_for("!!window.tickglass?.past().made_ms", 60.0)
            tape = past.evaluate("window.tickglass.past()")
            first, last = float(tape["first_ms"]) + END_MS, float(tape["last_ms"]) - END_MS
            found: list[tuple[str, float | None]] = []
            faults = compared = 0
            for kind, moment in places(first, last, moves):
                found.append((kind, move(past, moment)))
                bad, good = wrong(past, archive, moment)
                faults, compared = faults + bad, compared + good
                if len(found) % TOLD_MOVES == 0:
                    print(f"{len(found)} of {moves} moves, {_quantiles(found)}", flush=True)
            archive.close()
    figures: dict[str, Any] = {
        "rate": rate,
        "tape_minutes": round((last - first) / 60_000.0, 1),
        "slices_made": slices,
        "built_s": round(built_s, 1),
        "moves": len(found),
        "lost": sum(ms is None for _, ms in found),
        "cells_compared": compared,
        "cells_wrong": faults,
    }
    return figures | _quantiles(found)


def _quantiles(found: list[tuple[str, float | None]]) -> dict[str, float | None]:
    """Of jumps, of steps, and of both."""
    figures: dict[str, float | None] = {}
    for name in ("jump", "step", "move"):
        came = [ms for kind, ms in found if ms is not None and name in (kind, "move")]
        for share in (50, 99):
            figures[f"{name}_ms_p{share}"] = float(np.percentile(came, share)) if came else None
    return figures


def main(
    rate: Annotated[int, typer.Option(min=1, help="Events a second.")] = 50_000,
    minutes: Annotated[float, typer.Option(min=0.2, help="How long the tape fills.")] = 1.0,
    hours: Annotated[float, typer.Option(min=0, help="How long the tape is made.")] = 1.0,
    moves: Annotated[int, typer.Option(min=1, help="How often one moves.")] = MOVES_MIN,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """From the wish to the paint of a past moment."""
    found = machine()
    figures = measure(rate, minutes, hours, moves)
    slowest = figures["move_ms_p99"]
    right = figures["lost"] == figures["cells_wrong"] == 0 < figures["cells_compared"]
    whole = figures["moves"] >= MOVES_MIN and figures["tape_minutes"] >= 60.0
    kept = right and whole and slowest is not None and slowest <= MOVE_MS_MAX
    report("past", kept, figures, found)


if __name__ == "__main__":
    typer.run(main)
