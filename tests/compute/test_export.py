"""Export of tables of a real ClickHouse engine: every row once, and where it is from."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from compute import chain, export
from compute.archive import Archive
from tests.clickhouse import ClickHouse

START_S = 1_700_000_000


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    server = ClickHouse(tmp_path_factory.mktemp("clickhouse")).start()
    archive = Archive(server.address, "exported")
    archive.prepare()
    names = ", ".join(
        f"{value} AS `{name}`"
        for name, value in {
            "topic": "toUInt8(number % 2)",
            "partition": "toUInt16(0)",
            "offset": "number",
            "index": "toUInt16(0)",
            "ts_event": f"fromUnixTimestamp64Milli(toInt64({START_S * 1000} + number * 10))",
            "instrument": "toUInt32(number % 7)",
            "kind": "toUInt8(2)",
            "price": "toInt64(number) * 1000000000",
        }.items()
    )
    archive.command(
        f"INSERT INTO exported.events (topic, partition, offset, `index`, ts_event, instrument, "
        f"kind, price) SELECT {names} FROM numbers(5000)"
    )
    archive.command(
        "INSERT INTO exported.blocks (topic, partition, first, last, rows, schema, digest, link) "
        f"VALUES (1, 0, 0, 4999, 2500, 1, unhex('{'ab' * 32}'), unhex('{'cd' * 32}'))"
    )
    yield archive
    archive.close()
    server.kill()


def read(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    lines = path.read_text().splitlines()
    notes = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    return notes, list(csv.DictReader(line for line in lines if not line.startswith("# ")))


def test_parquet_holds_every_row_and_its_reference(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PIECE_ROWS", 700)
    told: list[int] = []
    made = export.Export(archive, export.Order("events", "parquet"), 42)
    path = tmp_path / "events.parquet"
    assert made.rows == made.write(path, told.append) == 5000
    assert sum(told) == 5000
    assert max(told) <= 700
    table = parquet.read_table(path)
    assert np.array_equal(table["offset"], np.arange(5000))
    meta = {name.decode(): value.decode() for name, value in table.schema.metadata.items()}
    heads = json.loads(meta["tickglass.chain_heads"])
    assert heads == [{"topic": 1, "partition": 0, "offset": 4999, "link": "cd" * 32}]
    assert meta["tickglass.database"] == "exported"
    assert meta["tickglass.signed_root"] == "null"
    assert len(chain.ORIGIN) == 32


def test_csv_of_a_span_and_an_instrument(archive: Archive, tmp_path: Path) -> None:
    order = export.Order("events", "csv", (START_S + 3) * 10**9, (START_S + 9) * 10**9, 5)
    path = tmp_path / "events.csv"
    export.Export(archive, order, 42).write(path)
    notes, rows = read(path)
    wanted = [n for n in range(300, 900) if n % 7 == 5]
    assert [int(row["offset"]) for row in rows] == wanted
    assert notes["tickglass.rows"] == str(len(wanted))
    assert notes["tickglass.instrument"] == "5"


def test_bytes_become_hexadecimal_in_csv(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "blocks.csv"
    export.Export(archive, export.Order("blocks", "csv"), 42).write(path)
    assert read(path)[1][0]["link"] == "cd" * 32


def test_an_empty_export_is_a_whole_file(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    order = export.Order("events", "parquet", instrument=99)
    assert export.Export(archive, order, 42).write(path) == 0
    assert parquet.read_table(path).num_rows == 0


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (export.Order("event", "csv"), "there are .*events"),
        (export.Order("events", "xlsx"), "parquet"),
        (export.Order("blocks", "csv", instrument=3), "no column instrument"),
    ],
)
def test_nonsense_is_refused_in_words(archive: Archive, order: export.Order, says: str) -> None:
    with pytest.raises(export.ExportError, match=says):
        export.Export(archive, order, 42)
