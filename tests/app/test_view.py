"""Views: a reader that knows only the wire ends with what the mirror holds."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mirror import Mirror
from app.quant import is_quant
from app.view import (
    BY_SYMBOL,
    CELLS,
    ROWS,
    View,
    Viewport,
    find_column,
    match_key,
    sides,
    view_key,
)
from compute import delta
from compute.table import (
    ANALYTICS,
    EXPOSURES,
    INSTRUMENTS,
    LIVE_TABLES,
    POSITIONS,
    RISK,
    RISK_TABLES,
    TABLES,
)
from ingest.instrument import Instrument, Reference

COLUMNS = ["bid", "last", "volume"]
LAST = INSTRUMENTS.index("last")
ROWS_MAX = 30


def instruments(count: int = ROWS_MAX) -> Reference:
    names = [f"{chr(65 + (k * 7) % 26)}{k}" for k in range(count)]
    return Reference(
        Instrument(k, name, k % 12, "X", "USD", 1.0, 0.01, 2, strike=1.0, right="C", expiry="2027")
        for k, name in enumerate(names)
    )


class Worker:
    """One worker's tables and cutter, told by hand, without Redis."""

    def __init__(self, tables) -> None:
        self.rows = {table.name: 4 for table in tables} | {"instruments": ROWS_MAX}
        self.rows |= {"analytics": ROWS_MAX, "positions": 8, "risk": 8}
        self.tables = {table.name: table.empty(self.rows[table.name]) for table in tables}
        self.oldest = np.zeros(ROWS_MAX, np.int64)
        self.epoch, self.sequence, self.ts_cut = 1, 0, 0
        self.cutter = delta.Cutter()

    def image(self) -> delta.Image:
        packed = delta.pack_image(self.tables, self.epoch, self.sequence, self.ts_cut, {})
        return delta.unpack_image(packed)

    def cut(self) -> tuple[int, int, bytes]:
        self.sequence += 1
        # Any of a worker's first table counts as touched: its cutter looks at what differs.
        self.oldest[self.oldest == 0] = -1
        oldest = self.oldest.copy()
        frame = self.cutter.cut(self.tables, oldest, self.epoch, self.sequence, self.ts_cut)
        self.oldest[:] = 0
        return self.epoch, self.sequence, frame


class World:
    """A mirror fed by the cutters of both workers by hand."""

    def __init__(self) -> None:
        self.mirror = Mirror(bus=None)  # type: ignore[arg-type]
        self.mirror.reference = instruments()
        self.live, self.risk = Worker(LIVE_TABLES), Worker(RISK_TABLES)
        self.tables = self.live.tables | self.risk.tables
        for worker, track in self.both:
            self.mirror.take_image(worker.image(), track)

    @property
    def both(self):
        return (self.live, self.mirror.live), (self.risk, self.mirror.risk)

    def change(self, cells: list[tuple[int, int, float]], oldest_ns: int = 1_000_000_000) -> None:
        for row, column, value in cells:
            self.tables["instruments"][row, column] = value
            self.live.oldest[row] = oldest_ns
        assert self.mirror.take([self.live.cut()])

    def change_risk(self, table: str = "analytics", cells=()) -> None:
        for row, column, value in cells:
            self.tables[table][row, column] = value
        assert self.mirror.take([self.risk.cut()], self.mirror.risk)


class Page:
    """What a browser makes of sections: an independent reading of the wire."""

    def __init__(self, columns: int = len(COLUMNS)) -> None:
        self.columns = columns
        self.rows = np.zeros(0, np.uint32)
        self.total = 0
        self.cells = np.zeros((0, columns))
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
        self.cells = np.full((n, self.columns), 777.0)  # Every cell must be told after this.

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
    world.change([(20, LAST, 1.0), (3, INSTRUMENTS.index("low"), 2.0)])
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


def test_rows_that_move_between_two_changes_are_told(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("app.view.time.monotonic", lambda: now[0])
    world = World()
    world.change([(k, LAST, float(k)) for k in range(ROWS_MAX)])
    view = View(view_key("instruments", COLUMNS)._replace(sort=LAST, descending=True), world.mirror)
    port, page = Viewport(view, 0, 3), Page()
    world.change([(2, LAST, 99.0)])
    page.read(port.encode(0, -1, -1))
    assert page.rows.tolist() == [29, 28, 27]
    now[0] += 1.1
    view.refresh()
    page.read(port.encode(0, -1, -1))
    assert page.rows.tolist() == [2, 29, 28]


def test_sort_by_symbol():
    world = World()
    key = view_key("instruments", COLUMNS)._replace(sort=BY_SYMBOL)
    symbols = [world.mirror.reference.by_id[int(k)].symbol for k in View(key, world.mirror).order]
    assert symbols == sorted(symbols)


def test_unknown_names_say_what_there_is():
    with pytest.raises(KeyError, match=r"no column 'vwpa'; instruments has mid, .*; analytics has"):
        view_key("instruments", ["vwpa"])
    with pytest.raises(KeyError, match="no table 'x'; there are instruments"):
        view_key("x", [])
    with pytest.raises(KeyError, match="no column 'dv01'; books has"):
        view_key("books", ["dv01"])


# ---- two tables whose rows mean the same ---------------------------------------------------------


@pytest.mark.parametrize(("table", "beside"), [(INSTRUMENTS, ANALYTICS), (POSITIONS, RISK)])
def test_every_column_of_a_pair_is_found_by_its_name(table, beside):
    assert sides(table.name)[:2] == (table, beside)
    numbers = set()
    for first, side in ((0, table), (table.width, beside)):
        for place, column in enumerate(side.columns):
            found = find_column(table.name, f"{side.name}.{column.name}")
            assert found == (first + place, column)
            numbers.add(found[0])
            if side is table or column.name not in table.names:
                assert find_column(table.name, column.name) == found
    assert numbers == set(range(table.width + beside.width))
    # What desks write without the table's name must mean one column.
    assert not set(table.names) & set(beside.names)


pair_cell = st.tuples(
    st.integers(0, 7),
    st.integers(0, min(POSITIONS.width, RISK.width) - 1),
    st.one_of(st.floats(-1e9, 1e9), st.just(float("nan"))),
)
pair_steps = st.lists(
    st.tuples(
        st.sampled_from(["positions", "risk"]), st.lists(pair_cell, max_size=12), st.booleans()
    ),
    max_size=12,
)


@settings(deadline=None)
@given(pair_steps, st.permutations(["pnl", "value_usd", "book", "dv01_usd", "quantity", "stale"]))
def test_a_page_on_two_tables_shows_both(rounds, columns):
    world = World()
    view = View(view_key("positions", columns), world.mirror)
    port = Viewport(view, 0, 8)
    page, sent, version = Page(len(columns)), -1, -1
    for table, cells, ready in [*rounds, ("risk", [], True)]:
        for row, column, value in cells:
            world.tables[table][row, column] = value
        world.change([]) if table == "positions" else world.change_risk()
        if ready:
            view._selected_at = view._sorted_at = -10.0
            view.refresh()
            page.read(port.encode(0, sent, version))
            sent, version = world.mirror.sequence, view.version
    both = np.hstack((world.tables["positions"], world.tables["risk"]))
    held = np.flatnonzero(~np.isnan(both[:, POSITIONS.index("book")]))
    names = (*POSITIONS.names, *RISK.names)
    expected = both[held][:, [names.index(name) for name in columns]]
    assert page.rows.tolist() == held.tolist()
    np.testing.assert_array_equal(page.cells, expected)


def test_only_live_stamps_a_row():
    world = World()
    columns = ["last", "delta"]
    port = Viewport(View(view_key("instruments", columns), world.mirror), 0, 10)
    page = Page(2)
    page.read(port.encode(0, -1, -1))
    sent, version = world.mirror.sequence, port.view.version
    delta_at = ANALYTICS.index("delta")
    # Of row 3 live tells a column that is not shown, then risk one that is.
    world.change([(3, INSTRUMENTS.index("low"), 1.0), (4, LAST, 2.0)], 5_000_000_000)
    world.change_risk("analytics", [(3, delta_at, 0.5), (4, delta_at, 0.6)])
    page.read(port.encode(0, sent, version))
    assert page.cells[3, 1] == 0.5
    assert page.cells[4].tolist() == [2.0, 0.6]
    assert page.stamps == {4: pytest.approx(5_000)}


def test_a_column_of_the_table_beside_can_be_sorted_by():
    world = World()
    number, column = find_column("instruments", "vega")
    assert column.name == "vega"
    place = ANALYTICS.index("vega")
    world.change_risk("analytics", [(k, place, float(-k)) for k in (3, 9, 5)])
    view = View(view_key("instruments", ["vega"])._replace(sort=number), world.mirror)
    assert view.order[:3].tolist() == [9, 5, 3]
    assert len(view.order) == ROWS_MAX


def test_tables_of_a_pair_grow_together():
    world = World()
    world.tables["risk"] = world.risk.tables["risk"] = RISK.empty(40)
    world.tables["risk"][33, 0] = 5.0
    assert world.mirror.take([world.risk.cut()], world.mirror.risk)
    assert len(world.mirror.tables["positions"]) == len(world.mirror.tables["risk"]) == 40
    assert np.isnan(world.mirror.tables["positions"][8:]).all()
    view = View(view_key("positions", ["book", "value_usd"]), world.mirror)
    assert view.order.tolist() == []  # What `live` has not told is no position yet.
    world.tables["positions"][2, 0] = 1.0
    world.change([])
    view = View(view_key("positions", ["book", "value_usd"]), world.mirror)
    assert view.order.tolist() == [2]


# ---- filters on what rows hold -------------------------------------------------------------------


def hold(world: World, lines) -> None:
    for slot, (book, instrument) in enumerate(lines):
        world.tables["positions"][slot, :3] = book, instrument, 10.0
    world.change([])


def test_positions_hide_free_slots_and_filter_by_book_class_and_text():
    world = World()
    hold(world, [(0, 5), (1, 5), (1, 17), (0, 2)])
    reference = world.mirror.reference.by_id

    def shown(**asked):
        match = match_key("positions", {k: v for k, v in asked.items() if k == "book"})
        asked.pop("book", None)
        key = view_key("positions", ["quantity"])._replace(match=match, **asked)
        return View(key, world.mirror).order.tolist()

    assert shown() == [0, 1, 2, 3]
    assert shown(book=1) == [1, 2]
    assert shown(book=7) == []
    assert shown(classes=(reference[5].asset_class,)) == [
        slot for slot, row in enumerate((5, 5, 17, 2)) if row % 12 == 5
    ]
    assert shown(text=reference[17].symbol.lower()) == [2]
    assert shown(book=0, text=reference[5].symbol) == [0]


def test_positions_sort_by_symbol_and_by_quantity():
    world = World()
    hold(world, [(0, 5), (1, 3), (1, 17)])
    world.tables["positions"][:3, 2] = [3.0, 1.0, 2.0]
    world.change([])
    plain = view_key("positions", ["quantity"])
    symbols = [world.mirror.reference.by_id[row].symbol for row in (5, 3, 17)]
    by_symbol = View(plain._replace(sort=BY_SYMBOL), world.mirror).order.tolist()
    assert by_symbol == sorted(range(3), key=symbols.__getitem__)
    by_quantity = plain._replace(sort=POSITIONS.index("quantity"), descending=True)
    assert View(by_quantity, world.mirror).order.tolist() == [0, 2, 1]


def test_a_new_position_appears_and_a_scope_filters(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("app.view.time.monotonic", lambda: now[0])
    world = World()
    positions = View(view_key("positions", ["quantity"]), world.mirror)
    scope = match_key("exposures", {"scope": 2})
    exposures = View(view_key("exposures", ["net"], {"scope": 2}), world.mirror)
    assert exposures.key.match == scope
    assert positions.order.tolist() == exposures.order.tolist() == []
    hold(world, [(0, 5)])
    world.change_risk("exposures", [(0, 0, 1.0), (1, 0, 2.0), (3, 0, 2.0)])
    for view in (positions, exposures):
        version = view.version
        view.refresh()
        assert view.version == version  # It looks five times a second.
    now[0] += 0.25
    positions.refresh()
    exposures.refresh()
    assert positions.order.tolist() == [0]
    assert exposures.order.tolist() == [1, 3]
    assert EXPOSURES.names[0] == "scope"


@pytest.mark.parametrize(
    "table", [table for table in TABLES if not is_quant(table.name)], ids=lambda table: table.name
)
def test_every_table_can_be_a_feed(table):
    world = World()
    for row in range(3):
        world.tables[table.name][row] = np.arange(table.width) + 100.0 * row
    world.change([(k, 0, world.tables["instruments"][k, 0]) for k in range(3)])
    world.change_risk()
    port = Viewport(View(view_key(table.name, table.names), world.mirror), 0, 400)
    page = Page(table.width)
    page.read(port.encode(0, -1, -1))
    np.testing.assert_array_equal(page.cells[:3], world.tables[table.name][:3])


def test_what_cannot_be_matched_is_refused():
    with pytest.raises(KeyError, match="no column 'scope'"):
        match_key("positions", {"scope": 1})
    with pytest.raises(ValueError, match="invalid literal"):
        match_key("positions", {"book": "x"})
