"""Two readers of one log come to the same digests, a rebuild to the same bits."""

import random
from itertools import count

import numpy as np
import pytest

from compute import chain, digest, rebuild
from compute.agreement import Agreement
from compute.digest import Digests, Minute, message, read
from compute.engine import Engine
from compute.enriched import ENRICHED
from compute.gather import fill
from compute.intake import Intake
from compute.row import RECORD, SCHEMA
from ingest.clock import VirtualClock
from ingest.event import EVENT, Kind
from ingest.frame import encode
from ingest.instrument import Instrument, Reference
from ingest.source import FILLS, Message
from tests.compute.test_forgery import Memory

PLACES = [(0, 0), (0, 1), (7, 0), (FILLS, 0)]
START_NS = VirtualClock().ns


def reference() -> Reference:
    return Reference(
        [
            Instrument(id=k, symbol=f"S{k}", asset_class=0, venue="X", currency="USD",
                       multiplier=1.0, tick=0.01, decimals=2)
            for k in range(8)
        ]
    )  # fmt: skip


def market(seed: int, frames: int = 400) -> list[Message]:
    """Five minutes of frames of all places, each with its own instruments; fills trade them all."""
    draw = np.random.default_rng(seed)
    log, offsets, sequences = [], [0] * len(PLACES), [0] * len(PLACES)
    for k in range(frames):
        home = int(draw.integers(0, len(PLACES)))
        size = int(draw.integers(1, 20))
        events = np.zeros(size, EVENT)
        at_ns = START_NS + k * 300_000_000_000 // frames
        events["ts_event"] = events["ts_recv"] = at_ns + np.arange(size)
        events["instrument"] = draw.integers(0, 2, size) + 2 * min(home, 2)
        price = 100 * 10**9 + draw.integers(-50, 50, size) * 10**7
        events["price"], events["bid_size"] = price, draw.integers(1, 9, size)
        if PLACES[home][0] == FILLS:
            events["kind"], events["reference"] = Kind.FILL, 0
            events["instrument"] = draw.integers(0, 6, size)
        else:
            trade = draw.random(size) < 0.3
            events["kind"] = np.where(trade, Kind.TRADE, Kind.QUOTE)
            events["ask"] = np.where(trade, at_ns + np.arange(size), price + 10**7)
            events["ask_size"] = np.where(trade, 0.0, 5.0)
        value = encode(events, 1, sequences[home], at_ns)
        log.append(Message(*PLACES[home], offsets[home], at_ns, value))
        offsets[home] += 1
        sequences[home] += size
    return log


def shuffled(log: list[Message], seed: int) -> list[Message]:
    """Another reader's order: partitions interleave otherwise, each keeps its own."""
    draw, queues = random.Random(seed), [[m for m in log if m[:2] == place] for place in PLACES]
    found = []
    while any(queues):
        queue = draw.choice([queue for queue in queues if queue])
        found.append(queue.pop(0))
    return found


class Reader:
    """An engine over a log, as `live` and `record` run it."""

    def __init__(self) -> None:
        rows = reference()
        self.engine, self.intake = Engine(rows), Intake(rows)
        self.digests = Digests("reader")
        self.rows: dict[tuple[int, int], list[np.ndarray]] = {}

    def take(self, messages: list[Message]) -> None:
        batch = self.intake.take(messages)
        enriched = np.empty(len(batch.events), ENRICHED)
        self.engine.step(batch.events, enriched)
        self.digests.take(batch, enriched)
        for span in batch.spans:
            if span.count:
                frame = [(span.message.offset, span.start, span.count)]
                rows = fill(span.message[:2], frame, batch.events, enriched)
                self.rows.setdefault(span.message[:2], []).append(rows)

    def read(self, log: list[Message], batch: int) -> "Reader":
        for at in range(0, len(log), batch):
            self.take(log[at : at + batch])
        return self


def test_two_readers_agree_however_they_poll() -> None:
    log = market(1)
    live = Reader().read(log, 7).digests.closed()
    record = Reader().read(shuffled(log, 3), 50).digests.closed()
    assert len(live) > 10
    assert sorted(live) == sorted(record)
    assert {one.topic for one in live} == {0, 7}


def test_one_number_more_or_less_shows() -> None:
    log = market(1)
    right = Reader().read(log, 7)
    wrong = Reader()
    wrong.engine.step = lambda events, enriched: _nudged(right, wrong, events, enriched)  # type: ignore[method-assign]
    wrong.read(log, 7)
    differ = set(wrong.digests.closed()) ^ set(right.digests.closed())
    assert len(differ) == 2


def _nudged(right: Reader, wrong: Reader, events: np.ndarray, enriched: np.ndarray) -> int:
    done = Engine.step(wrong.engine, events, enriched)
    if (
        len(events)
        and not getattr(wrong, "nudged", False)
        and events["ts_event"][0] > START_NS + 9e10
    ):
        place = np.flatnonzero(events["kind"] == Kind.QUOTE)
        if len(place):
            enriched["mid"][place[0]] = np.nextafter(enriched["mid"][place[0]], np.inf)
            wrong.nudged = True  # type: ignore[attr-defined]
    return done


def test_a_restart_from_a_checkpoint_changes_nothing() -> None:
    log = market(2)
    whole = Reader().read(log, 7).digests.closed()
    first = Reader().read(log[:210], 7)
    second = Reader().read([], 7)
    second.engine, second.intake = first.engine, first.intake
    second.digests.restore(first.digests.state())
    second.read(log[210:], 7)
    assert first.digests.closed() + second.digests.closed() == whole


def test_a_minute_whose_beginning_was_not_seen_is_not_told() -> None:
    log = market(2)
    whole = set(Reader().read(log, 7).digests.closed())
    late = Reader()
    late.read(log[:150], 7)
    late.digests = Digests("late")
    late.read(log[150:], 7)
    told = set(late.digests.closed())
    assert told
    assert told < whole


def test_messages_are_read_as_they_were_told() -> None:
    minutes = [Minute(0, 1, 2, 3, 4, 5, 2**64 - 1)]
    assert read(message("live", minutes)) == ("live", minutes)
    with pytest.raises(ValueError, match="tells no digests"):
        read(b"{}")


def test_agreement_says_up_to_when_and_where_not_first() -> None:
    watch = Agreement()
    tell = lambda role, minute, value=1, place=0: watch.take(
        role, Minute(0, place, minute, minute * 10, minute * 10 + 9, 50, value)
    )
    for minute in (5, 6, 7):
        assert tell("live", minute)
    assert watch.health()["digests_ms"] is None
    assert tell("record", 5)
    assert tell("record", 6)
    assert watch.up_to == 6
    assert watch.health()["digests"] == "agree"
    assert not tell("live", 5), "told again after a restart"
    assert not tell("live", 7)
    tell("record", 7, value=2)
    assert (
        "disagree at 00:07 UTC on md.equity partition 0: their numbers differ"
        in (watch.health()["digests"])
    )


def test_a_reader_that_began_in_the_midst_holds_up_nothing() -> None:
    watch = Agreement()
    for role, minute in (("live", 5), ("live", 6), ("record", 6)):
        watch.take(role, Minute(0, 0, minute, 0, 9, 5, 1))
    assert watch.up_to == 6


def on_record(reader: Reader) -> Memory:
    """What a recorder would have written, a block every five frames."""
    made = Memory()
    for place, frames in reader.rows.items():
        made.rows[place] = np.concatenate(frames)
        before = chain.ORIGIN
        for at in range(0, len(frames), 5):
            rows = np.concatenate(frames[at : at + 5])
            span = (int(rows["offset"][0]), int(rows["offset"][-1]))
            identity = (*place, *span, len(rows), SCHEMA)
            value = chain.leaf(identity, [rows.tobytes()])
            before = chain.link(before, value)
            block = chain.Sealed(*identity, value, before)
            made.sealed.setdefault(place, []).append(block)
    return made


def test_a_rebuild_gives_the_same_bits_and_digests() -> None:
    reader = Reader().read(shuffled(market(4), 1), 9)
    told = reader.digests.closed()
    made = on_record(reader)
    found = [rebuild.rebuild(made, place, reference(), told) for place in rebuild.places(made)]
    assert [one.place for one in found] == PLACES[:3]
    assert [one.faults for one in found] == [[], [], []]
    assert sum(one.minutes for one in found) == len(told)
    assert sum(one.events for one in found) == sum(
        len(rows) for place, rows in made.rows.items() if place[0] != FILLS
    )


def test_a_rebuild_names_the_first_number_that_is_another() -> None:
    made = on_record(Reader().read(market(4), 9))
    rows = made.rows[0, 1]
    at = len(rows) // 2
    for name, places in zip(("vwap", "mid"), (count(at), count(at - 3)), strict=True):
        rows[name][next(places)] += 1.0
    found = rebuild.rebuild(made, (0, 1), reference())
    first = rows[at - 3]
    assert found.faults[0].startswith(
        f"offset {first['offset']} index {first['index']}: mid on record"
    )


@pytest.mark.parametrize("name", ["volatility", "vwap_1m"])
def test_what_moves_with_the_clock_is_compared_of_what_was_traded_too(name: str) -> None:
    made = on_record(Reader().read(market(4), 9))
    assert not rebuild.rebuild(made, (0, 1), reference()).faults
    made.rows[0, 1][name][-1] += 1e-12
    found = rebuild.rebuild(made, (0, 1), reference())
    assert f"{name} on record" in found.faults[0]


def test_a_digest_told_wrongly_is_named() -> None:
    reader = Reader().read(market(4), 9)
    made = on_record(reader)
    told = [one._replace(digest=one.digest ^ 1) for one in reader.digests.closed()]
    found = rebuild.rebuild(made, (0, 0), reference(), told)
    assert "the digest told for" in found.faults[0]
    assert found.minutes == 0


def test_unknown_is_one_whatever_its_bits() -> None:
    events = np.zeros(1, EVENT)
    one, other = np.full(1, np.nan, ENRICHED), np.full(1, np.nan, ENRICHED)
    other.view(np.uint64)[:] ^= np.uint64(1 << 63)
    assert digest.fold(events, one) == digest.fold(events, other)
    assert RECORD.itemsize == 141
