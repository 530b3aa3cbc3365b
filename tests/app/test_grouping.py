"""Groups: heads, subtotals and totals against a slow telling; orders that are held; many sorts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.grouping import NOBODY, Grouped, group_key, make_view
from app.mirror import Mirror
from app.view import GROUP, TOTAL, View, Viewport, view_key
from compute import delta
from compute.table import INSTRUMENTS, POSITIONS, TABLES
from ingest.instrument import Instrument, Reference

COLUMNS = ["bid", "pnl", "exposure", "ts_event", "state"]
CURRENCIES = ("USD", "EUR", "")
AT = {name: INSTRUMENTS.index(name) for name in COLUMNS}


class World:
    """A mirror of instruments whose numbers a test sets."""

    def __init__(self, count: int) -> None:
        self.mirror = Mirror(bus=None)  # type: ignore[arg-type]
        self.rows = [
            Instrument(k, f"S{k}", k % 4, "X", CURRENCIES[k % 3], 1.0, 0.01, 2)
            for k in range(count)
        ]
        self.mirror.reference = Reference(self.rows)
        self.tables = {table.name: table.empty(8) for table in TABLES}
        self.tables["instruments"] = INSTRUMENTS.empty(count)
        self.sequence = 0

    def take(self) -> None:
        """The tables as they are, as one more step."""
        self.sequence += 1
        image = delta.pack_image(self.tables, 1, self.sequence, 0, {})
        self.mirror.take_image(delta.unpack_image(image))

    def view(self, **message) -> Grouped:
        """A grouped view of COLUMNS."""
        found = make_view(group_key(view_key("instruments", COLUMNS), message), self.mirror)
        assert isinstance(found, Grouped)
        return found


def cell(view: View, row: int, column: str) -> float:
    """One cell as it would travel."""
    rows, places = np.array([row], np.uint32), np.array([COLUMNS.index(column)])
    return float(view.values(rows, places)[0])


numbers = st.one_of(st.just(math.nan), st.floats(-1e9, 1e9))


@settings(max_examples=60, deadline=None)
@given(
    by=st.sampled_from(["class", "currency"]),
    values=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40),
    shut=st.lists(st.integers(0, 5), max_size=3),
)
def test_heads_rows_and_sums_are_those_of_a_slow_telling(by, values, shut) -> None:
    world = World(len(values))
    table = world.tables["instruments"]
    table[:, AT["pnl"]] = [pnl for pnl, _ in values]
    table[:, AT["ts_event"]] = [abs(at) for _, at in values]
    table[:, AT["bid"]] = 5.0
    world.take()
    view = world.view(by=by, shut=shut, total=True)
    groups: dict[int, list[int]] = {}
    for row in world.rows:
        named = [k for k in range(len(values)) if CURRENCIES[k % 3] == row.currency]
        number = int(row.asset_class) if by == "class" else named[0] if row.currency else NOBODY
        groups.setdefault(number, []).append(row.id)
    order = []
    for number in sorted(groups):
        order += [GROUP + number, *([] if number in shut else groups[number])]
    assert view.order.tolist() == order
    for number, members in [*groups.items(), (TOTAL - GROUP, [row.id for row in world.rows])]:
        known = [values[k][0] for k in members if not math.isnan(values[k][0])]
        told = cell(view, GROUP + number, "pnl")
        assert (
            told == pytest.approx(math.fsum(known), rel=1e-9, abs=1e-3)
            if known
            else math.isnan(told)
        )
        newest = [abs(values[k][1]) for k in members if not math.isnan(values[k][1])]
        told = cell(view, GROUP + number, "ts_event")
        assert told == max(newest) if newest else math.isnan(told)
        assert cell(view, GROUP + number, "state") == len(members)
        assert math.isnan(cell(view, GROUP + number, "bid"))  # A sum of prices is none.


def test_only_sums_that_changed_travel_and_all_of_them_do(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr("app.grouping.time.monotonic", lambda: now[0])
    world = World(12)
    world.tables["instruments"][:, AT["pnl"]] = 1.0
    world.take()
    view = world.view(by="class", total=True)
    port = Viewport(view, 0, 40)
    assert port.rows[-1] == TOTAL
    since = world.mirror.sequence
    for step in range(20):
        world.tables["instruments"][0, AT["pnl"]] = 2.0 + step
        now[0] += 0.07
        world.take()
        view.refresh()
        changed = view.changed(port.rows, since)
        heads = [int(row) for row in port.rows[changed.any(axis=1)] if row >= GROUP]
        assert heads in ([], [GROUP, TOTAL])
        if heads:
            assert cell(view, GROUP, "pnl") == 2.0 + step + 2
            assert cell(view, TOTAL, "pnl") == 2.0 + step + 11
        since = world.mirror.sequence
    now[0] += 1
    world.take()
    view.refresh()
    assert cell(view, TOTAL, "pnl") == 21.0 + 11


def test_a_held_order_stays_and_its_twins_are_one(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr("app.view.time.monotonic", lambda: now[0])
    world = World(6)
    world.tables["instruments"][:, AT["pnl"]] = np.arange(6.0)
    world.take()
    key = view_key("instruments", COLUMNS)._replace(sort=AT["pnl"])
    view = View(key, world.mirror)
    held = view.held()
    assert held.key == View(key, world.mirror).held().key
    world.tables["instruments"][:, AT["pnl"]] = -np.arange(6.0)
    now[0] += 5
    world.take()
    view.refresh()
    held.refresh()
    assert view.order.tolist() == [5, 4, 3, 2, 1, 0]
    assert held.order.tolist() == [0, 1, 2, 3, 4, 5]
    assert view.held().key != held.key


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.sampled_from([math.nan, 1.0, 2.0, 3.0])] * 2), max_size=30),
    down=st.tuples(st.booleans(), st.booleans()),
)
def test_many_sorts_are_those_of_python(rows, down) -> None:
    world = World(max(1, len(rows)))
    for k, (pnl, exposure) in enumerate(rows):
        world.tables["instruments"][k, [AT["pnl"], AT["exposure"]]] = pnl, exposure
    world.take()
    key = view_key("instruments", COLUMNS)
    key = key._replace(sort=AT["pnl"], descending=down[0], then=((AT["exposure"], down[1]),))

    def rank(k: int) -> list[float]:
        pairs = zip(rows[k] if rows else (math.nan, math.nan), down, strict=True)
        return [math.inf if math.isnan(v) else -v if last else v for v, last in pairs]

    order = View(key, world.mirror).order.tolist()
    assert order == sorted(range(max(1, len(rows))), key=rank)


def test_columns_that_are_not_shown_do_not_travel() -> None:
    world = World(4)
    world.tables["instruments"][:] = 1.0
    world.take()
    whole = Viewport(View(view_key("instruments", COLUMNS), world.mirror), 0, 4)
    key = view_key("instruments", COLUMNS)._replace(shown=(1, 4))
    part = Viewport(View(key, world.mirror), 0, 4)
    sizes = [len(port.encode(0, -1, -1)) for port in (whole, part)]
    assert sizes[0] - sizes[1] >= 3 * 4 * 8


def test_what_cannot_be_grouped_is_refused() -> None:
    key = view_key("instruments", COLUMNS)
    for by in ("book", "price", "symbol"):
        with pytest.raises(ValueError, match="is not grouped by"):
            group_key(key, {"by": by})
    held = view_key(POSITIONS.name, ["quantity"])
    assert group_key(held, {"by": "book", "shut": [3, 1, 3]}).shut == (1, 3)
