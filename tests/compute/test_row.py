"""A row's bytes are a contract, and columns on the wire hold the same rows."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute import gather, row
from compute.chain import ORIGIN, Sealed
from compute.enriched import ENRICHED
from ingest.event import EVENT, Kind


def made(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Events and numbers of random bytes, NaN included."""
    draw = np.random.default_rng(seed)
    events = np.frombuffer(draw.bytes(count * EVENT.itemsize), EVENT)
    return events, np.frombuffer(draw.bytes(count * ENRICHED.itemsize), ENRICHED)


def test_bytes_of_a_row_are_a_contract() -> None:
    event = np.zeros(1, EVENT)
    event[["ts_event", "ts_recv", "sequence", "instrument"]] = (1, 2, 3, 4)
    event[["source", "kind", "flags"]] = (5, Kind.QUOTE, 7)
    event[["bid", "ask", "bid_size", "ask_size"]] = (8, 9, 10.0, 11.0)
    numbers = np.array([tuple(range(20, 28))], ENRICHED)
    got = gather.fill((12, 258), [(2**40, 0, 1)], event, numbers).tobytes()
    assert got[:13] == struct.pack("<BHQH", 12, 258, 2**40, 0)
    assert got[13:77] == struct.pack("<qqQIHBBqqdd", 1, 2, 3, 4, 5, 1, 7, 8, 9, 10.0, 11.0)
    assert got[77:] == struct.pack("<8d", *range(20, 28))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(0, 2**62))
def test_every_event_gets_its_place_and_keeps_its_bytes(counts: list[int], first: int) -> None:
    events, numbers = made(sum(counts))
    offsets = list(range(first, first + len(counts)))
    starts = np.cumsum([0, *counts]).tolist()
    rows = gather.fill((3, 2), list(zip(offsets, starts, counts, strict=False)), events, numbers)
    assert [(int(r["offset"]), int(r["index"])) for r in rows] == [
        (offset, index)
        for offset, count in zip(offsets, counts, strict=True)
        for index in range(count)
    ]
    parts = rows.view(row.PARTS)
    assert parts["event"].tobytes() == events.tobytes()
    assert parts["enriched"].tobytes() == numbers.tobytes()
    assert set(rows["topic"]) == {3}
    assert set(rows["partition"]) == {2}


@pytest.mark.parametrize("reason", row.NO_EVENT)
def test_a_frame_without_events_is_one_row(reason: str) -> None:
    rows = row.refusal((4, 1), 99, reason, 5)
    assert rows["offset"].tolist() == [99]
    assert rows["index"].tolist() == [0]
    assert rows["kind"].tolist() == [row.REFUSED]
    assert row.NO_EVENT[rows["flags"][0]] == reason
    assert np.isnan(rows["mid"][0])


@given(st.lists(st.integers(0, 300), max_size=4), st.integers(1, 9), st.integers(0, 2**40))
def test_columns_hold_the_same_rows_by_segment_and_instrument(
    sizes: list[int], ids: int, first: int
) -> None:
    arrays = []
    for k, size in enumerate(sizes):
        events, numbers = made(size, k)
        events = events.copy()
        events["instrument"] = events["instrument"] % ids if ids < 9 else events["instrument"]
        step = row.SEGMENT_FRAMES // 7  # Blocks span several segments.
        frames = [(first + step * n, n, 1) for n in range(size)]
        arrays += [gather.fill((0, k), frames, events, numbers)] if size else []
    found = columns_of(gather.Wire().body(arrays).tobytes())
    whole = np.concatenate([*arrays, np.empty(0, row.RECORD)])
    segment = whole["offset"] // row.SEGMENT_FRAMES
    keys = (whole["index"], whole["offset"], whole["instrument"], segment, whole["partition"])
    stored = whole[np.lexsort(keys)]
    assert found == {name: stored[name].tobytes() for name in row.RECORD.names or ()}


def test_gathering_grows_and_keeps_the_bytes() -> None:
    events, numbers = made(5_000)
    gathered = gather.Gathered((3, 2), 10)
    for n in range(0, 5_000, 500):
        gathered.add([(10 + n, n, 500)], events, numbers)
    gathered.add_rows(row.refusal((3, 2), 9_999, "repeat", 5), 9_999)
    assert (gathered.first, gathered.last, gathered.count) == (10, 9_999, 5_001)
    frames = [(10 + n, n, 500) for n in range(0, 5_000, 500)]
    assert gathered.rows[:-1].tobytes() == gather.fill((3, 2), frames, events, numbers).tobytes()


def columns_of(body: bytes) -> dict[str, bytes]:
    """A reader of ClickHouse's Native, from its documentation, for fixed-width types."""
    kinds = dict(row.columns(row.RECORD))
    widths = {name: row.RECORD[name].itemsize for name in kinds}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = body[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def text() -> str:
        nonlocal at
        length = number()
        at += length
        return body[at - length : at].decode()

    found = {}
    width, count = number(), number()
    for _ in range(width):
        name, kind = text(), text()
        assert kind == kinds[name]
        found[name] = body[at : at + count * widths[name]]
        at += count * widths[name]
    assert at == len(body)
    return found


def test_tokens_tell_any_two_inserts_apart() -> None:
    block = Sealed(0, 1, 2, 3, 4, 5, ORIGIN, ORIGIN)
    other = bytes([1]) + ORIGIN[1:]
    changed = [
        block._replace(**{name: other if isinstance(value, bytes) else value + 9})
        for name, value in zip(Sealed._fields, block, strict=True)
    ]
    lists = [[], [block], [block, block], *([one] for one in changed)]
    assert len({row.token_of(blocks) for blocks in lists}) == len(lists)
    assert row.token_of([block]) == row.token_of([block._replace()])


@given(st.lists(st.integers(0, 300), max_size=4), st.data())
def test_blocks_of_columns_are_read_back_to_the_byte_or_refused(counts, data) -> None:
    dice = np.random.default_rng(sum(counts))
    parts = [np.frombuffer(dice.bytes(count * row.RECORD.itemsize), row.RECORD) for count in counts]
    told = b"".join(row.native(part).tobytes() for part in parts)
    assert row.from_native(told, row.RECORD).tobytes() == b"".join(map(np.ndarray.tobytes, parts))
    ends = np.cumsum([0, *(len(row.native(part)) for part in parts)]).tolist()
    torn = data.draw(
        st.integers(0, len(told)).filter(lambda end: end not in ends) if told else st.none()
    )
    if torn is not None:
        with pytest.raises(ValueError, match=r"."):
            row.from_native(told[:torn], row.RECORD)


def test_a_block_of_other_columns_or_of_more_rows_than_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="columns"):
        row.from_native(row.native(np.zeros(2, row.BLOCK)).tobytes(), row.RECORD)
    told = bytearray(row.native(np.zeros(2, row.RECORD)).tobytes())
    with pytest.raises(ValueError, match="where column topic should begin"):
        row.from_native(bytes(told).replace(b"topic", b"tobic"), row.RECORD)
    head = row.number(len(row.RECORD.names))
    with pytest.raises(ValueError, match="rows are told in"):
        row.from_native(head + row.number(2**60) + bytes(told[2:]), row.RECORD)
