"""As many events again as the demo market has, of instruments and sources of their own.

`python -m tests.storms.load KAFKA RATE SEED`, until it is ended; it says when it begins.
"""

import sys
import time
from dataclasses import replace

import numpy as np

from app.process import Stop, run
from app.publish import FRAME_MS
from ingest.frame import FRAME_EVENTS_MAX, encode
from ingest.instrument import Instrument
from ingest.market import Market
from ingest.replay import Replay, Synthetic, _words
from ingest.source import TOPICS, Publisher
from ingest.universe import universe

COUNT = 240  # Instruments.
FIRST = 5_001  # Of their ids; below it the demo market and tests/walk have theirs.
KNOWN_SECONDS = 3.0  # Reference rows take effect within a second; events must not come before.
SOURCES = 200  # Their frames are of other sources than the market's.


class Load(Replay):
    """A replay whose instruments and sources nobody else has."""

    def _publish_reference(self) -> None:
        for row in map(other, self._instruments):
            self._publisher.publish("reference", -1, row.to_json(), row.symbol.encode())
        self._publisher.flush(10.0)

    def _publish_stream(self, stream: int, events: np.ndarray, now_ns: int) -> None:
        topic, partition = divmod(stream, self._shards)
        _words(events)[:, 3] += FIRST  # The instrument is the low half of that word.
        for place in range(0, len(events), FRAME_EVENTS_MAX):
            part = events[place : place + FRAME_EVENTS_MAX]
            first, fresh = int(self._streams[stream, 0]), bool(self._fresh[stream])
            value = encode(part, SOURCES + topic, first, now_ns, restart=fresh)
            self._publisher.publish(TOPICS[topic], partition, value)
            self._fresh[stream] = False
            self._streams[stream, 0] += len(part)


def other(row: Instrument) -> Instrument:
    """The same instrument under another name."""
    hangs_on = {
        name: getattr(row, name) + FIRST
        for name in ("underlying", "ctd")
        if getattr(row, name) >= 0
    }
    return replace(row, id=row.id + FIRST, symbol=f"{row.symbol}~", **hangs_on)


if __name__ == "__main__":
    stop = Stop().listen()
    kafka, rate, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    rows = universe(COUNT)
    script = Synthetic(Market(rows, seed), rate, fills=False)
    made = Load(script, rows, Publisher(kafka, once=True), frame_ms=FRAME_MS)
    made._publish_reference()
    time.sleep(KNOWN_SECONDS)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.exit(run(lambda: made, stop))
