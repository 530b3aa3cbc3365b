"""What a page knows beside its numbers: it is sent what it misses, once, and as little."""

import json
import struct

import pytest

from app.mirror import Mirror
from app.page import PAGE_EXTRAS, PAGE_FIELDS, Known, Notes
from app.view import ALERTS, NAMES, NO_FEED, REFERENCE
from ingest.instrument import Instrument, Reference

FIELDS = (0, "X", "USD", 1.0, 0.01, 2)


def read(parts: list[bytes]) -> dict[int, object]:
    found = {}
    for part in parts:
        feed, kind, size = struct.unpack_from("<HHI", part)
        assert (feed, size % 8, len(part)) == (NO_FEED, 0, 8 + size)
        found[kind] = json.loads(part[8:])
    return found


@pytest.fixture
def mirror():
    made = Mirror(bus=None)
    made.reference = Reference(Instrument(k, f"S{k}", *FIELDS) for k in range(4))
    return made


def test_a_row_holds_what_a_page_needs_and_no_defaults(mirror):
    option = Instrument(
        *(4, "S0 C5", 2, "X", "USD", 100.0, 0.01, 2),
        underlying=0,
        expiry="2027-01-15",
        strike=5.0,
        right="C",
        sector="Tech",
        country="US",
    )
    mirror.reference = Reference([*mirror.reference.by_id.values(), option])
    rows = json.loads(Notes(mirror).instruments.whole()[0])
    assert [row["id"] for row in rows] == [0, 1, 2, 3, 4]
    assert set(rows[0]) == {"id", *PAGE_FIELDS}
    assert set(rows[4]) == {"id", *PAGE_FIELDS, *PAGE_EXTRAS}
    assert rows[4]["multiplier"] == 100.0
    assert rows[4]["expiry"] == "2027-01-15"


def test_a_page_is_sent_the_rows_that_changed_since_it_was_made(mirror):
    notes = Notes(mirror)
    _, version = notes.instruments.whole()
    early = Known(version)
    assert notes.news(early) == []
    rows = list(mirror.reference.by_id.values())
    mirror.reference = Reference([*rows, Instrument(2, "NEW", *FIELDS)])
    notes.take()
    assert [row["symbol"] for row in read(notes.news(early))[REFERENCE]] == ["NEW"]
    assert notes.news(early) == []
    late = Known(notes.instruments.whole()[1])
    rows = list(mirror.reference.by_id.values())
    mirror.reference = Reference([*rows, Instrument(4, "MORE", *FIELDS)])
    notes.take()
    assert [row["id"] for row in read(notes.news(late))[REFERENCE]] == [4]
    early.forget()  # It came back, and may have lost all that was pushed.
    assert sorted(row["id"] for row in read(notes.news(early))[REFERENCE]) == [2, 4]


def test_rows_that_only_matter_to_others_are_not_sent(mirror):
    notes = Notes(mirror)
    known = Known(notes.instruments.version)
    rows = list(mirror.reference.by_id.values())
    mirror.reference = Reference([*rows, Instrument(2, "S2", *FIELDS, close_prev=5.0)])
    notes.take()
    assert notes.news(known) == []


def test_names_and_alerts_are_sent_once_and_again_when_they_change(mirror):
    notes = Notes(mirror)
    known = Known(notes.instruments.version)
    assert notes.news(known) == []  # Nothing is told yet.
    mirror.names, mirror.alerts = b'{"limits":{"1":"Gross"}}', b"[]"
    notes.take()
    assert read(notes.news(known)) == {NAMES: {"limits": {"1": "Gross"}}, ALERTS: []}
    notes.take()
    assert notes.news(known) == []
    mirror.alerts = b'[{"alert":"1-0-5"}]'
    notes.take()
    others = Known(notes.instruments.version)
    assert read(notes.news(known)) == {ALERTS: [{"alert": "1-0-5"}]}
    assert set(read(notes.news(others))) == {NAMES, ALERTS}
    assert notes.news(others) == []
    known.forget()
    assert set(read(notes.news(known))) == {NAMES, ALERTS}


def test_pages_are_told_what_risk_still_makes_ready_and_when_it_is_done(mirror):
    notes, known = Notes(mirror), Known(0)
    now_ms = mirror.now_ns() / 1e6
    mirror.health = {"risk.0": {"now_ms": now_ms, "starting": "options, 2 of 3"}}
    notes.take()
    assert read(notes.news(known))[NAMES] == {"keys": {"process": ["options, 2 of 3"]}}
    mirror.names = b'{"keys":{"book":["One"]}}'
    notes.take()
    said = {"book": ["One"], "process": ["options, 2 of 3"]}
    assert read(notes.news(known))[NAMES] == {"keys": said}
    mirror.health["risk.0"]["now_ms"] = now_ms - 60_000  # It ended while it made ready.
    notes.take()
    assert read(notes.news(known))[NAMES] == {"keys": {"book": ["One"]}}
