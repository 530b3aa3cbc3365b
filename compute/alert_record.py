"""Rule: alerts of the log go on record once, beside the market and never in its way.

The process `record` asks here a few times a second. What Kafka has is inserted at once: alerts are
few, and somebody waits. One insert is under way at a time and repeated with the same bytes until
ClickHouse has it; meanwhile Kafka keeps the rest. A successor goes on behind the highest offset
that ClickHouse holds.
"""

from typing import Protocol

from compute import chain
from compute.alert_row import AlertRow, row
from compute.archive import Archive, ArchiveError
from ingest.source import ALERTS_TOPIC, Message, Positions

POLL_SECONDS = 0.1
RETRY_SECONDS, RETRY_SECONDS_MAX = 0.2, 5.0


class AlertLogError(RuntimeError):
    """The alerts on record are not those of this log; the text says how and what to do."""


class Messages(Protocol):
    """What is needed of ingest.source.Source."""

    def poll(self, timeout_s: float = ...) -> list[Message]:
        """All that has arrived."""

    def seek(self, positions: Positions) -> None:
        """Read on after these."""

    def commit(self, positions: Positions) -> None:
        """Tell Kafka that these are on record."""


class AlertRecord:
    """From messages of the topic `alerts` to rows in ClickHouse."""

    def __init__(self, messages: Messages, archive: Archive) -> None:
        """Nothing is asked of Kafka or ClickHouse yet."""
        self.messages, self.archive = messages, archive
        self.recorded: Positions = {}
        self.rows_recorded = 0
        self.problem = ""
        self._links: dict[tuple[int, int], bytes] = {}
        self._sealed: list[AlertRow] = []  # Under way.
        self._due = self._retry_s = 0.0

    def begin(self) -> None:
        """Stand behind what is on record; ArchiveError where ClickHouse does not say."""
        last = self.archive.last_alerts()
        self.recorded = {place: offset for place, (offset, _) in last.items()}
        self._links = {place: link for place, (_, link) in last.items()}
        self._sealed = []
        self.messages.seek(self.recorded)

    def step(self, now: float) -> int:
        """Record what has arrived, if it is time; `now` in seconds. The rows recorded."""
        if now < self._due:
            return 0
        self._due = now + POLL_SECONDS
        if not self._sealed:
            self._sealed = [self._seal(message) for message in self.messages.poll(0.0)]
        return self._insert(now) if self._sealed else 0

    def _seal(self, message: Message) -> AlertRow:
        place = message[:2]
        recorded = self.recorded.get(place, -1)
        if message.offset <= recorded:
            raise AlertLogError(
                f"{ALERTS_TOPIC} partition {message.partition}: Kafka gave offset "
                f"{message.offset} after {recorded} was recorded: its log has begun anew. "
                "Name another database for the record of the new log"
            )
        sealed = row(message, self._links.get(place, chain.ORIGIN))
        self._links[place] = sealed.link
        return sealed

    def _insert(self, now: float) -> int:
        try:
            self.archive.insert_alerts(self._sealed)
        except ArchiveError as error:
            self.problem = f"alerts: {error}"
            self._retry_s = min(max(RETRY_SECONDS, 2 * self._retry_s), RETRY_SECONDS_MAX)
            self._due = now + self._retry_s
            return 0
        done = {(one.topic, one.partition): one.offset for one in self._sealed}
        self.messages.commit(done)
        self.recorded |= done
        count, self._sealed = len(self._sealed), []
        self.rows_recorded += count
        self.problem, self._retry_s = "", 0.0
        return count
