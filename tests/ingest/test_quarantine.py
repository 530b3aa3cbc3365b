"""What is refused is kept whole; a row that waits for another is not refused yet."""

import dataclasses

from ingest.instrument import AssetClass, Instrument, Reference
from ingest.quarantine import STANDING_SECONDS, Refused, RefusedLines, StandingRows, keep
from ingest.reference_file import load

SHARE = Instrument(0, "AAA", AssetClass.EQUITY, "X", "USD", 1.0, 0.01, 2)
CALL = dataclasses.replace(
    SHARE,
    id=1,
    symbol="AAA C",
    asset_class=AssetClass.EQUITY_OPTION,
    underlying=0,
    strike=100.0,
    right="C",
    expiry="2027-06-18",
    exercise="american",
)


class Publisher:
    def __init__(self):
        self.kept = []

    def publish(self, topic, partition, value, key=None, headers=None):
        self.kept.append((topic, partition, value, dict(headers)))


def test_it_is_kept_whole_with_place_and_reason():
    publisher = Publisher()
    keep(publisher, Refused("md.fx", 3, 77, b"\0whole\xff", "version", "version 9, not 1: ü"))
    ((topic, partition, value, headers),) = publisher.kept
    assert (topic, partition, value) == ("quarantine", -1, b"\0whole\xff")
    assert headers == {
        "reason": b"version",
        "text": "version 9, not 1: ü".encode(),
        "topic": b"md.fx",
        "partition": b"3",
        "offset": b"77",
    }


def test_a_row_that_comes_before_its_underlying_is_not_told():
    reference, standing = Reference([CALL]), StandingRows("reference")
    assert set(reference.refused) == {1}
    assert list(standing.due(reference.refused, 10.0)) == []
    assert list(standing.due(reference.refused, 10.0 + STANDING_SECONDS * 0.9)) == []
    reference.update([SHARE])
    assert list(standing.due(reference.refused, 99.0)) == []


def test_a_row_that_stays_refused_is_told_once_for_each_reason():
    reference, standing = Reference([CALL]), StandingRows("reference")

    def told(now):
        reference.update([CALL])  # Published again and again.
        return list(standing.due(reference.refused, now))

    assert told(0.0) == []
    (one,) = told(STANDING_SECONDS)
    assert one[:3] == ("reference", -1, -1)
    assert Instrument.from_json(one.value) == CALL
    assert (one.reason, one.text) == ("reference", reference.refused[1].reason)
    assert told(STANDING_SECONDS + 1) == []
    reference.update([SHARE])
    wrong = dataclasses.replace(CALL, underlying=7)
    reference.update([wrong])
    assert list(standing.due(reference.refused, 20.0)) == []
    (again,) = standing.due(reference.refused, 20.0 + STANDING_SECONDS)
    assert again.text != one.text


def test_a_line_of_a_file_is_kept_whole_once_and_again_when_it_was_right_meanwhile(tmp_path):
    file, lines, publisher = tmp_path / "rows.csv", RefusedLines("reference"), Publisher()
    for text, news in (("AAA,x", 1), ("AAA,x", 0), ("AAA,2", 0), ("AAA,x", 1), ("AAA,y", 1)):
        file.write_text(f"symbol,multiplier\n{text}\n")
        publisher.kept.clear()
        assert len(lines.take(load(file, [SHARE]).refused)) == news
        lines.keep(publisher)
        assert len(publisher.kept) == news
    ((topic, _, value, headers),) = publisher.kept
    assert (topic, value, lines.count) == ("quarantine", b"AAA,y", 3)
    assert headers["topic"] == headers["reason"] == b"reference"
    assert headers["text"].decode() == f"{file} line 2: multiplier is 'y'; give a number"
