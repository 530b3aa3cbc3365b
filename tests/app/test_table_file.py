"""What a page shows as a file: read back with its units and its moment; nonsense is refused."""

import io
import json

import pytest
from pyarrow import parquet
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from app.table_file import TableError, TableHandler, table_file

ASKED = {
    "form": "csv",
    "facts": {"desk": "Overview", "moment": "2026-11-23T09:00:00.125Z"},
    "columns": [
        {"name": "Symbol", "kind": "text"},
        {"name": "P&L k", "unit": "USD", "kind": "number"},
        {"name": "bid", "table": "instruments", "kind": "number"},
        {"name": "Age", "kind": "moment"},
        {"name": "Age", "kind": "text"},
    ],
    "rows": [
        ["AAPL", -1234.5678901234567, 287.5, 1795424400125, "=1+1"],
        ["A,B", None, 3.0, None, ""],
    ],
}


def made(**other: object) -> bytes:
    return table_file(json.dumps({**ASKED, **other}).encode())[0]


def test_a_csv_has_facts_heads_units_and_every_digit() -> None:
    """And no sheet takes a text for a formula."""
    assert made().decode().splitlines() == [
        "# tickglass.desk: Overview",
        "# tickglass.moment: 2026-11-23T09:00:00.125Z",
        "Symbol,P&L k,bid,Age,Age 2",
        ",USD,price,,",
        "AAPL,-1234.5678901234567,287.5,2026-11-23T09:00:00.125Z,'=1+1",
        '"A,B",,3,,',
    ]


def test_parquet_has_them_in_its_metadata() -> None:
    """Types are those of the values."""
    table = parquet.read_table(io.BytesIO(made(form="parquet")))
    assert table.schema.metadata[b"tickglass.desk"] == b"Overview"
    assert table.schema.field("P&L k").metadata[b"unit"] == b"USD"
    assert table.column("P&L k").to_pylist() == [-1234.5678901234567, None]
    assert str(table.schema.field("Age").type) == "timestamp[ms, tz=UTC]"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"form": "xls"}, "there is no form 'xls'"),
        ({"columns": []}, "1 to 200 columns"),
        ({"columns": [{"kind": "money"}]}, "column 0 is of kind"),
        ({"rows": [["A"]]}, "column P&L k"),
        ({"rows": [["A", "1", 1, 1, ""]]}, "column P&L k: '1' is no number"),
        ({"rows": [["A", 1, 1, 1e300, ""]]}, "column Age"),
        ({"facts": []}, "facts are an object"),
        ({"rows": 7}, "rows are lists"),
    ],
)
def test_what_is_no_table_is_refused(other: dict, words: str) -> None:
    """With the column it is about."""
    with pytest.raises(TableError, match=words):
        made(**other)
    for body in (b"", b"[]", b"{}", b"\xff"):
        with pytest.raises(TableError):
            table_file(body)


def test_whoever_writes_a_file_is_told_of(in_loop) -> None:
    told: list[tuple] = []

    async def asked(body: bytes) -> int:
        tell = lambda request, *said: told.append((request.remote_ip, *said))
        socket, port = bind_unused_port()
        server = HTTPServer(Application([("/table", TableHandler, {"tell": tell})]))
        server.add_socket(socket)
        url = f"http://127.0.0.1:{port}/table"
        client = AsyncHTTPClient()
        answer = await client.fetch(url, method="POST", body=body, raise_error=False)
        server.stop()
        return answer.code

    assert in_loop(asked(json.dumps(ASKED).encode())) == 200
    assert in_loop(asked(b"{}")) == 400
    facts = "desk: Overview, moment: 2026-11-23T09:00:00.125Z"
    assert told == [("127.0.0.1", facts, "2 rows, csv")]
