"""What each book made is on record also where several recorders share the partitions."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from compute import past
from compute.archive import Archive
from compute.snapshot import SECOND_NS, WAITING_MAX, Snapshot
from compute.table import BOOKS
from compute.tape import NOTE_SECONDS, Tape
from tests.clickhouse import ClickHouse
from tests.compute.test_asof import World

PNL, POSITIONS = BOOKS.index("pnl"), BOOKS.index("positions")


class Clock:
    s = 1_000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    server = ClickHouse(tmp_path_factory.mktemp("books")).start()
    yield server
    server.kill()


def taped(clickhouse: ClickHouse, *, shared: bool) -> tuple[Archive, dict[tuple[int, int], float]]:
    """A tape that is closed: its record, and the P&L that was told, by book and second (ns)."""
    world, clock = World(3), Clock()
    world.shared = shared
    database = f"t{uuid.uuid4().hex}"
    tape = Tape(world, Archive(clickhouse.address, database), monotonic=clock)
    books = world.tables[0]["books"]
    books[:] = np.nan
    told: dict[tuple[int, int], float] = {}
    for step in range(80):
        books[:2, POSITIONS] = 3.0
        books[:2, PNL] = step, -step
        world.change(0)
        clock.s += NOTE_SECONDS
        tape.step()
        second = world.ts // SECOND_NS * SECOND_NS
        if (0, second) not in told:  # The first cut of a second is its row.
            told |= {(0, second): books[0, PNL], (1, second): books[1, PNL]}
        world.ts += SECOND_NS // 7
    tape.close()
    assert not tape.problem
    return Archive(clickhouse.address, database), told


def test_the_tape_takes_the_sums_where_recorders_share(clickhouse: ClickHouse) -> None:
    archive, told = taped(clickhouse, shared=True)
    moments = [ns for _, ns in told]
    rows = past.books(archive, min(moments), max(moments) + SECOND_NS, 1, None)
    found = {(int(book), round(t * 1e6)): pnl for book, t, pnl, *_ in rows.tolist()}
    mine = {key: pnl for key, pnl in found.items() if key[0] < 2}
    assert len(mine) > 10
    first = min(moments)  # In it the tape hears who records.
    assert {key: pnl for key, pnl in mine.items() if key[1] > first} == {
        key: pnl for key, pnl in told.items() if key[1] > first and key in mine
    }
    assert len(told) - len(mine) <= 4  # World may have blanked how many positions there are.


def test_one_recorder_takes_them_itself(clickhouse: ClickHouse) -> None:
    archive, _ = taped(clickhouse, shared=False)
    assert archive.rows(f"SELECT count() FROM {archive.database}.books") == [(0,)]


def test_what_waits_for_clickhouse_is_bounded(tmp_path: Path) -> None:
    snapshot = Snapshot(Archive(f"http://127.0.0.1:9/{tmp_path.name}", "none"), (BOOKS,))
    tables = {"books": BOOKS.empty(2)}
    tables["books"][0, POSITIONS] = 1.0
    for second in range(1, WAITING_MAX + 50):
        snapshot.take(tables, second * SECOND_NS)
    waiting = snapshot._rows[BOOKS.name]
    assert len(waiting) == WAITING_MAX
    assert waiting[-1]["ts"][0] == (WAITING_MAX + 49) * SECOND_NS
