"""A page's ticket: who may write one, how long it holds, and the secret that servers share."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app import ticket as room
from app.ticket import TICKET_SECONDS, Ticket, TicketError, digest, read, secret_of, write

OURS = Ticket("Overview", [{"kind": "grid", "columns": ["bid"]}], "ann.lee", "1f", past=False)
NOW_S = 1_790_000_000.0
DAY_S = 24 * 3600.0


def test_what_was_written_is_read_and_a_page_open_for_a_day_goes_on():
    text = write(OURS, "secret", NOW_S)
    assert read(text, "secret", NOW_S) == OURS
    assert read(text, "secret", NOW_S + DAY_S) == OURS
    assert OURS.spec == {"title": "Overview", "feeds": OURS.feeds}
    with pytest.raises(TicketError, match="over"):
        read(text, "secret", NOW_S + TICKET_SECONDS)


def test_who_has_not_the_secret_writes_none():
    text = write(OURS, "secret", NOW_S)
    body, mark = text.split(".")
    other = write(Ticket("Overview", [], "boss", "1f", past=False), "guess", NOW_S)
    forged = f"{other.split('.')[0]}.{mark}"
    for wrong in (other, forged, body, f"{body}.", f".{mark}", f"{text}0", "", "é.é", None, 7, {}):
        with pytest.raises(TicketError):
            read(wrong, "secret", NOW_S)
    with pytest.raises(TicketError, match="no ticket"):
        read("x" * (room.TICKET_BYTES_MAX + 1), "secret", NOW_S)


def test_a_secret_is_made_once_however_many_begin_together(tmp_path):
    path = tmp_path / "data" / "web.secret"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(secret_of, [path] * 8))
    assert found == {path.read_text()}
    assert len(found.pop()) == 2 * room.SECRET_BYTES
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["web.secret"]


def test_lists_of_instruments_are_told_apart():
    assert digest("[1]") == digest("[1]") != digest("[2]")
