import gzip
import shutil
import zipfile
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.event import EVENT
from ingest.feeds.feed import REFUSED_MAX, FeedError, Tally
from ingest.feeds.open import in_order, open_feed


def make(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.zip", b"", "is empty"),
        ("a.zip", b"hello", "is named like .*, but is none"),
        ("a.zip", b"PK\3\4" + b"x" * 500, "not a whole zip"),
        ("a.parquet", b"PAR1....", "is of no known format"),
        ("a.csv", gzip.compress(b"timestamp,bid,ask", mtime=0), "but is named a.csv"),
        ("a.json", b"timestamp,bid,ask", "but is named a.json"),
        ("a.csv", b"time,price\n1,2\n", "is named like a LOBSTER message file, but is none"),
        ("a.zst", b"\x28\xb5\x2f\xfd" + b"x" * 50, "damaged"),
    ],
)
def test_an_error_says_what_and_where(tmp_path, name, content, says):
    path = make(tmp_path / name, content)
    with pytest.raises(FeedError, match=says) as error:
        open_feed(path)
    assert str(error.value).startswith(str(path))
    assert str(error.value).count(";") >= 1


def test_no_file_and_no_known_file(tmp_path):
    with pytest.raises(FeedError, match="no such file"):
        open_feed(tmp_path / "absent.zip")
    make(tmp_path / "notes.txt", b"hello")
    with pytest.raises(FeedError, match="none of its 1 files"):
        open_feed(tmp_path)


def fx(path, day, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{day}_eurusd_tick_quote.csv", "\n".join(lines))


def test_a_folder_is_one_feed_in_order_of_time(tmp_path, everything):
    fx(tmp_path / "oanda/b.zip", 20140502, [f"{i},1.1,1.2" for i in range(0, 9_000, 3)])
    fx(tmp_path / "oanda/a.zip", 20140502, [f"{i},1.3,1.4" for i in range(0, 9_000, 2)])
    fx(tmp_path / "fxcm/a.zip", 20140501, [f"{i},1.5,1.6" for i in range(68_400_000, 68_401_000)])
    make(tmp_path / "README.md", b"hello")
    feed = open_feed(tmp_path, 40)
    assert [(row.id, row.symbol) for row in feed.instruments] == [
        *((40, "EURUSD.FXCM"), (41, "EURUSD.OANDA"))
    ]
    found = everything(feed)
    assert len(found) == 3_000 + 4_500 + 1_000
    assert (np.diff(found["ts_event"]) >= 0).all()
    assert np.bincount(found["instrument"]).tolist()[40:] == [1_000, 7_500]
    assert [one.place for one in feed.refused] == [str(tmp_path / "README.md")]


@given(st.lists(st.lists(st.lists(st.integers(0, 30), max_size=5), max_size=5), max_size=4))
def test_nothing_overtakes_within_its_feed_and_nothing_is_lost(feeds):
    sources = []
    for number, chunks in enumerate(feeds):
        arrays = [np.zeros(len(chunk), EVENT) for chunk in chunks]
        count = 0
        for array, times in zip(arrays, chunks, strict=True):
            array["ts_event"], array["instrument"] = times, number
            array["sequence"] = range(count, count + len(times))
            count += len(times)
        sources.append(iter(arrays))
    found = np.concatenate([np.zeros(0, EVENT), *in_order(sources)])
    for number, chunks in enumerate(feeds):
        own = found["sequence"][found["instrument"] == number].tolist()
        assert own == list(range(sum(map(len, chunks))))
    if all(times == sorted(times) for times in (list(chain(*chunks)) for chunks in feeds)):
        assert (np.diff(found["ts_event"]) >= 0).all()


def test_ibm_quotes_and_trades_of_a_folder_are_one_instrument(recorded, everything, tmp_path):
    for kind in ("quote", "trade"):
        name = f"lean/equity/usa/tick/ibm/20131007_{kind}.zip"
        shutil.copy(recorded(name), tmp_path / f"20131007_{kind}.zip")
    feed = open_feed(tmp_path)
    found = everything(feed)
    assert [row.symbol for row in feed.instruments] == ["IBM"]
    assert feed.tally.rows == 109_067 + 24_293
    assert (np.diff(found["ts_event"]) >= 0).all()


def test_refusals_are_counted_beyond_those_kept():
    tally = Tally()
    for i in range(REFUSED_MAX + 5):
        tally.refuse(str(i), "bad", b"x")
    assert (len(tally.refused), tally.refused_total) == (REFUSED_MAX, REFUSED_MAX + 5)
