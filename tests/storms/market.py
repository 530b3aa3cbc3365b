"""The product's replay of the demo market, and what its producer was told is delivered.

`python -m tests.storms.market FILE`, settings from the environment; FILE is written at the end.
"""

import json
import sys
import zlib
from pathlib import Path
from typing import Any

from app import publish
from app.process import run
from app.settings import load
from ingest.source import TOPIC_INDEX, Publisher

Told = dict[tuple[int, int], tuple[int, int]]  # By topic and partition: messages, checksum.


def note(told: Told, place: tuple[int, int], offset: int, value: bytes) -> None:
    """One more message of that place, in the order in which they are told."""
    count, sum_ = told.get(place, (0, 0))
    told[place] = count + 1, zlib.crc32(value, zlib.crc32(offset.to_bytes(8), sum_))


class Noting(Publisher):
    """A producer that keeps account of what has arrived."""

    made: "Noting"

    def __init__(self, brokers: str, *, once: bool = False) -> None:
        super().__init__(brokers, once=once)
        self.told: Told = {}
        Noting.made = self

    def _delivered(self, error: Any, message: Any) -> None:
        super()._delivered(error, message)
        if error is None and message.topic() in TOPIC_INDEX:
            place = TOPIC_INDEX[message.topic()], message.partition()
            note(self.told, place, message.offset(), message.value())


def read(file: Path) -> tuple[Told, int]:
    """What was delivered, and how many values were not."""
    found = json.loads(file.read_text())
    return {(row[0], row[1]): (row[2], row[3]) for row in found["told"]}, found["lost"]


if __name__ == "__main__":
    publish.Publisher = Noting  # type: ignore[misc]
    code = run(lambda: publish.publication(load(), publish.Order()), idle_seconds=0)
    lost = Noting.made.failed + Noting.made.flush(60.0)
    rows = [(*place, *told) for place, told in Noting.made.told.items()]
    Path(sys.argv[1]).write_text(json.dumps({"told": rows, "lost": lost}))
    sys.exit(code)
