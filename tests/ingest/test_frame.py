"""Frames: golden bytes, round trips, and a refusal for everything that is not whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.event import EVENT, Kind
from ingest.frame import (
    FRAME_EVENTS_MAX,
    FUTURE_NS_MAX,
    HEADER,
    HEADER_BYTES,
    FrameError,
    check,
    decode,
    encode,
)

NOW = 1_700_000_000_000_000_000


def events(count: int = 1) -> np.ndarray:
    array = np.zeros(count, EVENT)
    array["ts_event"] = NOW + np.arange(count)
    array["ts_recv"] = NOW + 5
    array["sequence"] = np.arange(count)
    array["instrument"], array["source"], array["kind"] = 3, 2, Kind.QUOTE
    array["bid"], array["ask"] = 99_500_000_000, 99_750_000_000
    array["bid_size"], array["ask_size"] = 300.0, 0.125
    return array


def reason(value: bytes) -> str:
    with pytest.raises(FrameError) as refusal:
        decode(value)
    return refusal.value.reason


GOLDEN = (
    "544701000200000001000000edb9104f2a0000000000000000002a36fe9c9717"
    "00002a36fe9c971705002a36fe9c971700000000000000000300000002000100"
    "0083a92a1700000080359039170000000000000000c07240000000000000c03f"
)


def test_golden_bytes():
    value = encode(events(), source=2, first_sequence=42, ts_send=NOW)
    assert value.hex() == GOLDEN
    frame = decode(bytes.fromhex(GOLDEN))
    assert (frame.source, frame.first_sequence, frame.ts_send) == (2, 42, NOW)
    assert frame.events["bid"][0] == 99_500_000_000


def test_header_is_32_bytes():
    assert HEADER.itemsize == HEADER_BYTES == 32


@given(st.binary(min_size=64, max_size=64 * 20), st.integers(0, 2**16 - 1), st.booleans())
def test_any_records_survive_the_way(data, source, restart):
    array = np.frombuffer(data[: len(data) // 64 * 64], EVENT)
    frame = decode(encode(array, source, 7, NOW, restart=restart))
    assert frame.events.tobytes() == array.tobytes()
    assert (frame.source, frame.restart) == (source, restart)


@given(st.integers(0, 32 + 64 * 3 - 1), st.integers(0, 7))
def test_any_flipped_bit_is_refused(place, bit):
    value = bytearray(encode(events(3), 2, 0, NOW))
    value[place] ^= 1 << bit
    with pytest.raises(FrameError):
        decode(bytes(value))


@given(st.integers(0, 32 + 64 * 3 - 1))
def test_any_cut_is_refused(size):
    assert reason(encode(events(3), 2, 0, NOW)[:size]) == "truncated"


def test_what_is_no_frame_says_why():
    whole = encode(events(), 2, 0, NOW)
    assert reason(b"") == "truncated"
    assert reason(b"{}" + whole[2:]) == "magic"
    assert reason(whole[:2] + b"\x02\x00" + whole[4:]) == "version"
    assert reason(whole + b"x") == "truncated"
    assert reason(whole[:8] + bytes(4) + whole[12:32]) == "empty"


def test_the_sender_cannot_make_a_frame_that_is_refused():
    for count in (0, FRAME_EVENTS_MAX + 1):
        with pytest.raises(ValueError, match="1 to"):
            encode(np.zeros(count, EVENT), 0, 0, 0)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("kind", 77, "kind"),
        ("bid_size", np.nan, "size"),
        ("ask_size", np.inf, "size"),
        ("ts_event", NOW + FUTURE_NS_MAX + 1, "future"),
        ("instrument", 9, "unknown"),
        ("instrument", 2, "unknown"),
    ],
)
def test_an_event_that_cannot_be_is_named(field, value, expected):
    exists = np.array([True, True, False, True])
    array = events(4)
    check(array, NOW, exists)
    array[field][2] = value
    with pytest.raises(FrameError) as refusal:
        check(array, NOW, exists)
    assert refusal.value.reason == expected
