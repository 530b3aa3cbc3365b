"""Fixtures of all rooms: components that may be absent, stand-ins on free ports, market data.

A test that needs a component asks for it by a fixture (`real_kafka`), by the mark
`requires("chromium")` or by `require("nginx")`. Where it is absent the test is skipped with one
line that says what to install; where TICKGLASS_REQUIRE names it, the same absence fails.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from app import probe, standins
from app import settings as settings_room
from app.settings import ROOT, Settings
from tests.kafka import Kafka

INSTALL = {  # component -> (what must be on the PATH, what to install)
    "kafka": (("java", "mvn"), "default-jre-headless and maven"),
    "redis": (("redis-server",), "redis-server"),
    "nginx": (("nginx",), "nginx"),
    "chromium": (("chromium",), "chromium"),
}
KAFKA_PARTITIONS = 3  # Not the product's default, so that a test can tell who made a topic.
# A property holds however long a busy machine takes over one example; the rest is as it was.
hypothesis_settings.register_profile("patient", hypothesis_settings(), deadline=None)
hypothesis_settings.load_profile("patient")
SBIN = "/usr/sbin"  # Debian's nginx lives here, off many a PATH.


def pytest_configure(config: pytest.Config) -> None:
    """Tests see the settings that they make, not those of the shell they run in."""
    required = os.environ.get("TICKGLASS_REQUIRE", "")
    config.stash[REQUIRED] = {name for name in required.split(",") if name}
    unknown = config.stash[REQUIRED] - INSTALL.keys()
    if unknown:
        raise pytest.UsageError(
            f"TICKGLASS_REQUIRE names {', '.join(sorted(unknown))}; known are {', '.join(INSTALL)}"
        )
    config.addinivalue_line("markers", "requires(*components): needs these, see tests/conftest.py")
    config.addinivalue_line("markers", "clocked: real processes against the clock, run alone")
    for name in Settings.model_fields:
        os.environ.pop(settings_room.PREFIX + name.upper(), None)


REQUIRED: pytest.StashKey[set[str]] = pytest.StashKey()
# What runs a real process against the clock: the suite runs it alone (tests/suite.py).
CLOCKED_ROOMS = ("tests/app/", "tests/deploy/", "tests/storms/", "tests/walk/")
CLOCKED_FIXTURES = {"kafka", "redis", "real_kafka", "real_redis", "server", "archive", "clickhouse"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The mark `clocked`, for a whole file where one of its tests earns it."""
    clocked = {item.path for item in items if _needs_a_process(item)}
    for item in items:
        if item.path in clocked:
            item.add_marker(pytest.mark.clocked)


def _needs_a_process(item: pytest.Item) -> bool:
    fixtures = CLOCKED_FIXTURES & set(getattr(item, "fixturenames", ()))
    requires = item.get_closest_marker("requires")
    return bool(fixtures or requires or item.nodeid.startswith(CLOCKED_ROOMS))


def program(name: str) -> str | None:
    """Path of a program, if it is installed."""
    return shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + SBIN)


def path_of(component: str, config: pytest.Config) -> str:
    """Path of its (first) program, or the test ends here."""
    programs, package = INSTALL[component]
    found = [program(name) for name in programs]
    if all(found):
        return str(found[0])
    reason = f"{component} is not installed: apt-get install {package}"
    if component in config.stash[REQUIRED]:
        pytest.fail(f"{reason} (TICKGLASS_REQUIRE names it)", pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The mark `requires`."""
    for mark in item.iter_markers("requires"):
        for component in mark.args:
            path_of(component, item.config)


@pytest.fixture(scope="session")
def require(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """`require("chromium")`: path of its program, or the test ends here."""
    return lambda component: path_of(component, request.config)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a data folder of the test's own and no address."""
    return settings_room.load(data=tmp_path / "data")


@pytest.fixture(scope="session")
def session_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The same for what lives as long as the run."""
    return settings_room.load(data=tmp_path_factory.mktemp("session"))


@pytest.fixture
def kafka(settings: Settings) -> Iterator[str]:
    """Address of a Kafka stand-in of the test's own: all topics, empty."""
    with standins.started(settings, "kafka") as address:
        yield address


@pytest.fixture
def redis(settings: Settings) -> Iterator[str]:
    """Address of a Redis stand-in of the test's own."""
    with standins.started(settings, "redis") as address:
        yield address


@pytest.fixture(scope="session")
def real_redis(require: Callable[[str], str]) -> Iterator[str]:
    """Address of Debian's Redis, one for the run; tests flush it if they care."""
    port = standins.free_port()
    url = f"redis://127.0.0.1:{port}/0"
    command = [require("redis"), *standins.redis_command(port)[1:]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while probe.redis(url) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not probe.redis(url)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def real_kafka(
    require: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of a real Apache Kafka, one for the run, KAFKA_PARTITIONS a topic when just used."""
    require("kafka")
    cluster = Kafka(tmp_path_factory.mktemp("kafka"), partitions=KAFKA_PARTITIONS)
    try:
        yield cluster.start().address
    finally:
        cluster.close()


@pytest.fixture
def in_loop() -> Callable[[Coroutine], object]:
    """Runs a coroutine to its end in a loop of its own, 30 s at most.

    In a thread, because Playwright's browser of the session keeps a loop running in this one.
    """

    def run(coroutine: Coroutine) -> object:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, asyncio.wait_for(coroutine, 30)).result()

    return run


@pytest.fixture(scope="session")
def marketdata() -> Path:
    """Folder of recorded market data beside the repository."""
    folder = ROOT.parent / "shared" / "marketdata"
    if not folder.is_dir():
        pytest.skip(f"no recorded market data at {folder}")
    return folder


@pytest.fixture
def tickglass(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line to its end: `tickglass("up", "--rate", "0")`."""

    def run(
        *arguments: str, timeout: float = 30, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            cwd=ROOT,
            env={**os.environ, "TICKGLASS_DATA": str(tmp_path / "data"), **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
