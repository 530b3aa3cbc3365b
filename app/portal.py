"""Key: the portal's door. Sign-in and its cookie, one-time tokens, frames, headers of every answer.

Nobody is asked for a password inside a frame that is not ours to trust: a portal's server asks for
a one-time token and puts it into the frame's address, or the firm's own sign-in runs in a window
beside the frame, which hands the frame a token. Either is exchanged by POST for a cookie that
belongs to the frame's own partition.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import quote, urlsplit

from bokeh.server.auth_provider import AuthProvider
from bokeh.util.token import get_session_id
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform, RequestHandler

from app.allowance import Allowance
from app.blocks.policy import MARK, trusted
from app.people import (
    COOKIE,
    LOOK_SECONDS,
    ONCE_SECONDS,
    SECURE_COOKIE,
    AccessError,
    People,
    Signed,
    address_of,
)
from app.process import say
from app.rights import NOT_PERMITTED
from app.settings import ROOT
from compute.bus import BusError

# Of passwords and tokens: for one person, and from one address, behind which a floor may sit.
PERSON_BURST, PERSON_PER_S = 8, 0.1
ADDRESS_BURST, ADDRESS_PER_S = 100, 2.0
TRIED_MAX = 10_000
FORM_BYTES_MAX = 4_096
HASHES_AT_ONCE = 2  # Each takes a tenth of a second of a core and 64 MiB.
_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20]*")
_PAGE = (ROOT / "app" / "blocks" / "sign_in.html").read_text()

POLICY = "Content-Security-Policy"
HEADERS = {  # Of every answer. Without a door nothing is said of frames: pages are our machine's.
    POLICY: "object-src 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

Tell = Callable[[str, str, str], None]  # Person, action, detail: for the record.
End = Callable[[Callable[[Signed], bool]], None]  # Ends the pages of all for whom it is false.


class Door:
    """What the handlers of one web process share."""

    def __init__(self, people: People, secret: str, origins: list[str], tell: Tell) -> None:
        """`origins` are the hosts that pages are served from; `tell` puts acts on record."""
        self.people, self.secret, self.origins, self.tell = people, secret, origins, tell
        self.flow: Any = None  # Of the firm's sign-in, once somebody asks for it.
        self.pages: dict[str, str] = {}  # Whose each is, by Bokeh's name of it.
        self._tried: dict[str, Allowance] = {}
        self._hashes = asyncio.Semaphore(HASHES_AT_ONCE)

    def who(self, request: HTTPServerRequest) -> Signed | None:
        """Who asks: by a service's key, else by the cookie."""
        kind, _, key = request.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer":
            return self.people.of_key(key.strip())
        return self.people.of_cookie(self.cookie_of(request))

    def cookie_of(self, request: HTTPServerRequest) -> str:
        """The cookie it shows; of a page that is served encrypted only the one set there."""
        names = [SECURE_COOKIE] if _encrypted(request) else [SECURE_COOKIE, COOKIE]
        found = [request.cookies[name].value for name in names if name in request.cookies]
        return found[0] if found else ""

    def may_try(self, address: str, person: str = "") -> bool:
        """Whether not too many tries were made lately from there, and for that person."""
        if len(self._tried) > TRIED_MAX:  # Whoever is not at its limit may be forgotten.
            self._tried = {name: one for name, one in self._tried.items() if one.left < 1}
        place = self._tried.setdefault(f"@{address}", Allowance(ADDRESS_BURST, ADDRESS_PER_S))
        if not place.take(1):
            return False
        if not person:
            return True
        # Of this address: whoever tries somebody's password does not keep him out elsewhere.
        key = f"{person}@{address}"
        return self._tried.setdefault(key, Allowance(PERSON_BURST, PERSON_PER_S)).take(1)

    async def of_password(self, person: str, password: str) -> Signed | None:
        """Beside the loop, few at once."""
        async with self._hashes:
            return await asyncio.to_thread(self.people.of_password, person, password)

    def headers(self, origin: str = "") -> dict[str, str]:
        """What every answer says: who may show it in a frame, and that nobody guesses its type.

        `origin` is of the page that asks: one that desks are part of may read what it asks for.
        """
        frames = " ".join(["'self'", *self.people.access.portals])
        told = {**HEADERS, POLICY: f"frame-ancestors {frames}; {HEADERS[POLICY]}"}
        if urlsplit(origin).netloc in self.origins:
            told |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
            told["Access-Control-Allow-Credentials"] = "true"
        return told


def _encrypted(request: HTTPServerRequest) -> bool:
    return request.headers.get("X-Forwarded-Proto", request.protocol) == "https"


def local(target: str) -> str:
    """Where to go after signing in: a path of ours, else the first desk."""
    return target if _LOCAL.fullmatch(target) and len(target) < 2_000 else "/"


class Gate(AuthProvider):
    """Bokeh's question who is there, for pages and their sockets."""

    def __init__(self, door: Door) -> None:
        """See `Door`."""
        self._door = door
        super().__init__()

    @property
    def get_user(self) -> Any:
        """Person, or None."""

        def user(handler: RequestHandler) -> str | None:
            signed = self._door.who(handler.request)
            return signed.person if signed and self._own(handler.request, signed) else None

        return user

    def _own(self, request: HTTPServerRequest, signed: Signed) -> bool:
        """Whether the page whose socket this would be is not another person's.

        What a page shows to open its socket stands in its text: it tells which page, not who.
        """
        token = request.headers.get("Sec-WebSocket-Protocol", "").partition(",")[2].strip()
        if not token:
            return True
        try:
            page = get_session_id(token)
        except (ValueError, KeyError, TypeError):
            return False
        if self._door.pages.get(page, signed.person) == signed.person:
            return True
        said = f"another person's page, from {address_of(request)}"
        self._door.tell(signed.person, "refused", said)
        return False

    @property
    def get_login_url(self) -> Any:
        """The sign-in, and back."""
        return lambda handler: f"/login?next={quote(handler.request.uri)}"


def guarded(
    handler: type[RequestHandler], door: Door, *, whole: bool = False
) -> type[RequestHandler]:
    """That handler for whoever has signed in; for others 401.

    `whole`: it tells of the whole fund; for whoever may not see all of it 403.
    """

    class Guarded(handler):  # type: ignore[valid-type, misc]
        async def prepare(self) -> None:
            signed = door.who(self.request)
            if signed is None:
                self.set_status(401)
                self.finish({"error": "sign in first, or show a key: Authorization: Bearer KEY"})
                return
            if whole and not door.people.rights(signed.person).everything:
                said = f"{self.request.path}, from {address_of(self.request)}"
                door.tell(signed.person, "refused", said)
                self.set_status(403)
                self.finish({"error": f"{NOT_PERMITTED}, as it tells of the whole fund"})
                return
            before = super().prepare()
            if before is not None:
                await before

    Guarded.__name__ = handler.__name__
    return Guarded


class Headers(OutputTransform):
    """Adds the door's headers to every answer, whoever writes it, and the nonce to pages."""

    def __init__(self, request: HTTPServerRequest, door: Door | None) -> None:
        """Tornado makes one for each request."""
        self.door, self.origin = door, request.headers.get("Origin", "")

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """See Tornado."""
        own = headers.get(POLICY)
        headers.update(self.door.headers(self.origin) if self.door else HEADERS)
        if MARK in chunk:
            chunk, own = trusted(chunk)
        if own:
            headers[POLICY] += "; " + own
        return status_code, headers, chunk


def headers_of(door: Door | None) -> Callable[[HTTPServerRequest], Headers]:
    """What Tornado is to make for each request."""
    return lambda request: Headers(request, door)


class Handler(RequestHandler):
    """A page or an answer of the sign-in."""

    def encrypted(self) -> bool:
        """Whether the browser asks by https, of us or of a proxy before us."""
        return _encrypted(self.request)

    @property
    def address(self) -> str:
        """Where it asks from."""
        return address_of(self.request)

    def initialize(self, door: Door) -> None:
        """See `Door`."""
        self.door = door

    def check_xsrf_cookie(self) -> None:
        """A form comes from a page of ours: browsers say from where."""

    def from_us(self) -> bool:
        """Whether a page of ours asks; whatever sends no origin is no browser's form."""
        origin = self.request.headers.get("Origin", "")
        return urlsplit(origin).netloc in {self.request.host, *self.door.origins}

    def welcome(self, signed: Signed, how: str) -> None:
        """Write the cookie and put it on record."""
        self.write_cookie(signed)
        self.door.tell(signed.person, "sign_in", f"{how} from {self.address}")

    def write_cookie(self, signed: Signed | None) -> None:
        """The cookie of that person; of nobody: forget it."""
        value = self.door.people.cookie(signed) if signed else ""
        lasts = round(self.door.people.access.hours * 3600) if signed else 0
        name, rest = COOKIE, "SameSite=Lax"
        if self.encrypted() or self.request.host.partition(":")[0] == "localhost":
            # Also in the frame of another site, and there for that site alone. Browsers take
            # localhost for as good as encrypted.
            name, rest = SECURE_COOKIE, "Secure; SameSite=None; Partitioned"
        text = f"{name}={value}; Path=/; HttpOnly; Max-Age={lasts}; {rest}"
        self.add_header("Set-Cookie", text)

    def refuse(self, status: int, text: str) -> None:
        """Say no."""
        self.set_status(status)
        self.write({"error": text})

    def told(self) -> dict[str, Any]:
        """The JSON object of the request; {} where it is none."""
        try:
            found = json.loads(self.request.body[:FORM_BYTES_MAX])
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class SignIn(Handler):
    """The page, and the password."""

    def get(self) -> None:
        """The page; it exchanges a token by itself where its address has one."""
        after = local(self.get_argument("next", "/"))
        if not self.get_argument("token", "") and self.door.who(self.request):
            self.redirect(after)
            return
        nonce = secrets.token_urlsafe(12)
        policy = f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'"
        self.set_header("Content-Security-Policy", f"default-src 'none'; {policy}")
        self.set_header("Cache-Control", "no-store")
        access = self.door.people.access
        filled = {
            "@nonce@": nonce,
            "@next@": escape(after, quote=True),
            "@passwords@": "" if access.passwords else "hidden",
            "@oidc@": "" if access.oidc else "hidden",
            "@provider@": escape(access.oidc.name) if access.oidc else "",
        }
        page = _PAGE
        for mark, text in filled.items():
            page = page.replace(mark, text)
        self.finish(page)

    async def post(self) -> None:
        """A person and a password."""
        told = self.told()
        person, password = str(told.get("person", "")), str(told.get("password", ""))
        if not self.from_us():
            self.refuse(403, "this form is not ours")
        elif not self.door.may_try(self.address, person[:80]):
            self.door.tell(person[:80], "sign_in_refused", f"too often, {self.address}")
            self.refuse(429, "too many tries: wait a minute")
        elif signed := await self.door.of_password(person, password):
            self.welcome(signed, "password")
            self.set_status(204)
        else:
            self.door.tell(person[:80], "sign_in_refused", f"from {self.address}")
            self.refuse(403, "that is not the password of that person")


class Exchange(Handler):
    """A one-time token for the cookie."""

    async def post(self) -> None:
        """Of a page of ours that was given it in its address, or by the window beside it."""
        token = str(self.told().get("token", ""))
        if not self.from_us():
            self.refuse(403, "this form is not ours")
            return
        if not self.door.may_try(self.address):
            self.refuse(429, "too many tries: wait a minute")
            return
        try:
            signed = await asyncio.to_thread(self.door.people.of_once, token)
        except BusError:
            self.refuse(503, "nobody can be signed in now: Redis does not answer")
            return
        if signed is None:
            self.door.tell("", "sign_in_refused", f"token, from {self.address}")
            self.refuse(403, "this token was used, or is older than a minute")
            return
        self.welcome(signed, "token")
        self.set_status(204)


class Once(Handler):
    """For a portal's server, with its key: a token for somebody it has signed in."""

    async def post(self) -> None:
        """`{"person": NAME}` -> `{"token": TOKEN, "seconds": 60}`."""
        service = self.door.who(self.request)
        if service is None or not service.service:
            if self.door.may_try(self.address):  # Whoever goes on asking is not told of for ever.
                self.door.tell("", "token_refused", f"no key, from {self.address}")
            self.refuse(401, "show a key: Authorization: Bearer KEY")
            return
        person = str(self.told().get("person", ""))
        if not self.door.people.access.gives(service.person):
            said = f"{service.person} for {person:.80}, from {self.address}"
            self.door.tell(service.person, "token_refused", said)
            self.refuse(403, f"the key of {service.person} is not for tokens")
            return
        try:
            token = await asyncio.to_thread(self.door.people.once, person)
        except AccessError as error:
            self.refuse(400, str(error))
        except BusError:
            self.refuse(503, "nobody can be signed in now: Redis does not answer")
        else:
            said = f"to {service.person}, from {self.address}"
            self.door.tell(person, "token_given", said)
            self.write({"token": token, "seconds": ONCE_SECONDS})


class Renew(Handler):
    """A page that stays open keeps its sign-in."""

    def post(self) -> None:
        """A newer cookie, if the one shown is old enough; 401 where it is none."""
        signed = self.door.who(self.request)
        if signed is None or not self.from_us():
            self.refuse(401, "sign in")
            return
        if not self.door.people.fresh(self.door.cookie_of(self.request)):
            self.write_cookie(signed)
        self.set_status(204)


class SignOut(Handler):
    """Here, or everywhere."""

    async def post(self) -> None:
        """`{"everywhere": true}` ends all sessions of this person."""
        signed = self.door.who(self.request)
        if signed is None or not self.from_us():
            self.refuse(401, "sign in")
            return
        everywhere = bool(self.told().get("everywhere"))
        if everywhere:
            await asyncio.to_thread(self.door.people.sign_out, signed.person)
        said = f"{'everywhere' if everywhere else 'here'}, from {self.address}"
        self.door.tell(signed.person, "sign_out", said)
        self.write_cookie(None)
        self.set_status(204)


def routes(door: Door) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """The sign-in's routes."""
    from app.oidc import Back, Begin  # Its client loads slowly: only where people sign in.

    handlers: dict[str, type[RequestHandler]] = {
        "/login": SignIn,
        "/login/token": Exchange,
        "/login/once": Once,
        "/login/renew": Renew,
        "/logout": SignOut,
        "/login/oidc": Begin,
        "/login/oidc/back": Back,
    }
    return [(path, handler, {"door": door}) for path, handler in handlers.items()]


async def looking(door: Door, end: End) -> None:
    """Until cancelled: take changes of who may come in, and end the pages of who may not."""
    problem = ""
    while True:
        await asyncio.to_thread(door.people.look)
        if door.people.problem != problem:
            problem = door.people.problem
            say("access file", problem=problem or "read")
        end(door.people.holds)
        await asyncio.sleep(LOOK_SECONDS)
