"""Records and proofs changed at random, without a database: no change goes unseen."""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import anchor, chain, evidence, note, proof
from compute.chain import Head, Sealed
from compute.evidence import Place, Tail
from compute.keys import Entry
from compute.note import SIGNER, WITNESS
from compute.proof import ProofError
from compute.roots import Root, RootError, Signed, read_line
from compute.roots import line as root_line
from compute.row import RECORD, SCHEMA
from compute.verify import Verifier

PLACES = [(0, 0), (0, 1), (12, 0)]
SEAL = note.make("tickglass-seal", SIGNER)
WATCH = note.make("tickglass-witness", WITNESS)


class Memory:
    """A record in memory: rows by partition, and blocks."""

    name = "memory"

    def __init__(self) -> None:
        self.rows: dict[Place, np.ndarray] = {}
        self.sealed: dict[Place, list[Sealed]] = {}

    def places(self) -> dict[Place, int]:
        return {place: len(rows) for place, rows in self.rows.items()}

    def blocks(self, place: Place, after: int = -1) -> Iterator[Sealed]:
        yield from (block for block in self.sealed.get(place, []) if block.last > after)

    def read(self, blocks: Sequence[Sealed]) -> list[bytes]:
        rows = self.rows.get(blocks[0][:2], np.zeros(0, RECORD))
        inside = [(rows["offset"] >= b.first) & (rows["offset"] <= b.last) for b in blocks]
        return [rows[one].tobytes() for one in inside]

    def tail(self, place: Place, first: int, last: int) -> Tail:
        offsets = self.rows.get(place, np.zeros(0, RECORD))["offset"].astype(np.int64)
        return Tail(int((offsets < first).sum()), int((offsets > last).sum()), last)


def record(seed: int, size: int = 3) -> tuple[Memory, list[Signed]]:
    """A record of `size` roots with one or two blocks of each partition between them."""
    draw = np.random.default_rng(seed)
    made, signed = Memory(), []
    heads: dict[Place, Head] = {}
    for number in range(size):
        for place in PLACES:
            for _ in range(int(draw.integers(1, 3))):
                before = heads.get(place)
                first = before.last + 1 if before else 0
                rows = np.frombuffer(draw.bytes(int(draw.integers(1, 5)) * 141), RECORD).copy()
                rows["topic"], rows["partition"] = place
                rows["offset"] = first + np.arange(len(rows)) // 2
                rows["index"] = np.arange(len(rows)) % 2
                held = made.rows.get(place, np.zeros(0, RECORD))
                made.rows[place] = np.concatenate([held, rows])
                identity = (*place, first, int(rows["offset"][-1]), len(rows), SCHEMA)
                digest = chain.leaf(identity, [rows.tobytes()])
                link = chain.link(before.link if before else chain.ORIGIN, digest)
                block = Sealed(*identity, digest, link)
                made.sealed.setdefault(place, []).append(block)
                heads[place] = chain.grown(before, block)
        previous = signed[-1].root.hash if signed else chain.ORIGIN
        root = Root("tickglass/t", number, previous, 10**9 * (number + 5), tuple(heads.values()))
        lines = (SEAL.sign(root.text), WATCH.sign(root.text, number + 6))
        signed.append(Signed(root, note.join(root.text, *lines)))
    return made, signed


def anchors(signed: list[Signed]) -> anchor.Anchors:
    return anchor.Anchors(
        *("t", list(signed), list(signed), list(signed), list(signed)),
        *([Entry(SEAL.key, 0)], [Entry(WATCH.key, 0)], []),
    )


def faults(made: Memory, given: anchor.Anchors) -> list[str]:
    judged = anchor.judge(given)
    verdict = Verifier(lambda: made, given.kept).run(list(made.places()), 1)
    return [*judged.faults, *(f.what for f in verdict.faults), *map(str, verdict.loose.values())]


def resealed(made: Memory, place: Place) -> None:
    """Seal all blocks of a partition anew over the rows as they are now."""
    before, blocks = chain.ORIGIN, []
    for block, data in zip(made.sealed[place], made.read(made.sealed[place]), strict=True):
        identity = (*block[:4], len(data) // 141, block.schema)
        digest = chain.leaf(identity, [data])
        before = chain.link(before, digest)
        blocks.append(Sealed(*identity, digest, before))
    made.sealed[place] = blocks


def change_rows(made: Memory, data: st.DataObject, place: Place) -> None:
    rows = made.rows[place]
    what = data.draw(st.sampled_from(["bit", "delete", "insert", "swap", "cut"]))
    at = data.draw(st.integers(0, len(rows) - 1))
    if what == "bit":
        raw = rows.view(np.uint8)
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif what == "delete":
        rows = np.delete(rows, at)
    elif what == "insert":
        rows = np.insert(rows, at, rows[at])
    elif what == "swap":
        other = data.draw(st.integers(0, len(rows) - 1).filter(lambda k: k != at))
        for name in [name for name in rows.dtype.names or () if name not in ("offset", "index")]:
            rows[name][[at, other]] = rows[name][[other, at]]
    else:
        rows = rows[:at]
    made.rows[place] = rows


def change_blocks(made: Memory, data: st.DataObject, place: Place) -> None:
    blocks = made.sealed[place]
    at = data.draw(st.integers(0, len(blocks) - 1))
    what = data.draw(st.sampled_from(["drop", "double", "swap", "cut", "field"]))
    if what == "drop":
        del blocks[at]
    elif what == "double":
        blocks.insert(at, blocks[at])
    elif what == "swap":
        other = data.draw(st.integers(0, len(blocks) - 1).filter(lambda k: k != at))
        blocks[at], blocks[other] = blocks[other], blocks[at]
    elif what == "cut":
        del blocks[at:]
    else:
        name = data.draw(st.sampled_from(["first", "last", "rows", "schema", "digest", "link"]))
        value = getattr(blocks[at], name)
        changed = bytes(32) if isinstance(value, bytes) else value + data.draw(st.integers(1, 9))
        blocks[at] = blocks[at]._replace(**{name: changed})


@given(st.integers(0, 99))
@settings(deadline=None, max_examples=10)
def test_an_untouched_record_passes(seed: int) -> None:
    made, signed = record(seed)
    assert faults(made, anchors(signed)) == []


@given(st.integers(0, 99), st.sampled_from(PLACES), st.booleans(), st.data())
@settings(deadline=None)
def test_any_change_of_rows_is_found_even_if_sealed_anew(
    seed: int, place: Place, anew: bool, data: st.DataObject
) -> None:
    made, signed = record(seed)
    before = made.rows[place].tobytes()
    change_rows(made, data, place)
    if anew:
        resealed(made, place)
    if made.rows[place].tobytes() != before:
        assert faults(made, anchors(signed))


@given(st.integers(0, 99), st.sampled_from(PLACES), st.data())
@settings(deadline=None)
def test_any_change_of_blocks_is_found(seed: int, place: Place, data: st.DataObject) -> None:
    made, signed = record(seed)
    before = list(made.sealed[place])
    change_blocks(made, data, place)
    if made.sealed[place] != before:
        assert faults(made, anchors(signed))


@given(st.integers(0, 99), st.sampled_from(range(1, 5)), st.integers(0, 2), st.data())
@settings(deadline=None)
def test_any_change_of_one_list_of_roots_is_found(
    seed: int, which: int, at: int, data: st.DataObject
) -> None:
    made, signed = record(seed)
    given = anchors(signed)
    roots: list[Signed] = given[which]  # type: ignore[assignment]
    what = data.draw(st.sampled_from(["drop", "double", "head", "resign"]))
    if what == "drop":
        del roots[at]
    elif what == "double":
        roots.insert(at, roots[at])
    else:
        heads = list(roots[at].root.heads)
        heads[0] = heads[0]._replace(rows=heads[0].rows + 1)
        root = roots[at].root._replace(heads=tuple(heads))
        by = SEAL if what == "resign" else note.make("tickglass-seal", SIGNER)
        roots[at] = Signed(root, note.join(root.text, by.sign(root.text)))
    assert faults(made, given)


@given(st.integers(0, 99), st.data())
@settings(deadline=None)
def test_a_line_of_roots_is_whole_or_refused(seed: int, data: st.DataObject) -> None:
    _, signed = record(seed, 1)
    text = bytearray(root_line(signed[0]))
    assert read_line(bytes(text)) == signed[0]
    at = data.draw(st.integers(0, len(text) - 2))
    text[at] ^= 1 << data.draw(st.integers(0, 6))
    try:
        found = read_line(bytes(text))
    except RootError:
        return
    same = found.root == signed[0].root and found.root.text == signed[0].root.text
    signatures = note.signed_by(found.note, SEAL.key), note.signed_by(found.note, WATCH.key)
    assert same or None in signatures


@given(st.integers(0, 99), st.sampled_from(PLACES), st.data())
@settings(deadline=None, max_examples=50)
def test_a_proof_holds_and_no_changed_one_does(
    seed: int, place: Place, data: st.DataObject
) -> None:
    made, signed = record(seed)
    rows = made.rows[place]
    row = rows[data.draw(st.integers(0, len(rows) - 1))]
    name = (*place, int(row["offset"]), int(row["index"]))
    made_proof = proof.make(made, signed, name)
    proven = proof.check(made_proof, [SEAL.key, WATCH.key])
    assert proven.rows.tobytes() == row.tobytes()
    assert [key for key, _ in proven.signers] == [SEAL.key, WATCH.key]
    held = json.loads(made_proof)
    part = data.draw(st.sampled_from(["bytes", "before", "after", "path", "note", "row", "block"]))
    if part == "bytes":
        other = proof.make(made, signed, (*place, int(rows["offset"][0]), None))
        last = proof.make(made, signed, (*place, int(rows["offset"][-1]), None))
        changed = next(
            json.loads(p) for p in (other, last) if json.loads(p)["bytes"] != held["bytes"]
        )
        held["bytes"] = changed["bytes"]
    elif part in ("after", "path"):
        held[part] = [*held[part], "00" * 32]
    elif part == "note":
        held["note"] = held["note"].replace("number", "numbed", 1)
    elif part == "row":
        held["row"][2] += 10**6
    elif part == "block":
        held["block"][3] += 1
    else:
        held["before"] = "11" * 32
    with pytest.raises(ProofError):
        proof.check(json.dumps(held).encode(), [SEAL.key])


def test_a_proof_by_a_key_nobody_trusts_fails() -> None:
    made, signed = record(1)
    made_proof = proof.make(made, signed, (0, 0, 0, None))
    with pytest.raises(ProofError, match="none of the keys"):
        proof.check(made_proof, [note.make("tickglass-seal", SIGNER).key])
    with pytest.raises(ProofError, match="in no sealed block"):
        proof.make(made, signed, (0, 0, 10**6, None))
    with pytest.raises(ProofError, match="no root is signed yet"):
        proof.make(made, signed[:0], (0, 0, 0, None))


def test_groups_are_runs_of_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "GROUP_ROWS", 6)
    made, _ = record(2, 4)
    blocks = made.sealed[0, 0]
    del blocks[2]
    groups = list(evidence.groups(iter(blocks)))
    assert [block for group in groups for block in group] == blocks
    for group in groups:
        assert all(b.first == a.last + 1 for a, b in pairwise(group))
        assert sum(block.rows for block in group) <= 6 or len(group) == 1
