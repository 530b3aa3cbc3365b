"""Rule: the desks that people have made: in Redis for all servers, in files that outlive it.

A desk belongs to a person and has a name. Each time that it is kept it is a file of its own under
the data folder first, and then in Redis; what was kept last wins, wherever it is found, and
whoever looks puts back what Redis has lost. A desk that was taken away stays as an empty one, so
that no older copy brings it back. What cannot be read is told by name and stops nothing else.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from compute.bus import BusError
from ingest import clock

FOLDER = "desks"
NAME = re.compile(r"\w[\w .&+()@-]{0,62}[\w.)]|\w")  # As a file's name too, on any system.
BYTES_MAX = 65_536
DESKS_MAX = 2_000
EVERYBODY = "everybody"  # A team of which each person is.


class KeptError(ValueError):
    """There is no such desk, or it cannot be kept; the text says why."""


class Kept(NamedTuple):
    """One desk of one person."""

    person: str
    name: str
    base: str  # The shipped desk that it was made of, which stands in where it cannot be shown.
    team: str  # With whom it is shared; "" with nobody.
    kept_ns: int
    desk: dict[str, Any] | None  # As data (app/blocks/personal.py); None: taken away.

    @property
    def key(self) -> str:
        """Person and name."""
        return f"{self.person}/{self.name}"

    def seen_by(self, person: str, team: str) -> bool:
        """Whether it is among the desks of such a person."""
        shared = self.team in (team, EVERYBODY) if self.team else False
        return self.desk is not None and (person == self.person or shared)


class Bus(Protocol):
    """What is needed of compute.bus.Bus."""

    def desks(self) -> dict[str, bytes]:
        """All, by key."""

    def keep_desk(self, key: str, data: bytes) -> None:
        """Keep one."""


class Keeping:
    """All desks; every method may be called from any thread."""

    def __init__(self, bus: Bus, folder: Path, now_ns: Callable[[], int] = clock.now_ns) -> None:
        """`folder` is made when something is kept."""
        self.bus, self.folder, self.now_ns = bus, folder, now_ns

    def keep(self, person: str, name: str, base: str, team: str, desk: dict[str, Any]) -> Kept:
        """Keep a desk in place of what had its name; KeptError, and nothing is changed."""
        for what, text in (("a person", person), ("a desk", name), ("a team", team or "all")):
            if not NAME.fullmatch(text):
                said = "is called by 1 to 64 letters, digits, spaces and _ . & + ( ) @ -"
                raise KeptError(f"{what} {said}, not {text!r:.60}")
        kept = Kept(person, name, base, team, self.now_ns(), desk)
        known = self.all()
        if kept.key not in known and len(known) >= DESKS_MAX:
            raise KeptError(f"{DESKS_MAX:,} desks are kept already: take some away")
        self._write(kept)
        return kept

    def take_away(self, person: str, name: str) -> None:
        """It is a desk no more; KeptError where it is none."""
        self._write(self.get(f"{person}/{name}")._replace(desk=None, kept_ns=self.now_ns()))

    def share(self, person: str, name: str, team: str) -> Kept:
        """With another team, or with nobody ("")."""
        found = self.get(f"{person}/{name}")
        assert found.desk is not None
        return self.keep(person, name, found.base, team, found.desk)

    def get(self, key: str) -> Kept:
        """One desk; KeptError says why it is not there."""
        found = self.all().get(key)
        if isinstance(found, str):
            raise KeptError(f"the desk {key!r:.90} cannot be read: {found}")
        if found is None or found.desk is None:
            raise KeptError(f"there is no desk {key!r:.90}")
        return found

    def of(self, person: str, team: str) -> list[Kept]:
        """One's own and those shared with the team, one's own first."""
        found = [one for one in self.all().values() if isinstance(one, Kept)]
        seen = [one for one in found if one.seen_by(person, team)]
        return sorted(seen, key=lambda one: (one.person != person, one.person, one.name))

    def all(self) -> dict[str, Kept | str]:
        """Every desk by its key, the newest of each; a text where it cannot be read.

        What Redis has lost is put back; where it does not answer the files are all there is.
        """
        found: dict[str, Kept | str] = {}
        try:
            there = self.bus.desks()
        except BusError:
            there = None
        for key, data in (there or {}).items():
            found[key] = _read(data, key)
        for path in sorted(self.folder.glob("*/*.json")):
            key = f"{path.parent.name}/{path.stem}"
            kept, known = _read(path.read_bytes(), key), found.get(key)
            if isinstance(kept, str):
                found.setdefault(key, kept)
            elif not isinstance(known, Kept) or known.kept_ns < kept.kept_ns:
                found[key] = kept
                if there is not None:
                    self._tell(kept)
        return found

    def _write(self, kept: Kept) -> None:
        path = self.folder / kept.person / f"{kept.name}.json"
        data = _text(kept)
        if len(data) > BYTES_MAX:
            raise KeptError(f"a desk has at most {BYTES_MAX:,} bytes, not {len(data):,}")
        draft = path.with_name(path.name + ".draft")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(data)
            draft.replace(path)
        except OSError as error:
            raise KeptError(f"it cannot be written to {path}: {error.strerror}") from None
        self._tell(kept)

    def _tell(self, kept: Kept) -> None:
        try:
            self.bus.keep_desk(kept.key, _text(kept))
        except BusError:
            return  # The file has it; whoever looks when Redis is back puts it there.


def _text(kept: Kept) -> bytes:
    return json.dumps(kept._asdict(), indent=1).encode()


def _read(data: bytes, key: str) -> Kept | str:
    """The desk, or what is wrong with it."""
    try:
        kept = Kept(**json.loads(data))
    except (ValueError, TypeError) as error:
        return f"{error}"
    types = (str, str, str, str, int, dict | None)
    good = all(isinstance(value, kind) for value, kind in zip(kept, types, strict=True))
    if not good or kept.key != key:
        return "it is not of the shape in which desks are kept"
    return kept
