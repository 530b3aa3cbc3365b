"""Moments as people write them: what is read is what was shown, and nonsense is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.moment import DAY_NS, MomentError, parse, show

NOW = 1_795_388_400_500_000_000  # 2026-11-22T23:00:00.500


@given(st.integers(0, 4_000_000_000_000))
def test_what_is_shown_is_read_back(ms):
    assert parse(show(ms * 1_000_000), NOW) == ms * 1_000_000


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-11-22T23:00:00.5", NOW),
        ("2026-11-22 23:00:00.500000001Z", NOW + 1),
        ("2026-11-23T00:00:00.5+01:00", NOW),
        ("23:00:00.5", NOW),
        ("23:00:01", NOW + 500_000_000 - DAY_NS),  # Not yet today: yesterday's.
        ("9:30:00", NOW - 500_000_000 - (13 * 3_600 + 30 * 60) * 10**9),
        ("-90s", NOW - 90 * 10**9),
        ("-1.5h", NOW - 5_400 * 10**9),
    ],
)
def test_forms(text, ns):
    assert parse(text, NOW) == ns


@pytest.mark.parametrize("text", ["", "now", "25:00:00", "2026-13-01", "-5", "-xs", "1795388400"])
def test_nonsense_is_refused(text):
    with pytest.raises(MomentError, match="is no moment"):
        parse(text, NOW)
