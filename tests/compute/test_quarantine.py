"""What was refused is found by name, replayed by a person, and known again when it comes back."""

import json

import pytest

from compute import ask
from compute.ask import AskError, Refused, Replay
from compute.quarantine import KEPT_MAX, Quarantine, QuarantineError
from ingest import quarantine
from ingest.kept import Kept, ReplayError, _key
from ingest.quarantine import Replayed
from tests.ingest.test_quarantine import SHARE, Publisher

BAD = quarantine.Refused("md.fx", 2, 77, b"\0bad" * 900, "magic", "starts with 0062")


class Topic:
    """The topic `quarantine`, and a broker that puts what is replayed at offset 100."""

    def __init__(self):
        self.waiting, self.count, self.sent = [], 0, []

    def put(self, what):
        name = f"0:{self.count}"
        self.waiting.append(Kept(name, self.count * 10**9, what))
        self.count += 1
        return name

    def take(self, timeout_s=0.0):
        found, self.waiting = self.waiting, []
        return found

    def replay(self, kept, person):
        self.sent.append((kept.what.value, person))
        done = Replayed(kept.name, person, kept.what.topic, kept.what.partition, 100)
        self.put(done)
        return done


@pytest.fixture
def topic():
    return Topic()


@pytest.fixture
def kept(topic):
    return Quarantine(topic, topic)


def test_one_is_looked_at_and_whole(topic, kept):
    names = [topic.put(BAD), topic.put(BAD._replace(topic="md.credit", value=b"x"))]
    assert kept.take() == 2
    assert [one["name"] for one in kept.listed()] == names[::-1]
    told = kept.look(names[0])
    place = {"topic": "md.fx", "partition": 2, "offset": 77, "reason": "magic"}
    assert {name: told[name] for name in place} == place
    assert (told["text"], told["bytes"], told["replays"]) == (BAD.text, len(BAD.value), [])
    assert bytes.fromhex(told["hex"]) == BAD.value[:1024]
    assert kept.value(names[0]) == BAD.value
    with pytest.raises(QuarantineError, match="0:9 is not among the 2 newest"):
        kept.look("0:9")


def test_what_is_replayed_and_still_bad_is_refused_again_and_counted(topic, kept):
    name = topic.put(BAD)
    kept.take()
    assert kept.replay(name, "Ann Lee")["offset"] == 100
    assert topic.sent == [(BAD.value, "Ann Lee")]
    kept.take()
    told = kept.look(name)
    assert [(done["person"], done["offset"]) for done in told["replays"]] == [("Ann Lee", 100)]
    assert told["again"] is None
    assert kept.health == {"replayed": 1, "refused_again": 0}
    back = topic.put(BAD._replace(offset=100))
    kept.take()
    assert kept.look(name)["again"] == back
    assert kept.look(back)["of"] == name
    assert kept.health == {"replayed": 1, "refused_again": 1}


def test_the_newest_are_kept_and_no_more_bytes_than_there_is_room_for(topic, kept):
    for _ in range(KEPT_MAX + 5):
        topic.put(BAD)
    kept.take()
    assert len(kept.kept) == KEPT_MAX
    for _ in range(20):
        topic.put(BAD._replace(value=bytes(1 << 20)))
    kept.take()
    assert sum(len(one.what.value) for one in kept.kept.values()) <= 16 << 20
    assert f"0:{topic.count - 1}" in kept.kept


def test_a_note_is_read_as_it_was_written():
    publisher = Publisher()
    said = Replayed("0:3", "Zoë", "md.fx", 2, 100)
    quarantine.note(publisher, said)
    quarantine.keep(publisher, BAD)
    notes = [quarantine.read(headers, value) for _, _, value, headers in publisher.kept]
    assert notes == [said, BAD]
    with pytest.raises(ValueError, match="lack"):
        quarantine.read({"topic": b"md.fx"}, b"")


def test_frames_go_without_a_key_rows_by_their_symbol_and_lines_not_at_all():
    row = quarantine.Refused("reference", -1, -1, SHARE.to_json(), "reference", "no underlying")
    assert (_key(BAD), _key(row)) == (None, b"AAA")
    with pytest.raises(ReplayError, match="mend it where it comes from"):
        _key(row._replace(value=b"AAA,equity"))


def test_what_people_ask_of_it_is_believed_as_little_as_all_else():
    def read(**told):
        return ask.read(json.dumps({"id": "a", **told}).encode())

    assert read(type="refused") == Refused("a", "")
    assert read(type="refused", kept="0:17") == Refused("a", "0:17")
    assert read(type="replay", kept="0:17", person=" Ann ") == Replay("a", "0:17", "Ann")
    for wrong in ("0", "0:", "0:1 ", "x:1", 17, ["0:1"], "0:" + "1" * 40):
        with pytest.raises(AskError, match="PARTITION:OFFSET"):
            read(type="replay", kept=wrong, person="Ann")
    for nobody in (None, "", "a\nb"):
        with pytest.raises(AskError, match="in the name of a person"):
            read(type="replay", kept="0:1", person=nobody)
