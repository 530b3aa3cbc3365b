"""Rule: the proof of what a screen showed, in one file that anyone can check without the record.

It holds the batches of the web process from the push that told the page everything up to the paint
in question (compute/batch.py), byte for byte as the tape has them; the way of links from there to
what a statement says of the stream (compute/tape_seal.py); and that statement under a signed root.
The check makes all hashes again, and from the batches what was on the glass. Who had opened the
page, and with which columns, is the record's word: pages are not under the roots.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from compute import chain, screen, tape_seal
from compute.archive import Archive
from compute.asof import read_slices
from compute.evidence import Evidence
from compute.note import Key
from compute.proof import TORN, ProofError, Rooted, rooted, under_root
from compute.roots import Signed
from compute.screen import NotOnRecordError, Shown, entries_of
from compute.tape_row import SCREENS, PageRow, Slice, leaf

FORMAT = "tickglass screen proof 1"
LATER_NS = 5 * 10**9  # Paints behind the moment say which of two pushes was on the glass.


class Seen(NamedTuple):
    """What a proof shows, once it holds."""

    ts: int  # The moment in question
    shown: Shown
    slices: int
    rooted: Rooted


def make(
    archive: Archive, evidence: Evidence, signed: Sequence[Signed], page: PageRow, ts: int
) -> bytes:
    """The proof of what `page` showed at `ts`; ProofError where there is none."""
    try:
        found = screen.recall(archive, page, ts)
    except NotOnRecordError as error:
        raise ProofError(str(error)) from None
    slices = _needed(archive, page, found, ts)
    number = slices[-1].number
    offset, end = _statement(archive, page.stream, number)
    where = f"stream = '{page.stream}' AND number"
    hashes = archive.rows(
        f"SELECT number, hex(digest), hex(link) FROM {archive.database}.{SCREENS} WHERE {where} "
        f">= {slices[0].number - 1} AND number <= {end} ORDER BY number"
    )
    links = {int(n): link for n, _, link in hashes}
    held = {
        "format": FORMAT,
        "ts": ts,
        "page": list(page),
        "slices": [[*one[1:5], base64.b64encode(one.data).decode()] for one in slices],
        "link": links.get(slices[0].number - 1, chain.ORIGIN.hex()),
        "later": [digest for n, digest, _ in hashes if n > number],
        "statement": under_root(evidence, signed, tape_seal.PLACE, offset),
    }
    proof = json.dumps(held, ensure_ascii=False, indent=1).encode()
    check(proof, ())  # What does not hold is not handed out.
    return proof


def _needed(archive: Archive, page: PageRow, found: Shown, ts: int) -> list[Slice]:
    """The fewest batches that say the same: from the newest push that holds everything on."""
    first, last = (
        f"fromUnixTimestamp64Nano(toInt64({moment}), 'UTC')"
        for moment in (max(page.ts, found.whole_ns) - LATER_NS, ts + LATER_NS)
    )
    where = f"stream = '{page.stream}' AND ts >= {first} AND ts_first <= {last} ORDER BY number"
    slices = read_slices(archive, SCREENS, where)
    begin = max(
        (at for at, one in enumerate(slices) if one.ts_first <= found.whole_ns <= one.ts), default=0
    )
    return slices[begin:]


def _statement(archive: Archive, stream: str, number: int) -> tuple[int, int]:
    """(offset, number it names) of the first statement that a slice is under."""
    for one in tape_seal.read(archive):
        _, ends = tape_seal.unpack(one.data)
        for end in ends:
            if (end.table, end.stream) == (SCREENS, stream) and end.number >= number:
                return one.sealed.last, end.number
    raise ProofError("the tape has not yet said on record that it came so far: wait a minute")


def check(proof: bytes, trusted: Sequence[Key]) -> Seen:
    """Everything made again from the bytes; ProofError where something does not fit.

    With `trusted` keys one of them must have signed; without, the signature is not looked at.
    """
    try:
        held = json.loads(proof)
        if held["format"] != FORMAT:
            raise ProofError(f"this is no {FORMAT}")
        return _check(held, trusted)
    except TORN as error:
        raise ProofError(f"this is no whole proof: {error}") from None


def _check(held: dict[str, Any], trusted: Sequence[Key]) -> Seen:
    page, ts = PageRow(*held["page"]), int(held["ts"])
    slices = list(_slices(held, page.stream))
    link = bytes.fromhex(held["link"])
    for one in slices:
        link = chain.link(link, leaf(one))
    for later in held["later"]:
        link = chain.link(link, bytes.fromhex(later))
    statement = rooted(held["statement"], trusted)
    if statement.block[:2] != tape_seal.PLACE:
        raise ProofError("what is under the root is no statement of the tape")
    _, ends = tape_seal.unpack(statement.data)
    number = slices[-1].number + len(held["later"])
    if not any(
        (end.table, end.stream, end.number, end.link) == (SCREENS, page.stream, number, link)
        for end in ends
    ):
        raise ProofError("the batches do not lead to what the tape stated")
    entries, _ = entries_of(page, slices)
    shown = screen.shown_at(page, entries, ts)
    if shown is None:
        raise ProofError("the batches do not say what the page showed then")
    return Seen(ts, shown, len(slices), statement)


def _slices(held: dict[str, Any], stream: str) -> Iterator[Slice]:
    before = None
    for number, ts_first, ts, whole, data in held["slices"]:
        if before is not None and number != before + 1:
            raise ProofError(f"batch {before + 1} is missing")
        before = number
        yield Slice(stream, number, ts_first, ts, bool(whole), base64.b64decode(data))
    if before is None:
        raise ProofError("there are no batches in it")
