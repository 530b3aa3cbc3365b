"""What compiles beside the loop: in order, said while it lasts, joined once, never swallowed."""

import threading

import numpy as np
import pytest

from compute.table import LIVE_TABLES
from compute.warm import Deferred, Task, Warming
from ingest.instrument import Instrument, Reference

ROW = Instrument(0, "AAA", 0, "X", "USD", 1.0, 0.01, 2)
TABLES = {table.name: table.empty(3) for table in LIVE_TABLES}
NOTHING = {table.name: np.zeros(0, np.int64) for table in LIVE_TABLES}


class Part:
    def __init__(self):
        self.grown, self.seen, self.health = [], [], {"smiles": 7}

    def grow(self, reference):
        self.grown.append(len(reference))

    def step(self, tables, changed, now_ns):
        self.seen.append({name: len(rows) for name, rows in changed.items()})
        return np.array([now_ns])


def test_tasks_run_in_their_order_and_progress_says_which():
    gate, order = threading.Event(), []
    first = Task("curves", lambda: gate.wait(10) and order.append("curves"))
    second = Task("options", lambda: order.append("options"))
    warming = Warming([first, second]).start()
    assert warming.progress == "curves, 1 of 2"
    assert not second.ready
    gate.set()
    assert second.done.wait(10)
    assert (warming.progress, order) == ("", ["curves", "options"])


def test_a_part_joins_when_it_is_ready_and_to_it_all_has_changed():
    part = Part()
    task = Task("options", lambda: part)
    warming = Warming([task])
    deferred = Deferred(task, warming)
    deferred.grow(Reference([ROW]))
    assert len(deferred.step(TABLES, NOTHING, 5)) == 0
    assert deferred.health == {"starting": "options, 1 of 1"}
    warming.finish()
    assert deferred.step(TABLES, NOTHING, 5).tolist() == [5]
    deferred.step(TABLES, NOTHING, 6)
    assert part.grown == [1]
    assert [seen["instruments"] for seen in part.seen] == [3, 0]
    assert deferred.health == {"starting": "", "smiles": 7}
    deferred.grow(Reference([ROW, Instrument(1, "BBB", 0, "X", "USD", 1.0, 0.01, 2)]))
    assert part.grown == [1, 2]


def test_what_goes_wrong_ends_whoever_asks_for_the_result():
    def make():
        raise MemoryError("no room to compile")

    task = Task("options", make)
    deferred = Deferred(task)
    deferred.grow(Reference([ROW]))
    Warming([task]).finish()
    with pytest.raises(MemoryError, match="no room"):
        deferred.step(TABLES, NOTHING, 5)
