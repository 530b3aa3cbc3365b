"""Meters: percentiles within a bucket of the truth, nothing clamped in silence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.meter import Histogram, Rate, Stages


@given(st.lists(st.floats(0.002, 1e5), min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_percentile_is_within_a_bucket(values, share):
    histogram = Histogram()
    histogram.add(np.array(values))
    truth = np.sort(values)[int(np.ceil(share * len(values))) - 1]
    found = histogram.percentile(share)
    assert found is not None
    assert truth * 0.979 <= found <= truth * 1.021


def test_unknown_is_none_and_negative_is_counted_apart():
    histogram = Histogram()
    assert histogram.percentile(0.5) is None
    histogram.add(np.array([-1.0, np.nan, 5.0]))
    assert (histogram.count, histogram.negative) == (1, 1)


def test_rate_is_of_the_interval():
    rate = Rate(0)
    rate.add(500)
    assert rate.read(1_000_000_000) == pytest.approx(500)
    rate.add(100)
    assert rate.read(1_500_000_000) == pytest.approx(200)
    assert rate.read(1_500_000_000) == 0


def test_stages_are_told_once():
    stages = Stages("decode", "cut")
    stages.add("cut", 1.0, 3.0)
    stages.add("cut", 9.0)
    told = stages.told()
    assert told["decode"] == [None, None]
    assert told["cut"] == [pytest.approx(3.0, rel=0.03), pytest.approx(9.0, rel=0.03)]
    assert stages.told()["cut"] == [None, None]
