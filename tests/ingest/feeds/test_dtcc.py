import csv
import io
import zipfile

import pytest

from ingest.event import Flag, Kind
from ingest.feeds.open import open_feed
from ingest.instrument import AssetClass

NAMES = {"RATES": 54, "FOREX": 66, "CREDITS": 36}  # Reports on what is not in the file.


def file_of(recorded, name):
    return recorded(f"dtcc/CFTC_CUMULATIVE_{name}_2026_07_15.zip")


def rows_of(path):
    with zipfile.ZipFile(path) as file:
        text = file.read(file.namelist()[0]).decode()
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(("name", "unknown"), NAMES.items())
def test_every_change_voids_what_it_changes(recorded, everything, name, unknown):
    path = file_of(recorded, name)
    feed = open_feed(path)
    found = everything(feed)
    assert feed.tally.alarms["refers to a report that is not in the file"] == unknown
    ids = {int(row["Dissemination Identifier"]) for row in rows_of(path)}
    assert set(found["reference"].tolist()) <= ids
    standing = {}
    for row in found:  # A BUST repeats the trade that stands; a trade comes only where none does.
        key = int(row["reference"])
        if row["kind"] == Kind.BUST:
            told = standing.pop(key)
            assert (told["price"], told["size"]) == (row["price"], row["size"])
            assert told["instrument"] == row["instrument"]
        else:
            assert key not in standing
            standing[key] = row
    assert len(standing) > 400


def test_a_swap_reads_as_its_line_says(recorded, everything):
    feed = open_feed(file_of(recorded, "RATES"))
    found = everything(feed)
    own = found[found["reference"] == 4_199_960_656_000_001_701][0]
    assert (own["price"], own["size"]) == (40_435_000, 36_000_000)
    assert own["ts_event"] == own["ts_recv"] == 1_784_104_536_000_000_000  # 08:35:36 UTC.
    assert own["flags"] == Flag.INELIGIBLE  # Part of a package.
    swap = feed.instruments[int(own["instrument"])]
    assert (swap.symbol, swap.asset_class) == (
        *("Swap OIS USD USD-SOFR-COMPOUND 3Y", AssetClass.RATES_FUTURE),
    )


def test_the_notionals_tell_what_a_rate_is_the_price_of(recorded, everything):
    feed = open_feed(file_of(recorded, "FOREX"))
    found = everything(feed)
    for reference, symbol, money, size in (
        # 470,000 USD against 673,143 AUD at 0.6982202 "USD/AUD".
        (4_200_616_570_000_000_701, "Fwd AUD USD AUDUSD 2026-08-14", "USD", 673_143),
        # 97,556,397 USD against 79,000,000 CHF at 0.809786 "USD/CHF".
        (4_196_837_103_000_001_101, "Fwd CHF USD USDCHF 2026-07-16", "CHF", 97_556_397),
    ):
        own = found[found["reference"] == reference][0]
        row = feed.instruments[int(own["instrument"])]
        assert (row.symbol, row.currency, own["size"]) == (symbol, money, size)


def test_credit_spreads_and_points(recorded, everything):
    feed = open_feed(file_of(recorded, "CREDITS"))
    found = everything(feed)
    own = found[found["reference"] == 4_202_588_328_000_000_101][0]
    assert own["price"] == 25_000_000  # 250 bp.
    points = [row for row in feed.instruments if row.symbol.endswith(" points")]
    assert points
    assert {row.multiplier for row in points} == {0.01}
    for row in points:
        prices = found["price"][found["instrument"] == row.id]
        assert (prices > 50_000_000_000).all()


def rewritten(path, tmp_path, change):
    """The file with its rows as `change` makes them."""
    rows = change(rows_of(path))
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    out = tmp_path / "x.zip"
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("x.csv", text.getvalue() + "garbage\n")
    return out


def test_the_life_of_a_report(recorded, everything, tmp_path):
    def change(rows):
        life = []
        for i, action in enumerate(("NEWT", "CORR", "MODI", "TERM", "EROR", "CORR")):
            life.append(rows[0] | {
                "Dissemination Identifier": str(100 + i),
                # A correction refers to the report before it; the last one to nothing known.
                "Original Dissemination Identifier": str(99 + i) if 0 < i < 5 else "",
                "Action type": action,
                "Event timestamp": f"2026-07-15T09:00:0{i}Z",
                "Fixed rate-Leg 1": f"0.0{i + 1}",
            })  # fmt: skip
        life[-1]["Original Dissemination Identifier"] = "7"
        return life[::-1]  # Order in the file is not that of time.

    feed = open_feed(rewritten(file_of(recorded, "RATES"), tmp_path, change))
    found = everything(feed)
    trade, bust = Kind.TRADE, Kind.BUST
    assert found["kind"].tolist() == [trade, bust, trade, bust, trade, bust]
    assert found["reference"].tolist() == [100] * 6
    rates = [10_000_000 * rate for rate in (1, 1, 2, 2, 3, 3)]
    assert found["price"].tolist() == rates
    corrected = (found["flags"] & Flag.CORRECTED > 0).tolist()
    assert corrected == [False, True, True, True, True, False]
    assert feed.tally.alarms == {"refers to a report that is not in the file": 1}
    assert feed.tally.skipped["ends a contract: its trade was made and stands"] == 1
    assert [one.data.strip() for one in feed.refused] == [b"garbage"]
