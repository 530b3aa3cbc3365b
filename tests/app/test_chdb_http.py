"""The stand-in for ClickHouse, through clickhouse-connect's ordinary HTTP client."""

import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import clickhouse_connect
import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from app import chdb_http
from tests.clickhouse import ClickHouse, spawn

ROW = np.dtype([("n", "<u8"), ("x", "<f8"), ("name", "V8")])
TABLE = (
    "CREATE OR REPLACE TABLE t (n UInt64, x Float64, name FixedString(8)) "
    "ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 10"
)
WHOLE = {"max_insert_block_size": 10**8, "min_insert_block_size_rows": 10**8} | {
    "min_insert_block_size_bytes": 10**10
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    server = ClickHouse(tmp_path_factory.mktemp("clickhouse")).start()
    yield server
    server.kill()


@pytest.fixture
def client(server: ClickHouse) -> Iterator[Client]:
    client = connect(server)
    client.command(TABLE)
    yield client
    client.close()


def connect(server: ClickHouse, **more: Any) -> Client:
    more = {"autogenerate_session_id": False} | more
    return clickhouse_connect.get_client(host="127.0.0.1", port=server.port, **more)


def rows(count: int, start: int = 0) -> np.ndarray:
    made = np.zeros(count, ROW)
    made["n"] = np.arange(start, start + count)
    made["x"] = made["n"] / 7
    made["name"] = np.void(b"tick\0\1\2\3")
    return made


def insert(client: Client, data: Any, token: str, fmt: str = "RowBinary") -> Any:
    settings = WHOLE | {"insert_deduplication_token": token}
    return client.raw_insert("t", ["n", "x", "name"], data, settings=settings, fmt=fmt)


def get(server: ClickHouse, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(f"{server.address}{path}", data=body)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_greets_as_clickhouse_does(server: ClickHouse, client: Client) -> None:
    assert get(server, "/ping") == (200, b"Ok.\n")
    assert get(server, "/") == (200, b"Ok.\n")
    assert client.ping()
    assert str(client.server_version).startswith("26.")


@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_bytes_inserted_are_the_bytes_read(client: Client, size: int) -> None:
    data = rows(size).tobytes()
    summary = insert(client, data, "a")
    assert summary.written_rows == size
    assert client.raw_query("SELECT * FROM t ORDER BY n", fmt="RowBinary") == data


def test_a_body_that_is_no_bytes_object_travels_as_it_lies(client: Client) -> None:
    data = rows(300_000)  # The statement is in the URL then; the body is many pieces.
    insert(client, memoryview(data.view(np.uint8)), "a")
    assert client.raw_query("SELECT * FROM t ORDER BY n", fmt="RowBinary") == data.tobytes()


@pytest.mark.parametrize("compress", [True, False, "lz4", "zstd", "gzip"])
def test_the_clients_own_insert_and_query(server: ClickHouse, compress: bool | str) -> None:
    client = connect(server, compress=compress)
    client.command(TABLE)
    client.insert("t", [[1, 0.5, b"12345678"], [2, float("inf"), b"abcdefgh"]], ["n", "x", "name"])
    found = client.query("SELECT n, x FROM t ORDER BY n").result_rows
    assert [tuple(row) for row in found] == [(1, 0.5), (2, float("inf"))]


def test_a_used_token_inserts_nothing_twice(client: Client) -> None:
    insert(client, rows(1000).tobytes(), "same")
    insert(client, rows(1000).tobytes(), "same")
    assert client.command("SELECT count() FROM t") == 1000
    insert(client, rows(1000).tobytes(), "other")
    assert client.command("SELECT count() FROM t") == 2000


def test_one_insert_is_one_part(client: Client) -> None:
    insert(client, rows(2_000_000).tobytes(), "big")
    parts = "SELECT count() FROM system.parts WHERE table = 't' AND active"
    assert client.command(parts) == 1


def test_parameters_settings_and_formats(server: ClickHouse, client: Client) -> None:
    found = client.query("SELECT {x:UInt32} + 1, {s:String}", parameters={"x": 41, "s": "a'b\\"})
    assert found.result_rows == [(42, "a'b\\")]
    long = "y" * 100_000  # Too long for a URL: it comes as a form.
    assert client.query("SELECT length({s:String})", parameters={"s": long}).result_rows == [
        (100_000,)
    ]
    threads = client.query("SELECT getSetting('max_threads')", settings={"max_threads": 7})
    assert threads.result_rows == [(7,)]
    assert client.query("SELECT getSetting('max_threads') = 7").result_rows == [(False,)]
    assert get(server, "/?query=SELECT%201%20AS%20x%20FORMAT%20JSONEachRow")[1] == b'{"x":1}\n'
    assert get(server, "/?default_format=CSV", b"SELECT 1, 'a'")[1] == b'1,"a"\n'
    assert get(server, "/?query=SELECT", b" 5")[1] == b"5\n"
    assert get(server, "/", b"SHOW TABLES")[0] == 200
    assert client.query("SELECT 1 WHERE 0").result_rows == []


def test_a_database_can_be_named(server: ClickHouse, client: Client) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS other")
    other = connect(server, database="other")
    other.command("CREATE OR REPLACE TABLE mine (n UInt8) ENGINE = MergeTree ORDER BY n")
    other.insert("mine", [[3]], ["n"])
    other.raw_insert("mine", ["n"], b"\4", fmt="RowBinary")
    assert client.query("SELECT n FROM other.mine ORDER BY n").result_rows == [(3,), (4,)]


@pytest.mark.parametrize(
    ("query", "code", "status", "text"),
    [
        ("SELECT * FROM nowhere", 60, 404, "UNKNOWN_TABLE"),
        ("SELEC 1", 62, 400, "Syntax error"),
        ("SELECT throwIf(number = 99) FROM numbers(100)", 395, 500, "throwIf"),
        ("INSERT INTO nowhere FORMAT RowBinary\n\1", 60, 404, "UNKNOWN_TABLE"),
        ("INSERT INTO t FORMAT RowBinary\n\1\2\3", 33, 500, "Cannot read all data"),
    ],
)
def test_errors_are_clickhouses_own(
    server: ClickHouse, client: Client, query: str, code: int, status: int, text: str
) -> None:
    request = urllib.request.Request(server.address, data=query.encode())
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == status
    assert caught.value.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert text in caught.value.read().decode()
    assert client.command("SELECT count() FROM t") == 0


def test_wrong_settings_are_named_and_forgotten(server: ClickHouse, client: Client) -> None:
    assert get(server, "/?max_threads=3&no_such_thing=1", b"SELECT 1")[0] == 400
    for _ in range(8):  # Whichever connection had it.
        assert client.query("SELECT getSetting('max_threads') = 3").result_rows == [(False,)]


def test_a_large_answer_streams(server: ClickHouse, client: Client) -> None:
    query = "SELECT number, toString(number) FROM numbers(3000000)"
    request = urllib.request.Request(f"{server.address}/?max_block_size=65536", query.encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        first = answer.read(8)
        assert first == b"0\t0\n1\t1\n"  # The rest is not made before someone takes it.
        assert client.query("SELECT 1").result_rows == [(1,)]
    total = sum(block.shape[0] for block in _blocks(client, query))
    assert total == 3_000_000


def _blocks(client: Client, query: str) -> Iterator[np.ndarray]:
    with client.query_np_stream(query) as stream:
        yield from stream


def test_an_answer_cut_short_is_an_error(server: ClickHouse) -> None:
    query = "SELECT throwIf(number = 2000000) FROM numbers(3000000) SETTINGS max_block_size = 65536"
    with pytest.raises(ClickHouseError, match="throwIf"):
        assert not connect(server).query(query).result_rows
    with pytest.raises((ClickHouseError, OSError)):
        connect(server).raw_query(query, fmt="RowBinary")


def test_a_small_answer_comes_whole(server: ClickHouse) -> None:
    path, query = (
        "/?default_format=RowBinary",
        b"SELECT number, toString(number) FROM numbers(9000)",
    )
    assert get(server, f"{path}&wait_end_of_query=1", query) == get(server, path, query)
    late = b"SELECT throwIf(number = 2000000) FROM numbers(3000000) SETTINGS max_block_size = 65536"
    status, said = get(server, f"{path}&wait_end_of_query=1", late)
    assert (status, b"throwIf" in said) == (500, True), "nothing had been sent"


@pytest.mark.parametrize(("code", "refused"), [(696, False), (394, False), (243, True)])
def test_an_insert_is_not_blamed_for_a_reader_that_left(
    monkeypatch: pytest.MonkeyPatch, code: int, refused: bool
) -> None:
    met: list[dict[int, tuple[int, str]]] = [{}, {code: (1, "as the engine says it")}]
    monkeypatch.setattr(chdb_http, "_errors", lambda _writer: met.pop(0))
    head = b"INSERT INTO t FORMAT RowBinary\n"
    given = (Mock(), head, [b"1"], {}, lambda: False)
    given[0].send_insert().finish().rows_written = 5
    if refused:
        with pytest.raises(chdb_http.QueryError, match="as the engine says it"):
            chdb_http._insert(*given)
    else:
        assert chdb_http._insert(*given) == 5


def test_reads_do_not_wait_for_inserts(client: Client, server: ClickHouse) -> None:
    data = memoryview(rows(4_000_000).view(np.uint8))
    writer = connect(server)
    thread = threading.Thread(target=insert, args=(writer, data, "long"))
    thread.start()
    slowest, reads = 0.0, 0
    while thread.is_alive():
        begin = time.monotonic()
        client.query("SELECT count() FROM t")
        slowest, reads = max(slowest, time.monotonic() - begin), reads + 1
    thread.join()
    assert client.command("SELECT count() FROM t") == 4_000_000
    assert reads > 3
    assert slowest < 0.5


def test_ends_on_sigterm_with_its_data(tmp_path: Path) -> None:
    server = ClickHouse(tmp_path).start()
    client = connect(server)
    client.command(TABLE)
    insert(client, rows(500_000).tobytes(), "a")
    begin = time.monotonic()
    assert server.signal(signal.SIGTERM) == 0
    assert time.monotonic() - begin < 2
    server.start()
    try:
        found = connect(server).raw_query("SELECT * FROM t ORDER BY n", fmt="RowBinary")
        assert found == rows(500_000).tobytes()
    finally:
        server.kill()


def test_killed_in_mid_insert_keeps_whole_blocks(tmp_path: Path) -> None:
    server = ClickHouse(tmp_path).start()
    client = connect(server)
    client.command(TABLE)
    each = 400_000
    acknowledged = 0

    def write() -> None:
        nonlocal acknowledged
        for block in range(1000):
            try:
                insert(client, rows(each, block * each).tobytes(), f"{block}")
            except (ClickHouseError, OSError):
                return
            acknowledged = block + 1

    thread = threading.Thread(target=write)
    thread.start()
    while acknowledged < 2:
        time.sleep(0.001)
    time.sleep(0.03)
    server.kill()
    thread.join(20)
    server.start()
    try:
        again = connect(server)
        count, highest = again.query("SELECT count(), max(n) FROM t").result_rows[0]
        assert count % each == 0
        assert highest == count - 1
        assert count >= acknowledged * each
        lost = count // each
        insert(again, rows(each, lost * each).tobytes(), f"{lost}")
        insert(again, rows(each, (lost - 1) * each).tobytes(), f"{lost - 1}")
        assert again.command("SELECT count() FROM t") == count + each
    finally:
        server.kill()


def test_says_why_it_cannot_start(server: ClickHouse, tmp_path: Path) -> None:
    assert server.process is not None
    texts = []
    for folder, port in (
        (server.folder, 0),
        (tmp_path / "taken", server.port),
        (Path("/proc/tickglass"), 0),
    ):
        process = spawn(folder, port)
        _, text = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "Traceback" not in text
        texts.append(text)
    assert f"is in use by process {server.process.pid}" in texts[0]
    assert f"port {server.port} for ClickHouse is taken" in texts[1]
    assert "/proc/tickglass cannot be written" in texts[2]
