"""The fund: the demo's stands, a file is read whole, and every wrong row is named."""

import pytest

from compute.table import BOOK_NAMES, BOOKS_MAX
from ingest import fund
from ingest.fund import DEMO, Book, FundError, Limit, load

GOOD = """
name = "Two books"
[[books]]
id = 0
name = "One"
trader = "A"
strategy = "S"
nav_usd = 1_000_000
[[books]]
id = 3
name = "Two"
trader = "B"
strategy = "S"
currency = "EUR"
cost = "fifo"
[[limits]]
id = 1
name = "Gross of One"
measure = "gross"
scope = "book"
key = "One"
warning = 10
breach = 20.5
"""


def written(path, text):
    file = path / "fund.toml"
    file.write_text(text)
    return file


def test_the_demo_fund_stands():
    DEMO.check()
    assert tuple(book.name for book in DEMO.books) == BOOK_NAMES
    assert [book.id for book in DEMO.books] == list(range(len(BOOK_NAMES)))
    assert fund.BOOKS_MAX == BOOKS_MAX
    assert DEMO.nav_usd == 600e6


def test_a_file_is_read_whole(tmp_path):
    found = load(written(tmp_path, GOOD))
    assert found.name == "Two books"
    assert found.books[1] == Book(3, "Two", "B", "S", "EUR", "fifo", 0.0)
    assert found.limits == (Limit(1, "Gross of One", "gross", "book", "One", 10, 20.5),)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('cost = "fifo"', 'cost = "lifo"', "book 3 'Two': cost is 'lifo'; give average or fifo"),
        ("id = 3", "id = 0", "2 books have the id 0"),
        ("id = 3", "id = 64", "book 64 'Two': id is 64; give 0 to 63"),
        ('name = "Two"', 'name = "One"', "2 books have the name 'One'"),
        ('trader = "B"', "", "book 2 'Two': trader is missing; add it"),
        ('trader = "B"', "trader = 7", "book 2 'Two': trader is 7; give a text"),
        ('"EUR"', '"euro"', "currency is 'euro'; give three letters like USD"),
        ("nav_usd = 1_000_000", "nav_usd = -1", "nav_usd is -1; give 0 or more"),
        ("nav_usd = 1_000_000", "nav_eur = 1", "nav_eur is not known; there are id, name"),
        ('"gross"', '"size"', "limit 1 'Gross of One': measure is 'size'; give one of gross, net"),
        ('"book"', '"desk"', "scope is 'desk'; give one of fund, book"),
        ('key = "One"', 'key = "Uno"', "key 'Uno' is none of the fund's: One"),
        ('key = "One"', 'key = ""', "key is empty in the scope fund, and named in every other"),
        ("warning = 10", "warning = 30", "warning 30 and breach 20.5: give 0 < warning < breach"),
        ('"gross"', '"concentration"', "breach is 20.5; a share is at most 1"),
        ("[[limits]]", "[[limit]]", "limit is not known; a fund has name, books, limits"),
        ("[[books]]", "[[books]", "give a TOML file"),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy(tmp_path, old, new, said):
    assert old in GOOD
    file = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(FundError) as error:
        load(file)
    assert str(error.value).startswith(str(file))
    assert said in str(error.value)


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    text = GOOD.replace('"fifo"', '"lifo"').replace('"gross"', '"size"')
    with pytest.raises(FundError, match=r"cost is 'lifo'.*; limit 1 .*measure is 'size'"):
        load(written(tmp_path, text))


def test_no_file_and_no_books(tmp_path):
    with pytest.raises(FundError, match=r"none\.toml"):
        load(tmp_path / "none.toml")
    with pytest.raises(FundError, match="there is no book"):
        load(written(tmp_path, ""))
