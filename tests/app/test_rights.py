"""Rights: whatever may not be seen never leaves the server, by whichever way bytes reach a page."""

import asyncio
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import app.grouping
import app.session
import app.view
from app import provenance
from app.asof import PastHub
from app.people import AccessError, read
from app.rights import ALL, GROUPS, NOT_PERMITTED, RightsError, Seen, granted
from app.screens import Screens
from app.session import Hub
from app.view import GROUP
from compute.table import BOOK_NAMES, INSTRUMENTS, POSITIONS, TABLES
from tests.app.test_people import World as Access
from tests.app.test_view import Page
from tests.marked import FEEDS, FUND, ROWS, Market, Past, Tap, search

HIDE = [*GROUPS, "positions.pnl", "books.pnl", "execution.price", "exposures.net"]
GRANTS = st.fixed_dictionaries(
    {
        "books": st.none() | st.frozensets(st.sampled_from([0, 1, 2, 3]), max_size=3),
        "hide": st.frozensets(st.sampled_from(HIDE), max_size=2),
    }
)


def rights_of(grant):
    names = {book.id: book.name for book in FUND.books}
    books = ["*"] if grant["books"] is None else [names[number] for number in grant["books"]]
    return granted(FUND, books=books, hide=sorted(grant["hide"]))


COLUMN = st.sampled_from(
    ["pnl", "position", "exposure", "value", "quantity", "net", "worth", "hist_99", "component_usd"]
)
FEED = st.integers(0, len(FEEDS) - 3)
WISHES = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("sort"),
            "feed": FEED,
            "column": COLUMN,
            "descending": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("group"),
            "feed": FEED,
            "by": st.sampled_from(["", "class", "book", "currency"]),
            "total": st.just(True),
        }
    ),
    st.fixed_dictionaries({"type": st.just("filter"), "feed": FEED, "book": st.integers(0, 3)}),
    st.fixed_dictionaries({"type": st.just("hold"), "feed": FEED, "on": st.booleans()}),
    st.fixed_dictionaries(
        {
            "type": st.just("chart"),
            "key": st.sampled_from(["one", "two", "three"]),
            "figure": st.sampled_from(["pnl", "holdings", "quote", "chain", "term", "candles"]),
            "row": st.integers(0, ROWS),
            "minutes": st.just(5),
            "points": st.just(100),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("what_if"),
            "id": st.just("w"),
            "trades": st.just([])
            | st.integers(0, 3).map(
                lambda book: [{"book": book, "instrument": 1, "quantity": 5.0}]
            ),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("acknowledge"),
            "id": st.just("a"),
            "person": st.just("Ann"),
            "alert": st.integers(0, 20).map(lambda k: f"{k}.0.1"),
        }
    ),
    st.fixed_dictionaries({"type": st.just("refused"), "id": st.just("r")}),
    st.fixed_dictionaries(
        {
            "type": st.just("provenance"),
            "id": st.just(1),
            "table": st.sampled_from(["instruments", "positions"]),
            "row": st.integers(0, ROWS - 1),
            "column": COLUMN,
        }
    ),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wish"), st.integers(0, 2), WISHES),
        st.tuples(st.just("own"), st.integers(0, ROWS - 1), st.integers(0, 3)),
        st.tuples(st.just("mark"), st.integers(0, len(TABLES) - 1), st.integers(0, ROWS - 1)),
        st.tuples(st.just("grant"), st.integers(0, 2), GRANTS),
    ),
    min_size=5,
    max_size=25,
)


class Floor:
    """A hub, three people with different rights at a page each, and all that they do."""

    def __init__(self, loop, grants) -> None:
        self.loop, self.market = loop, Market()
        self.hub = Hub(self.market.mirror, loop)
        self.hub.charts.past = Past(self.market)
        self.grants = {f"person {k}": grant for k, grant in enumerate(grants)}
        self.hub.rights_of = lambda user: rights_of(self.grants[user]) if user else ALL
        self.now = 0.0
        self.pages = [self.open(user) for user in self.grants]

    def open(self, user):
        tap = Tap(self.market, self.grants[user])
        session = self.hub.attach({"title": "All", "feeds": FEEDS}, lambda: tap, user)
        spec = {"panels": [{"names": list(BOOK_NAMES)}, {"books": list(BOOK_NAMES)}]}
        search(json.dumps(session.rights.blocks(spec)).encode(), self.market, tap.grant)
        session.control({"type": "ready"})
        for number in range(len(FEEDS) - 2):
            view = {"type": "viewport", "feed": number, "first": 0, "count": 40}
            session.control(view)
        session.control({"type": "select", "row": 3})
        return session, tap

    def do(self, step) -> None:
        kind, number, what = step
        if kind == "wish":
            self.pages[number][0].control(dict(what))
        elif kind == "own":
            self.market.own(number, what)
        elif kind == "mark":
            self.market.mark(TABLES[number], what)
        else:
            session, tap = self.pages[number]
            self.grants[session.user] = tap.grant = what
            self.hub.entitle()
        self.go_on()

    def go_on(self) -> None:
        self.loop.run_until_complete(self._go_on())

    async def _go_on(self) -> None:
        self.now += 20.0
        self.hub.charts.step(self.now)
        self.hub.tick()
        for _ in range(3):
            await asyncio.sleep(0)
        for session, tap in self.pages:
            session.ack(tap.sequence, 5.0, 1)
        for session, _ in self.pages:
            self.hub.push(session)


@pytest.fixture(scope="module", autouse=True)
def hasty():
    """Everything that comes a few times a second comes at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app.session, "TOTALS_SECONDS", 1e-9)
        patch.setattr(app.session, "MOMENT_SECONDS", 1e-9)
        patch.setattr(app.view, "SORT_SECONDS", 0.0)
        patch.setattr(app.grouping, "SUM_SECONDS", 0.0)
        yield


@settings(max_examples=10)
@given(st.tuples(GRANTS, GRANTS, GRANTS), STEPS)
def test_no_byte_tells_what_may_not_be_seen(grants, steps):
    loop = asyncio.new_event_loop()
    try:
        floor = Floor(loop, grants)
        for step in steps:
            floor.do(step)
        assert all(tap.sent for _, tap in floor.pages)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def floor_of(*grants):
    return Floor(asyncio.new_event_loop(), [{"books": b, "hide": frozenset(h)} for b, h in grants])


def shown(session, tap, table: str) -> np.ndarray:
    """What a page that comes now is told of a table: [rows, columns]."""
    number = next(k for k, feed in enumerate(FEEDS) if feed.get("table") == table)
    feed = session.feeds[number]
    reader = Page(len(feed.key.columns))
    feed.forget()
    data = session.hub._cells(feed, -1)
    search(data, tap.market, tap.grant)
    reader.read(data)
    return np.where(reader.cells == 777.0, np.nan, reader.cells)  # As yet untold.


def test_what_may_be_seen_is_told_and_a_change_holds_with_the_next_push():
    floor = floor_of((frozenset([0, 1]), []), (None, []))
    (session, tap), (other, all_of) = floor.pages
    for page, socket, books in ((session, tap, {0, 1}), (other, all_of, {0, 1, 2, 3})):
        cells = shown(page, socket, "positions")
        assert set(cells[:, POSITIONS.index("book")]) == books
        mine = floor.market.mirror.tables["positions"]
        mine = mine[np.isin(mine[:, POSITIONS.index("book")], [*books])]
        np.testing.assert_array_equal(cells, mine)
    assert len(shown(session, tap, "classes")) == 0
    assert len(shown(other, all_of, "classes")) == ROWS
    cells = shown(session, tap, "instruments")
    assert np.isnan(cells[:, INSTRUMENTS.index("pnl")]).all()
    assert not np.isnan(cells[:, INSTRUMENTS.index("bid")]).any()
    floor.do(("grant", 0, {"books": frozenset([2]), "hide": frozenset(["pnl"])}))
    cells = shown(session, tap, "positions")
    assert set(cells[:, POSITIONS.index("book")]) == {2}
    assert np.isnan(cells[:, POSITIONS.index("pnl")]).all()
    assert not np.isnan(cells[:, POSITIONS.index("quantity")]).any()
    floor.loop.close()


def test_those_who_may_see_the_same_share_and_others_do_not():
    mine, yours = frozenset([0, 1]), frozenset([2])
    floor = floor_of((mine, []), (mine, []), (yours, []))
    keys = [page.feeds[1].key for page, _ in floor.pages]
    assert keys[0] == keys[1] != keys[2]
    assert rights_of(floor.grants["person 0"]) == rights_of(floor.grants["person 1"])
    assert len({hash(key) for key in keys}) == 2
    floor.loop.close()


def test_rows_do_not_stand_in_the_order_of_what_may_not_be_seen():
    floor = floor_of((frozenset([0]), []), (None, []))
    for (session, _), order in zip(
        floor.pages, ([*range(ROWS)], [*range(ROWS)][::-1]), strict=True
    ):
        for column in ("pnl", "position"):
            sort = {"type": "sort", "feed": 0, "column": column, "descending": True}
            session.control(sort | {"by": [[column, True], ["exposure", True]]})
            assert list(floor.hub._viewport(session.feeds[0]).rows) == order, column
        session.control({"type": "sort", "feed": 0, "column": "bid", "descending": True})
        assert list(floor.hub._viewport(session.feeds[0]).rows) == [*range(ROWS)][::-1]
        session.control({"type": "sort", "feed": 0, "column": "pnl", "descending": True})
        session.control({"type": "group", "feed": 0, "by": "class"})
        heads = [row for row in floor.hub._viewport(session.feeds[0]).rows if row >= GROUP]
        assert (heads == sorted(heads)) == (order[0] == 0)
    floor.loop.close()


def test_what_is_asked_is_answered_of_what_may_be_seen():
    floor = floor_of((frozenset([0]), []), (None, ["pnl"]), (None, []))

    def asked(number, **message):
        session, tap = floor.pages[number]
        tap.answers.clear()
        session.control({"id": "x", "person": "Ann", **message})
        floor.go_on()
        (answer,) = tap.answers
        return answer

    trade = {"book": 0, "instrument": 1, "quantity": 5.0}
    would = asked(0, type="what_if", trades=[trade])["what_if"]
    place = floor.market.groups.index((1, "Qbook-3"))  # As book 0 is called.
    mine = floor.market.mirror.tables["exposures"][place]
    assert [one["measures"]["net"][0] for one in would["groups"]] == [
        row[4] for row in would["exposures"]["after"]
    ]
    assert list(mine) in would["exposures"]["after"]
    assert {one["key"] for one in would["limits"]} == {"Qbook-3", "Qtrader-c", "Qstrategy-z"}
    refused = {"error": NOT_PERMITTED, "type": "what_if", "id": "x"}
    assert asked(0, type="what_if", trades=[trade, {**trade, "book": 1}]) == refused
    assert asked(1, type="what_if", trades=[trade]) == refused
    assert len(asked(2, type="what_if", trades=[trade])["what_if"]["groups"]) > 12
    known = {(one["scope"], one["key"]): one["alert"] for one in floor.market.alerts}
    for number, key, may in ((0, "Qbook-3", True), (0, "Qbook-0", False), (2, "Qbook-0", True)):
        answer = asked(number, type="acknowledge", alert=known["book", key])
        assert ("acknowledged" in answer) == may
        assert (answer.get("error") == NOT_PERMITTED) != may
    assert asked(0, type="refused")["error"] == NOT_PERMITTED
    assert "refused" in asked(2, type="refused")
    # Between the question and its answer he may see less.
    session, _ = floor.pages[2]
    told = {"what_if": {}, "acknowledged": floor.market.alerts[0]}
    floor.do(("grant", 2, {"books": frozenset(), "hide": frozenset()}))
    assert session.rights.answer(told, floor.market.mirror.names) == {"error": NOT_PERMITTED}
    floor.loop.close()


def test_what_was_asked_without_the_right_is_on_record_as_refused():
    floor = floor_of((frozenset([0]), []))
    floor.hub.screens = Screens(None, "web.1")
    session, _ = floor.open("person 0")
    for book in (0, 1):
        trade = {"book": book, "instrument": 1, "quantity": 5.0}
        session.control({"type": "what_if", "id": "x", "trades": [trade]})
    details = [json.loads(act[5]) for act in floor.hub.screens._acts if act[3] == "what_if"]
    assert [one.get("refused") for one in details] == [None, NOT_PERMITTED]
    floor.go_on()
    floor.loop.close()


def test_a_page_of_the_past_is_told_no_more():
    floor = floor_of((frozenset([0, 1]), ["pnl"]))
    past = PastHub(floor.hub, SimpleNamespace(database="d", close=lambda: None), 10**18)
    try:
        mirror, live = past.mirror, floor.market.mirror
        mirror.tables, mirror.changed, mirror.sequence = live.tables, live.changed, live.sequence
        mirror.names, mirror.alerts, mirror.health = live.names, live.alerts, live.health
        tap = Tap(floor.market, floor.grants["person 0"])
        session = past.attach({"title": "All", "feeds": FEEDS}, lambda: tap, "person 0")
        session.control({"type": "ready"})
        for number in range(len(FEEDS) - 2):
            session.control({"type": "viewport", "feed": number, "first": 0, "count": 40})
        past.tick()
        assert tap.sent
        assert set(shown(session, tap, "positions")[:, POSITIONS.index("book")]) == {0, 1}
    finally:
        past.stop()
        floor.loop.close()


def test_an_order_that_stays_blanks_a_row_that_became_another_books():
    floor = floor_of((frozenset([0]), []))
    session, tap = floor.pages[0]
    session.control({"type": "hold", "feed": 1, "on": True})
    rows = list(floor.hub._viewport(session.feeds[1]).rows)
    assert rows == [0, 4, 8]
    floor.do(("own", 4, 2))
    cells = shown(session, tap, "positions")
    assert np.isnan(cells[1]).all()
    assert not np.isnan(cells[[0, 2]]).any()
    session.control({"type": "hold", "feed": 1, "on": False})
    session.control({"type": "group", "feed": 1, "by": "", "total": True})
    session.control({"type": "hold", "feed": 1, "on": True})
    floor.do(("own", 8, 2))
    pnl = shown(session, tap, "positions")[:, POSITIONS.index("pnl")]
    assert list(pnl[[0, -1]]) == [pnl[0]] * 2  # The total is of the one row that is left.
    floor.loop.close()


def test_an_answer_out_of_the_record_leaves_out_what_is_of_the_whole_fund():
    rights = rights_of({"books": frozenset([0]), "hide": frozenset()})
    market = Market()
    told = {"inputs": {"vwap": 1.0, "position": 2.0, "pnl": 3.0, "mark": 4.0}, "events": []}

    def asked(column, row=0, table="instruments"):
        message = {"id": 7, "table": table, "row": row, "column": column}
        tables = Seen(market.mirror, rights).tables
        return provenance.question(tables, market.mirror.reference, message, 10**18)

    inputs = provenance.permitted(rights, asked("vwap"), told)["inputs"]
    assert inputs == {"vwap": 1.0, "mark": 4.0}
    refused = {"id": 7, "error": NOT_PERMITTED}
    assert provenance.permitted(rights, asked("pnl"), told) == refused
    assert asked("pnl").shown is None
    assert provenance.permitted(rights, asked("pnl", 0, "positions"), told) != refused
    assert provenance.permitted(rights, asked("component_usd", 0, "positions"), told) == refused
    with pytest.raises(ValueError, match="no such cell"):
        asked("pnl", 1, "positions")  # Of book 1.
    fills = {"inputs": {"mark": 4.0}, "events": [{"kind": "fill"}]}
    blind = rights_of({"books": frozenset([0]), "hide": frozenset(["pnl"])})
    assert provenance.permitted(blind, asked("quantity", 0, "positions"), fills) == refused


FILE = """
[rights.tmt]
people = ["ann", "bob"]
books = ["US TMT"]
traders = ["Chen"]
hide = ["risk"]
[rights."*"]
strategies = ["Macro"]
[rights.heads]
people = ["head"]
books = ["*"]
"""


def test_the_access_file_says_who_sees_what_and_a_change_holds_with_the_next_look(tmp_path):
    world = Access(tmp_path)
    assert world.people.rights("ann") == ALL  # Without a word of rights everybody sees all.
    world.now_s += 1
    world.write(FILE)
    world.people.look()
    ann = world.people.rights("ann")
    assert ann == world.people.rights("bob")
    assert ann.books == {3, 5}  # Chen's.
    assert ("trader", "Chen") in ann.groups
    assert ("strategy", "Volatility") in ann.groups
    assert ("strategy", "Long/short equity") not in ann.groups  # Another's book is in it.
    assert not ann.column("exposures", "net")
    assert ann.column("positions", "pnl")
    assert world.people.rights("eve").books == {0, 1}
    assert world.people.rights("head").everything
    world.now_s += 1
    world.write(FILE.replace("US TMT", "Nobody's"))
    world.people.look()
    assert 'rights.tmt: there is no book "Nobody\'s"' in world.people.problem
    assert world.people.rights("ann") == ann  # What cannot be changes nothing.
    world.now_s += 1
    world.write('[rights.heads]\npeople = ["head"]\nbooks = ["*"]')
    world.people.look()
    assert world.people.rights("ann").books == frozenset()  # Who is not named sees no book.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[rights.a]\npeople = ["x"]\n[rights.b]\npeople = ["x"]', "x is named by two teams"),
        ('[rights."*"]\npeople = ["x"]', "it names nobody"),
        ("[rights.a]\nbook = []", "rights.a.book: Extra inputs"),
    ],
)
def test_rights_that_cannot_be_say_what_is_wrong(tmp_path, text, said):
    world = Access(tmp_path)
    world.write(text)
    with pytest.raises(AccessError, match=said):
        read(world.path)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"books": ["Qbook-9"]}, "there is no book 'Qbook-9' in Qfund: .*Qbook-0"),
        ({"traders": ["*"]}, "there is no trader"),
        ({"hide": ["instruments.bid"]}, "is of the market"),
        ({"hide": ["positions.colour"]}, "it takes pnl, positions, risk, execution"),
    ],
)
def test_what_is_granted_is_checked_against_the_fund(given_, said):
    with pytest.raises(RightsError, match=said):
        granted(FUND, **given_)
