"""The record in a real ClickHouse engine behind its HTTP interface."""

import socket
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from compute import account, chain, history
from compute.archive import INSERT_ROWS_MAX, Archive, ArchiveError, Block
from compute.enriched import ENRICHED
from compute.row import REFUSED, SCHEMA, fill, refusal
from ingest.event import EVENT, Flag, Kind
from tests.clickhouse import ClickHouse

DAY_NS = 1_700_000_000_000_000_000
names = (f"archive_{number}" for number in count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    server = ClickHouse(tmp_path_factory.mktemp("clickhouse")).start()
    yield server
    server.kill()


@pytest.fixture
def archive(server: ClickHouse) -> Iterator[Archive]:
    archive = Archive(server.address, next(names))
    archive.prepare()
    yield archive
    archive.close()


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
