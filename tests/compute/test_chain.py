"""Any change of any byte or of any place is found, and named by its first block."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.chain import ORIGIN, Fault, Sealed, leaf, link, verify

# Blocks of one partition: their bytes, each with how many offsets it covers.
logs = st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 5)), min_size=1)


def seal(log: list[tuple[bytes, int]], topic: int = 0, partition: int = 0) -> list[Sealed]:
    blocks: list[Sealed] = []
    first = 7
    for data, offsets in log:
        identity = (topic, partition, first, first + offsets - 1, len(data), 1)
        digest = leaf(identity, (data,))
        before = blocks[-1].link if blocks else ORIGIN
        blocks.append(Sealed(*identity, digest, link(before, digest)))
        first += offsets
    return blocks


def check(blocks: list[Sealed], log: list[tuple[bytes, int]]) -> Fault | None:
    stored = {block.first: data for block, (data, _) in zip(blocks, log, strict=True)}
    return verify(blocks, lambda block: stored[block.first])


@given(logs)
def test_an_untouched_log_verifies(log: list[tuple[bytes, int]]) -> None:
    assert check(seal(log), log) is None


@given(logs, st.data())
def test_one_flipped_bit_is_found_and_its_block_named(
    log: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    blocks = seal(log)
    which = data.draw(st.integers(0, len(log) - 1))
    at = data.draw(st.integers(0, len(log[which][0]) * 8 - 1))
    touched = bytearray(log[which][0])
    touched[at // 8] ^= 1 << at % 8
    log[which] = (bytes(touched), log[which][1])
    fault = check(blocks, log)
    assert fault is not None
    assert fault.first == blocks[which].first
    assert "bytes" in fault.what


@given(logs, st.data())
def test_any_change_of_a_block_is_found(log: list[tuple[bytes, int]], data: st.DataObject) -> None:
    blocks = seal(log)
    which = data.draw(st.integers(0, len(log) - 1))
    field = data.draw(st.sampled_from(Sealed._fields))
    value = getattr(blocks[which], field)
    if isinstance(value, bytes):
        changed = data.draw(
            st.binary(min_size=32, max_size=32).filter(lambda other: other != value)
        )
    else:
        changed = data.draw(st.integers(0, 255).filter(lambda other: other != value))
    forged = list(blocks)
    forged[which] = blocks[which]._replace(**{field: changed})
    found = verify(forged, lambda block: log[forged.index(block)][0])
    assert found is not None
    last_right = blocks[which - 1].first if which else -1
    assert found.first > last_right or field in ("first", "topic", "partition")


@given(logs.filter(lambda log: len(log) > 1), st.data())
def test_a_block_left_out_doubled_or_moved_is_found(
    log: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    blocks = seal(log)
    stored = {block: content for block, (content, _) in zip(blocks, log, strict=True)}
    which = data.draw(st.integers(0, len(log) - 2))
    without = blocks[:which] + blocks[which + 1 :]
    doubled = blocks[: which + 1] + blocks[which:]
    moved = list(blocks)
    moved[which], moved[which + 1] = blocks[which + 1], blocks[which]
    for forged in (without, doubled, moved):
        assert verify(forged, stored.__getitem__) is not None


@given(logs, logs)
def test_partitions_have_chains_of_their_own(
    one: list[tuple[bytes, int]], other: list[tuple[bytes, int]]
) -> None:
    a, b = seal(one, 0, 1), seal(other, 0, 2)
    stored = dict(zip([*a, *b], [data for data, _ in [*one, *other]], strict=True))
    assert verify([*a, *b], stored.__getitem__) is None
    assert verify([*b, *a], stored.__getitem__) is None
    if len(a) > 1 and len(b) > 1:  # Chains must come whole: a link hangs on the one before.
        assert verify([a[0], b[0], *a[1:], *b[1:]], stored.__getitem__) is not None


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_where_the_pieces_are_cut_does_not_matter(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert leaf((1, 2, 3, 4, 5, 6), pieces) == leaf((1, 2, 3, 4, 5, 6), (data,))


def test_bytes_of_leaf_and_link_are_a_contract() -> None:
    digest = leaf((1, 2, 3, 4, 5, 6), (b"abc",))
    assert digest.hex() == "3d034e36e521e23352bedc802cb49c5eb802147928de24ef662ebc23ca99a122"
    assert (
        link(ORIGIN, digest).hex()
        == "aca952bfe6fb2d0b67cc0f2a1416f06ad1ca6d0271f23b60776560faf89ac184"
    )


def test_a_link_needs_whole_hashes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        link(b"", ORIGIN)
