"""Quant columns from a layout's file to a view: right or blank, whatever moves meanwhile."""

import json

import numpy as np
import pytest

from app import quant
from app.grouping import make_view
from app.mirror import Mirror
from app.view import column_at, find_column, view_key
from compute import delta
from compute.quant_part import QuantPart
from compute.risk import WORKER, Risk
from compute.table import INSTRUMENTS, Column
from ingest.instrument import Instrument, Reference
from tests.compute.test_risk import NOW, ROWS, Stream, Worker

HEAD = "from app.blocks import column\n"
WIDTH = 'column("width_bps", lambda bid, ask, mid: (ask - bid) / mid * 1e4, unit="bp")\n'
BEFORE = 'column("a_ratio", lambda bid, ask: bid / ask)\n'
FIELDS = (0, "X", "USD", 1.0, 0.01, 2)


class Rows:
    """The reference rows."""

    def read_all(self):
        return [Instrument(row, f"S{row}", *FIELDS) for row in range(ROWS)]

    def poll(self):
        return []


class World:
    """live, risk with a part for quant columns, and a mirror, on a clock of their own."""

    def __init__(self, folder):
        self.bus, self.now, self.folder = Stream(), 0.0, folder
        self.live = Worker(self.bus)
        self.ns = NOW
        self.part = QuantPart([folder], lambda: self.now, beside=False)
        self.risk = Risk(
            *(Rows(), self.bus, [self.part]),
            now_ns=lambda: self.ns,
            monotonic=lambda: self.now,
            pause=self.wait,
        )
        self.mirror = Mirror(bus=None)
        self.mirror.reference = Reference(Rows().read_all())

    def wait(self, seconds):
        self.now += seconds
        self.ns += int(seconds * 1e9)

    def quote(self, row, bid, ask):
        for name, value in (("bid", bid), ("ask", ask), ("mid", (bid + ask) / 2)):
            self.live.set(row, INSTRUMENTS.index(name), value)
        self.live.cut(image=True)
        self.wait(1.5)
        for _ in range(4):
            self.risk.step()

    def follow(self, *, names=True):
        if names:
            self.mirror.names = self.bus.names
        self.mirror.take_image(delta.unpack_image(self.bus.images[0]), self.mirror.live)
        image = delta.unpack_image(self.bus.images[WORKER])
        self.mirror.take_image(image, self.mirror.risk)
        self.mirror.take(self.bus.deltas(image.epoch, image.sequence, WORKER), self.mirror.risk)

    def shown(self, *columns, sort=""):
        key = view_key("instruments", columns)
        if sort:
            key = key._replace(sort=find_column("instruments", sort)[0], descending=True)
        view = make_view(key, self.mirror)
        rows = view.order[:2].astype(np.int64)
        slots, places = np.divmod(np.arange(2 * len(columns)), len(columns))
        return view.values(rows[slots], places).reshape(2, -1).round(6).tolist()


@pytest.fixture
def world(tmp_path, monkeypatch):
    known = quant.Columns()
    for name in ("app.quant.COLUMNS", "app.view.COLUMNS"):
        monkeypatch.setattr(name, known)
    monkeypatch.setattr(quant.told, "__defaults__", (known,))
    return World(tmp_path)


def test_a_column_is_shown_sorted_and_follows_its_arguments(world):
    (world.folder / "mine.py").write_text(HEAD + WIDTH)
    world.quote(0, 99.0, 101.0)
    world.quote(1, 98.0, 102.0)
    world.follow()
    assert world.shown("bid", "width_bps") == [[99.0, 200.0], [98.0, 400.0]]
    assert world.shown("width_bps", sort="width_bps") == [[400.0], [200.0]]
    number, column = find_column("instruments", "width_bps")
    assert column_at("instruments", number) == column
    assert (column.unit, column.aggregate) == ("bp", "none")
    world.quote(0, 97.0, 103.0)
    world.follow()
    assert world.shown("bid", "width_bps")[0] == [97.0, 600.0]


def test_a_place_that_means_another_column_is_never_shown_as_the_first(world):
    (world.folder / "mine.py").write_text(HEAD + WIDTH)
    world.quote(0, 99.0, 101.0)
    world.quote(1, 98.0, 102.0)
    world.follow()
    epoch = world.risk.epoch
    (world.folder / "mine.py").write_text(HEAD + BEFORE + WIDTH)  # Its place is the second now.
    world.quote(2, 50.0, 60.0)
    assert world.risk.epoch > epoch
    assert json.loads(world.bus.names)["quant_epoch"] == world.risk.epoch
    world.follow(names=False)  # Whoever has not heard the new names shows nothing.
    assert np.isnan(world.shown("width_bps")).all()
    world.follow()
    assert world.shown("width_bps", "a_ratio")[0] == [200.0, round(99 / 101, 6)]


def test_a_view_made_before_the_column_was_told_shows_it_once_it_is(world):
    quant.COLUMNS.declare("quant", Column("later_bps", "", "number", "bp", "none", ""))
    (world.folder / "mine.py").write_text(HEAD + WIDTH)
    world.quote(0, 99.0, 101.0)
    world.quote(1, 98.0, 102.0)
    world.follow()
    assert np.isnan(world.shown("later_bps")).all()
    (world.folder / "mine.py").write_text(HEAD + WIDTH.replace("width_bps", "later_bps"))
    world.quote(1, 97.0, 103.0)
    world.follow()
    assert world.shown("later_bps") == [[200.0], [600.0]]
    assert np.isnan(world.shown("width_bps")).all()  # Nobody computes it any more.
    (world.folder / "mine.py").unlink()
    world.quote(1, 96.0, 104.0)
    world.follow()
    assert np.isnan(world.shown("later_bps")).all()


def test_without_quant_columns_nothing_is_told_of_them(world):
    world.quote(0, 99.0, 101.0)
    assert set(delta.unpack_image(world.bus.images[WORKER]).tables) == {"analytics"}
    assert world.bus.names == b""
