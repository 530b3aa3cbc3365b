"""Rule: a page's ticket, with which any web server of the product goes on where another ended.

Enters: what a server knows of a page it has made: its desk and feeds, who is at it, which
instruments it was told. Leaves: a text that only holders of the secret can write, and that holds
for TICKET_SECONDS. Whoever brings it back is believed so much and no more; what the page wishes
to be shown is not in it, for that changes with each click and is checked as every wish is.
"""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# A page that was opened on Friday goes on on Monday, and one of before a long holiday is made anew.
TICKET_SECONDS = 7 * 24 * 3600
TICKET_BYTES_MAX = 65_536  # The feeds of the widest desk take a tenth of it.
SECRET_BYTES = 32
SECRET_FILE = "web.secret"  # noqa: S105 (its name)


class TicketError(ValueError):
    """Not a ticket of ours, or one that is over; the text says which."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is believed of a page."""

    title: str  # Of its desk.
    feeds: list[dict[str, Any]]  # As in the desk's spec.
    user: str  # Who is at it; "" where there is no sign-in.
    instruments: str  # Digest of the instruments it was made with.
    past: bool  # It shows the past.

    @property
    def spec(self) -> dict[str, Any]:
        """As much of the desk's spec as a session reads."""
        return {"title": self.title, "feeds": self.feeds}


def digest(text: str) -> str:
    """Tells one list of instruments from another."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def write(ticket: Ticket, secret: str, now_s: float) -> str:
    """The ticket as text, good from now on."""
    told = {**asdict(ticket), "until_s": now_s + TICKET_SECONDS}
    body = base64.urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode()
    return f"{body}.{_mark(body, secret)}"


def read(text: Any, secret: str, now_s: float) -> Ticket:
    """The ticket that a page has shown; TicketError where it is none, or over."""
    if not isinstance(text, str) or len(text) > TICKET_BYTES_MAX:
        raise TicketError("this is no ticket")
    body, _, mark = text.partition(".")
    if not hmac.compare_digest(mark.encode(), _mark(body, secret).encode()):
        raise TicketError("this ticket was not written here")
    told = json.loads(base64.urlsafe_b64decode(body))  # From here on it is what we have written.
    if now_s >= told.pop("until_s"):
        raise TicketError("this ticket is over")
    return Ticket(**told)


def _mark(body: str, secret: str) -> str:
    return hmac.new(secret.encode(), body.encode(), "sha256").hexdigest()


def secret_of(path: Path) -> str:
    """The secret in a file that its owner alone may read, made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # All servers of a machine start at once: the first to link its draft wins, all read that.
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        draft.touch(0o600)
        draft.write_text(secrets.token_hex(SECRET_BYTES))
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
