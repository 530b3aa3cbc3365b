"""Delta: apply(cut(x)) is x, only changed cells travel, torn bytes are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import delta
from compute.table import INSTRUMENTS, TABLES


def empty_tables(rows: int = 40) -> dict[str, np.ndarray]:
    return {table.name: table.empty(rows if table is INSTRUMENTS else 5) for table in TABLES}


def cut(cutter: delta.Cutter, tables, touched, sequence: int = 1) -> delta.Delta:
    oldest = np.zeros(len(tables["instruments"]), np.int64)
    oldest[touched] = 1_000 + np.asarray(touched)
    frame = cutter.cut(tables, oldest, 9, sequence, 77)
    assert not oldest.any()
    return delta.decode(frame)


value = st.one_of(st.floats(allow_nan=True), st.just(0.0), st.just(-0.0))
change = st.tuples(st.integers(0, 39), st.integers(0, INSTRUMENTS.width - 1), value)


@settings(deadline=None)
@given(st.lists(st.lists(change, max_size=30), min_size=1, max_size=6))
def test_apply_is_the_inverse_of_cut(rounds):
    tables, mirror, cutter = empty_tables(), empty_tables(), delta.Cutter()
    for k, changes in enumerate(rounds):
        for row, column, new in changes:
            tables["instruments"][row, column] = new
        found = cut(cutter, tables, sorted({row for row, _, _ in changes}), k + 1)
        for section in found.sections:
            delta.apply(section, mirror[section.table.name])
        now, then = tables["instruments"], mirror["instruments"]
        assert (now.view(np.int64) == then.view(np.int64)).all()


def test_only_changed_cells_travel():
    tables, cutter = empty_tables(), delta.Cutter()
    tables["instruments"][3, 2] = 5.0
    assert len(cut(cutter, tables, [3, 4]).sections[0].values) == 1
    assert cut(cutter, tables, [3, 4]).sections == []
    tables["instruments"][3, 2] = 6.0
    tables["classes"][1, 0] = 1.0
    first, second = cut(cutter, tables, [3]).sections
    assert (first.rows.tolist(), first.columns.tolist(), first.values.tolist()) == ([3], [2], [6.0])
    assert first.oldest_ns.tolist() == [1_003]
    assert second.table.name == "classes"


def test_a_table_that_grows_keeps_what_was_told():
    tables, cutter = empty_tables(4), delta.Cutter()
    tables["instruments"][1, 1] = 5.0
    cut(cutter, tables, [1])
    grown = INSTRUMENTS.empty(9)
    grown[:4] = tables["instruments"]
    grown[8, 0] = 1.0
    tables["instruments"] = grown
    found = cut(cutter, tables, [1, 8])
    assert found.sections[0].capacity == 9
    assert found.sections[0].rows.tolist() == [8]


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_torn_bytes_are_refused(size):
    tables, cutter = empty_tables(), delta.Cutter()
    tables["instruments"][:, 2] = np.arange(40)
    oldest = np.ones(40, np.int64)
    frame = cutter.cut(tables, oldest, 9, 1, 77)
    image = delta.pack_image(tables, 9, 1, 77, {(0, 0): 5})
    for data, read in ((frame, delta.decode), (image, delta.unpack_image)):
        if size < len(data):
            with pytest.raises(delta.DeltaError):
                read(data[:size])


def test_an_image_is_the_tables_with_their_positions():
    tables = empty_tables()
    tables["instruments"][7] = np.arange(INSTRUMENTS.width)
    image = delta.unpack_image(delta.pack_image(tables, 3, 4, 5, {(0, 1): 12, (12, 0): 7}))
    assert (image.epoch, image.sequence, image.ts_cut) == (3, 4, 5)
    assert image.positions == {(0, 1): 12, (12, 0): 7}
    for name, table in tables.items():
        assert (image.tables[name].view(np.int64) == table.view(np.int64)).all()
