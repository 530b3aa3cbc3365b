"""Rule: what was refused as people see it: what is kept, who replayed it, and what came of that.

Enters: the topic `quarantine`, its newest values. A value that was replayed and is refused once
more comes back as a new one, at the place to which it was published: so it is known whose it is.
Kept here are KEPT_MAX values and KEPT_BYTES_MAX, the newest; the topic has all.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from ingest.kept import Kept
from ingest.quarantine import Refused, Replayed

KEPT_MAX = 200
KEPT_BYTES_MAX = 16 << 20
SHOWN_BYTES = 1_024  # Of a value, beside its length: sixteen bytes a line.
TEXT_MAX = 400
LISTED_MAX = 100


class QuarantineError(ValueError):
    """There is no such value; the text says which there are."""


class Source(Protocol):
    """What is needed of ingest.kept.KeptSource."""

    def take(self, timeout_s: float = 0.0) -> Sequence[Kept]:
        """What has come since."""

    def close(self) -> None:
        """Leave."""


class Replayer(Protocol):
    """What is needed of ingest.kept.Replayer."""

    def replay(self, kept: Kept, person: str) -> Replayed:
        """Publish it again."""


class Quarantine:
    """The newest that was refused."""

    def __init__(self, source: Source, replayer: Replayer) -> None:
        """Nothing is read yet."""
        self.source, self.replayer = source, replayer
        self.kept: dict[str, Kept] = {}  # The oldest first.
        self.replayed: dict[str, list[tuple[int, Replayed]]] = {}  # By what was replayed: when.
        self.again = 0  # How many that were replayed are refused once more.
        self._bytes = 0
        self._of: dict[tuple[str, int, int], str] = {}  # Whose a place is.

    def take(self, timeout_s: float = 0.0) -> int:
        """Read what has come since; how much that was."""
        found = self.source.take(timeout_s)
        for one in found:
            if isinstance(one.what, Replayed):
                self._note(one.ts_ns, one.what)
            else:
                self.kept[one.name] = one
                self._bytes += len(one.what.value)
        while len(self.kept) > KEPT_MAX or (self._bytes > KEPT_BYTES_MAX and len(self.kept) > 1):
            self._forget(next(iter(self.kept)))
        if found:
            self.again = sum(one.what[:3] in self._of for one in self.kept.values())
        return len(found)

    def _note(self, ts_ns: int, replayed: Replayed) -> None:
        self.replayed.setdefault(replayed.of, []).append((ts_ns, replayed))
        self._of[replayed[2:]] = replayed.of
        if len(self.replayed) > KEPT_MAX:
            oldest = self.replayed.pop(next(iter(self.replayed)))
            for _, one in oldest:
                self._of.pop(one[2:], None)

    def _forget(self, name: str) -> None:
        what = self.kept.pop(name).what
        self._bytes -= len(what.value) if isinstance(what, Refused) else 0

    def listed(self) -> list[dict[str, Any]]:
        """The newest first: place, reason, size, and what became of it; without bytes."""
        return [self._told(one) for one in list(self.kept.values())[: -LISTED_MAX - 1 : -1]]

    def look(self, name: str) -> dict[str, Any]:
        """One with its first bytes in hexadecimal; QuarantineError."""
        return {**self._told(self._named(name)), "hex": self.value(name)[:SHOWN_BYTES].hex()}

    def value(self, name: str) -> bytes:
        """The bytes, whole; QuarantineError."""
        what = self._named(name).what
        assert isinstance(what, Refused)
        return what.value

    def replay(self, name: str, person: str) -> dict[str, Any]:
        """Publish it again in the name of a person: where it stands now; ValueError why not."""
        done = self.replayer.replay(self._named(name), person)
        return done._asdict()

    @property
    def health(self) -> dict[str, Any]:
        """For the report of the process."""
        return {
            "replayed": sum(map(len, self.replayed.values())),
            "refused_again": self.again,
        }

    def _named(self, name: str) -> Kept:
        if name not in self.kept:
            raise QuarantineError(
                f"{name or 'nothing'} is not among the {len(self.kept)} newest that were refused; "
                "a name is PARTITION:OFFSET on the topic quarantine"
            )
        return self.kept[name]

    def _told(self, one: Kept) -> dict[str, Any]:
        what = one.what
        assert isinstance(what, Refused)
        place = {name: getattr(what, name) for name in ("topic", "partition", "offset", "reason")}
        tries = [
            {"ms": ts_ns // 1_000_000, "person": done.person, "offset": done.offset}
            for ts_ns, done in self.replayed.get(one.name, ())
        ]
        anew = {each.what[:3]: name for name, each in self.kept.items()}
        return {
            "name": one.name,
            "ms": one.ts_ns // 1_000_000,
            **place,
            "text": what.text[:TEXT_MAX],
            "bytes": len(what.value),
            "replays": tries,
            # Its value came back under this name, from the newest place where it was sent.
            "again": next(
                (
                    anew[done[2:]]
                    for _, done in reversed(self.replayed.get(one.name, ()))
                    if done[2:] in anew
                ),
                None,
            ),
            "of": self._of.get(what[:3]),
        }
