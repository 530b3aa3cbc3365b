"""Large parts one after another: their bytes, and no thread that stands still meanwhile."""

import threading
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compute.engine import SUM
from compute.flat import flat

PART = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda of: memoryview(of)[1:], st.binary(min_size=1, max_size=40)),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9).map(lambda of: np.array(of, np.int64)),
)


@given(st.lists(PART, max_size=6))
def test_the_bytes_of_all_parts_in_their_order(
    parts: list[bytes | memoryview | np.ndarray],
) -> None:
    assert flat(parts) == b"".join(bytes(part) for part in parts)


def test_records_and_arrays_of_more_than_one_dimension() -> None:
    records = np.zeros((3, 4), SUM)
    records["value"] = np.arange(12).reshape(3, 4)
    assert flat([records, records[1:, :2]]) == records.tobytes() + records[1:, :2].tobytes()


def test_other_threads_go_on_while_much_is_copied() -> None:
    parts = [np.ones(16 * 2**20, np.uint8) for _ in range(16)]
    copying = threading.Thread(target=lambda: flat(parts))
    before = time.thread_time()
    copying.start()
    turns = 0
    while copying.is_alive():
        turns += 1
    # Beside one that held the interpreter we would have had a handful of turns.
    assert turns > 1_000
    assert time.thread_time() > before
