"""What must hold after a storm's blows: who lives, what pages show, what is on record, in memory.

Each oracle answers "" or what is wrong. It reads what the product wrote, never what it believes.
"""

import base64
import subprocess
import sys
import time

import numpy as np
import psutil
from confluent_kafka import Consumer, TopicPartition

from app.mirror import Mirror
from app.settings import ROOT
from app.view import find_column, sides
from app.watch import BEHIND, UP, RoleState, Told, Watch
from compute import account, delta
from compute.bus import AsyncBus, BusError
from ingest.source import TOPICS
from tests.storms.product import Product
from tests.walk.test_walk import NOBODY

HEAL_SECONDS_MAX = 240.0  # Until everybody is up and every page is told of; on a busy machine.
PAGES_SECONDS_MAX = 20.0  # Until every page shows what the mirror holds, once nothing moves.
SETTLE_SECONDS_MAX = 240.0  # Until all of the log is on record.
AGAIN_SECONDS = 3.0  # An insert may be on its way while rows are counted.
LAGGING = ("risk", "record", "tape", "seal", "witness")  # They give way to the tick path.
FRONT = ("live.", "replay.")  # Without these a page is told something, and nothing new.
REPORTING = ("live", "record", "risk", "web")
MB = 1 << 20
MEMORY_BYTES_MAX = {  # Resident, of each role.
    "live": 900 * MB,
    "record": 1_300 * MB,
    "risk": 900 * MB,
    "replay": 700 * MB,
    "tape": 700 * MB,
    "seal": 400 * MB,
    "witness": 700 * MB,
    "web": 700 * MB,
    "nginx": 100 * MB,
    "fork-server": 600 * MB,
    "redis": 1_100 * MB,  # It refuses beyond 1 GiB.
    "kafka": 1_300 * MB,  # The stand-in keeps 640 MB of its log.
    "clickhouse": 4_000 * MB,
}


class Healing:
    """Whether everybody is up again, judged by what is told after the blows are over."""

    def __init__(self, product: Product) -> None:
        self.product, self.watch = product, Watch()
        self.expected: set[str] = set()  # Who was ever heard of.

    def begin(self) -> None:
        """The blows are over now."""
        beats, _ = self.product.told()
        self.expected |= set(beats)
        self.before = {role: (beat["pid"], beat["count"]) for role, beat in beats.items()}
        self.begun, self.begun_ms = time.monotonic(), time.time() * 1e3
        self.pushes = self.product.crowd.ask()["each"]
        self.painted = self._painted()

    def missing(self) -> tuple[str, str]:
        """Why pages are not told what is so, and who is not as it should be; "" once all are."""
        beats, reports = self.product.told()
        self.watch.take(beats, reports)
        states = {one.role: one for one in self.watch.roles}
        absent = {role: self._absent(role, beats, reports, states) for role in self.expected}
        front = [why for role, why in absent.items() if why and role.startswith(FRONT)]
        return (front or [self._unseen()])[0], next(filter(None, absent.values()), "")

    def _absent(self, role: str, beats: Told, reports: Told, states: dict[str, RoleState]) -> str:
        beat, one, kind = beats.get(role), states.get(role), role.partition(".")[0]
        if beat is None or one is None or (beat["pid"], beat["count"]) == self.before.get(role):
            return f"{role} is not heard of"
        if one.state != UP and not (one.state == BEHIND and kind in LAGGING):
            return f"{role} is {one.state}: {one.why}"
        if kind in REPORTING and reports.get(role, {}).get("now_ms", 0) < self.begun_ms:
            return f"{role} has not reported"
        return ""

    def _unseen(self) -> str:
        pushes = self.product.crowd.ask()["each"]
        still = sum(now <= was for now, was in zip(pushes, self.pushes, strict=True))
        if still:
            return f"{still} pages are not told anything"
        glass = self.product.glass
        if glass is not None and self._painted() <= self.painted:
            return "the browser's page does not paint"
        if glass is not None and glass.evaluate("tickglass.state.word") != "LIVE":
            return f"the browser's page says {glass.evaluate('tickglass.state.word')}"
        return ""

    def _painted(self) -> int:
        glass = self.product.glass
        return int(glass.evaluate("tickglass.counted().pushes")) if glass is not None else 0

    def await_all(self) -> tuple[float, float]:
        """Seconds until pages are told what is so, and until nothing is missing.

        AssertionError where that takes too long.
        """
        seen = 0.0
        while True:
            unseen, absent = self.missing()
            seconds = time.monotonic() - self.begun
            if not unseen and not seen:
                seen = seconds
            if seen and not absent:
                return seen, seconds
            if seconds > HEAL_SECONDS_MAX:
                raise AssertionError(f"not healed after {seconds:.0f} s: {unseen or absent}")
            time.sleep(0.1)


# Pages


def mirrored(product: Product) -> dict[str, np.ndarray]:
    """The tables as a web server would have them now, from Redis."""
    bus, mirror = product.bus(), Mirror(AsyncBus(product.run["redis"]))
    for track in (mirror.live, mirror.risk):
        data = bus.image(track.worker)
        if data is None:
            raise BusError("there is no image yet")
        mirror.take_image(delta.unpack_image(data), track)
        while entries := bus.deltas(track.epoch, track.sequence, track.worker):
            if not mirror.take(entries, track):
                raise BusError("deltas are missing behind the image")
    bus.close()
    return mirror.tables


def wrong_cells(product: Product) -> int:
    """Cells of all pages that are not what the mirror holds now, and pages without any."""
    tables, crowd, wrong = mirrored(product), product.crowd, 0
    for feed, table in crowd.ask(tables=True).items():
        names = crowd.ask(columns=int(feed))
        for shown in crowd.ask(cells=int(feed)):
            rows = np.frombuffer(base64.b64decode(shown["rows"]), "<u4")
            cells = np.frombuffer(base64.b64decode(shown["cells"]))
            wanted = _wanted(tables, table, names, rows)
            differing = _differing(cells, wanted) if len(cells) == wanted.size else wanted.size
            # The blotter always has rows; other tables may well be empty.
            missing = int(feed == "0" and not len(rows))
            wrong += shown["pages"] * (differing + missing)
    if product.glass is not None:
        names, rows_shown = product.shown()
        known = [k for k, name in enumerate(names) if _is_column("instruments", name)]
        rows = np.array([row for row, _ in rows_shown], np.uint32)
        cells = np.array([[row[k] for k in known] for _, row in rows_shown], np.float64)
        wanted = _wanted(tables, "instruments", [names[k] for k in known], rows)
        wrong += _differing(cells.ravel(), wanted) if len(rows) else 1
    return wrong


def _is_column(table: str, name: str) -> bool:
    try:
        find_column(table, name)
    except KeyError:
        return False
    return True


def _wanted(
    tables: dict[str, np.ndarray], table: str, names: list[str], rows: np.ndarray
) -> np.ndarray:
    """What cells of these rows and columns should be, one row after the other."""
    own, beside = sides(table)[0], sides(table)[-1]
    found = np.full((len(rows), len(names)), np.nan)
    for place, number in enumerate(find_column(table, name)[0] for name in names):
        inside = number < own.width
        values = tables[own.name if inside else beside.name]
        there = rows < len(values)
        found[there, place] = values[rows[there], number if inside else number - own.width]
    return found.ravel()


def _differing(cells: np.ndarray, wanted: np.ndarray) -> int:
    return int(((cells != wanted) & ~(np.isnan(cells) & np.isnan(wanted))).sum())


def pages(product: Product) -> tuple[float, str]:
    """Seconds until every page shows what the mirror holds, nobody publishing; what is wrong."""
    with product.quiet():
        begun = time.monotonic()
        while True:
            try:
                wrong = wrong_cells(product)
            except BusError as error:
                wrong = str(error)
            seconds = time.monotonic() - begun
            if not wrong:
                break
            if seconds > PAGES_SECONDS_MAX:
                return seconds, f"pages are not equal to the mirror: {wrong} cells"
            time.sleep(0.2)
    if product.glass is not None and product.glass.evaluate("window.same") != 1:
        return seconds, "the browser has loaded its page again"
    return seconds, ""


# The record


def record(product: Product, database: str = "") -> tuple[int, str]:
    """Rows on record, and what is wrong with their offsets."""
    archive = product.archive(database)
    try:
        counts = account.count(archive)
        if any(one.named for one in counts):
            time.sleep(AGAIN_SECONDS)
            counts = account.count(archive)
    finally:
        archive.close()
    wrong = any(one.named for one in counts)
    return sum(one.rows for one in counts), account.describe(counts) if wrong else ""


def readers(product: Product) -> str:
    """What `live` and `record` say of each other, and of the log."""
    _, reports = product.told()
    digests = str(reports.get("seal.0", {}).get("digests", "none yet"))
    if digests not in ("agree", "none yet"):
        return digests
    gaps = reports.get("live.0", {}).get("gaps", 0)
    return f"live has {gaps} gaps in the log" if gaps else ""


def await_record(product: Product) -> str:
    """Wait until all of the log is on record; what is not."""
    begun = time.monotonic()
    archive, consumer = (
        product.archive(),
        Consumer({"bootstrap.servers": product.run["kafka"], "group.id": "storm"}),
    )
    try:
        while True:
            ends = {
                (number, 0): consumer.get_watermark_offsets(TopicPartition(topic, 0), 10.0)[1] - 1
                for number, topic in enumerate(TOPICS)
            }
            there = archive.highest_offsets()
            left = {place: end for place, end in ends.items() if there.get(place, -1) < end}
            if not left:
                return ""
            if time.monotonic() - begun > SETTLE_SECONDS_MAX:
                return f"not on record up to {left}, only to {there}"
            time.sleep(0.5)
    finally:
        archive.close()
        consumer.close()


def good(product: Product, database: str) -> str:
    """Whether all that stood between the garbage is on record, once."""
    sent = product.good.get(database, 0)
    archive = product.archive(database)
    query = f"SELECT count() FROM {database}.events WHERE instrument = {NOBODY}"
    found = archive.rows(query)[0][0]
    archive.close()
    return f"{found} of {sent} good events among garbage are on record" if found < sent else ""


def audit(product: Product, *words: str) -> tuple[str, str]:
    """A command of `./tickglass audit`: what it said last, and what is wrong."""
    run = product.run
    data = ("--data", str(product.folder / "data"), "--clickhouse", run["clickhouse"])
    done = subprocess.run(
        [sys.executable, "-m", "app", "audit", *words, *data],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return "; ".join(said[-3:]), "" if done.returncode == 0 else "\n".join(said)


# Processes and memory


def processes(product: Product) -> str:
    """Whether each role has one process, and no more."""
    found = product.processes()
    double = {role: len(all_) for role, all_ in found.items() if len(all_) > 1}
    return f"more than one process: {double}" if double else ""


class Memory:
    """The most that each role had resident."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.peaks: dict[str, int] = {}

    def look(self) -> str:
        """Take note; what is over its limit."""
        for role, all_ in self.product.processes().items():
            for one in all_:
                try:
                    size = one.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
                kind = role.partition(".")[0]
                self.peaks[kind] = max(size, self.peaks.get(kind, 0))
        over = {
            kind: f"{size / MB:.0f} MB of {MEMORY_BYTES_MAX[kind] / MB:.0f}"
            for kind, size in self.peaks.items()
            if size > MEMORY_BYTES_MAX.get(kind, size)
        }
        return f"too much memory: {over}" if over else ""
