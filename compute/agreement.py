"""Rule: do `live` and `record` come to the same digests? Up to when, or where not first.

Both tell the minutes that have ended (compute/digest.py). What has been told is kept in
ClickHouse's table `digests`, so that a rebuild can be held against it and a restart of who
compares forgets nothing.
"""

import struct
from typing import Any

from compute.archive import Archive
from compute.digest import MINUTE_NS, Minute, read
from compute.row import number
from compute.schema import TOKENS
from ingest.source import TOPICS

KEPT_MINUTES = 1_440  # What a restart reads back.
_COLUMNS = (
    *(("role", "LowCardinality(String)"), ("topic", "UInt8"), ("partition", "UInt16")),
    *(("minute", "DateTime('UTC')"), ("first", "UInt64"), ("last", "UInt64")),
    *(("rows", "UInt64"), ("digest", "UInt64")),
)
Key = tuple[int, int, int]  # topic, partition, minute


class Agreement:
    """What two readers told, minute by minute."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self.agreed = 0  # Minutes in which both came to the same.
        self.newest = 0  # The newest of them.
        self.disagreement = ""  # The first minute in which they did not.
        self._waiting: dict[Key, tuple[str, Minute]] = {}
        self._done: dict[tuple[int, int], int] = {}  # Newest minute compared, by partition.

    def take(self, role: str, one: Minute) -> bool:
        """One minute as one of them saw it; whether that is news."""
        key = one[:3]
        if one.minute <= self._done.get(key[:2], 0):
            return False  # Told again after a restart.
        # Who tells a later minute has nothing to say of the earlier ones: it began in their midst.
        for earlier in [k for k in self._waiting if k[:2] == key[:2] and k[2] < one.minute]:
            if self._waiting[earlier][0] != role:
                del self._waiting[earlier]
        other = self._waiting.get(key)
        if other is None:
            self._waiting[key] = role, one
            return True
        if other[0] == role:
            return False
        del self._waiting[key]
        self._done[key[:2]] = max(one.minute, self._done.get(key[:2], 0))
        if one == other[1]:
            self.agreed += 1
            self.newest = max(self.newest, one.minute)
        elif not self.disagreement:
            self.disagreement = _described(role, one, *other)
        return True

    @property
    def up_to(self) -> int:
        """The minute up to which all that was told agrees; 0: none yet."""
        open_minutes = [key[2] for key in self._waiting]
        return min([self.newest, *(minute - 1 for minute in open_minutes)])

    def health(self) -> dict[str, Any]:
        """For reports: `digests_ms` is the end of the last minute that agrees."""
        up_to = self.up_to
        return {
            "digests": self.disagreement or ("agree" if self.agreed else "none yet"),
            "digests_ms": (up_to + 1) * 60e3 if self.agreed and up_to > 0 else None,
            "digests_agreed": self.agreed,
        }


def _described(role: str, one: Minute, other_role: str, other: Minute) -> str:
    names = " and ".join(sorted((role, other_role)))
    same = one[3:6] == other[3:6]
    what = "their numbers differ" if same else f"{one.rows} and {other.rows} events, offsets differ"
    clock = f"{one.minute // 60 % 24:02}:{one.minute % 60:02} UTC"
    return f"{names} disagree at {clock} on {TOPICS[one.topic]} partition {one.partition}: {what}"


# The table


def prepare(archive: Archive) -> None:
    """Create the table where it is missing."""
    columns = ", ".join(f"`{name}` {kind}" for name, kind in _COLUMNS)
    archive.command(f"CREATE DATABASE IF NOT EXISTS {archive.database}")
    archive.command(
        f"CREATE TABLE IF NOT EXISTS {archive.database}.digests ({columns}) ENGINE = MergeTree "
        "ORDER BY (topic, partition, minute, role) "
        f"SETTINGS non_replicated_deduplication_window = {TOKENS}"
    )


def insert(archive: Archive, role: str, minutes: list[Minute]) -> None:
    """Put what one reader told into the table; the same once, however often it is tried."""
    name = role.encode()
    body = b"".join(
        number(len(name))
        + name
        + struct.pack("<BHI4Q", *one[:2], one.minute * 60 % 2**32, *one[3:])
        for one in minutes
    )
    token = f"digests-{role}-{minutes[0]}-{minutes[-1]}-{len(minutes)}"
    archive.send("digests", [name for name, _ in _COLUMNS], bytearray(body), token, "RowBinary")


def table(archive: Archive, since: int = 0) -> list[tuple[str, Minute]]:
    """What was told of minutes from `since` on, by role."""
    found = archive.rows(
        "SELECT DISTINCT role, topic, partition, intDiv(toUnixTimestamp(minute), 60) AS at, first, "
        f"last, rows, digest FROM {archive.database}.digests "
        "WHERE toUnixTimestamp(minute) >= {since:UInt32} ORDER BY at, topic, partition, role",
        {"since": since * 60},
    )
    return [(str(role), Minute(*map(int, rest))) for role, *rest in found]


class Watch:
    """Reads the topic, keeps the table, compares."""

    def __init__(self, messages: Any, archive: Archive, now_ns: int) -> None:
        """`messages` is a Source of the topic; nothing is asked yet."""
        self.messages, self.archive = messages, archive
        self.agreement = Agreement()
        self._since = now_ns // MINUTE_NS - KEPT_MINUTES
        self._begun = False
        self._waiting: dict[str, list[Minute]] = {}

    def step(self) -> int:
        """Take what has arrived; ArchiveError leaves it to be written the next time."""
        if not self._begun:
            prepare(self.archive)
            for role, one in table(self.archive, self._since):
                self.agreement.take(role, one)
            self.messages.seek({})
            self._begun = True
        for each in self.messages.poll(0.0):
            try:
                role, minutes = read(each.value)
            except ValueError:
                continue  # Somebody else's.
            news = [one for one in minutes if self.agreement.take(role, one)]
            if news:
                self._waiting.setdefault(role, []).extend(news)
        done = 0
        for role in list(self._waiting):
            insert(self.archive, role, self._waiting[role])
            done += len(self._waiting.pop(role))
        return done
