"""Fixtures of the record's tests: one ClickHouse stand-in a module, a process of its own."""

from collections.abc import Iterator

import pytest

from tests.clickhouse import ClickHouse


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    server = ClickHouse(tmp_path_factory.mktemp("clickhouse")).start()
    yield server
    server.kill()
