"""Rule: between limits and people. What limits raise is told, what people ask is heard.

Lives in the process `risk`, which calls `listen`, `take` and `tell` in every step. Alerts go to
the topic `alerts`, from where `record` puts them on record; the ones that stand and the newest
that are over go to Redis for the pages. At the start they are restored from the topic, so that a
restart raises nothing twice and acknowledgements stay.

An acknowledgement counts for what the person saw: one that was asked before the alert's newest
message, or that names an older message, is refused, and so is one that is ASK_SECONDS_MAX old.
That also makes it harmless to read an ask twice.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol

from compute import ask
from compute.ask import Acknowledge, Ask, AskError, Refused, Replay, WhatIf
from compute.incident import ACKNOWLEDGED, CLEARED, OK, Incidents, read
from compute.limits import Alert
from compute.quarantine import Quarantine
from ingest import clock
from ingest.fund import EACH, UNNAMED, Fund
from ingest.source import ALERTS_TOPIC, Message

ASK_SECONDS_MAX = 30.0  # Older ones are not answered: who asked is gone, or asks again.
TELL_SECONDS = 5.0  # Again this often, because Redis may have forgotten.
RESTORE_NS = 90 * 86_400 * 10**9  # How far back the topic is read at the start.
FLUSH_SECONDS = 5.0


def gone(alert: Alert, fund: Fund) -> str:
    """Why nobody watches what `alert` is of any more; "" where somebody does."""
    limit = next((one for one in fund.limits if one.id == alert.limit), None)
    if limit is None:
        return "the limit was removed"
    if (limit.measure, limit.scope) != (alert.measure, alert.scope):
        return "the limit is on something else now"
    if limit.key not in (EACH, alert.key):
        return "the limit is on another group now"
    names = fund.keys(limit.scope)
    unnamed = alert.key == UNNAMED or alert.key.isdigit()  # Of a book that only fills know.
    lost = bool(names) and alert.key not in names and not unnamed
    return f"the fund has no {limit.scope} of that name now" if lost else ""


def closed(newest: Alert, reason: str, ts_ns: int) -> Alert:
    """The message that ends an incident which no value ends."""
    return replace(
        newest,
        number=newest.number + 1,
        kind=CLEARED,
        level=OK,
        before=newest.level,
        ts_alert=ts_ns,
        value=None,
        person="",
        reason=reason,
    )


class Limits(Protocol):
    """What is needed of compute.limits.Limits."""

    def restore(self, messages: Iterable[Alert]) -> None:
        """Take up what is on record."""


class Exposure(Protocol):
    """What is needed of compute.exposure.Exposure."""

    fund: Fund
    limits: Any  # Limits

    def acknowledge(self, alert: str, person: str, ts_ns: int) -> Alert:
        """A named person has seen it; the message is also taken up by the loop."""

    def what_if(self, trades: Any) -> Any:
        """What would change."""

    def rows_of_books(self, books: set[int]) -> list[int]:
        """Rows of EXPOSURES: the fund's, and theirs."""


class Bus(Protocol):
    """What is needed of compute.bus.Bus."""

    def asks(self, last_id: str) -> list[tuple[str, bytes]]:
        """What people asked since."""

    def answer(self, ask: str, data: bytes) -> None:
        """Keep an answer for who asked."""

    def set_alerts(self, data: bytes) -> None:
        """For the pages."""


class Publisher(Protocol):
    """What is needed of ingest.source.Publisher."""

    def publish(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        """Queue one value."""

    def waiting(self) -> int:
        """Values that have not arrived."""

    def flush(self, seconds: float) -> int:
        """Wait until all has arrived."""


class Alerts:
    """Alerts of one fund and the people who watch them."""

    def __init__(
        self,
        exposure: Exposure,
        bus: Bus,
        publisher: Publisher,
        *,
        now_ns: Callable[[], int] = clock.now_ns,
        quarantine: Quarantine | None = None,
    ) -> None:
        """Nothing is asked of Redis yet; what was asked ASK_SECONDS_MAX ago is still heard.

        `quarantine` is what people look at of what was refused.
        """
        self.quarantine = quarantine
        self.exposure, self.bus, self.publisher, self.now_ns = exposure, bus, publisher, now_ns
        self.incidents = Incidents()
        self.asked = self.refused = self.restored = 0
        self.problem = ""  # Why the newest ask was refused.
        self._last_id = f"{max(0, self._ms() - round(ASK_SECONDS_MAX * 1e3))}-0"
        self._changed, self._told_ns = True, 0
        self._began_ms = self._ms()

    def restore(self, messages: Iterable[Message]) -> None:
        """Take up what was told before, oldest first in each partition, before the first step.

        Of incidents that are over nothing but the newest end is kept. One of a limit that the fund
        no longer has is closed now, with the reason: nobody watches it any more.
        """
        standing: dict[str, list[Alert]] = {}
        over: dict[tuple[int, str], Alert] = {}
        for message in messages:
            alert = read(message.value)
            if alert is None or not self.incidents.take(alert):
                continue
            self.restored += 1
            incident = self.incidents.named(alert.alert)
            if incident is None or not incident.open:
                standing.pop(alert.alert, None)
                over[alert.limit, alert.key] = alert
            else:
                standing.setdefault(alert.alert, []).append(alert)
        kept = [*over.values(), *(one for story in standing.values() for one in story)]
        kept = [one for one in kept if not gone(one, self.exposure.fund)]
        # Messages of one incident may be of one moment: raised, and seen in the same step.
        self.exposure.limits.restore(sorted(kept, key=lambda one: (one.ts_alert, one.number)))
        for incident in self.incidents.open:
            reason = gone(incident.newest, self.exposure.fund)
            if reason:
                self.take(closed(incident.newest, reason, self.now_ns()))

    def listen(self) -> None:
        """Hear what people asked since; BusError where Redis does not answer."""
        if self.quarantine:
            self.quarantine.take()
        for ask_id, data in self.bus.asks(self._last_id):
            self._last_id = ask_id
            self.asked += 1
            asked_ms = int(ask_id.partition("-")[0])
            name, slow = "", False
            try:
                asked = ask.read(data)
                name, slow = asked.name, isinstance(asked, WhatIf)
                answer = self._do(asked, asked_ms)
            except ValueError as error:
                name = error.name if isinstance(error, AskError) else name
                self.refused += 1
                self.problem = str(error)
                trade = getattr(error, "trade", None)
                answer = {"error": self.problem} | ({} if trade is None else {"trade": trade})
            if name:
                self.bus.answer(name, json.dumps({"id": name, **answer}).encode())
            if slow:
                return  # One a step: what is asked next is not forgotten, limits go first.

    def take(self, alert: Alert) -> None:
        """Publish what was raised, cleared or acknowledged."""
        self.publisher.publish(ALERTS_TOPIC, -1, alert.to_json(), str(alert.limit).encode())
        self.incidents.take(alert)
        self._changed = True

    def tell(self) -> None:
        """Show the pages what stands, if that is news; BusError where Redis does not answer."""
        now_ns = self.now_ns()
        if not self._changed and now_ns - self._told_ns < TELL_SECONDS * 1e9:
            return
        shown = [one.shown() for one in (*self.incidents.open, *self.incidents.closed)]
        self.bus.set_alerts(json.dumps(shown, separators=(",", ":")).encode())
        self._changed, self._told_ns = False, now_ns

    def close(self) -> None:
        """Let what was published arrive."""
        self.publisher.flush(FLUSH_SECONDS)

    @property
    def health(self) -> dict[str, Any]:
        """For the report of the process."""
        return {
            "asks": self.asked,
            "asks_refused": self.refused,
            "ask_problem": self.problem,
            "alerts_restored": self.restored,
            "alerts_waiting": self.publisher.waiting(),
            **(self.quarantine.health if self.quarantine else {}),
        }

    def _do(self, asked: Ask, asked_ms: int) -> dict[str, Any]:
        if self._ms() - asked_ms > ASK_SECONDS_MAX * 1e3:
            raise ValueError("asked too long ago; ask again")
        if isinstance(asked, WhatIf):
            rows = self.exposure.rows_of_books({trade.book for trade in asked.trades})
            return {"what_if": ask.answer(self.exposure.what_if(asked.trades), rows)}
        if not isinstance(asked, Acknowledge):
            return self._show(asked, asked_ms)
        incident = self.incidents.named(asked.alert)
        if incident is not None and incident.newest.kind != ACKNOWLEDGED:
            newest = incident.newest
            old = asked.number is not None and asked.number != newest.number
            if old or (asked.number is None and asked_ms < newest.ts_alert // 1_000_000):
                raise ValueError(
                    f"alert {asked.alert} has changed since: it is at {newest.level} now"
                )
        message = self.exposure.acknowledge(asked.alert, asked.person, self.now_ns())
        return {"acknowledged": json.loads(message.to_json())}

    def _show(self, asked: Refused | Replay, asked_ms: int) -> dict[str, Any]:
        """What was refused, or where one of it stands once it is published again."""
        if self.quarantine is None:
            raise ValueError("what was refused is not read here")
        if isinstance(asked, Replay):
            if asked_ms < self._began_ms:  # What began before us may have done it.
                raise ValueError("risk began anew meanwhile: look whether it was replayed")
            return {"replayed": self.quarantine.replay(asked.kept, asked.person)}
        found = [self.quarantine.look(asked.kept)] if asked.kept else self.quarantine.listed()
        return {"refused": found}

    def _ms(self) -> int:
        return self.now_ns() // 1_000_000
