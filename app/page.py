"""Rule: what every page knows beside its numbers, and what of it is new to a page.

Instruments as a page reads them, the names of groups, books and limits, and the alerts. A page is
made with all instruments; later it is sent those that changed since, names and alerts when they
change. Everybody who misses the same is sent the same bytes.

Among the names' keys `process` is one list: what the process `risk` still makes ready, if it does.
"""

import json
import threading
from operator import attrgetter
from typing import Any

from app import status
from app.mirror import Mirror
from app.rights import ALL, Rights
from app.view import ALERTS, NAMES, NO_FEED, REFERENCE, json_section

PAGE_FIELDS = ("symbol", "asset_class", "venue", "currency", "decimals", "price_format")
# Left out where a row has them at this value.
PAGE_EXTRAS: dict[str, Any] = {
    "underlying": -1,
    "expiry": "",
    "strike": None,
    "right": "",
    "multiplier": 1.0,
    "sector": "",
    "country": "",
}
PARTS_MAX = 256  # Of people who may see something else than the others.
_FIELDS = ("id", *PAGE_FIELDS, *PAGE_EXTRAS)
_read = attrgetter(*_FIELDS)


class Note:
    """One JSON text that pages hold, and its version: 0 is nothing told yet."""

    def __init__(self, kind: int) -> None:
        """`kind` of the section that carries it."""
        self.kind, self.version = kind, 0
        self.section = b""
        self.text = b""

    def take(self, text: bytes) -> None:
        """The text as it is now; empty is no news."""
        if text and text != self.text:
            self.text, self.version = text, self.version + 1
            self.section = json_section(NO_FEED, self.kind, text)


class Instruments:
    """Reference rows as pages read them; `version` moves on when one of them changes."""

    def __init__(self, mirror: Mirror) -> None:
        """Those that the mirror has now."""
        self.mirror = mirror
        self.version = 0
        self._rows: dict[int, tuple[Any, ...]] = {}
        self._changed: dict[int, int] = {}  # id -> version of its newest change.
        self._taken = (-1, -1)
        self._whole = (-1, "[]")
        self._since: dict[int, bytes] = {}
        self._lock = threading.Lock()  # Pages are made in threads.
        self.take()

    def take(self) -> None:
        """Look at the mirror's rows where it has new ones."""
        reference = self.mirror.reference
        state = self.mirror.reference_version, reference.version
        if state == self._taken:
            return
        with self._lock:
            rows = {number: _read(row) for number, row in reference.by_id.items()}
            fresh = [number for number, row in rows.items() if self._rows.get(number) != row]
            self._rows, self._taken = rows, state
            if fresh:
                self.version += 1
                self._changed |= dict.fromkeys(fresh, self.version)
                self._since.clear()

    def whole(self) -> tuple[str, int]:
        """A JSON list of all, and its version."""
        self.take()
        with self._lock:
            if self._whole[0] != self.version:
                text = _text(list(self._rows.values()))
                self._whole = self.version, text
            return self._whole[1], self._whole[0]

    def since(self, version: int) -> bytes:
        """A section with the rows that changed after `version`; b"" where none did."""
        if version >= self.version:
            return b""
        found = self._since.get(version)
        if found is None:
            changed = [number for number, at in self._changed.items() if at > version]
            rows = [self._rows[number] for number in changed if number in self._rows]
            found = json_section(NO_FEED, REFERENCE, _text(rows).encode()) if rows else b""
            self._since[version] = found
        return found


def _text(rows: list[tuple[Any, ...]]) -> str:
    plain = len(_FIELDS) - len(PAGE_EXTRAS)
    defaults = tuple(PAGE_EXTRAS.items())
    out = []
    for row in rows:
        said = dict(zip(_FIELDS[:plain], row[:plain], strict=True))
        extras = zip(defaults, row[plain:], strict=True)
        said |= {name: value for (name, default), value in extras if value != default}
        out.append(said)
    return json.dumps(out, separators=(",", ":"))


class Known:
    """What one page has been sent of all this."""

    def __init__(self, instruments: int, rights: Rights = ALL) -> None:
        """`instruments`: version of the rows that it was made with; `rights`: of who looks."""
        self.made_with, self.rights = instruments, rights
        self.state = instruments, 0, 0  # Versions of instruments, names and alerts.

    @property
    def instruments(self) -> int:
        """Version of the rows that it has."""
        return self.state[0]

    @instruments.setter
    def instruments(self, version: int) -> None:
        self.state = version, *self.state[1:]

    def forget(self) -> None:
        """The page may have lost whatever came after it was made."""
        self.state = self.made_with, 0, 0


def _with_process(names: bytes, starting: str) -> bytes:
    """The names, and what is still made ready among their keys."""
    if not starting:
        return names or b"{}"
    told = json.loads(names) if names else {}
    keys = {**told.get("keys", {}), "process": [starting]}
    return json.dumps({**told, "keys": keys}, separators=(",", ":")).encode()


class Notes:
    """All of it for one web process."""

    def __init__(self, mirror: Mirror) -> None:
        """As the mirror has it now."""
        self.mirror = mirror
        self.instruments = Instruments(mirror)
        self.names, self.alerts = Note(NAMES), Note(ALERTS)
        self._told: tuple[bytes, str] = (b"", "")  # Names as risk told them, and what it prepares.
        # For those who may not see everything: section and the version it is of.
        self._parts: dict[tuple[int, Rights], tuple[int, bytes]] = {}
        self.take()

    def take(self) -> None:
        """Look at what the mirror has heard."""
        self.instruments.take()
        told = self.mirror.names, status.starting(self.mirror.health, self.mirror.now_ns() / 1e6)
        if told != self._told:
            self._told = told
            self.names.take(_with_process(*told))
        self.alerts.take(self.mirror.alerts)

    @property
    def state(self) -> tuple[int, int, int]:
        """The versions of all."""
        return self.instruments.version, self.names.version, self.alerts.version

    def _for(self, note: Note, rights: Rights) -> bytes:
        """The note's section, as those with these rights are told it."""
        if rights.everything:
            return note.section
        version, section = self._parts.get((note.kind, rights), (-1, b""))
        if version != note.version:
            told = json.loads(note.text)
            said: Any = rights.names(told) if note is self.names else rights.alerts(told)
            section = json_section(NO_FEED, note.kind, json.dumps(said).encode())
            if len(self._parts) >= PARTS_MAX:
                self._parts.clear()
            self._parts[note.kind, rights] = note.version, section
        return section

    def news(self, known: Known) -> list[bytes]:
        """Sections that the page misses; from then on it has them."""
        state = self.state
        if known.state == state:
            return []
        instruments, names, alerts = known.state
        parts = [self.instruments.since(instruments)]
        if names != self.names.version:
            parts.append(self._for(self.names, known.rights))
        if alerts != self.alerts.version:
            parts.append(self._for(self.alerts, known.rights))
        known.state = state
        return [part for part in parts if part]
