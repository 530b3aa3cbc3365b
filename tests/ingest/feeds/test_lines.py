from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.event import NO_PRICE
from ingest.feeds.feed import Tally
from ingest.feeds.lines import (
    CLOCK,
    HEX,
    LETTER,
    MOMENT,
    OPTIONAL,
    ROUND,
    TEXT,
    columns,
    columns_and_text,
    exact,
    parse_moment,
    texts,
)


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


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONG_AGO = datetime.fromisoformat("1700-01-01")
FAR_OFF = datetime.fromisoformat("2261-12-31")


@given(
    st.datetimes(LONG_AGO, FAR_OFF),
    st.sampled_from(["", "Z", "+00:00"]),
    st.sampled_from(" T"),
)
def test_a_moment_is_that_of_the_calendar(when, zone, between):
    text = when.isoformat(between) + zone
    since = when.replace(tzinfo=UTC) - EPOCH
    ns = (since // timedelta(microseconds=1)) * 1000
    assert read(text.encode(), (MOMENT,))[0] == [[1, ns]]
    assert parse_moment(text, "UTC") == ns
    day = when.date().isoformat()
    assert read(day.encode(), (MOMENT,))[0] == [[1, ns // 86_400_000_000_000 * 86_400_000_000_000]]


@given(st.datetimes(LONG_AGO.replace(year=1980), FAR_OFF.replace(year=2036)))
def test_a_moment_of_a_zone_is_that_of_its_clocks(when):
    local = when.replace(tzinfo=ZoneInfo("America/Sao_Paulo"))
    ns = int(local.replace(microsecond=0).timestamp()) * 10**9 + when.microsecond * 1000
    assert parse_moment(when.isoformat(" "), "America/Sao_Paulo") == ns


@pytest.mark.parametrize(
    "text", ["", "2013-13-01", "2013-1-01", "20130101", "2013-01-01 25:00:00", "2013-01-01T10:00",
             "2013-01-01 10:00:00+01:00", "2013-01-01 10:00:xx", "2013/01/01"]
)  # fmt: skip
def test_what_is_no_moment_is_refused(text):
    _, tally = read(text.encode() + b"\n", (MOMENT,))
    assert tally.refused_total == (text != "")
    with pytest.raises(ValueError, match="date and time"):
        parse_moment(text, "UTC")


def test_clocks_empty_fields_rounding_and_blanks():
    rows, tally = read(
        b"10:00:00.001;; 0012.5;0.12345678949\n23:59:59;7;1;0.9999999996\n24:00:00;7;1;1\n",
        (CLOCK, 9 + OPTIONAL, 1, 9 + ROUND),
        separator=";",
    )
    assert rows == [
        [1, 36_000_001_000_000, NO_PRICE, 125, 123_456_789],
        [2, 86_399_000_000_000, 7_000_000_000, 10, 1_000_000_000],
    ]
    assert tally.refused_total == 1


def test_text_fields_come_back_as_they_stood():
    blocks = [b"PETRL80   ,1\nVALE", b"5,2\n,3\n"]
    found = [
        texts(rows[:, 1], text)
        for rows, text in columns_and_text(blocks, (TEXT, 0), "file", Tally())
    ]
    assert list(chain(*found)) == [b"PETRL80", b"VALE5", b""]


@given(st.decimals(-(10**9), 10**9, places=9))
def test_exact_is_exact(value):
    assert exact(str(value)) == int(value.scaleb(9))


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1e400", "0.0000000001", "1e30"])
def test_what_is_not_exact_is_an_error(text):
    with pytest.raises(ValueError, match=r"not a number|too many digits"):
        exact(text)
