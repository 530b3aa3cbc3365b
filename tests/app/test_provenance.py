"""A page asks where a cell comes from; the record answers with events that can be proved."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.provenance import answer, question
from compute import chain
from compute.archive import Archive, Block
from compute.enriched import ENRICHED
from compute.gather import fill
from compute.row import SCHEMA
from compute.table import INSTRUMENTS, POSITIONS
from ingest.clock import VirtualClock
from ingest.event import EVENT, NO_PRICE, Kind
from ingest.instrument import Instrument, Reference
from tests.clickhouse import ClickHouse

NOW = VirtualClock().ns


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    server = ClickHouse(Path(tmp_path_factory.mktemp("clickhouse"))).start()
    archive = Archive(server.address, "provenance")
    archive.prepare()
    events = np.zeros(6, EVENT)
    events["ts_event"] = NOW - np.arange(6)[::-1] * 10**9
    events["instrument"] = [1, 1, 2, 1, 1, 1]
    events["kind"] = [Kind.QUOTE, Kind.TRADE, Kind.TRADE, Kind.QUOTE, Kind.TRADE, Kind.QUOTE]
    events["price"] = np.arange(100, 106) * 10**9
    events["ask"] = np.arange(200, 206) * 10**9
    events["bid"][5] = NO_PRICE
    numbers = np.full(6, np.nan, ENRICHED)
    numbers["vwap"] = np.arange(6) / 4
    rows = fill((0, 0), [(7, 0, 4), (8, 4, 2)], events, numbers)
    digest = chain.leaf((0, 0, 7, 8, 6, SCHEMA), [rows.tobytes()])
    link = chain.link(chain.ORIGIN, digest)
    archive.insert([Block(chain.Sealed(0, 0, 7, 8, 6, SCHEMA, digest, link), 1, NOW, [rows])])
    fills = np.zeros(3, EVENT)
    fills["ts_event"] = NOW - np.arange(3)[::-1] * 10**12
    fills["instrument"], fills["book"], fills["kind"] = 1, [6, 6, 7], Kind.FILL
    fills["price"], fills["size"] = 101 * 10**9, [5, -2, 9]
    rows = fill((12, 0), [(0, 0, 3)], fills, np.full(3, np.nan, ENRICHED))
    digest = chain.leaf((12, 0, 0, 0, 3, SCHEMA), [rows.tobytes()])
    link = chain.link(chain.ORIGIN, digest)
    archive.insert([Block(chain.Sealed(12, 0, 0, 0, 3, SCHEMA, digest, link), 1, NOW, [rows])])
    yield archive
    archive.close()
    server.kill()


def reference() -> Reference:
    return Reference(
        [
            Instrument(id=k, symbol=f"S{k}", asset_class=0, venue="X", currency="EUR",
                       multiplier=2.0, tick=0.01, decimals=2, usd_rate=1.1)
            for k in (1, 2, 3)
        ]
    )  # fmt: skip


def mirror() -> dict[str, np.ndarray]:
    """What a page shows: instrument 1 as it is on record, 2 a second ahead of it."""
    instruments = INSTRUMENTS.empty(4)
    instruments[1, INSTRUMENTS.index("ts_event")] = NOW / 1e6
    instruments[1, INSTRUMENTS.index("vwap")] = 1.0
    instruments[2, INSTRUMENTS.index("ts_event")] = NOW / 1e6 - 2000
    positions = POSITIONS.empty(3)
    for name, value in {"instrument": 1, "book": 6, "fx": 1.25}.items():
        positions[2, POSITIONS.index(name)] = value
    return {"instruments": instruments, "positions": positions}


def ask(archive: Archive, **message: object) -> dict[str, Any]:
    whole = {"type": "provenance", "id": 4, "table": "instruments", **message}
    return answer(archive, question(mirror(), reference(), whole, NOW))


def test_a_vwap_comes_of_trades(archive: Archive) -> None:
    found = ask(archive, row=1, column="vwap")
    assert [one["name"] for one in found["events"]] == ["md.equity:0:8:0", "md.equity:0:7:1"]
    assert [one["price"] for one in found["events"]] == [104.0, 101.0]
    assert (found["id"], found["symbol"], found["value"]) == (4, "S1", 1.0)
    assert found["formula"] == "sum p q / sum q, session, eligible"
    assert found["prove"] == "./tickglass audit prove md.equity:0:8:0"
    assert found["fx"] is None
    assert (found["shown"], found["recorded"], found["behind_s"]) == (1.0, True, None)


def test_what_is_not_on_record_yet_says_how_far_behind_the_record_is(archive: Archive) -> None:
    found = ask(archive, row=2, column="vwap")
    assert (found["recorded"], found["behind_s"]) == (False, 1.0)


def test_a_position_comes_of_its_own_books_fills(archive: Archive) -> None:
    found = ask(archive, table="positions", row=2, column="quantity")
    assert [one["name"] for one in found["events"]] == ["fills:0:0:1", "fills:0:0:0"]
    assert [one["size"] for one in found["events"]] == [-2.0, 5.0]
    found = ask(archive, table="positions", row=2, column="pnl")
    assert [one["kind"] for one in found["events"]][-2:] == ["fill", "fill"]
    assert found["fx"] == {"currency": "EUR", "usd_rate": 1.25, "multiplier": 2.0}


def test_a_greek_comes_of_the_markets_events(archive: Archive) -> None:
    found = ask(archive, row=1, column="delta")
    assert found["events"][0]["name"] == "md.equity:0:8:1"
    assert found["value"] is None


def test_a_bid_comes_of_quotes_and_may_be_absent(archive: Archive) -> None:
    found = ask(archive, row=1, column="bid")
    assert [one["bid"] for one in found["events"]] == [None, 103.0, 100.0]
    assert found["inputs"]["mid"] is None


def test_as_of_a_moment(archive: Archive) -> None:
    found = ask(archive, row=1, column="mid", ts_ms=NOW / 1e6 - 1500)
    assert [one["name"] for one in found["events"]] == ["md.equity:0:7:3", "md.equity:0:7:0"]


def test_money_names_its_rate(archive: Archive) -> None:
    found = ask(archive, row=1, column="pnl")
    assert found["fx"] == {"currency": "EUR", "usd_rate": 1.1, "multiplier": 2.0}
    assert "mark" in found


def test_what_never_happened_has_no_events(archive: Archive) -> None:
    found = ask(archive, row=3, column="mid")
    assert (found["events"], found["prove"], found["value"]) == ([], None, None)


@pytest.mark.parametrize(
    "message",
    [
        {"row": 9, "column": "mid"},
        {"row": 1, "column": "nothing"},
        {"row": "1", "column": "mid"},
        {"row": 1, "column": "mid", "table": "books"},
        {"row": 1, "column": "pnl", "table": "positions"},
        {"row": -1, "column": "mid"},
        {"row": 1, "column": "mid", "id": "x"},
        {"row": 1, "column": "mid", "ts_ms": -1},
        {"row": 1},
    ],
)
def test_nonsense_is_said(message: dict[str, object]) -> None:
    whole = {"type": "provenance", "id": 4, "table": "instruments", **message}
    with pytest.raises(ValueError, match="no such cell"):
        question(mirror(), reference(), whole, NOW)
