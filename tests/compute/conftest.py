"""Fixtures of the record's tests: one ClickHouse stand-in a module, a process of its own."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from compute.archive import Archive
from tests.clickhouse import ClickHouse
from tests.evidence import Case

names = (f"record_{number}" for number in count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    server = ClickHouse(tmp_path_factory.mktemp("clickhouse")).start()
    yield server
    server.kill()


@pytest.fixture
def archive(server: ClickHouse) -> Iterator[Archive]:
    """A database of the test's own, with its tables."""
    archive = Archive(server.address, next(names))
    archive.prepare()
    yield archive
    archive.close()


@pytest.fixture
def case(archive: Archive, tmp_path: Path) -> Case:
    """A record with its blocks and signed roots, for whoever forges it."""
    return Case(archive, tmp_path / "audit").fill()
