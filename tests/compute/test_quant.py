"""Quant columns: read from a file, refused with the reason, compiled, and computed as a part."""

import json
import math

import numpy as np
import pytest

from app import quant
from compute import quant_kernel
from compute.quant import COLUMNS_MAX, Definition, QuantError
from compute.quant_part import QuantPart
from compute.quant_read import nearest, read, read_all
from compute.table import INSTRUMENTS, POSITIONS, TABLES
from compute.unit import Unit, UnitError, parse

HEAD = "from app.blocks import column\n"
SPREAD = (
    'spread_bps = column("spread_bps", lambda bid, ask, mid: (ask - bid) / mid * 1e4, unit="bp")\n'
)


@pytest.fixture
def layout(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(HEAD + text)
        return path

    return write


def refusal(path):
    (found,) = read(path).refused
    return found[1]


# ---- units --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["USD", "USD per bp", "price per vol point^2", "bp x days", "1"])
def test_a_unit_reads_what_it_writes(text):
    assert parse(str(parse(text))) == parse(text)


def test_units_multiply_cancel_and_take_roots():
    price, size = parse("price"), parse("units")
    assert str(price * size / price) == "units"
    assert (price / price).plain
    assert parse("per 1") == parse("") == Unit()
    assert parse("bits") is None
    assert (price * price).root() == price
    with pytest.raises(UnitError, match="no square root of price"):
        price.root()


def test_every_column_of_the_tables_has_a_unit_that_is_read():
    for table in TABLES:
        for column in table.columns:
            unit = parse(column.unit)
            assert unit is None or parse(str(unit)) == unit, column


# ---- reading ------------------------------------------------------------------------------------


def test_a_lambda_an_expression_and_a_function_are_columns(layout):
    found = read(
        layout(
            SPREAD
            + 'wide = column("ask") - column("bid")\n'
            + 'rel = column("rel", wide / column("mid") * 100, unit="%", head="Wide %")\n'
            + '@column(unit="bp")\n'
            + "def micro(bid, ask, bid_size, ask_size, mid):\n"
            + '    """Micro price over mid."""\n'
            + "    size = bid_size + ask_size\n"
            + "    if size <= 0:\n        return math.nan\n"
            + "    return ((bid * ask_size + ask * bid_size) / size / mid - 1) * 1e4\n"
            + 'carry = column("carry", lambda pnl, fees: pnl - fees, aggregate="sum", '
            + 'table="positions")\n'
        )
    )
    assert not found.refused
    spread, rel, micro, carry = found.definitions
    assert (spread.arguments, spread.unit, spread.line) == (("bid", "ask", "mid"), "bp", 2)
    assert rel.text == "def rel(ask, bid, mid):\n    return (ask - bid) / mid * 100"
    assert (rel.column.head, rel.column.format, rel.column.unit) == ("Wide %", "percent", "%")
    assert micro.formula == "Micro price over mid."
    assert (carry.rows, carry.unit, carry.aggregate) == ("positions", "USD", "sum")
    assert carry.column.format == "money_k"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'column("x", column("delta") + column("gamma"))',
            r"gamma \(per price\) is added to delta",
        ),
        ('column("x", lambda bid, bid_size: bid + bid_size)', r"bid_size \(units\).*bid \(price\)"),
        ('column("x", column("delta") + column("delta_usd"))', "stand in different rows: delta "),
        ('column("x", column("delta") + column("cash_delta"))', "Did you mean delta or delta_usd"),
        ('column("x", lambda bid: math.log(bid))', "needs a plain number, and bid is in price"),
        ('column("x", lambda bid, ask: ask / bid, unit="USD")', "makes 1, and its unit is said"),
        ('column("x", lambda bid: bid, aggregate="sum")', "a sum of price over instruments means"),
        ('column("x", lambda pnl: pnl, unit="furlongs")', "makes USD, and its unit is said to be"),
        ('column("x", lambda bid: open("a"))', "'open' may not be called in it"),
        ('column("x", lambda bid: __import__("os").system("a"))', "is not known in it"),
        ('column("x", lambda bid: bid.real)', "`bid.real` is not known in it"),
        ('column("x", lambda bid: [bid][0])', "an index"),
        ('column("x", lambda bid: "a")', "'a' is no number"),
        ('column("x", lambda *bid: 1.0)', "plain names of columns"),
        ('column("x", lambda: 1.0)', "needs an argument"),
        ('column("mid", lambda bid: bid)', "mid is a column of the tables already"),
        ('column("Two Words", lambda bid: bid)', "is no name of a column"),
        ('column("x", lambda bid: bid, colour="red")', "not colour"),
        ('column("x", 5)', "made by a function or of columns"),
        ("@column\ndef x(bid):\n    while True:\n        pass", "a loop"),
        ("@column\ndef x(bid):\n    import os\n    return bid", "an import"),
        ("@column\ndef x(bid):\n    if bid > 0:\n        return bid", "not every way through it"),
        (
            "@column\ndef x(bid):\n    if bid > 0:\n        a = 1.0\n    return a",
            "'a' is not known",
        ),
        ("@column\ndef x(bid):\n    raise ValueError", "return math.nan, which blanks the cell"),
        ('column("x", lambda bid: ' + "+".join(["bid"] * 300) + ")", "it is too long"),
    ],
)
def test_what_cannot_be_a_column_is_refused_with_line_and_remedy(layout, text, said):
    error = refusal(layout(text))
    with pytest.raises(QuantError, match=said):
        raise error
    assert error.line >= 2


def test_a_file_that_is_no_python_is_refused_and_others_are_read(layout, tmp_path):
    layout("def (\n", "a.py")
    layout(SPREAD, "b.py")
    layout(SPREAD.replace("1e4", "2e4"), "c.py")
    layout(SPREAD, "d.py")
    found = read_all([tmp_path])
    assert [one.file for one in found.definitions] == [str(tmp_path / "b.py")]
    (first, no_python), (second, twice) = found.refused
    assert (first, no_python.line) == (str(tmp_path / "a.py"), 2)
    assert second == str(tmp_path / "c.py")
    assert "is defined in" in str(twice)


def test_a_file_that_is_not_of_blocks_is_nobodys_column(tmp_path):
    path = tmp_path / "other.py"
    path.write_text('from elsewhere import column\ncolumn("x", lambda bid: bid)\n')
    assert not read(path).definitions
    assert not read(path).refused


def test_the_nearest_names_are_suggested():
    assert nearest("vwpa", INSTRUMENTS.names).startswith(" Did you mean vwap")
    assert nearest("zzz", INSTRUMENTS.names) == ""


# ---- compiling ----------------------------------------------------------------------------------


def definition(body, *arguments):
    text = f"def x({', '.join(arguments)}):\n{body}"
    return Definition("x", arguments, text, "", "instruments")


def test_a_kernel_computes_what_its_text_says_and_blanks_what_is_none():
    kernel = quant_kernel.made(definition("    return ask / bid", "bid", "ask"))
    tables = {table.name: table.empty(4) for table in TABLES}
    tables["instruments"][:, INSTRUMENTS.index("bid")] = [2.0, 0.0, math.nan, 4.0]
    tables["instruments"][:, INSTRUMENTS.index("ask")] = [3.0, 1.0, 1.0, 5.0]
    out = np.zeros(4)
    assert kernel.compute(tables, np.array([0, 1, 2]), out) == (2, 1)
    np.testing.assert_array_equal(out, [1.5, math.nan, math.nan, 0.0])


def test_what_numba_cannot_compile_or_takes_too_long_is_refused():
    with pytest.raises(QuantError, match="Numba cannot compile it"):
        quant_kernel.made(definition("    if bid > 0:\n        return bid", "bid"))
    turns = iter(range(1_000))
    with pytest.raises(QuantError, match="ns a row, and 500 is the limit"):
        quant_kernel.made(definition("    return bid", "bid"), lambda: float(next(turns)))


# ---- the part of risk ---------------------------------------------------------------------------


def test_columns_come_change_and_go_with_their_file(layout, tmp_path):
    tables = {table.name: table.empty(3) for table in TABLES}
    prices = tables["instruments"]
    for name, value in (("bid", 99.0), ("ask", 101.0), ("mid", 100.0)):
        prices[:, INSTRUMENTS.index(name)] = value
    tables["positions"][:, POSITIONS.index("pnl")] = 7.0
    now = [0.0]
    part = QuantPart([tmp_path], lambda: now[0], beside=False)
    part.step(tables, {}, 0)
    assert part.tables == part.names() == part.health == {}  # Nobody pays for none.
    assert not part.take_renewed()

    def later(changed):
        now[0] += 1.5
        part.step(tables, changed, 0)
        return part.tables

    layout(SPREAD + 'column("twice", lambda pnl: 2 * pnl, table="positions")\n')
    made = later({})
    assert part.take_renewed()
    np.testing.assert_array_equal(made["quant"][:, 0], 200.0)
    np.testing.assert_array_equal(made["quant_positions"][:, 0], 14.0)
    assert np.isnan(made["quant"][:, 1:]).all()
    prices[:, INSTRUMENTS.index("ask")] = 102.0
    made = later({"instruments": np.array([1])})  # Only that row is said to have changed.
    np.testing.assert_array_equal(made["quant"][:, 0], [200.0, 300.0, 200.0])

    layout(SPREAD.replace("/ mid", "/ (mid - mid)") + 'column("bad", lambda bid: bad())\n')
    made = later({})
    assert part.take_renewed()
    assert np.isnan(made["quant"]).all()
    said = part.names()["quant"]["said"]
    assert "blank in 3 of the 3 rows" in said["spread_bps"]
    assert "mine.py:3: 'bad' may not be called" in said["bad"]
    assert part.health == {"quant_columns": 1, "quant_refused": 1}

    (tmp_path / "mine.py").unlink()
    assert later({}) == {}
    assert part.take_renewed()
    assert part.names() == {}


def test_more_columns_than_there_is_room_for_are_refused(layout, tmp_path):
    layout("".join(f'column("x{k}", lambda bid: bid)\n' for k in range(COLUMNS_MAX + 1)))
    part = QuantPart([tmp_path], beside=False)
    part._compiled = dict.fromkeys(  # Not to be compiled here.
        (one.same for one in read_all([tmp_path]).definitions),
        quant_kernel.made(definition("    return bid", "bid")),
    )
    part.step({table.name: table.empty(1) for table in TABLES}, {}, 0)
    assert len(part.kernels) == COLUMNS_MAX
    assert f"there are {COLUMNS_MAX} columns" in part.refused[f"x{COLUMNS_MAX}"]


# ---- in a web process ---------------------------------------------------------------------------


def names(*columns, epoch=5):
    told = [
        {"rows": "instruments", "place": place, "name": name, "head": "", "format": "number"}
        | {"unit": "1", "aggregate": "none", "source": ""}
        for place, name in columns
    ]
    return json.dumps({"quant": {"columns": told}, "quant_epoch": epoch}).encode()


def test_a_column_has_one_place_here_wherever_the_worker_has_it():
    known = quant.Columns()
    first = quant.told(names((0, "a"), (1, "b")), known)
    second = quant.told(names((0, "b"), (1, "c"), epoch=6), known)
    assert (first.epoch, second.epoch) == (5, 6)
    assert first.places["quant"][:3].tolist() == [0, 1, -1]
    assert second.places["quant"][:3].tolist() == [1, 2, -1]
    worker = np.full((2, COLUMNS_MAX), np.nan)
    worker[:, :2] = [[1.0, 2.0], [3.0, 4.0]]
    here = quant.translated(worker, second.places["quant"])
    np.testing.assert_array_equal(here[:, :3], [[np.nan, 1.0, 2.0], [np.nan, 3.0, 4.0]])


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"quant":{"columns":[{}]}}', b'{"quant":1}'])
def test_names_that_are_none_tell_nothing(data):
    assert quant.told(data, quant.Columns()).epoch == -1
