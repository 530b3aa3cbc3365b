"""The version of the eligibility table that an instrument carries decides, trade by trade."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from compute.engine import Engine
from ingest import condition
from ingest.event import EVENT, PRICE_SCALE, Flag, Kind
from ingest.instrument import Instrument, Reference

ROWS = [Instrument(k, f"V{k + 1}", 0, "X", "USD", 1.0, 0.01, 2, vwap_table=k + 1) for k in range(2)]
WORDS = ([], ["I"], ["Z"], ["I", "E"], ["O"], ["I", "B"], ["?"])


def trades(count: int, seed: int) -> tuple[np.ndarray, list[list[str]]]:
    """The same trades for both instruments, one after the other, with their conditions."""
    rng = np.random.default_rng(seed)
    events, words = np.zeros(2 * count, EVENT), []
    events["kind"], events["instrument"] = Kind.TRADE, np.arange(2 * count) % 2
    events["ts_event"] = 10**18 + np.repeat(np.arange(count), 2) * 250_000_000
    events["reference"] = np.repeat(np.arange(count), 2)
    events["price"] = np.repeat(rng.integers(1, 10**6, count) * 10**7 + 1, 2)
    events["size"] = np.repeat(rng.integers(1, 5_000, count) / 8, 2)
    for place in range(0, 2 * count, 2):
        words.append(WORDS[rng.integers(len(WORDS))])
        events["flags"][place : place + 2] = condition.flags("CTA", words[-1])
        events["left_out"][place : place + 2] = condition.left_out("CTA", words[-1])
    return events, words


def exact(events: np.ndarray, words: list[list[str]], version: int) -> float:
    """VWAP by rational numbers, straight from the table."""
    value = size = Fraction(0)
    for one, said in zip(events, words, strict=True):
        if condition.judge("CTA", said, version).counts_vwap:
            value += Fraction(int(one["price"]), PRICE_SCALE) * Fraction(float(one["size"]))
            size += Fraction(float(one["size"]))
    return float(value / size)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_trades_by_either_version(seed):
    events, words = trades(300, seed)
    engine = Engine(Reference(ROWS))
    engine.step(events, None)
    found = engine._state
    for version in (1, 2):
        own = events[version - 1 :: 2]
        assert found["vwap"][version - 1] == pytest.approx(exact(own, words, version), rel=1e-15)
        assert found["volume"][version - 1] == own["size"].sum()
    assert found["vwap"][0] != found["vwap"][1]
    assert found["eligible"][0] > found["eligible"][1]


def test_a_new_version_counts_from_the_next_trade_and_a_bust_undoes_what_was_done():
    events, words = trades(200, 9)
    own = events[::2]
    reference = Reference(ROWS)
    engine = Engine(reference)
    engine.step(own[:100], None)
    reference.update([replace(ROWS[0], vwap_table=2)])
    engine.grow(reference)
    odd = np.array([said in (["I"], ["I", "E"]) for said in words])
    before = engine._state["eligible"][0]
    engine.step(own[100:], None)
    fair = np.array([condition.judge("CTA", said, 2).counts_vwap for said in words])
    assert engine._state["eligible"][0] == before + fair[100:].sum()
    assert (odd[:100] & ~fair[:100]).any()

    # An odd lot that was taken by version 1 and is still remembered leaves by its bust.
    fresh = Reference(ROWS)
    engine = Engine(fresh)
    engine.step(own[:20], None)
    fresh.update([replace(ROWS[0], vwap_table=2)])
    engine.grow(fresh)
    place = int(np.flatnonzero(odd[:20])[0])
    void = own[place : place + 1].copy()
    void["kind"] = Kind.BUST
    engine.step(void, None)
    kept = [k for k in range(20) if k != place]
    assert engine._state["vwap"][0] == pytest.approx(
        exact(own[kept], [words[k] for k in kept], 1), rel=1e-15
    )
    assert engine.counters["busts_unmatched"] == 0


def test_no_version_takes_what_none_may():
    assert condition.flags("UTP", ["W"]) == Flag.INELIGIBLE
