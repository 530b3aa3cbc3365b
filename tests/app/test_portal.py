"""The door: sign-in, its cookie, tokens, keys, frames and headers, at a real server."""

import http.client
import http.server
import json
import threading
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import quote, urlsplit

import pytest
from oidc_provider_mock import run_server_in_thread

from app import standins
from app.people import hashed, mark_of
from app.settings import load
from compute.bus import Bus
from tests.browser import chromium
from tests.web import Publisher, serving, until

PASSWORD, KEY = "correct horse", "the portal's key"
SOON = 60_000  # ms; a busy machine takes its time.


class Client:
    """A browser without a face: keeps cookies, says where it comes from."""

    def __init__(self, address) -> None:
        self.place = urlsplit(address)
        self.cookies = {}

    def ask(self, method, path, told=None, *, origin=None, key=""):
        """Status, headers and body of an answer; redirects are not followed."""
        headers = {"Content-Type": "application/json"}
        if method == "POST":
            headers["Origin"] = origin or f"http://{self.place.netloc}"
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if key:
            headers["Authorization"] = f"Bearer {key}"
        connection = http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=60)
        connection.request(method, path, json.dumps(told) if told is not None else None, headers)
        answer = connection.getresponse()
        body = answer.read()
        for name, text in answer.getheaders():
            if name == "Set-Cookie":
                cookie, _, value = text.partition(";")[0].partition("=")
                self.cookies = {**self.cookies, cookie: value}
        connection.close()
        return answer.status, answer.headers, body


@pytest.fixture(scope="module")
def provider():
    with run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@contextmanager
def portal_page():
    """A page of another site; its address, and what it is to hold."""
    held = {"/": b""}

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(held["/"])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", held
        server.shutdown()


class World:
    def __init__(self, folder, provider) -> None:
        self.path, self.provider = folder / "access.toml", provider
        self.portals = []
        self.write()

    def write(self):
        self.path.touch(0o600)
        self.path.write_text(
            f"portals = {json.dumps(self.portals)}\n"
            f'[passwords]\nann = "{hashed(PASSWORD)}"\namy = "{hashed(PASSWORD)}"\n'
            f'[keys]\nportal = "{mark_of(KEY)}"\n'
            f'[oidc]\nissuer = "{self.provider}"\nclient = "tickglass"\n'
            f'secret_file = "{self.path.parent / "oidc.secret"}"\n'
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory, provider):
    folder = tmp_path_factory.mktemp("portal")
    (folder / "oidc.secret").write_text("hush")
    made = World(folder, provider)
    with (
        standins.started(load(data=folder / "redis"), "redis") as redis,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TICKGLASS_ACCESS", str(made.path))
        made.redis, made.publisher = redis, Publisher(redis)
        with serving(redis, "", folder) as address:
            made.address = address
            made.local = address.replace("127.0.0.1", "localhost")
            yield made


@pytest.fixture
def client(world):
    return Client(world.address)


def signed_in(world, person="ann"):
    client = Client(world.address)
    token = json.loads(client.ask("POST", "/login/once", {"person": person}, key=KEY)[2])["token"]
    assert client.ask("POST", "/login/token", {"token": token})[0] == HTTPStatus.NO_CONTENT
    return client


def test_nothing_is_shown_to_nobody(client):
    status, headers, _ = client.ask("GET", "/overview?asof=x")
    assert status == HTTPStatus.FOUND
    assert headers["Location"].lstrip(".") == "/login?next=" + quote("/overview?asof=x")
    for path in ("/table", "/metrics", "/health"):
        assert client.ask("GET", path)[0] == HTTPStatus.UNAUTHORIZED, path
    assert client.ask("GET", "/ready")[0] != HTTPStatus.UNAUTHORIZED
    status, headers, body = client.ask("GET", "/login?next=//evil.example")
    assert status == HTTPStatus.OK
    assert b'data-next="/"' in body
    for path in ("/login", "/ready", "/overview", "/static/js/bokeh.min.js", "/none"):
        headers = client.ask("GET", path)[1]
        assert "frame-ancestors 'self'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff", path


def test_a_password_opens_the_page(client):
    assert client.ask("POST", "/login", {"person": "ann", "password": "x"})[0] == 403
    told = {"person": "ann", "password": PASSWORD}
    assert client.ask("POST", "/login", told, origin="http://evil.example")[0] == 403
    status, headers, _ = client.ask("POST", "/login", told)
    assert status == HTTPStatus.NO_CONTENT
    assert "HttpOnly" in headers["Set-Cookie"]
    assert client.ask("GET", "/overview")[0] == HTTPStatus.OK
    assert client.ask("GET", "/health")[0] != HTTPStatus.UNAUTHORIZED
    assert client.ask("POST", "/login/renew")[0] == HTTPStatus.NO_CONTENT
    assert client.ask("POST", "/logout", {})[0] == HTTPStatus.NO_CONTENT
    assert client.ask("GET", "/overview")[0] == HTTPStatus.FOUND


def test_who_tries_often_waits(client):
    told = {"person": "bob", "password": "x"}  # On a busy machine the first ones are forgiven.
    tried = (client.ask("POST", "/login", told)[0] for _ in range(30))
    assert HTTPStatus.TOO_MANY_REQUESTS in tried


def test_a_token_comes_of_a_key_and_holds_once(client):
    assert client.ask("POST", "/login/once", {"person": "eve"})[0] == HTTPStatus.UNAUTHORIZED
    assert client.ask("POST", "/login/once", {"person": "eve"}, key="x")[0] == 401
    assert client.ask("POST", "/login/once", {"person": "e v"}, key=KEY)[0] == 400
    token = json.loads(client.ask("POST", "/login/once", {"person": "eve"}, key=KEY)[2])["token"]
    assert client.ask("POST", "/login/token", {"token": token}, origin="http://x.example")[0] == 403
    assert client.ask("POST", "/login/token", {"token": token})[0] == HTTPStatus.NO_CONTENT
    assert client.ask("GET", "/overview")[0] == HTTPStatus.OK
    assert Client(client.place.geturl()).ask("POST", "/login/token", {"token": token})[0] == 403


def test_signed_out_everywhere_is_soon_out_and_stays_out(world):
    first, second = signed_in(world, "joe"), signed_in(world, "joe")
    assert second.ask("GET", "/overview")[0] == HTTPStatus.OK
    assert first.ask("POST", "/logout", {"everywhere": True})[0] == HTTPStatus.NO_CONTENT
    assert second.ask("GET", "/overview")[0] == HTTPStatus.FOUND
    third = signed_in(world, "jim")
    Bus(world.redis).sign_out("jim", 4e9)  # As another server says it.
    until(lambda: third.ask("GET", "/overview")[0] == HTTPStatus.FOUND, 60)


def test_who_came_in_who_did_not_and_who_wrote_what_is_on_record(world):
    client = Client(world.address)
    client.ask("POST", "/login/once", {"person": "una"}, key="no key of ours")
    client.ask("POST", "/login/token", {"token": "made up"})
    client.ask("POST", "/login", {"person": "una", "password": "guessed"})
    client = signed_in(world, "una")
    shown = {
        "form": "csv",
        "facts": {"desk": "Overview"},
        "columns": [{"name": "a", "kind": "number"}],
    }
    assert client.ask("POST", "/table", shown | {"rows": [[1.0]]})[0] == HTTPStatus.OK
    client.ask("POST", "/logout", {})
    told = [
        ("", "token_refused", "no key, from 127.0.0.1"),
        ("", "sign_in_refused", "token, from 127.0.0.1"),
        ("una", "sign_in_refused", "from 127.0.0.1"),
        ("una", "token_given", "to portal, from 127.0.0.1"),
        ("una", "sign_in", "token from 127.0.0.1"),
        ("una", "export", '{"from": "127.0.0.1", "what": "1 rows, csv"}'),
        ("una", "sign_out", "here, from 127.0.0.1"),
    ]

    def heard():
        heads = [json.loads(head) for _, head, _ in batches(Bus(world.redis))]
        acts = [(act[1], act[3], act[5]) for head in heads for act in head["acts"]]
        begun = [at for at, act in enumerate(acts) if act == told[0]]  # Other tests were refused.
        return acts[begun[-1] :] if begun else []

    until(lambda: [act for act in heard() if act in told] == told, 60, lambda: str(heard()))


def batches(bus):
    """All that web processes have told the tape so far."""
    found = []
    while more := bus.screens(found[-1][0] if found else "0"):
        found += more
    return found


@pytest.mark.requires("chromium")
def test_a_person_signs_in_and_out_and_the_open_page_ends(world):
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(f"{world.address}/overview")
        page.get_by_label("Person").fill("amy")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_text("Not signed in: that is not the password").wait_for(timeout=SOON)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_function("() => window.tickglass?.stats().painted > 0", timeout=SOON)
        assert urlsplit(page.url).path == "/overview"
        Bus(world.redis).sign_out("amy", 3e9)
        page.wait_for_url(lambda url: "/login?next=" in url, timeout=SOON)


@pytest.mark.requires("chromium")
def test_the_firms_sign_in_beside_a_frame_and_alone(world, provider):
    world.portals = []
    with portal_page() as (origin, held), chromium() as browser:
        world.portals = [origin]
        world.write()
        client = Client(world.address)
        listed = lambda: client.ask("GET", "/login")[1]["Content-Security-Policy"]
        until(lambda: origin in listed(), 60)
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(f"{world.local}/overview")
        page.get_by_role("button", name="Sign in with single sign-on").click()
        page.wait_for_url(f"{provider}/**", timeout=SOON)
        page.get_by_label("sub").fill("lea")
        page.get_by_role("button", name="Authorize", exact=True).click()
        page.wait_for_function("() => window.tickglass?.stats().painted > 0", timeout=SOON)
        held["/"] = f'<iframe src="{world.local}/overview" width=900 height=600></iframe>'.encode()
        framed = browser.new_context().new_page()
        framed.goto(origin)
        with framed.expect_popup() as beside:
            framed.frame_locator("iframe").get_by_role("button", name="single sign-on").click()
        beside.value.get_by_label("sub").fill("lea")
        beside.value.get_by_role("button", name="Authorize", exact=True).click()
        framed.frame_locator("iframe").locator("canvas").first.wait_for(timeout=SOON)


def test_an_answer_of_the_provider_that_was_not_asked_for_is_refused(client):
    status, _, body = client.ask("GET", "/login/oidc/back?code=x&state=y")
    assert status == HTTPStatus.BAD_GATEWAY
    assert b"not begun in this browser" in body
    status, headers, _ = client.ask("GET", "/login/oidc")
    assert status == HTTPStatus.FOUND
    assert "code_challenge=" in headers["Location"]
    assert "nonce=" in headers["Location"]
    status, _, body = client.ask("GET", "/login/oidc/back?code=x&state=y")
    assert b"another sign-in" in body
