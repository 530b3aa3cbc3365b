"""Views: a reader that knows only the wire ends with what the mirror holds."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mirror import Mirror
from app.view import BY_SYMBOL, CELLS, ROWS, View, Viewport, view_key
from compute import delta
from compute.table import INSTRUMENTS, TABLES
from ingest.instrument import Instrument, Reference

COLUMNS = ["bid", "last", "volume"]
ROWS_MAX = 30


def instruments(count: int = ROWS_MAX) -> Reference:
    names = [f"{chr(65 + (k * 7) % 26)}{k}" for k in range(count)]
    return Reference(
        Instrument(k, name, k % 12, "X", "USD", 1.0, 0.01, 2, strike=1.0, right="C", expiry="2027")
        for k, name in enumerate(names)
    )


class World:
    """A mirror fed by a cutter by hand, without Redis."""

    def __init__(self) -> None:
        self.mirror = Mirror(bus=None)  # type: ignore[arg-type]
        self.mirror.reference = instruments()
        self.tables = {
            table.name: table.empty(ROWS_MAX if table is INSTRUMENTS else 4) for table in TABLES
        }
        self.cutter = delta.Cutter()
        self.sequence = 0
        self.mirror.take_image(delta.unpack_image(delta.pack_image(self.tables, 1, 0, 0, {})))

    def change(self, cells: list[tuple[int, int, float]], oldest_ns: int = 1_000_000_000) -> None:
        oldest = np.zeros(ROWS_MAX, np.int64)
        for row, column, value in cells:
            self.tables["instruments"][row, column] = value
            oldest[row] = oldest_ns
        self.sequence += 1
        frame = self.cutter.cut(self.tables, oldest, 1, self.sequence, 0)
        assert self.mirror.take([(1, self.sequence, frame)])


class Page:
    """What a browser makes of sections: an independent reading of the wire."""

    def __init__(self) -> None:
        self.rows = np.zeros(0, np.uint32)
        self.total = 0
        self.cells = np.zeros((0, len(COLUMNS)))
        self.stamps: dict[int, float] = {}
        self.bytes = self.seen = 0

    def read(self, data: bytes) -> None:
        at = 0
        self.bytes += len(data)
        while at < len(data):
            _feed, kind, size = struct.unpack_from("<HHI", data, at)
            assert size % 8 == 0
            body = data[at + 8 : at + 8 + size]
            {ROWS: self.read_rows, CELLS: self.read_cells}[kind](body)
            at += 8 + size

    def read_rows(self, body: bytes) -> None:
        self.total, _first, n, _version = struct.unpack_from("<4I", body)
        self.rows = np.frombuffer(body, "<u4", n, 16)
        self.cells = np.full((n, len(COLUMNS)), 777.0)  # Every cell must be told after this.

    def read_cells(self, body: bytes) -> None:
        n, stamped, base = struct.unpack_from("<IId", body)
        self.seen += n
        values = np.frombuffer(body, "<f8", n, 16)
        stamps = np.frombuffer(body, "<f4", stamped, 16 + 8 * n)
        slots = np.frombuffer(body, "<u2", stamped, 16 + 8 * n + 4 * stamped)
        cells = np.frombuffer(body, "<u2", n, 16 + 8 * n + 6 * stamped)
        self.cells.ravel()[cells] = values
        self.stamps = {
            int(self.rows[s]): base + float(t) for s, t in zip(slots, stamps, strict=True)
        }


def shown(world: World, port: Viewport) -> np.ndarray:
    return world.mirror.tables["instruments"][port.rows][:, port.view.columns]


cell = st.tuples(
    st.integers(0, ROWS_MAX - 1),
    st.integers(0, INSTRUMENTS.width - 1),
    st.one_of(st.floats(-1e9, 1e9), st.just(float("nan"))),
)
steps = st.lists(st.tuples(st.lists(cell, max_size=20), st.booleans()), min_size=1, max_size=12)


@settings(deadline=None)
@given(steps, st.integers(0, 25), st.integers(0, 12))
def test_a_page_that_skips_any_pushes_shows_the_truth(rounds, first, count):
    world = World()
    port = Viewport(View(view_key("instruments", COLUMNS), world.mirror), first, count)
    page, sent, version = Page(), -1, -1
    for cells, ready in [*rounds, ([], True)]:
        world.change(cells)
        if ready:
            page.read(port.encode(0, sent, version))
            sent, version = world.mirror.sequence, port.view.version
    np.testing.assert_array_equal(page.cells, shown(world, port))
    assert page.total == ROWS_MAX


def test_nothing_travels_when_nothing_visible_changed():
    world = World()
    port = Viewport(View(view_key("instruments", COLUMNS), world.mirror), 0, 10)
    page = Page()
    page.read(port.encode(0, -1, -1))
    sent, version = world.mirror.sequence, port.view.version
    world.change([(20, 0, 1.0), (3, INSTRUMENTS.index("low"), 2.0)])
    assert port.encode(0, sent, version) == b""
    world.change([(3, INSTRUMENTS.index("last"), 2.0)])
    page.seen = 0
    page.read(port.encode(0, sent, version))
    assert page.seen == 1


def test_a_stamp_is_the_oldest_event_not_yet_told():
    world = World()
    port = Viewport(View(view_key("instruments", COLUMNS), world.mirror), 0, 10)
    page = Page()
    page.read(port.encode(0, -1, -1))
    sent, version = world.mirror.sequence, port.view.version
    last = INSTRUMENTS.index("last")
    world.change([(3, last, 1.0)], 5_000_000_000)
    world.change([(3, last, 2.0), (4, last, 1.0)], 6_000_000_000)
    page.read(port.encode(0, sent, version))
    assert page.stamps == {3: pytest.approx(5_000), 4: pytest.approx(6_000)}
    sent = world.mirror.sequence
    world.change([(3, last, 3.0)], 7_000_000_000)
    page.read(port.encode(0, sent, version))
    assert page.stamps == {3: pytest.approx(7_000)}


def test_equal_pages_share_the_same_bytes():
    world = World()
    port = Viewport(View(view_key("instruments", COLUMNS), world.mirror), 0, 10)
    assert port.encode(0, -1, -1) is port.encode(0, -1, -1)


def test_filter_and_search():
    world = World()
    key = view_key("instruments", COLUMNS)._replace(classes=(2, 5), text="q")
    view = View(key, world.mirror)
    expected = [
        row.id
        for row in world.mirror.reference.by_id.values()
        if row.asset_class in (2, 5) and "Q" in row.symbol
    ]
    assert view.order.tolist() == expected


def test_sort_puts_unknown_last_and_rests_between(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("app.view.time.monotonic", lambda: now[0])
    world = World()
    volume = INSTRUMENTS.index("volume")
    world.change([(k, volume, float(k * 13 % 7)) for k in range(5)])
    key = view_key("instruments", COLUMNS)._replace(sort=volume, descending=True)
    view = View(key, world.mirror)
    values = world.mirror.tables["instruments"][view.order, volume]
    assert (np.diff(values[:5]) <= 0).all()
    assert np.isnan(values[5:]).all()
    version = view.version
    world.change([(0, volume, 99.0)])
    view.refresh()
    assert view.version == version  # Within the second rows stay where they are.
    now[0] += 1.1
    view.refresh()
    assert view.order[0] == 0
    assert view.version == version + 1


def test_sort_by_symbol():
    world = World()
    key = view_key("instruments", COLUMNS)._replace(sort=BY_SYMBOL)
    symbols = [world.mirror.reference.by_id[int(k)].symbol for k in View(key, world.mirror).order]
    assert symbols == sorted(symbols)


def test_unknown_names_say_what_there_is():
    with pytest.raises(KeyError, match="no column 'vwpa'; it has bid, ask"):
        view_key("instruments", ["vwpa"])
    with pytest.raises(KeyError, match="no table 'x'; there are instruments"):
        view_key("x", [])
