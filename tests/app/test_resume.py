"""How a page goes on at this server: what a ticket is believed, and when it is not taken."""

import json
from types import SimpleNamespace

import pytest

from app import settings as settings_room
from app.asof import TooManyError
from app.blocks.link import NOT_NOW, REFUSED, RefusedError
from app.people import Signed
from app.resume import Resume
from app.ticket import digest

SPEC = {"title": "Overview", "feeds": [{"kind": "status"}], "panels": ["not needed"]}
RESET = "not known"


class Hub:
    """As much of app.session.Hub as a page that goes on meets."""

    def __init__(self, text="[1]", images=1, state="live"):
        self.mirror = SimpleNamespace(images=images, state=state)
        self.notes = SimpleNamespace(instruments=SimpleNamespace(whole=lambda: (text, 1)))
        self.made = []

    def attach(self, spec, connect, user):
        self.made.append((spec, connect, user))
        return SimpleNamespace(known=SimpleNamespace(made_with=RESET), hub=self)


def server(tmp_path, hub, port=5007, past=None):
    """All servers of the test have the same data folder, as those of one machine do."""
    settings = settings_room.load(data=tmp_path, port=port)
    return Resume(settings, lambda: hub, past or (lambda live, text: pytest.fail("no past")))


def told(text):
    return {"ticket": json.loads(text)["ticket"], "wishes": []}


def test_a_page_of_one_server_goes_on_at_another(tmp_path):
    here, there = Hub(), Hub()
    link = server(tmp_path, here).ticket(here, SPEC, "ann.lee")
    assert json.loads(link)["server"] == "5007"
    session, answer = server(tmp_path, there, 5008).go_on(told(link), str)
    assert there.made == [({"title": "Overview", "feeds": SPEC["feeds"]}, str, "ann.lee")]
    assert answer["server"] == "5008"
    assert session.known.made_with == RESET, "it has the same list of instruments"
    # With what it was answered it goes on from there too.
    server(tmp_path, here).go_on(answer, str)
    assert here.made[0][2] == "ann.lee"


def test_a_page_that_knows_other_instruments_is_sent_all_of_ours(tmp_path):
    hub = Hub("[1]")
    link = server(tmp_path, hub).ticket(hub, SPEC, "")
    session, _ = server(tmp_path, Hub("[1,2]")).go_on(told(link), str)
    assert session.known.made_with == 0
    assert digest("[1]") != digest("[1,2]")


def test_a_server_without_numbers_sends_it_on(tmp_path):
    hub = Hub()
    link = server(tmp_path, hub).ticket(hub, SPEC, "")
    with pytest.raises(RefusedError) as refused:
        server(tmp_path, Hub(images=0)).go_on(told(link), str)
    assert refused.value.code == NOT_NOW


@pytest.mark.parametrize("state", ["stale", "down"])
def test_who_leaves_a_server_for_its_market_does_not_come_to_one_without(tmp_path, state):
    hub = Hub()
    link = server(tmp_path, hub).ticket(hub, SPEC, "")
    there = server(tmp_path, Hub(state=state))
    with pytest.raises(RefusedError) as refused:
        there.go_on(told(link) | {"moving": True}, str)
    assert refused.value.code == NOT_NOW
    there.go_on(told(link), str)  # Who has lost its server is better off here than nowhere.


def test_a_ticket_of_others_is_refused(tmp_path):
    hub = Hub()
    link = server(tmp_path / "theirs", hub).ticket(hub, SPEC, "boss")
    for said in (told(link), {}, {"ticket": None}):
        with pytest.raises(RefusedError) as refused:
            server(tmp_path / "ours", hub).go_on(said, str)
        assert refused.value.code == REFUSED
    assert not hub.made


def test_a_page_of_the_past_is_shown_its_moment(tmp_path):
    live, past, asked = Hub(), Hub(), []

    def make(hub, text):
        asked.append((hub, text))
        if len(asked) > 1:
            raise TooManyError("enough")
        return past

    link = server(tmp_path, live).ticket(past, SPEC, "")
    there = server(tmp_path, live, past=make)
    there.go_on(told(link) | {"asof": "2026-11-22T14:03:02.113"}, str)
    assert asked == [(live, "2026-11-22T14:03:02.113")]
    assert len(past.made) == 1
    with pytest.raises(RefusedError) as refused:
        there.go_on(told(link) | {"asof": "x" * 1_000}, str)
    assert refused.value.code == NOT_NOW
    assert len(asked[1][1]) == 64


def test_a_ticket_is_worth_nothing_in_another_persons_hands(tmp_path):
    hub = Hub()
    link = server(tmp_path, hub).ticket(hub, SPEC, "ann")
    with pytest.raises(RefusedError, match="another person"):
        server(tmp_path, hub).go_on(told(link), str, Signed("bob", 1.0))
    session, _ = server(tmp_path, hub).go_on(told(link), str, Signed("ann", 1.0))
    assert session.signed == Signed("ann", 1.0)
