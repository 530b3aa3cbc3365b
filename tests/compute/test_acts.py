"""Who did what, and how clocks stood, stands on record once."""

from collections.abc import Iterator
from itertools import count

import pytest

from compute import chain
from compute.acts import ACTS, FORMER, Acts
from compute.archive import Archive, ArchiveError
from compute.tape_row import COLUMNS, Sealed, packed, seal
from ingest.host_clock import STA_UNSYNC, TIME_ERROR, UNCERTAIN_NS, HostClock, of_kernel
from tests.clickhouse import ClickHouse

names = (f"acts_{number}" for number in count())
NOW = 1_700_000_000_000_000_000
HEAD = {
    "pages": [[NOW, "web.1-1", "ann", "Overview", "[]", 1]],
    "acts": [[NOW + 1, "ann", "web.1-1", "acknowledge", "gross", '{"alert":"gross"}']],
}
HEALTH = {
    "live.0": {"clocks": [{"source": 7, "offset_ms": -1.5, "uncertainty_ms": 0.25, "off": False}]}
}


@pytest.fixture
def archive(server: ClickHouse) -> Iterator[Archive]:
    made = Archive(server.address, next(names))
    made.command(f"CREATE DATABASE {made.database}")
    yield made
    made.close()


def sealed(acts: Acts, archive: Archive, before: Sealed | None = None) -> Sealed | None:
    """What waits, put on record as the tape does it."""
    one = acts.slice()
    if one is None:
        return before
    number, link = (before.slice.number + 1, before.link) if before else (0, chain.ORIGIN)
    made = seal(one._replace(number=number), link)
    names = [name for name, _ in COLUMNS]
    archive.send(ACTS, names, packed([made]), made.link.hex(), "RowBinary")
    return made


def stored(archive: Archive, table: str, what: str) -> list[tuple]:
    return list(archive.rows(f"SELECT {what} FROM {archive.database}.{table} ORDER BY ts"))


def test_who_did_what_stands_on_record(archive: Archive) -> None:
    acts = Acts(archive)
    acts.prepare()
    assert sealed(acts, archive) is None
    acts.take_head(HEAD)
    first = sealed(acts, archive)
    acts.take_head(HEAD)  # By a tape that died before it knew that it had them.
    assert sealed(acts, archive, first) != first
    found = stored(archive, "actions", "toUnixTimestamp64Nano(ts), person, page, action, subject")
    assert found == [
        (NOW, "ann", "web.1-1", "open", "Overview"),
        (NOW + 1, "ann", "web.1-1", "acknowledge", "gross"),
    ]


def test_clocks_are_told_once_a_minute(archive: Archive) -> None:
    acts = Acts(archive, lambda: HostClock("here", "chrony 10.0.0.1", 1_200, 90_000))
    acts.prepare()
    for seconds in (0, 1, 59, 60, 61):
        acts.take_health(HEALTH, NOW + seconds * 10**9)
    acts.insert()
    found = stored(archive, "clocks", "host, reference, offset_ns, uncertainty_ns")
    assert sorted(found) == [
        *[("here", "chrony 10.0.0.1", 1_200, 90_000)] * 2,
        *[("source 7", "live.0", -1_500_000, 250_000)] * 2,
    ]


def test_a_clock_that_nobody_disciplines_is_told_as_unknown(archive: Archive) -> None:
    acts = Acts(archive, lambda: of_kernel("here", TIME_ERROR, STA_UNSYNC, 0, 16_000_000))
    acts.prepare()
    acts.take_health({}, NOW)
    acts.insert()
    found = stored(archive, "clocks", "host, role, reference, offset_ns, uncertainty_ns")
    assert found == [("here", "host", "unknown", 0, UNCERTAIN_NS)]


def test_rows_of_an_older_program_stand_beside_what_is_sealed(archive: Archive) -> None:
    archive.command(f"CREATE TABLE {archive.database}.actions (person String) ENGINE = Memory")
    archive.command(f"INSERT INTO {archive.database}.actions VALUES ('eve')")
    for _ in range(2):
        Acts(archive).prepare()
    assert stored(archive, "actions", "person") == []
    assert archive.rows(f"SELECT * FROM {archive.database}.{FORMER}") == [("eve",)]


def test_clocks_that_an_answer_got_lost_of_are_not_written_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts, send, lost = Acts(archive), archive.send, [True]

    def sent(*arguments: object) -> None:
        send(*arguments)  # type: ignore[arg-type]
        if lost.pop():
            lost.append(False)
            raise ArchiveError("no answer", away=True)
        lost.append(False)

    acts.prepare()
    monkeypatch.setattr(archive, "send", sent)
    acts.take_health(HEALTH, NOW)
    with pytest.raises(ArchiveError):
        acts.insert()
    acts.insert()
    assert len(stored(archive, "clocks", "host")) == 2
