"""Rule: Kafka messages -> one batch of events for the engine; shared by `live` and `record`.

What a frame may contribute is decided here, from the log alone, so both readers feed their
engines the same events in the same order: refused frames contribute nothing (and are handed back
whole), repeated events are left out, gaps are named, also as they are filled, what comes late adds
up but tells no state.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from ingest.event import EVENT, Kind
from ingest.frame import HEADER_BYTES, Frame, FrameError, check, decode
from ingest.instrument import Instrument, Reference
from ingest.sequence import Piece, Sequences
from ingest.source import Message


class Span(NamedTuple):
    """Where one message's events stand in the batch; count 0 if it contributed none."""

    message: Message
    start: int
    count: int  # type: ignore[assignment]  # Not the method of tuples.
    reason: str  # "" or why: one of frame.REASONS, or "repeat"
    ts_send: int


class Gap(NamedTuple):
    """Events missing before position `at` of the batch, and the instruments to mark.

    `missing` 0: all that was missing before has come by then.
    """

    at: int
    missing: int
    instruments: np.ndarray


class Batch(NamedTuple):
    """One poll's worth: events in order, the spans of the messages, gaps, refusals."""

    events: np.ndarray
    spans: list[Span]
    gaps: list[Gap]
    refused: list[tuple[Message, FrameError]]


class Rows(Protocol):
    """Where reference rows come from."""

    def poll(self) -> list[Instrument]:
        """Rows that came since."""


class Grows(Protocol):
    """Who has a row for each instrument: compute.engine.Engine."""

    def grow(self, reference: Reference) -> None:
        """Take new and changed instruments."""


class Intake:
    """Decodes and judges messages against the reference data and the sequences seen so far."""

    def __init__(self, reference: Reference, refresh: Callable[[], bool] | None = None) -> None:
        """`reference` may grow; call `known()` after it did.

        `refresh` looks for new reference rows when an event names an unknown instrument, and
        tells whether it found any: rows and events travel by different topics, so an event may
        come first.
        """
        self.reference = reference
        self._refresh = refresh
        self.sequences = Sequences()
        self._exists = np.zeros(0, np.bool_)
        self.known()

    def known(self) -> None:
        """Take note of the instruments that exist now."""
        self._exists = self.reference.array["asset_class"] >= 0

    def renew(self, rows: Rows, engine: Grows) -> bool:
        """Take reference rows that came since, here and in the engine; whether there were any."""
        found = rows.poll()
        if found:
            self.reference.update(found)
            self.known()
            engine.grow(self.reference)
        return bool(found)

    def take(self, messages: list[Message]) -> Batch:
        """Judge messages in order. Values of the returned arrays are copies, free to keep."""
        verdicts, together = self._judge(messages)
        parts: list[np.ndarray] = []
        spans: list[Span] = []
        gaps: list[Gap] = []
        refused: list[tuple[Message, FrameError]] = []
        at, sequences = 0, self.sequences
        for message, frame in zip(messages, verdicts, strict=True):
            if isinstance(frame, FrameError):
                refused.append((message, frame))
                spans.append(Span(message, at, 0, frame.reason, 0))
                continue
            events = frame.events
            try:
                verdict = sequences.check(message.topic, message.partition, frame)
            except FrameError as error:
                refused.append((message, error))
                spans.append(Span(message, at, 0, error.reason, 0))
                continue
            if frame.ts_send > message.timestamp_ns:
                sequences.clocks(frame.source, frame.ts_send - message.timestamp_ns)
            if verdict.missing:
                gaps.append(Gap(at, verdict.missing, verdict.instruments))
            if verdict.pieces:
                events = self._pieces(events, verdict.pieces)
            elif verdict.skip:
                events = events[verdict.skip :]
            count = len(events)
            spans.append(Span(message, at, count, "" if count else "repeat", frame.ts_send))
            parts.append(events)
            at += count
            if len(verdict.whole):
                gaps.append(Gap(at, 0, verdict.whole))
        if at < len(together):  # Rare: else what was checked together is what is taken.
            together = np.frombuffer(b"".join([part.view(np.uint8) for part in parts]), EVENT)
        return Batch(together, spans, gaps, refused)

    def _pieces(self, events: np.ndarray, pieces: tuple[Piece, ...]) -> np.ndarray:
        """What is taken of a frame of which not all is new.

        What came late still adds up, but what it says of the state of the market is overtaken:
        late quotes and statuses are counted and left out.
        """
        taken = []
        for start, stop, late in pieces:
            part = events[start:stop]
            if late:
                adds = (part["kind"] != Kind.QUOTE) & (part["kind"] != Kind.STATUS)
                self.sequences.overtaken += len(part) - int(np.count_nonzero(adds))
                part = part[adds]
            taken.append(part.view(np.uint8))
        return np.frombuffer(b"".join(taken), EVENT)

    def _judge(self, messages: list[Message]) -> tuple[list[Frame | FrameError], np.ndarray]:
        """A frame or its refusal for each message, and the events of all, checked in one pass."""
        verdicts: list[Frame | FrameError] = []
        for message in messages:
            try:
                verdicts.append(decode(message.value))
            except FrameError as error:
                verdicts.append(error)
        bodies = [
            memoryview(message.value)[HEADER_BYTES:]
            for message, frame in zip(messages, verdicts, strict=True)
            if isinstance(frame, Frame)
        ]
        together = np.frombuffer(b"".join(bodies), EVENT)
        if not bodies:
            return verdicts, together
        try:
            check(together, min(message.timestamp_ns for message in messages), self._exists)
        except FrameError as error:  # Rare: find out whose.
            if error.reason == "unknown" and self._refresh and self._refresh():
                self.known()
            verdicts = [self._check_one(m, v) for m, v in zip(messages, verdicts, strict=True)]
        return verdicts, together

    def _check_one(self, message: Message, verdict: Frame | FrameError) -> Frame | FrameError:
        if isinstance(verdict, Frame):
            try:
                check(verdict.events, message.timestamp_ns, self._exists)
            except FrameError as error:
                return error
        return verdict
