"""Rows that a killed recorder left unsealed are sealed if they are Kafka's, and else never."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compute import chain, record
from compute.archive import Archive
from compute.record import Record, RecordError
from compute.row import NO_EVENT, RECORD, REFUSED, native
from ingest.clock import VirtualClock
from ingest.source import FILLS
from tests.compute.test_record import Killed, Log, assert_whole, everything, market, recorder, run

PLACE = (0, 1)


class Loose:
    """A record whose writer was killed between an insert and its blocks."""

    def __init__(self, archive: Archive, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.archive, self.folder, self.clock = archive, folder, VirtualClock()
        self.log = Log(market(11, 300))
        made = recorder(self.log, archive, folder, self.clock, flush_s=0.1)
        while made.rows_recorded < 1_500:
            made.step()
            self.clock.advance(0.01)
        plain = archive._insert

        def deadly(table: str, *rest: Any) -> None:
            if table == "blocks":
                raise Killed
            plain(table, *rest)

        with patch.context() as patched:
            patched.setattr(archive, "_insert", deadly)
            with pytest.raises(Killed):
                run(made, self.log)
        self.sealed = {place: block.last for place, block in archive.last_blocks().items()}
        self.rows = np.frombuffer(
            archive.read_block(*PLACE, self.sealed[PLACE] + 1, 10**6), RECORD
        ).copy()
        assert len(self.rows) > 20

    def replace(self, rows: np.ndarray, place: tuple[int, int] = PLACE) -> None:
        """Put others in place of those that are not sealed, as who may do anything there can."""
        self.delete(place)
        self.archive._insert("events", RECORD, native(rows), f"forged-{rows.tobytes()[:400]!r}")

    def delete(self, place: tuple[int, int] = PLACE) -> None:
        self.archive.command(
            f"ALTER TABLE {self.archive.database}.events DELETE WHERE topic = {place[0]} AND "
            f"partition = {place[1]} AND offset > {self.sealed.get(place, -1)} "
            "SETTINGS mutations_sync = 2"
        )

    def recorder(self) -> Record:
        return recorder(self.log, self.archive, self.folder, self.clock)

    def step_until(self, made: Record, reached: Callable[[], object]) -> None:
        end = self.clock() + 300e9
        while not reached():
            made.step()
            self.clock.advance(0.05)
            assert self.clock() < end, (made.state, made.problem, made.unproven)


@pytest.fixture
def loose(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loose:
    return Loose(archive, tmp_path, monkeypatch)


def test_the_log_s_own_rows_are_sealed(loose: Loose) -> None:
    made = loose.recorder()
    run(made, loose.log)
    assert not made.unproven
    assert_whole(loose.archive, loose.log)


def event(rows: np.ndarray) -> np.ndarray:
    rows["price"][5] += 10**7
    return rows


def number(rows: np.ndarray) -> np.ndarray:
    rows["vwap"][7] *= 1.5
    return rows


def twice(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows, rows[3:4]])


def missing(rows: np.ndarray) -> np.ndarray:
    return np.delete(rows, 4)


def frame_missing(rows: np.ndarray) -> np.ndarray:
    return rows[rows["offset"] != rows["offset"][8]]


def beyond(rows: np.ndarray) -> np.ndarray:
    more = rows[-1:].copy()
    more["offset"] = 10**5
    return np.concatenate([rows, more])


def hidden(rows: np.ndarray) -> np.ndarray:
    """An event's frame as if it had been refused."""
    offset = rows["offset"][rows["kind"] != REFUSED][0]
    mine = np.flatnonzero(rows["offset"] == offset)
    rows["kind"][mine[0]], rows["flags"][mine[0]] = REFUSED, NO_EVENT.index("truncated")
    return np.delete(rows, mine[1:])


FORGERIES = (event, number, twice, missing, frame_missing, beyond, hidden)


@pytest.mark.parametrize("forge", FORGERIES)
def test_others_are_told_and_never_sealed(
    loose: Loose, forge: Callable[[np.ndarray], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "SILENCE_SECONDS_MAX", 1.0)
    loose.replace(forge(loose.rows.copy()))
    told: list[dict[str, Any]] = []
    made = loose.recorder()
    made.tell = told.append
    loose.step_until(made, lambda: made.unproven and told and told[-1]["problem"])
    for _ in range(300):  # It looks again and again, and still does not seal them.
        made.step()
        loose.clock.advance(0.1)
    assert "partition 1: rows above the last sealed block are not what Kafka" in made.unproven
    assert told[-1]["state"] == "waiting"
    assert told[-1]["problem"] == made.unproven
    now = {place: block.last for place, block in loose.archive.last_blocks().items()}
    assert now == loose.sealed
    loose.delete()  # Moved away: it goes on by itself.
    run(made, loose.log)
    assert not made.unproven
    assert_whole(loose.archive, loose.log)


def test_the_record_is_then_as_if_nothing_had_been(
    loose: Loose, tmp_path: Path, server: Any
) -> None:
    loose.replace(event(loose.rows.copy()))
    made = loose.recorder()
    loose.step_until(made, lambda: made.unproven)
    loose.delete()
    run(made, loose.log)
    calm = Archive(server.address, loose.archive.database + "_calm")
    run(recorder(loose.log, calm, tmp_path / "calm", VirtualClock()), loose.log)
    assert everything(loose.archive) == everything(calm)
    calm.close()


def test_what_kafka_no_longer_has_is_not_taken_at_its_word(loose: Loose) -> None:
    gone = loose.sealed[PLACE] + 2
    loose.log.messages = [m for m in loose.log.messages if m[:2] != PLACE or m.offset > gone]
    made = loose.recorder()
    loose.step_until(made, lambda: made.unproven)
    assert "does not have" in made.unproven
    assert loose.archive.last_blocks()[PLACE].last == loose.sealed[PLACE]


def test_another_log_is_still_told_apart(loose: Loose) -> None:
    shorter = Log(market(11, 20))
    made = recorder(shorter, loose.archive, loose.folder, loose.clock)
    with pytest.raises(RecordError, match="this is another log"):
        run(made, shorter)


def test_a_chain_cut_back_below_the_checkpoint_is_proven_again(loose: Loose) -> None:
    run(loose.recorder(), loose.log)
    loose.recorder().step()
    loose.archive.command(
        f"ALTER TABLE {loose.archive.database}.blocks DELETE WHERE topic = 0 AND first > 0 "
        "SETTINGS mutations_sync = 2"
    )
    made = loose.recorder()
    run(made, loose.log)
    assert_whole(loose.archive, loose.log)
    assert (
        chain.verify(loose.archive.blocks(FILLS, 0), lambda s: loose.archive.read_block(*s[:4]))
        is None
    )
