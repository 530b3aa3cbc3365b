"""A file of reference rows: what it says replaces what is known, and what cannot be is refused."""

import json

import pytest

from ingest.instrument import AssetClass, Instrument
from ingest.reference_file import load
from ingest.universe import universe

KNOWN = [
    Instrument(0, "AAA", 0, "XNAS", "USD", 1.0, 0.01, 2, close_prev=50.0),
    Instrument(1, "BBB", 1, "ARCX", "USD", 1.0, 0.01, 2),
    Instrument(2, "BBB CALL", 2, "OPRA", "USD", 100.0, 0.01, 2, underlying=1,
               expiry="2026-12-18", strike=60.0, right="C", exercise="american"),
]  # fmt: skip


def written(path, text, name="rows.csv"):
    file = path / name
    file.write_text(text)
    return file


def test_one_column_for_a_few_names(tmp_path):
    rows, refused = load(written(tmp_path, "symbol,beta,beta_index\nBBB,1.1,SPY\n"), KNOWN)
    assert refused == []
    assert [row.symbol for row in rows] == ["BBB"]
    assert (rows[0].beta, rows[0].beta_index, rows[0].id, rows[0].tick) == (1.1, "SPY", 1, 0.01)


def test_a_new_instrument_gets_the_next_id_and_its_shard(tmp_path):
    text = """symbol,asset_class,venue,currency,multiplier,tick,decimals,dividends,coupon
NEW,equity,XLON,GBP,1,0.5,1,2026-12-04:0.24 2027-03-05:0.25,
TWO,1,ARCX,USD,1,0.01,2,,
"""
    rows, refused = load(written(tmp_path, text), KNOWN, partitions=4)
    assert refused == []
    assert [(row.symbol, row.id, row.shard, row.asset_class) for row in rows] == [
        ("NEW", 3, 3, AssetClass.EQUITY),
        ("TWO", 4, 0, AssetClass.ETF),
    ]
    assert rows[0].dividends == (("2026-12-04", 0.24), ("2027-03-05", 0.25))


def test_json_lines(tmp_path):
    lines = [{"symbol": "AAA", "sector": "Health", "adv": 5000}, {"symbol": "BBB", "multiplier": 2}]
    text = "\n".join(map(json.dumps, lines)) + "\n\n"
    rows, refused = load(written(tmp_path, text, "rows.jsonl"), KNOWN)
    assert refused == []
    assert [(row.symbol, row.sector, row.adv, row.multiplier) for row in rows] == [
        ("AAA", "Health", 5000.0, 1.0),
        ("BBB", "", None, 2.0),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("AAA,x,,", "multiplier is 'x'; give a number"),
        ("AAA,0,,", "reference row 'AAA' (id 0): multiplier must be finite and not 0"),
        ("AAA,1", "2 cells under 4 headings"),
        (",1,,", "the row has no symbol; add it"),
        ("ZZZ,1,,", "is not an instrument without asset_class; add it"),
        ("AAA,,,equities", "asset_class is 'equities'; give one of equity, etf"),
        ("AAA,,,1", "asset_class is 0 and cannot change; leave it out"),
        ("BBB CALL,,77,", "underlying 77 is not in the reference data; add it"),
        ("BBB CALL,,3.5,", "underlying is '3.5'; give a whole number"),
    ],
)
def test_a_row_that_cannot_be_is_told_with_file_line_and_reason(tmp_path, line, said):
    text = f"symbol,multiplier,underlying,asset_class\nBBB,3,,\n{line}\nAAA,4,,\n"
    file = written(tmp_path, text)
    rows, refused = load(file, KNOWN)
    assert {"AAA", "BBB"} == {row.symbol for row in rows}, "the good rows are kept"
    assert len(refused) == 1
    assert str(refused[0]).startswith(f"{file} line 3: ")
    assert said in refused[0].reason
    assert refused[0].line == line


def test_lines_of_json_that_cannot_be(tmp_path):
    text = '{"symbol":"AAA","sector":"Energy"}\n[1]\n{"symbol":\n{"symbol":"BBB","size":3}\n'
    file = written(tmp_path, text, "rows.jsonl")
    rows, refused = load(file, KNOWN)
    assert [row.symbol for row in rows] == ["AAA"]
    assert [str(one).partition(": ")[0] for one in refused] == [
        f"{file} line {n}" for n in (2, 3, 4)
    ]
    assert "no field is named size" in refused[2].reason


def test_an_id_of_another_is_refused(tmp_path):
    head = "symbol,id,asset_class,venue,currency,multiplier,tick,decimals\n"
    rows, refused = load(written(tmp_path, head + "NEW,1,0,X,USD,1,0.01,2\n"), KNOWN)
    assert rows == []
    assert "id 1 is another's" in refused[0].reason


def test_a_symbol_twice_is_refused_the_second_time(tmp_path):
    rows, refused = load(written(tmp_path, "symbol,multiplier\nAAA,2\nAAA,3\n"), KNOWN)
    assert [row.multiplier for row in rows] == [2.0]
    assert "line 3" in str(refused[0])


def test_no_rows_and_no_file(tmp_path):
    assert load(written(tmp_path, ""), KNOWN) == ([], [])
    with pytest.raises(OSError, match=r"none\.csv"):
        load(tmp_path / "none.csv", KNOWN)


def test_the_demo_written_out_is_the_demo(tmp_path):
    demo = universe(600, shards=3)
    file = tmp_path / "demo.jsonl"
    file.write_bytes(b"\n".join(row.to_json() for row in demo))
    assert load(file, demo, partitions=3) == (demo, [])
    assert load(file, (), partitions=3) == (demo, [])
