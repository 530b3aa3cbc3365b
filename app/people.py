"""Rule: who may come in: people and services by the access file, and what they show afterwards.

Enters: the access file (docs/access.md describes it), passwords, keys, cookies, one-time tokens.
Leaves: a `Signed`, or nobody. A cookie is signed and holds by itself; whoever was signed out
everywhere is on a list with the moment, and a cookie from before it is worth nothing.
"""

import hashlib
import hmac
import json
import re
import secrets
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from tornado.web import create_signed_value, decode_signed_value

from app.rights import ALL, Rights, RightsError, granted
from compute.bus import BusError
from ingest import clock
from ingest.fund import DEMO, Fund

EVERYBODY = "*"  # Of those who are signed out.
SIGNED_OUT = "signed_out.json"  # In the data folder.
COOKIE, SECURE_COOKIE = "tickglass", "__Host-tickglass"
ONCE_SECONDS = 60
RENEW_SHARE = 0.25  # Of a sign-in's hours: a cookie that old is written anew.
DAYS_MAX = 7.0  # However often it is renewed.
NAME = re.compile(r"[\w.@+-]{1,80}")
ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
KEY_BYTES = 32
LOOK_SECONDS = 0.5  # Between looks: a change of the access file holds within a second.


class AccessError(ValueError):
    """The access file cannot be; says what, where and what to do."""


class Signed(NamedTuple):
    """Somebody who has shown who they are."""

    person: str
    since_s: float  # When; a renewed cookie keeps it.
    service: bool = False  # By a key, not a cookie.
    mark: str = ""  # Of the password shown, as the access file has it: with another one it is over.


Name = Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
Origin = Annotated[str, Field(pattern=rf"^{ORIGIN.pattern}$")]
Marked = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Oidc(_Told):
    """The firm's own sign-in."""

    issuer: str = Field(pattern=f"^{ORIGIN.pattern}(/.*)?$")
    client: str
    secret_file: Path | None = None
    claim: str = "email"  # Of the identity token: a person's name.
    name: str = "single sign-on"

    def secret(self) -> str:
        """The client's; "" where it has none. OSError where its file cannot be read."""
        return self.secret_file.read_text().strip() if self.secret_file else ""


class Granted(_Told):
    """What some people may see: the sum of the books named; `hide`: columns of these withheld."""

    people: tuple[Name, ...] = ()
    books: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    traders: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()

    def of(self, fund: Fund) -> Rights:
        """RightsError where the fund has no such book."""
        return granted(fund, self.books, self.strategies, self.traders, self.hide)


class Access(_Told):
    """What the access file says."""

    passwords: dict[Name, str] = Field({}, repr=False)  # Argon2 by person.
    keys: dict[Name, Marked] = Field({}, repr=False)  # SHA-256 by service.
    tokens: tuple[Name, ...] | None = None  # Services that may ask for tokens; None: all of them.
    portals: tuple[Origin, ...] = ()  # Origins that may show pages in a frame.
    hours: float = Field(12.0, gt=0, le=DAYS_MAX * 24)
    oidc: Oidc | None = None
    rights: dict[str, Granted] = {}  # By a team's name; without any, everybody sees all.

    @model_validator(mode="after")
    def _once(self) -> Self:
        """Two teams would leave open which of them holds."""
        named = [person for one in self.rights.values() for person in one.people]
        if twice := sorted({person for person in named if named.count(person) > 1}):
            raise ValueError(f"rights: {twice[0]} is named by two teams; name everybody once")
        if (others := self.rights.get(EVERYBODY)) and others.people:
            raise ValueError('rights."*" is for whoever is not named: it names nobody')
        if strange := sorted({*(self.tokens or ())} - self.keys.keys()):
            raise ValueError(f"tokens: {strange[0]} has no key")
        return self

    def gives(self, service: str) -> bool:
        """Whether that service may let people in."""
        return self.tokens is None or service in self.tokens

    def granted(self, fund: Fund) -> dict[str, Rights]:
        """What each person may see, under EVERYBODY who is not named; RightsError."""
        if not self.rights:
            return {EVERYBODY: ALL}
        found = {EVERYBODY: granted(fund)}
        for team, one in self.rights.items():
            try:
                rights = one.of(fund)
            except RightsError as error:
                raise RightsError(f"rights.{team}: {error}") from None
            names = (EVERYBODY,) if team == EVERYBODY else one.people
            found |= dict.fromkeys(names, rights)
        return found

    def service(self, key: str) -> str:
        """Which service has that key; "" if none."""
        digest = mark_of(key)
        found = [name for name, known in self.keys.items() if hmac.compare_digest(known, digest)]
        return found[0] if found else ""


def mark_of(secret: str) -> str:
    """What is kept of a key or token: its SHA-256, hexadecimal. They are random: no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


def address_of(request: Any) -> str:
    """Where it comes from. We listen on loopback: who else comes, comes by a proxy that says."""
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return told or str(request.remote_ip)


def read(path: Path) -> Access:
    """The access file; AccessError where it cannot be."""
    try:
        if path.stat().st_mode & 0o077:
            raise AccessError(f"{path} can be read by others than its owner: chmod 600 {path}")
        access = Access.model_validate(tomllib.loads(path.read_text()))
        if access.oidc:
            access.oidc.secret()
    except OSError as error:
        raise AccessError(f"{error.filename} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise AccessError(f"{path} is no TOML: {error}") from None
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise AccessError(f"{path}: {'; '.join(wrong)}") from None
    return access


class Store(Protocol):
    """What is needed of compute.bus.Bus."""

    def keep_once(self, mark: str, data: bytes, seconds: int) -> None:
        """Keep something that may be taken once, for so long."""

    def take_once(self, mark: str) -> bytes | None:
        """Take it, so that nobody takes it again."""

    def sign_out(self, person: str, ts_s: float) -> None:
        """Whoever signed in before is signed out."""

    def signed_out(self) -> dict[str, float]:
        """All that were."""


class People:
    """Who may come in, of one web process. Every method may be called from any thread."""

    def __init__(  # noqa: PLR0913
        self,
        path: Path,
        secret: str,
        store: Store,
        kept: Path,
        now_s: Callable[[], float] = lambda: clock.now_ns() / 1e9,
        fund: Fund = DEMO,
    ) -> None:
        """AccessError where the file cannot be; a later change that cannot be is not taken.

        `kept` is where those who were signed out are kept, should Redis forget them; `fund` has
        the books that rights name.
        """
        self.path, self.store, self.kept, self.now_s = path, store, kept, now_s
        self._secret, self.fund = secret, fund
        self.access, self._rights = self._read()
        self.problem = ""  # What is wrong with the file's newest state.
        self._stamp = path.stat().st_mtime_ns
        self._out: dict[str, float] = json.loads(kept.read_text()) if kept.is_file() else {}

    def look(self) -> None:
        """Take what has changed: the file, and who was signed out."""
        try:
            stamp = self.path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._stamp = stamp
                (self.access, self._rights), self.problem = self._read(), ""
        except (OSError, AccessError) as error:
            self.problem = str(error)
        try:
            known = self.store.signed_out()
            for person, ts_s in self._out.items():
                if known.get(person, 0.0) < ts_s:  # Redis has forgotten; we have not.
                    self.store.sign_out(person, ts_s)
        except BusError:
            return  # The next look will do.
        for person, ts_s in known.items():
            self._out[person] = max(ts_s, self._out.get(person, 0.0))

    def _read(self) -> tuple[Access, dict[str, Rights]]:
        access = read(self.path)
        try:
            return access, access.granted(self.fund)
        except RightsError as error:
            raise AccessError(f"{self.path}: {error}") from None

    def rights(self, person: str) -> Rights:
        """What that person, or service, may see now."""
        return self._rights.get(person) or self._rights[EVERYBODY]

    def sign_out(self, person: str) -> None:
        """Everywhere: what was signed before now is worth nothing. OSError if it cannot be kept."""
        self._out[person] = self.now_s()
        draft = self.kept.with_suffix(".draft")
        draft.write_text(json.dumps(self._out))
        draft.replace(self.kept)
        self.look()

    def holds(self, signed: Signed) -> bool:
        """Whether that one is still in: not signed out since, not taken off the file."""
        if signed.service:
            return signed.person in self.access.keys
        if signed.mark and signed.mark != _mark(self.access.passwords.get(signed.person, "")):
            return False
        return (
            signed.since_s > max(self._out.get(one, 0.0) for one in (signed.person, EVERYBODY))
            and self.now_s() - signed.since_s < DAYS_MAX * 86_400
        )

    def cookie(self, signed: Signed) -> str:
        """What the browser shows from now on."""
        value = json.dumps([signed.person, signed.since_s, signed.mark])
        return create_signed_value(self._secret, COOKIE, value, clock=self.now_s).decode()

    def of_cookie(self, text: str | None) -> Signed | None:
        """Who shows that cookie; None where it is none of ours, or over."""
        days = self.access.hours / 24
        value = text and decode_signed_value(
            self._secret, COOKIE, text, max_age_days=days, clock=self.now_s
        )
        if not value:
            return None
        person, since_s, *mark = json.loads(value)  # Signed: it is what we have written.
        signed = Signed(person, since_s, mark=mark[0] if mark else "")
        return signed if self.holds(signed) else None

    def fresh(self, text: str) -> bool:
        """Whether a cookie that holds is so new that it need not be written anew."""
        days = RENEW_SHARE * self.access.hours / 24
        return bool(
            decode_signed_value(self._secret, COOKIE, text, max_age_days=days, clock=self.now_s)
        )

    def of_key(self, key: str) -> Signed | None:
        """The service that shows that key."""
        name = self.access.service(key)
        return Signed(name, self.now_s(), service=True) if name else None

    def once(self, person: str) -> str:
        """A token with which that person comes in once, within ONCE_SECONDS."""
        if not NAME.fullmatch(person):
            raise AccessError(f"{person!r:.90} is no name: letters, digits and . _ @ + -")
        token = secrets.token_urlsafe(KEY_BYTES)
        self.store.keep_once(mark_of(token), person.encode(), ONCE_SECONDS)
        return token

    def of_once(self, token: str) -> Signed | None:
        """Whose token it is; it is worth nothing from then on."""
        data = self.store.take_once(mark_of(token))
        return Signed(data.decode(), self.now_s()) if data else None

    def of_password(self, person: str, password: str) -> Signed | None:
        """Whose password that is. Takes a tenth of a second of a core, whoever it is."""
        from argon2 import PasswordHasher, exceptions  # Where nobody signs in nothing is loaded.

        hasher = PasswordHasher()
        known = self.access.passwords.get(person)
        try:
            hasher.verify(known or _nobodys(), password)
        except (exceptions.VerificationError, exceptions.InvalidHashError):
            return None
        return Signed(person, self.now_s(), mark=_mark(known)) if known else None


def _mark(password: str) -> str:
    """Of a password as the access file keeps it."""
    return mark_of(password)[:16]


@cache
def _nobodys() -> str:
    """Of a password that nobody knows: who is not on the file takes as long as who is."""
    return hashed(secrets.token_urlsafe(KEY_BYTES))


def hashed(password: str) -> str:
    """What the access file keeps of a password."""
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)
