"""A checkpoint is whole or it is not there, and the newest one that fits is taken."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.checkpoint import KEPT, Checkpoint, Checkpoints, pack, unpack

PLACE = (3, 1)


def at(offset: int, state: bytes = b"state") -> Checkpoint:
    return Checkpoint({PLACE: offset}, {"offset": offset}, state)


@given(
    st.dictionaries(st.tuples(st.integers(0, 12), st.integers(0, 300)), st.integers(0, 2**63)),
    st.binary(max_size=100),
)
def test_packing_and_its_inverse(positions: dict[tuple[int, int], int], state: bytes) -> None:
    checkpoint = Checkpoint(positions, {"sequences": [1, "a"]}, state)
    assert unpack(pack(checkpoint)) == checkpoint


@given(st.binary(min_size=1, max_size=40), st.data())
def test_torn_bytes_are_refused(state: bytes, data: st.DataObject) -> None:
    whole = pack(at(5, state))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="torn"):
        unpack(whole[:cut])
    at_bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    touched = bytearray(whole)
    touched[at_bit // 8] ^= 1 << at_bit % 8
    with pytest.raises(ValueError, match="torn"):
        unpack(bytes(touched))


def test_the_newest_that_is_not_beyond_the_record(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "made")
    assert checkpoints.newest({}) is None
    for offset in (10, 20, 30):
        checkpoints.save(at(offset))
    assert checkpoints.newest({PLACE: 30}) == at(30)
    assert checkpoints.newest({PLACE: 29}) == at(20)
    assert checkpoints.newest({PLACE: 99, (0, 0): 1}) == at(30)
    assert checkpoints.newest({PLACE: 9}) is None
    assert checkpoints.newest({(0, 0): 99}) is None


def test_a_torn_file_is_passed_over(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(at(10))
    checkpoints.save(at(20))
    newest = max(tmp_path.glob("*.checkpoint"))
    newest.write_bytes(newest.read_bytes()[:-1])
    assert checkpoints.newest({PLACE: 99}) == at(10)


def test_few_are_kept_and_workers_have_their_own(tmp_path: Path) -> None:
    for offset in range(10):
        Checkpoints(tmp_path, 0).save(at(offset))
        Checkpoints(tmp_path, 1).save(at(100 + offset))
    assert len(list(tmp_path.iterdir())) == 2 * KEPT
    assert Checkpoints(tmp_path, 0).newest({PLACE: 999}) == at(9)
    assert Checkpoints(tmp_path, 1).newest({PLACE: 999}) == at(109)
