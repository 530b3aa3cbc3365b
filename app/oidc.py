"""Door: the firm's own sign-in, OpenID Connect: authorization code with PKCE, state and nonce.

What one sign-in must remember between going there and coming back stands in a signed cookie of
some minutes, so that any web server takes up what another has begun.
"""

import asyncio
import json
import secrets
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from requests import RequestException
from tornado.web import create_signed_value, decode_signed_value

from app.people import NAME, Oidc, Signed
from app.portal import Handler, local
from compute.bus import BusError

BEGUN, BEGUN_SECONDS = "tickglass-begun", 300
ANSWER_SECONDS = 10.0
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
LEEWAY_SECONDS = 30


class OidcError(RuntimeError):
    """The provider cannot be asked, or what it says cannot be believed; says why."""


class Flow:
    """The provider, as it describes itself."""

    def __init__(self, oidc: Oidc, back: str) -> None:
        """`back` is our own address that people come back to. OidcError where nobody answers."""
        self.oidc, self.back, self._secret = oidc, back, oidc.secret()
        place = oidc.issuer.rstrip("/") + "/.well-known/openid-configuration"
        with self._client() as client:
            try:
                answer = client.get(place, withhold_token=True, timeout=ANSWER_SECONDS)
                answer.raise_for_status()
                self.known = answer.json()
            except (RequestException, ValueError) as error:
                raise OidcError(f"{place} does not answer ({type(error).__name__})") from None
        if self.known.get("issuer", "").rstrip("/") != oidc.issuer.rstrip("/"):
            raise OidcError(f"{place} speaks for {self.known.get('issuer')!r}")

    def _client(self) -> OAuth2Session:
        return OAuth2Session(
            self.oidc.client,
            self._secret or None,
            scope="openid email profile",
            redirect_uri=self.back,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
        )

    def begin(self, nonce: str, verifier: str) -> tuple[str, str]:
        """Where to send a person, and the state that must come back."""
        with self._client() as client:
            where = self.known["authorization_endpoint"]
            url, state = client.create_authorization_url(where, nonce=nonce, code_verifier=verifier)
        return str(url), str(state)

    def person(self, answer: str, state: str, nonce: str, verifier: str) -> str:
        """Who has come back with that address; OidcError where that is not to be believed."""
        try:
            with self._client() as client:
                client.state = state
                token = client.fetch_token(
                    self.known["token_endpoint"],
                    authorization_response=answer,
                    state=state,
                    code_verifier=verifier,
                    timeout=ANSWER_SECONDS,
                )
                keys = client.get(
                    self.known["jwks_uri"], withhold_token=True, timeout=ANSWER_SECONDS
                ).json()
            found = jwt.decode(token["id_token"], KeySet.import_key_set(keys), ALGORITHMS)
            rules = jwt.JWTClaimsRegistry(
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": self.known["issuer"]},
                aud={"essential": True, "value": self.oidc.client},
                exp={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            rules.validate(found.claims)
        except (OAuthError, JoseError, RequestException, ValueError, KeyError) as error:
            raise OidcError(f"{type(error).__name__}: {error}") from None
        person = str(found.claims.get(self.oidc.claim, ""))
        if not NAME.fullmatch(person):
            raise OidcError(f"it tells no {self.oidc.claim}: name another claim in the access file")
        return person


class _Oidc(Handler):
    async def flow(self) -> Flow:
        """Of this process; the provider describes itself once, for each place we are served as."""
        oidc = self.door.people.access.oidc
        if oidc is None:
            raise OidcError("no provider is named in the access file")
        if self.request.host not in self.door.origins:
            raise OidcError(f"{self.request.host} is no origin that pages are served from")
        scheme = "https" if self.encrypted() else "http"
        back = f"{scheme}://{self.request.host}/login/oidc/back"
        found: Flow | None = self.door.flow
        if found is None or (found.oidc, found.back) != (oidc, back):
            found = self.door.flow = await asyncio.to_thread(Flow, oidc, back)
        return found

    def failed(self, error: Exception) -> None:
        """Nobody is signed in; a page says so, with a way back."""
        self.door.tell("", "sign_in_refused", f"provider, {self.address}: {error}"[:200])
        self.set_status(502)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"Nobody was signed in: {error}. Go back and try again.")


class Begin(_Oidc):
    """Off to the provider."""

    async def get(self) -> None:
        """`next`: where to go afterwards; `beside`: this is the window beside a frame."""
        nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        try:
            url, state = (await self.flow()).begin(nonce, verifier)
        except OidcError as error:
            self.failed(error)
            return
        beside = bool(self.get_argument("beside", ""))
        begun = [state, nonce, verifier, local(self.get_argument("next", "/")), beside]
        value = create_signed_value(self.door.secret, BEGUN, json.dumps(begun)).decode()
        secure = "; Secure" if self.encrypted() else ""
        text = f"{BEGUN}={value}; Path=/login; HttpOnly; Max-Age={BEGUN_SECONDS}; SameSite=Lax"
        self.add_header("Set-Cookie", text + secure)
        self.redirect(url)


class Back(_Oidc):
    """From the provider."""

    async def get(self) -> None:
        """The code for a person; the state must be the one that this browser went with."""
        shown = self.request.cookies.get(BEGUN)
        days = BEGUN_SECONDS / 86_400
        begun = shown and decode_signed_value(
            self.door.secret, BEGUN, shown.value, max_age_days=days
        )
        self.add_header("Set-Cookie", f"{BEGUN}=; Path=/login; HttpOnly; Max-Age=0")
        if not begun:
            self.failed(OidcError("this sign-in was not begun in this browser, or too long ago"))
            return
        state, nonce, verifier, after, beside = json.loads(begun)
        try:
            person = await self.person(state, nonce, verifier)
            if beside:
                self.hand_over(await asyncio.to_thread(self.door.people.once, person))
                return
        except (OidcError, BusError) as error:
            self.failed(error)
            return
        self.welcome(Signed(person, self.door.people.now_s()), "provider")
        self.redirect(after)

    async def person(self, state: str, nonce: str, verifier: str) -> str:
        """Whom the provider has sent back; OidcError where that is not to be believed."""
        flow = await self.flow()
        if self.get_argument("state", "") != state:
            raise OidcError("this answer belongs to another sign-in")
        answer = flow.back + "?" + urlsplit(self.request.uri or "").query
        return await asyncio.to_thread(flow.person, answer, state, nonce, verifier)

    def hand_over(self, token: str) -> None:
        """To the frame that has opened this window."""
        nonce = secrets.token_urlsafe(12)
        self.set_header(
            "Content-Security-Policy", f"default-src 'none'; script-src 'nonce-{nonce}'"
        )
        self.set_header("Cache-Control", "no-store")
        told: Any = json.dumps({"tickglass_token": token})
        tell = f"opener?.postMessage({told}, location.origin); close();"
        self.finish(
            "<!doctype html><title>Signed in</title><p>Signed in. This window may be closed.</p>"
            f'<script nonce="{nonce}">{tell}</script>'
        )
