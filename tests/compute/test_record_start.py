"""What a recorder asks at its start: once, ahead of time where it can, and again where in vain."""

from types import SimpleNamespace

import pytest

from compute.archive import ArchiveError
from compute.record_start import Start

PLACES = [(0, 0), (1, 0)]


class Record:
    """A record without rows in a ClickHouse that answers from some call on."""

    def __init__(self, away: int = 0) -> None:
        self.away, self.claims, self.order = away, 0, []

    def prepare(self, keep):
        self.order.append("prepare")
        if self.away:
            self.away -= 1
            raise ArchiveError("ClickHouse does not answer", away=True)

    def claim(self, now_ns, partition):
        self.order.append("claim")
        self.claims += 1
        return self.claims

    def last_blocks(self, places):
        self.order.append("ends")
        return {}

    def highest_offsets(self, after):
        assert after == dict.fromkeys(PLACES, -1)
        return {}

    def refused(self, after):
        assert after == dict.fromkeys(PLACES, -1)
        return set()

    def recorded_rows(self, partition):
        return 0


def start(record):
    return Start(record, SimpleNamespace(newest=lambda recorded: None), PLACES)


def test_who_has_asked_ahead_asks_once():
    record = Record()
    asked = start(record).ahead()
    assert asked.take().epoch == 1
    assert record.order == ["prepare", "claim", "ends"], "how far it goes, once nobody else writes"
    assert asked.take().epoch == 2, "a start that comes again asks again"


def test_nothing_is_asked_before_it_is_wanted():
    record = Record()
    asked = start(record)
    assert not record.order
    assert asked.take().epoch == 1


def test_what_was_asked_in_vain_is_asked_again_and_said():
    with pytest.raises(ArchiveError, match="does not answer"):
        start(Record(away=2)).ahead().take()
    assert start(Record(away=1)).ahead().take().epoch == 1
