"""What somebody who has come in tries: another's page, another's rights, a cookie out of a page.

Ann may see nothing of the fund; whoever is not named sees all of it. So every way to be nobody, or
somebody else, would be a gain to her.
"""

import base64
import json
import re
import struct
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection

import pytest
from bokeh.util.token import get_token_payload

from app import standins
from app.people import hashed, mark_of
from app.settings import load
from compute.bus import Bus
from tests.app.test_portal import KEY, PASSWORD, Client, batches
from tests.web import Publisher, serving, until

HASHED = hashed(PASSWORD)
SOON = 60
END = 8  # Kind of the message that ends a socket.
SCRAPER = "the key of who reads metrics"
ACCESS = f"""
tokens = ["portal"]
[passwords]
ann = "{HASHED}"
bob = "{HASHED}"
[keys]
portal = "{mark_of(KEY)}"
scraper = "{mark_of(SCRAPER)}"
[rights.contractors]
people = ["ann", "portal"]  # Whose key alone is for tokens.
books = []
[rights."*"]
books = ["*"]
"""


class World:
    def __init__(self, address: str, redis: str) -> None:
        self.address, self.redis = address, redis

    def come_in(self, person: str) -> Client:
        client = Client(self.address)
        told = {"person": person, "password": PASSWORD}
        assert client.ask("POST", "/login", told)[0] == HTTPStatus.NO_CONTENT
        return client

    def acts(self, action: str) -> list[tuple[str, str, str]]:
        """Person, subject and detail of what was done so far."""
        heads = [json.loads(head) for _, head, _ in batches(Bus(self.redis))]
        return [
            (one[1], one[4], one[5]) for head in heads for one in head["acts"] if one[3] == action
        ]

    def opened(self) -> list[str]:
        """Who has opened a page."""
        heads = [json.loads(head) for _, head, _ in batches(Bus(self.redis))]
        return [page[2] for head in heads for page in head["pages"]]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("insider")
    access = folder / "access.toml"
    access.touch(0o600)
    access.write_text(ACCESS)
    with (
        standins.started(load(data=folder / "redis"), "redis") as redis,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TICKGLASS_ACCESS", str(access))
        Publisher(redis)
        with serving(redis, "", folder) as address:
            yield World(address, redis)


def token_of(page: bytes) -> str:
    """With which a page opens its socket, as it stands in its text."""
    found = re.search(rb'"token":"([^"]+)"', page)
    assert found, page[:500]
    return found[1].decode()


class Wire:
    """A page's socket by hand: `status` of its opening, then what is heard and said on it."""

    def __init__(self, world, client, path, *, token="", origin="") -> None:
        self.connection = HTTPConnection(client.place.hostname, client.place.port, timeout=SOON)
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
            "Sec-WebSocket-Version": "13",
            "Origin": origin or world.address,
            "Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items()),
        }
        if token:
            headers["Sec-WebSocket-Protocol"] = f"bokeh, {token}"
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status

    def say(self, text: str) -> None:
        data = text.encode()
        head = bytes((0x81, 0xFE)) + struct.pack(">H", len(data)) + bytes(4)
        self.connection.sock.sendall(head + data)

    def hear(self) -> tuple[int, bytes]:
        """Kind and content of the next message; kind 8 is the end, with its code and reason."""
        kind, size = self.answer.fp.read(2)
        if size == 126:
            (size,) = struct.unpack(">H", self.answer.fp.read(2))
        return kind & 0x0F, self.answer.fp.read(size)

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


@contextmanager
def wire(*given, **more):
    opened = Wire(*given, **more)
    try:
        yield opened
    finally:
        opened.close()


def heard(world, client, token) -> tuple[int, bytes]:
    """What is heard first on a page's socket."""
    with wire(world, client, "/overview/ws", token=token) as opened:
        assert opened.status == HTTPStatus.SWITCHING_PROTOCOLS
        return opened.hear()


def refused(world, client, token, **more) -> bool:
    with wire(world, client, "/overview/ws", token=token, **more) as opened:
        return opened.status == HTTPStatus.FORBIDDEN


def test_a_page_is_its_own_persons_alone(world):
    ann, bob = world.come_in("ann"), world.come_in("bob")
    token = token_of(bob.ask("GET", "/overview")[2])
    assert b"ACK" in heard(world, bob, token)[1]
    assert refused(world, ann, token)
    assert refused(world, Client(world.address), token)
    assert refused(world, bob, token, origin="http://evil.example")
    assert refused(world, bob, "x.y")
    assert heard(world, bob, token[:-2])[0] == END
    said = ("ann", "", "another person's page, from 127.0.0.1")
    until(lambda: said in world.acts("refused"), SOON)


def test_the_text_of_a_page_holds_no_sign_in(world):
    """HttpOnly would be for nothing."""
    ann = world.come_in("ann")
    ((_, cookie),) = ann.cookies.items()
    page = ann.ask("GET", "/overview")[2]
    script = ann.ask("GET", "/overview/autoload.js?bokeh-autoload-element=1")[2]
    key = Client(world.address).ask("GET", "/overview", key=KEY)[2]
    for text in (page, script, key):
        told = json.dumps(get_token_payload(token_of(text.replace(b"\\", b""))), default=str)
        assert cookie not in told
        assert KEY not in told


def test_who_signs_in_anew_is_himself_on_pages_made_before(world):
    """A cookie that is over makes nobody of her who shows it, with the rights of nobody."""
    ann = world.come_in("ann")
    token = token_of(ann.ask("GET", "/overview")[2])
    assert ann.ask("POST", "/logout", {"everywhere": True})[0] == HTTPStatus.NO_CONTENT
    assert refused(world, ann, token)
    again = world.come_in("ann")
    assert b"ACK" in heard(world, again, token)[1]
    until(lambda: "ann" in world.opened(), SOON)
    assert "" not in world.opened()


def test_a_service_has_its_own_rights_on_pages_too(world):
    service = Client(world.address)
    assert service.ask("GET", "/risk", key=KEY)[0] == HTTPStatus.OK
    until(lambda: "portal" in world.opened(), SOON)
    assert "" not in world.opened()


def test_a_key_that_is_not_for_tokens_lets_nobody_in(world):
    scraper = Client(world.address)
    assert scraper.ask("GET", "/metrics", key=SCRAPER)[0] == HTTPStatus.OK
    assert scraper.ask("POST", "/login/once", {"person": "bob"}, key=SCRAPER)[0] == 403
    assert scraper.ask("POST", "/login/once", {"person": "bob"}, key=KEY)[0] == HTTPStatus.OK
    said = ("scraper", "", "scraper for bob, from 127.0.0.1")
    until(lambda: said in world.acts("token_refused"), SOON)


def test_what_tells_of_the_whole_fund_is_for_who_may_see_it_all(world):
    ann, bob, service = world.come_in("ann"), world.come_in("bob"), Client(world.address)
    assert bob.ask("GET", "/metrics")[0] == HTTPStatus.OK
    lost = b'tickglass_web_acts_lost{role="web.'  # Of acts that Redis was not there to take.
    until(lambda: lost in bob.ask("GET", "/metrics")[2], SOON)
    for status in (ann.ask("GET", "/metrics"), service.ask("GET", "/metrics", key=KEY)):
        assert status[0] == HTTPStatus.FORBIDDEN
        assert b"not permitted" in status[2]
    until(lambda: {one[0] for one in world.acts("refused")} >= {"ann", "portal"}, SOON)
    status, _, body = ann.ask("GET", "/health")
    assert status == HTTPStatus.OK
    told = json.loads(body)
    assert told.keys() == {"state", "server", "troubles", "roles"}
    for role in told["roles"]:  # Nothing that it reports but how it is.
        assert not role.keys() & {"rows", "recorded_rows", "alerts", "positions", "events"}


def test_a_page_goes_on_for_its_own_person_alone(world):
    """/link: without a sign-in, with another's, from another origin, with nonsense."""
    ann, nobody = world.come_in("ann"), Client(world.address)
    with wire(world, ann, "/link", origin="http://evil.example") as opened:
        assert opened.status == HTTPStatus.FORBIDDEN

    def said(client, message):
        with wire(world, client, "/link") as opened:
            opened.say(message)
            kind, told = opened.hear()
            assert kind == END
            return int.from_bytes(told[:2]), told[2:].decode()

    hello = json.dumps({"ticket": "x.y", "wishes": []})
    assert said(nobody, hello) == (4403, "sign in")
    assert said(ann, hello) == (4403, "this ticket was not written here")
    for nonsense in ("[", "[]", "{}", json.dumps({"wishes": [{}] * 257})):
        assert said(ann, nonsense)[0] == 4400
