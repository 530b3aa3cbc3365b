"""Rule: which signed roots a record is held against, and what is wrong with them.

Kept outside of the database: the file of who makes roots, the file of the witness, the lists of
both their public keys. From the database (or an exported copy): the same roots again. A root
counts where it stands in the file, is signed by the key that held then, and follows from the root
before; the table and the witness must say the very same.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from compute import keys, note, roots
from compute.archive import Archive
from compute.keys import Entry, KeyFileError
from compute.roots import SEAL, WITNESS, RootError, RootFile, Signed
from compute.witness import follows


class Anchors(NamedTuple):
    """All that is known of the roots of one database, read and not yet judged."""

    database: str
    kept: list[Signed]  # Files.
    witnessed: list[Signed]
    stored: list[Signed]  # The table.
    stored_witnessed: list[Signed]
    seal_keys: list[Entry]
    witness_keys: list[Entry]
    faults: list[str]  # What could not even be read.


class Judgement(NamedTuple):
    """The roots that count, how many of them a witness has countersigned, and what is wrong."""

    roots: list[Signed]
    countersigned: int
    faults: list[str]


def roots_file(folder: Path, database: str, kind: str) -> RootFile:
    """Where a role keeps the roots of a database."""
    return RootFile(folder / f"{database}.{kind}.roots")


def read(folder: Path, database: str, archive: Archive | None) -> Anchors:
    """From the files in `folder`; the table from ClickHouse, or from the folder of a copy."""
    faults: list[str] = []

    def listed(path: Path) -> list[Entry]:
        try:
            return keys.read(path)
        except KeyFileError as error:
            faults.append(str(error))
            return []

    def filed(file: RootFile) -> list[Signed]:
        try:
            return file.read()
        except RootError as error:
            faults.append(str(error))
            return []

    def stored(kind: str) -> list[Signed]:
        try:
            if archive is not None:
                roots.prepare(archive)
                return roots.table(archive, kind)
            return roots_file(folder, database, f"table.{kind}").read()
        except RootError as error:
            faults.append(f"table roots: {error}")
            return []

    # The files first: what they have is in the table, and the table moves on meanwhile.
    kept, witnessed = (filed(roots_file(folder, database, kind)) for kind in (SEAL, WITNESS))
    tables = (stored(SEAL), stored(WITNESS))
    public = (listed(folder / f"{SEAL}.keys"), listed(folder / f"{WITNESS}.keys"))
    return Anchors(database, kept, witnessed, *tables, *public, faults)


def export(source: Path, database: str, archive: Archive, folder: Path) -> None:
    """Put beside an exported record what it is to be held against; no private key."""
    for kind in (SEAL, WITNESS):
        for path in (roots_file(source, database, kind).path, source / f"{kind}.keys"):
            if path.exists():
                shutil.copyfile(path, folder / path.name)
        table = roots_file(folder, database, f"table.{kind}")
        for one in roots.table(archive, kind):
            table.append(one)


def judge(given: Anchors) -> Judgement:
    """What counts among them."""
    faults = list(given.faults)
    good: list[Signed] = []
    for one in given.kept:
        wrong = [*_wrong(one, good, given)]
        if wrong:
            faults += wrong
            break  # All that follows hangs on it.
        good.append(one)
    texts = [one.root.text for one in given.kept]
    faults += _differs(given.stored, texts, "the table", "the file")
    if len(given.stored) < len(texts):
        faults.append(f"the table has no root {len(given.stored)}, which the file has")
    faults += _differs(given.witnessed, texts, "the witness", "the file")
    faults += _differs(given.stored_witnessed, texts, "the witness's table", "the file")
    if len(given.stored_witnessed) < len(given.witnessed):
        at = len(given.stored_witnessed)
        faults.append(f"the witness's table has no root {at}, which its file has")
    if len(given.stored_witnessed) > len(given.witnessed):
        at = len(given.witnessed)
        faults.append(f"the witness's file ends before root {at}, which its table has: it was cut")
    for one in (*given.witnessed, *given.stored_witnessed):
        if not _witnessed(one, given.witness_keys):
            faults.append(f"root {one.root.number} is not countersigned by the witness's key")
            break
    return Judgement(good, len(given.witnessed), faults)


def _wrong(one: Signed, good: list[Signed], given: Anchors) -> Iterator[str]:
    yield from follows(one.root, good[-1].root if good else None, given.database)
    key = keys.at(given.seal_keys, one.root.ts_ns)
    if key is None or note.signed_by(one.note, key) is None:
        yield f"root {one.root.number} is not signed by the key that held at its time"


def _witnessed(one: Signed, entries: list[Entry]) -> bool:
    """By the key that held when the witness looked."""
    for entry in entries:
        second = note.signed_by(one.note, entry.key)
        if second is not None:
            # Rotations are told to the nanosecond, looks to the second.
            return entry.key in (
                keys.at(entries, second * 1_000_000_000),
                keys.at(entries, (second + 1) * 1_000_000_000),
            )
    return False


def _differs(one: list[Signed], texts: list[str], who: str, whom: str) -> Iterator[str]:
    """The first root in which a list parts from the texts of the file, or runs beyond them."""
    for place, signed in enumerate(one):
        if place >= len(texts):
            yield f"{whom} ends before root {signed.root.number}, which {who} has: it was cut"
            return
        if signed.root.text != texts[place]:
            yield f"root {place} of {who} is another than that of {whom}"
            return
