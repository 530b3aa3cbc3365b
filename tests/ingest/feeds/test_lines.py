from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.feeds.feed import Tally
from ingest.feeds.lines import HEX, LETTER, columns


def read(text, spec, cut=10**6, **more):
    tally = Tally()
    blocks = (text[i : i + cut] for i in range(0, len(text), cut))
    rows = list(columns(blocks, spec, "file", tally, **more))
    return np.concatenate([np.zeros((0, 1 + len(spec)), np.int64), *rows]).tolist(), tally


@given(
    st.lists(st.tuples(st.integers(-(10**18), 10**18), st.integers(0, 9)), min_size=1),
    st.integers(1, 50),
)
def test_decimals_are_exact_in_any_blocks(numbers, cut):
    texts = [format(Decimal(value).scaleb(-9), "f") for value, _ in numbers]
    rows, tally = read("\n".join(texts).encode(), (9,), cut)
    assert [row[1] for row in rows] == [value for value, _ in numbers]
    assert [row[0] for row in rows] == list(range(1, len(numbers) + 1))
    assert (tally.rows, tally.refused_total) == (len(numbers), 0)


def test_letters_hexadecimals_and_carriage_returns():
    rows, _ = read(b"1.5,Q,2000,\r\n-0.25,,,ff\r\n", (2, LETTER, HEX, HEX))
    assert rows == [[1, 150, ord("Q"), 0x2000, 0], [2, -25, 0, 0, 255]]


def test_a_wrong_line_is_kept_whole_and_its_neighbours_are_read():
    bad = {
        2: (b"1,2,3", "wrong number of fields"),
        4: (b"x,1", "a field is not a number"),
        5: (b"1.2345,1", "a number has too many digits"),
        7: (b"99999999999999999999,1", "a number has too many digits"),
        8: (b".,1", "a field is not a number"),
        9: (b"1e5,1", "a field is not a number"),
        10: (b",1", "a field is not a number"),
    }
    lines = [bad.get(i, (b"1.50,%d" % i, ""))[0] for i in range(1, 12)]
    rows, tally = read(b"\n".join(lines), (3, 0), cut=7)
    assert rows == [[i, 1500, i] for i in range(1, 12) if i not in bad]
    assert [(one.place, one.reason, one.data) for one in tally.refused] == [
        (f"file line {i}", reason, data) for i, (data, reason) in bad.items()
    ]


def test_headings_are_passed_over_and_empty_lines_are_nothing():
    rows, tally = read(b"head\n1\n\n3\n", (0,), skip=1)
    assert rows == [[2, 1], [4, 3]]
    assert tally.refused_total == 0


def test_what_never_ends_is_not_text():
    rows, tally = read(b"\0" * (3 << 20) + b"\n7\n", (0,), cut=1 << 16)
    assert rows == [[2, 7]]
    assert tally.refused_total >= 3
    assert sum(len(one.data) for one in tally.refused) == 3 << 20
