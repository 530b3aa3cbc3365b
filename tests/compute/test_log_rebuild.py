"""The log through a fresh engine gives what is on record, and says where it does not."""

import numpy as np

from compute.log_rebuild import Replayed, replay
from ingest.source import Message, Positions
from tests.compute.test_digest import PLACES, Reader, market, on_record, reference


class Log:
    """Kafka, once: all of a log a few messages at a time."""

    def __init__(self, messages: list[Message], size: int = 13) -> None:
        self.messages, self.size, self.at = messages, size, 0

    def seek(self, positions: Positions) -> None:
        assert not positions

    def poll(self, timeout_s: float = 0.0) -> list[Message]:
        del timeout_s
        self.at += self.size
        return self.messages[self.at - self.size : self.at]


def against(log: list[Message], reader: Reader) -> list[Replayed]:
    made = on_record(reader)
    ends = {place: blocks[-1].last for place, blocks in made.sealed.items()}
    return replay(Log(log), made, reference(), ends)


def test_the_log_from_its_beginning_gives_the_digests_on_record() -> None:
    log = market(3)
    done = against(log, Reader().read(log, 7))
    assert [one.place for one in done] == PLACES[:3]
    assert [one.fault for one in done] == ["", "", ""]
    assert all(one.first == 0 and one.events for one in done)
    assert "the same events and numbers" in str(done[0])


def test_a_number_that_is_another_on_record_is_found() -> None:
    log = market(3)
    reader = Reader().read(log, 7)
    rows = reader.rows[PLACES[1]]
    known = next(k for k, frame in enumerate(rows) if np.isfinite(frame["vwap"]).any())
    rows[known]["vwap"] += 1e-9
    done = against(log, reader)
    assert ["digest" in one.fault for one in done] == [False, True, False]


def test_a_row_too_many_is_found() -> None:
    log = market(3)
    reader = Reader().read(log, 7)
    reader.rows[PLACES[0]][2] = np.concatenate([reader.rows[PLACES[0]][2]] * 2)
    assert "events where the log gives" in against(log, reader)[0].fault


def test_where_kafka_begins_later_the_events_alone_are_compared() -> None:
    log = market(3)
    kept = [one for one in log if one[:2] != PLACES[0] or one.offset >= 10]
    done = against(kept, Reader().read(log, 7))
    assert (done[0].first, done[0].fault) == (10, "")
    assert "from offset 10: Kafka has let go" in str(done[0])
    assert done[1].first == 0


def test_a_log_that_ends_too_early_says_so() -> None:
    log = market(3)
    done = against(log[: len(log) // 2], Reader().read(log, 7))
    assert all("that are on record" in one.fault for one in done)
