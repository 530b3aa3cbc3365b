"""The record in a real ClickHouse engine behind its HTTP interface."""

import socket
import time
from pathlib import Path

import numpy as np
import pytest

from compute import account, chain, history, schema
from compute.archive import INSERT_ROWS_MAX, Archive, ArchiveError, Block, SupersededError
from compute.enriched import ENRICHED
from compute.gather import fill
from compute.row import REFUSED, SCHEMA, refusal
from compute.schema import Keep
from ingest.event import EVENT, Flag, Kind
from tests.clickhouse import ClickHouse

DAY_NS = 1_700_000_000_000_000_000


def frames(
    place: tuple[int, int], first: int, counts: list[int], seed: int = 0
) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    made = []
    for k, size in enumerate(counts):
        events = np.frombuffer(draw.bytes(size * EVENT.itemsize), EVENT).copy()
        numbers = np.frombuffer(draw.bytes(size * ENRICHED.itemsize), ENRICHED)
        made.append(fill(place, [(first + k, 0, size)], events, numbers))
    return made


def seal(rows: list[np.ndarray], previous: bytes = chain.ORIGIN, epoch: int = 1) -> Block:
    head, tail = rows[0][0], rows[-1][-1]
    identity = (
        *(int(head["topic"]), int(head["partition"]), int(head["offset"]), int(tail["offset"])),
        *(sum(map(len, rows)), SCHEMA),
    )
    digest = chain.leaf(identity, [part.tobytes() for part in rows])
    return Block(chain.Sealed(*identity, digest, chain.link(previous, digest)), epoch, DAY_NS, rows)


def bytes_of(block: Block) -> bytes:
    return b"".join(part.tobytes() for part in block.rows)


def test_the_bytes_that_went_in_come_out(archive: Archive) -> None:
    # Random bytes: NaN of every payload, infinities, moments out of any calendar.
    blocks = [seal(frames((t, p), 5, [3, 1, 700], t)) for t in (0, 12) for p in (0, 300)]
    archive.insert(blocks)
    for block in blocks:
        assert archive.read_block(*block.sealed[:4]) == bytes_of(block)
    one = archive.read_block(0, 300, 6, 6)
    assert one == blocks[1].rows[1].tobytes()


def test_a_repeated_insert_changes_nothing(archive: Archive) -> None:
    first = seal(frames((0, 0), 0, [10] * 5))
    archive.insert([first])
    archive.insert([first])
    archive.insert([first._replace(epoch=1)])
    assert account.count(archive)[0].rows == 50
    assert len(list(archive.blocks(0, 0))) == 1
    assert archive.size()[0] == 50


def test_offsets_and_links_to_resume_from(archive: Archive) -> None:
    assert archive.highest_offsets() == {}
    assert archive.last_blocks() == {}
    a = seal(frames((0, 0), 0, [10] * 5))
    b = seal(frames((0, 0), 5, [10] * 2), a.sealed.link)
    c = seal(frames((3, 1), 40, [1]))
    archive.insert([a, c])
    archive.insert([b])
    assert archive.highest_offsets() == {(0, 0): 6, (3, 1): 40}
    assert archive.last_blocks() == {(0, 0): b.sealed, (3, 1): c.sealed}
    assert list(archive.blocks(0, 0)) == [a.sealed, b.sealed]
    assert chain.verify(archive.blocks(0, 0), lambda s: archive.read_block(*s[:4])) is None


@pytest.mark.parametrize("asked_max", [1, 2, 64])
def test_what_a_recorder_asks_of_its_places_alone(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, asked_max: int
) -> None:
    monkeypatch.setattr("compute.archive.PLACES_ASKED_MAX", asked_max)
    places = [(0, 0), (0, 1), (2, 300)]
    blocks = [
        seal([*frames(place, 5, [3, 4]), refusal(place, 7, "checksum", 0)]) for place in places
    ]
    archive.insert(blocks)
    assert archive.last_blocks(places[1:]) == {b.sealed[:2]: b.sealed for b in blocks[1:]}
    assert archive.last_blocks([(9, 9)]) == {}
    after = {(0, 0): 7, (0, 1): 6, (9, 9): -1}
    assert archive.highest_offsets(after) == {(0, 1): 7}
    assert archive.refused(after) == {(0, 1, 7)}


def test_a_database_that_is_ready_is_only_asked(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.command(f"DROP TABLE {archive.database}.writers")
    done: list[str] = []
    command = archive.command
    monkeypatch.setattr(archive, "command", lambda said: (done.append(said), command(said)))
    archive.prepare(Keep())
    assert [text.split()[:2] for text in done] == [["CREATE", "TABLE"]]
    archive.prepare(Keep())
    assert len(done) == 1


def test_the_chain_finds_what_was_changed_in_the_database(archive: Archive) -> None:
    a = seal(frames((0, 0), 0, [10] * 5))
    b = seal(frames((0, 0), 5, [10] * 2), a.sealed.link)
    archive.insert([a])
    archive.insert([b])
    archive.command(
        f"ALTER TABLE {archive.database}.events UPDATE price = price + 1 "
        "WHERE offset = 6 AND `index` = 3 SETTINGS mutations_sync = 2"
    )
    fault = chain.verify(archive.blocks(0, 0), lambda s: archive.read_block(*s[:4]))
    assert fault is not None
    assert (fault.first, fault.last) == (5, 6)


def test_count_names_holes_doubles_and_torn_frames(archive: Archive) -> None:
    archive.insert([seal(frames((0, 0), 10, [4, 4, 4]))])
    whole = account.count(archive)
    assert [c[:8] for c in whole] == [(0, 0, 12, 10, 12, 3, 0, 0)]
    assert "none twice" in account.describe(whole)
    archive.insert([seal(frames((0, 0), 15, [4]))])  # 13 and 14 are missing
    archive.insert([seal(frames((0, 0), 12, [4], seed=9))])  # other bytes, again
    archive.insert([seal([np.delete(frames((1, 0), 0, [4])[0], 1)])])  # index 1 is missing
    holed, torn = account.count(archive)
    assert (holed.rows, holed.offsets, holed.holes, holed.doubles) == (20, 4, 2, 4)
    assert holed.named == ("hole 13 to 14", "offset 12 has 4 rows twice")
    assert torn.torn == 1
    assert torn.named == ("offset 0 lacks 1 rows",)
    text = account.describe([holed, torn])
    assert "topic 0 partition 0: hole 13 to 14, offset 12 has 4 rows twice" in text
    assert "topic 1 partition 0: offset 0 lacks 1 rows" in text


def test_refused_frames_are_on_record(archive: Archive) -> None:
    rows = [
        *frames((0, 0), 0, [2]),
        refusal((0, 0), 1, "checksum", DAY_NS),
        refusal((0, 0), 2, "repeat", DAY_NS),
    ]
    archive.insert([seal(rows)])
    assert archive.refused({}) == {(0, 0, 1)}
    assert archive.refused({(0, 0): 1}) == set()
    assert account.count(archive)[0].holes == 0


def trades(prices: list[float], sizes: list[float], **fields: object) -> np.ndarray:
    events = np.zeros(len(prices), EVENT)
    events["ts_event"] = DAY_NS + np.arange(len(prices)) * 1_000_000_000
    events["instrument"], events["kind"] = 7, Kind.TRADE
    events["reference"] = np.arange(len(prices)) + 1
    events["price"] = np.round(np.array(prices) * 1e9).astype(np.int64)
    events["size"] = sizes
    for name, values in fields.items():
        events[name] = values
    return events


def put(archive: Archive, events: np.ndarray, offset: int = 0) -> None:
    numbers = np.full(len(events), np.nan).repeat(8).view(ENRICHED)
    archive.insert([seal([fill((0, 0), [(offset, 0, len(events))], events, numbers)])])


def test_bars(archive: Archive) -> None:
    flags = [0, 0, 0, Flag.INELIGIBLE, 0, 0]
    put(archive, trades([10, 12, 9, 99, 11, 7], [1, 1, 2, 50, 0, 5], flags=flags))
    other = trades([500], [1], instrument=8)
    put(archive, other, 1)
    bust = trades([7], [5], kind=Kind.BUST, reference=6)
    put(archive, bust, 2)
    quote = trades([1], [1], kind=Kind.QUOTE)
    put(archive, quote, 3)
    bars = history.bars(archive, 7, DAY_NS, DAY_NS + 60_000_000_000, 3)
    start = DAY_NS // 3_000_000_000 * 3_000
    expected: dict[int, list[tuple[float, float, bool]]] = {}
    for t, price, size, eligible in (
        *((0, 10, 1, True), (1, 12, 1, True), (2, 9, 2, True)),
        *((3, 99, 50, False), (4, 11, 0, False)),
    ):
        key = (DAY_NS // 1_000_000 + t * 1000) // 3000 * 3000
        expected.setdefault(key, []).append((price, size, eligible))
    assert bars[:, 0].tolist() == sorted(expected)
    assert start in expected
    for bar in bars:
        ticks = [(p, s) for p, s, eligible in expected[int(bar[0])] if eligible]
        volume = sum(s for _, s, _ in expected[int(bar[0])])
        assert bar[6] == volume
        if not ticks:
            assert np.isnan(bar[1:6]).all()
            continue
        prices = [p for p, _ in ticks]
        vwap = sum(p * s for p, s in ticks) / sum(s for _, s in ticks)
        wanted = [prices[0], max(prices), min(prices), prices[-1], vwap]
        np.testing.assert_allclose(bar[1:6], wanted, rtol=1e-14)
    assert history.bars(archive, 7, DAY_NS + 10**12, DAY_NS + 2 * 10**12, 1).shape == (0, 7)


def test_large_prices_do_not_overflow_a_bar(archive: Archive) -> None:
    put(archive, trades([9_000_000_000.0] * 3, [1e9] * 3))
    bar = history.bars(archive, 7, DAY_NS, DAY_NS + 60_000_000_000, 60)
    np.testing.assert_allclose(bar[0, 1:6], 9e9, rtol=1e-14)


def test_epochs_rise(archive: Archive) -> None:
    assert [archive.claim(DAY_NS) for _ in range(3)] == [1, 2, 3]


def test_only_the_newest_writer_is_taken(server: ClickHouse, archive: Archive) -> None:
    first, second = frames((0, 0), 0, [3, 4])
    archive.claim(DAY_NS)
    archive.insert([seal([first])])
    other = Archive(server.address, archive.database)
    other.claim(DAY_NS)
    with pytest.raises(SupersededError, match="taken over"):
        archive.insert([seal([second])])
    with pytest.raises(SupersededError):  # Not even what ClickHouse has already.
        archive.insert([seal([first])])
    assert archive.highest_offsets() == {(0, 0): 0}
    other.insert([seal([second])])
    assert archive.highest_offsets() == {(0, 0): 1}
    other.close()


def test_two_that_claim_at_once_are_told_apart(server: ClickHouse, archive: Archive) -> None:
    other = Archive(server.address, archive.database)
    plain, said = archive.command, []

    def late(statement: str) -> None:
        if not said:
            said.append(statement)
            assert other.claim(DAY_NS) == 1  # Between the other's look and its word.
        plain(statement)

    archive.command = late  # type: ignore[method-assign]
    assert archive.claim(DAY_NS) == 1
    row = frames((0, 0), 0, [3])
    with pytest.raises(SupersededError):
        other.insert([seal(row)])
    archive.insert([seal(row)])
    other.close()


def test_a_record_of_schema_1_is_brought_up_to_date(server: ClickHouse) -> None:
    archive = Archive(server.address, "older")
    archive.command(f"CREATE DATABASE {archive.database}")
    first, last = seal(frames((0, 1), 0, [3, 4])), None
    for statement in old_ddl(archive.database):
        archive.command(statement)
    archive.insert([first])
    whole = archive.read_block(0, 1, 0, 1)
    archive.command(f"CREATE TABLE {archive.database}.events_2 (a Int8) ENGINE = Null")  # A kill's.
    archive.prepare()
    archive.prepare()
    assert archive.read_block(0, 1, 0, 1) == whole == bytes_of(first)
    assert chain.verify(archive.blocks(0, 1), lambda s: archive.read_block(*s[:4])) is None
    (found,) = archive.rows(
        "SELECT sorting_key FROM system.tables WHERE name = 'events' AND database = "
        f"'{archive.database}'"
    )
    assert found[0] == schema.STORED.replace("`", "")
    versions = archive.rows(f"SELECT version FROM {archive.database}.versions")
    assert [row[0] for row in versions] == [SCHEMA]
    with pytest.raises(SupersededError):  # A writer of the old program is shut out.
        archive.insert([seal(frames((0, 1), 2, [5]), first.sealed.link)])
    archive.claim(DAY_NS)
    last = seal(frames((0, 1), 2, [5]), first.sealed.link)
    archive.insert([last])
    assert archive.highest_offsets() == {(0, 1): 2}
    archive.close()


def old_ddl(database: str) -> tuple[str, ...]:
    """The tables as schema 1 had them, as far as a migration looks at them."""
    events, blocks, *_ = schema.ddl(database)
    return events.replace(schema.STORED, "topic, partition, offset, `index`"), blocks


def test_a_newer_schema_is_refused(archive: Archive) -> None:
    archive._note(SCHEMA + 1)
    with pytest.raises(ArchiveError, match=f"is of schema {SCHEMA + 1}.*newer program") as caught:
        archive.prepare()
    assert not caught.value.away


def test_tiers_are_set_and_taken_away(archive: Archive) -> None:
    def ttl() -> str:
        text = archive.rows(f"SHOW CREATE TABLE {archive.database}.events")[0][0]
        return str(text)

    assert "TTL" not in ttl()
    archive.prepare(Keep(hot_days=30, years=7))
    assert "toIntervalDay(30) RECOMPRESS CODEC(ZSTD(6))" in ttl()
    assert "toIntervalYear(7)" in ttl()
    old = frames((0, 0), 0, [3])[0].copy()
    old["ts_event"] = 10**18  # 2001: beyond seven years, and still there until a merge.
    archive.insert([seal([old])])
    archive.command(f"OPTIMIZE TABLE {archive.database}.events FINAL")
    assert archive.highest_offsets() == {}
    archive.prepare(Keep())
    assert "TTL" not in ttl()


def test_another_shape_is_refused_by_name(server: ClickHouse, archive: Archive) -> None:
    archive.command(f"ALTER TABLE {archive.database}.events DROP COLUMN pnl")
    with pytest.raises(ArchiveError, match=f"{archive.database}.events .* another shape") as caught:
        archive.prepare()
    assert not caught.value.away


def test_an_insert_has_a_limit(archive: Archive) -> None:
    rows = np.broadcast_to(frames((0, 0), 0, [1])[0], INSERT_ROWS_MAX + 1)
    block = seal(frames((0, 0), 0, [1]))._replace(rows=[rows])
    with pytest.raises(ValueError, match="limit"):
        archive.insert([block])


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    archive = Archive(f"http://127.0.0.1:{port}")
    begin = time.monotonic()
    with pytest.raises(ArchiveError, match=f"127.0.0.1:{port} does not answer") as caught:
        archive.prepare()
    assert caught.value.away
    assert time.monotonic() - begin < 3


def test_comes_back_after_the_server_does(tmp_path: Path) -> None:
    server = ClickHouse(tmp_path).start()
    archive = Archive(server.address)
    archive.prepare()
    block = seal(frames((0, 0), 0, [10]))
    server.kill()
    with pytest.raises(ArchiveError) as caught:
        archive.insert([block])
    assert caught.value.away
    server.start()
    try:
        archive.insert([block])
        assert archive.read_block(0, 0, 0, 0) == bytes_of(block)
    finally:
        archive.close()
        server.kill()


@pytest.mark.parametrize("address", ["ftp://x", "127.0.0.1:8123", ""])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ArchiveError, match="is not http"):
        Archive(address)


def test_a_password_never_shows() -> None:
    archive = Archive("http://me:secret@127.0.0.1:1")
    with pytest.raises(ArchiveError) as caught:
        account.count(archive)
    assert "secret" not in str(caught.value)


def test_the_database_has_a_name() -> None:
    with pytest.raises(ArchiveError, match="not a name"):
        Archive("http://x:1", "a; DROP")


assert REFUSED not in set(Kind)
