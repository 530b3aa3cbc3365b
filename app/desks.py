"""Loop: what pages ask of the desks that people have made: list, keep, share, take away, write out.

A question is worked on in a thread, because it reads Redis and files; its answer goes to the page
that asked. What is to be kept is first judged as `./tickglass check` judges a layout, and refused
with its words. Who has kept, shared or taken away what is on record as every act is.
"""

import ast
import base64
import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.keeping import Keeping, Kept, KeptError
from app.view import ANSWER, NO_FEED, json_section

KIND = "desk"
ACTS = ("keep", "share", "take_away")  # On record.
ASKED_MAX = 16  # Under way; whoever asks more is refused, not queued.
MESSAGE_MAX = 65_536


class Desks:
    """All of one web process."""

    def __init__(self, hub: Any, keeping: Keeping, layouts: Mapping[str, Path]) -> None:
        """`layouts` are the files of the shipped desks and of one's own."""
        self.hub, self.keeping, self.layouts = hub, keeping, layouts
        self.under_way = 0

    def take(self, page: Any, message: dict[str, Any]) -> None:
        """Work on a page's question; ValueError where too many are under way."""
        if self.under_way >= ASKED_MAX or len(json.dumps(message)) > MESSAGE_MAX:
            raise ValueError(f"{ASKED_MAX} questions of desks are under way already")
        self.under_way += 1
        future = self.hub.loop.run_in_executor(None, self.answer, message, page.user)

        def done(found: Any) -> None:
            self.under_way -= 1
            text = json.dumps({**found.result(), "type": KIND, "id": message.get("id")}).encode()
            page.answers.append(json_section(NO_FEED, ANSWER, text))
            self.hub.push(page)

        future.add_done_callback(done)

    def answer(self, message: Mapping[str, Any], user: str = "") -> dict[str, Any]:
        """What the page is told; `error` says why not."""
        does: dict[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
            "list": self._list,
            "keep": self._keep,
            "share": self._share,
            "take_away": self._take_away,
            "python": self._python,
        }
        what = does.get(str(message.get("do")))
        person = user or str(message.get("person") or "").strip()
        try:
            if what is None:
                raise KeptError(f"a desk is asked for one of {', '.join(does)}")
            return {"do": message["do"], **what(message, person)}
        except (ValueError, KeyError, TypeError) as error:  # Of what a page says, told to it.
            said = error.args[0] if error.args else type(error).__name__
            return {"do": message.get("do"), "error": str(said)}

    def _list(self, message: Mapping[str, Any], person: str) -> dict[str, Any]:
        from app.blocks.personal import catalogue

        found = self.keeping.of(person, str(message.get("team") or ""))
        desks = [_told(one, person) for one in found]
        return {"desks": desks, "blocks": catalogue(), "person": person}

    def _keep(self, message: Mapping[str, Any], person: str) -> dict[str, Any]:
        desk, stem = self._arranged(message)
        name = str(message.get("name") or "").strip()
        desk.title = name
        from app.blocks.personal import told

        self._judge(desk)
        team = str(message.get("team") or "").strip()
        kept = self.keeping.keep(person, name, stem, team, told(desk))
        return {"desk": _told(kept, person)}

    def _share(self, message: Mapping[str, Any], person: str) -> dict[str, Any]:
        team = str(message.get("team") or "").strip()
        return {"desk": _told(self.keeping.share(person, str(message.get("name")), team), person)}

    def _take_away(self, message: Mapping[str, Any], person: str) -> dict[str, Any]:
        self.keeping.take_away(person, str(message.get("name")))
        return {}

    def _python(self, message: Mapping[str, Any], person: str) -> dict[str, Any]:
        desk, stem = self._arranged(message)
        desk.title = str(message.get("name") or "").strip() or desk.title
        return {"file": f"{_stem_of(desk.title)}.py", "text": self._text(desk, stem, person)}

    def _text(self, desk: Any, stem: str, person: str) -> str:
        from app.blocks.personal import python

        whose = f" by {person}" if person else ""
        return python(desk, f"Desk: {desk.title}, made of {stem}{whose}.")

    def _arranged(self, message: Mapping[str, Any]) -> tuple[Any, str]:
        """The desk that a page shows, in the room of every page; and the shipped one it is of."""
        from app.blocks.desk import describe
        from app.blocks.personal import in_room

        stem = str(message["base"])
        if stem not in self.layouts:
            raise KeptError(f"there is no desk {stem!r:.40}")
        shipped = describe(self.layouts[stem])
        return in_room(
            opened(shipped, self.keeping, message.get("mine"), message.get("with"))
        ), stem

    def _judge(self, desk: Any) -> None:
        """KeptError with the words of the check."""
        from app.blocks.personal import python
        from app.check import judged

        found = [one for one in judged(desk, ast.parse(python(desk, "Desk.")), "") if one.wrong]
        if found:
            raise KeptError("; ".join(one.text for one in found[:3]))


def opened(shipped: Any, keeping: Keeping, mine: Any, done: Any) -> Any:
    """The desk of an address: a shipped one, or a person's own, and what was done to it since.

    ValueError, KeyError or TypeError says what of it cannot be.
    """
    from app.blocks.personal import arranged, made

    desk = shipped
    if mine:
        kept = keeping.get(str(mine))
        desk = made(kept.desk or {})
        desk.stem = shipped.stem
        desk.mine = {"key": kept.key, "person": kept.person, "name": kept.name, "team": kept.team}
    return desk if done is None else arranged(desk, done)


def page_desk(keeping: Keeping, shipped: Any, mine: str, done: str) -> Any:
    """The same for the page of an address; where it cannot be, the shipped one, which says why."""
    try:
        return opened(shipped, keeping, mine, _unpacked(done) if done else None)
    except (ValueError, KeyError, TypeError) as error:
        said = error.args[0] if error.args else type(error).__name__
        desk = copy.copy(shipped)
        desk._told, desk.said = None, f"This is {shipped.title} as shipped: {said}"  # noqa: SLF001
        return desk


def _unpacked(text: str) -> Any:
    """What an address says was done; ValueError where it is not whole."""
    try:
        whole = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
        return json.loads(base64.b64decode(whole, validate=True))
    except ValueError:
        raise ValueError("the link is not whole") from None


def without_blocks(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as it goes on record: who did what to which desk."""
    names = ("type", "do", "name", "team", "person", "base")
    return {name: message[name] for name in names if name in message}


def _told(kept: Kept, person: str) -> dict[str, Any]:
    told = {"person": kept.person, "name": kept.name, "base": kept.base, "team": kept.team}
    return {**told, "own": kept.person == person, "kept_ms": kept.kept_ns // 1_000_000}


def _stem_of(title: str) -> str:
    stem = "".join(letter if letter.isalnum() else "_" for letter in title.lower()).strip("_")
    return stem or "desk"
