"""The walk of acts: each thing that people do, once, from a page or its door to ClickHouse.

One web process, a Chromium, the tape as `up` makes it, a stand-in for ClickHouse; then the command
that answers whoever asks who did what, when and from where.
"""

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app import loops
from app.people import hashed, mark_of
from app.settings import load
from tests.app.test_portal import KEY, PASSWORD, Client
from tests.browser import chromium
from tests.clickhouse import ClickHouse
from tests.walk.test_alerts import Running
from tests.walk.test_desks import LIMIT, LIVE, PATIENCE_MS, saved, until
from tests.web import Publisher, serving
from tests.web import until as until_true

# As the page says what it wishes, by whatever socket it has just then.
SAY = "(said) => tickglass.wish(said)"
DOOR = ", from 127.0.0.1"
TOLD: list[tuple[str, str, str, str]] = [  # Who, what, to what, and what its detail holds.
    ("ann", "sign_in_refused", "", "from 127.0.0.1"),
    ("", "token_refused", "", "no key" + DOOR),
    ("", "sign_in_refused", "", "token" + DOOR),
    ("bob", "token_given", "", "to portal" + DOOR),
    ("bob", "sign_in", "", "token from 127.0.0.1"),
    ("bob", "refused", "", "/metrics" + DOOR),
    ("bob", "sign_out", "", "everywhere" + DOOR),
    ("ann", "sign_in", "", "password from 127.0.0.1"),
    ("ann", "open", "Risk", ""),
    ("ann", "acknowledge", LIMIT["alert"], '"number":1'),
    ("ann", "what_if", "1 trades", '"quantity":200000'),
    ("ann", "open", "Overview", ""),
    ("ann", "desk", "Morning", '"do":"keep"'),
    ("ann", "desk", "Morning", '"do":"share"'),
    ("ann", "desk", "Morning", '"do":"take_away"'),
    ("ann", "export", "desk: Morning, block: Blotter", "rows, csv"),
    ("ann", "export", "Morning, Blotter", '"form":"png"'),
    ("ann", "replay", "one that was refused", ""),
    ("ann", "sign_out", "", "here" + DOOR),
]


def access(path: Path) -> Path:
    path.touch(0o600)
    path.write_text(
        f'[passwords]\nann = "{hashed(PASSWORD)}"\n[keys]\nportal = "{mark_of(KEY)}"\n'
        '[rights.desk]\npeople = ["ann"]\nbooks = ["*"]\n'
    )
    return path


def at_the_door(address: str) -> None:
    """What needs no page: who comes in, who does not, who is told nothing."""
    client = Client(address)
    assert client.ask("POST", "/login", {"person": "ann", "password": "guessed"})[0] == 403
    assert client.ask("POST", "/login/once", {"person": "bob"}, key="none of ours")[0] == 401
    assert client.ask("POST", "/login/token", {"token": "made up"})[0] == 403
    told = client.ask("POST", "/login/once", {"person": "bob"}, key=KEY)[2]
    assert client.ask("POST", "/login/token", {"token": json.loads(told)["token"]})[0] == 204
    assert client.ask("GET", "/metrics")[0] == 403
    assert client.ask("POST", "/logout", {"everywhere": True})[0] == 204


def on_a_desk(page: Any, folder: Path) -> None:
    """Kept, shared, written to files, taken away; and a value that was refused sent again."""
    menu = page.get_by_role("button", name="Desk", exact=True)
    page.keyboard.press("e")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.get_by_role("button", name="Keep as mine").click()
    page.get_by_label("Its name").fill("Morning")
    page.get_by_label("Your name").fill("eve")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("mine="), timeout=PATIENCE_MS, wait_until="commit")
    until(page, LIVE)
    saved(page, "Blotter", "CSV", folder / "b.csv")
    saved(page, "Blotter", "PNG", folder / "b.png")
    menu.click()
    page.get_by_role("menuitem", name="Share with a team").click()
    page.get_by_label("Team; empty: nobody").fill("macro")
    page.keyboard.press("Enter")
    page.get_by_text("Shared with macro.").wait_for()


@pytest.mark.requires("chromium")
def test_what_people_do_is_on_record_once(redis, tmp_path, monkeypatch, tickglass) -> None:
    monkeypatch.setenv("TICKGLASS_ACCESS", str(access(tmp_path / "access.toml")))
    server = ClickHouse(tmp_path / "clickhouse").start()
    settings = load(data=tmp_path / "data", redis=redis, clickhouse=server.address)
    tape = Running(lambda: loops.tape(settings))
    market = Publisher(redis)
    with serving(redis, server.address, tmp_path) as address, chromium() as browser:
        at_the_door(address)
        context = browser.new_context(viewport={"width": 1920, "height": 1080})
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        raised = {**LIMIT, "changed_ms": time.time() * 1e3}
        market.bus.set_alerts(json.dumps([raised]).encode())
        page.goto(f"{address}/login?next=/risk")
        page.get_by_label("Person").fill("ann")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/risk")
        page.get_by_role("button", name="Acknowledge: ").first.click()
        page.get_by_label("Your name").fill("eve")  # The server knows better.
        page.keyboard.press("Enter")
        until(page, "() => tickglass.sent.some((one) => one.type === 'acknowledge')")
        page.goto(f"{address}/overview")
        until(page, LIVE)
        on_a_desk(page, tmp_path)
        trade = {"book": 0, "instrument": 0, "quantity": 200000}
        for said in (
            {"type": "what_if", "id": "whatif-1", "trades": [trade]},
            {"type": "desk", "do": "take_away", "id": "x", "name": "Morning"},
            {"type": "replay", "id": "replay", "kept": "one that was refused", "person": "eve"},
        ):
            page.evaluate(SAY, said)

        def found() -> list[dict[str, str]]:
            done = tickglass(
                *("audit", "acts", "--last", "1000", "--json"),
                timeout=60,
                TICKGLASS_CLICKHOUSE=server.address,
            )
            return json.loads(done.stdout) if done.returncode == 0 else []

        def lacking() -> list[Any]:
            told = found()
            return [one for one in TOLD if not any(is_of(row, one) for row in told)]

        until_true(lambda: lacking() == TOLD[-1:], 60, lambda: str((lacking(), found())))
        page.evaluate("() => fetch('/logout', { method: 'POST', body: '{}' })")
        until_true(lambda: not lacking(), 60, lambda: str((lacking(), found())))
        told = found()
        for row in told:
            assert row["person"] != "eve"  # What a page says of itself is nobody's name.
            assert "127.0.0.1" in row["from"] + row["detail"], row
            assert abs(time.time() - moment(row["ts"])) < 600
        for one in TOLD:  # Once; a page that goes on, or is loaded anew, is opened again.
            assert sum(is_of(row, one) for row in told) == 1 or one[1] == "open", one
    tape.stop()
    server.kill()
    market.bus.close()


def is_of(row: dict[str, str], one: tuple[str, str, str, str]) -> bool:
    """Of these columns; a subject may go on with when that was."""
    same = (row["person"], row["action"]) == one[:2] and row["subject"].startswith(one[2])
    return same and one[3] in row["detail"]


def moment(text: str) -> float:
    return datetime.fromisoformat(text[:26]).replace(tzinfo=UTC).timestamp()
