"""Rule: how many workers an `up` runs, and which of them hang.

How many are wanted while it runs is told by a file in its data folder; how many there are, by its
run file. A worker hangs where its heart is silent though Redis answers, look after look.
"""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app.settings import running
from app.watch import SILENT, RoleState

GROUPS = ("live", "record")
# What others go on with before it is back; `record` only lags, and waits for it.
BURIED = ("live",)
REPLACED = (*GROUPS, "merge")  # What is started anew where it hangs.
HUNG_LOOKS = 5  # One a second, and before the first the heart has been silent for 1.25 s.
WANTED = "workers.json"
AWAIT_SECONDS = 30.0
POLL_SECONDS = 0.1


def names(group: str, count: int) -> list[str]:
    """The processes of a group: `live`, or `live.0`, `live.1`, ... where they share."""
    return [f"{group}.{number}" for number in range(count)] or [group]


def want(data: Path, counts: Mapping[str, int]) -> None:
    """Ask the `up` of that data folder for so many."""
    draft = data / f"{WANTED}.draft"  # A reader never sees half of it.
    draft.write_text(json.dumps(dict(counts)))
    draft.replace(data / WANTED)


def wanted(data: Path) -> dict[str, int]:
    """What was asked for since, by group; asked for once."""
    path = data / WANTED
    try:
        found = json.loads(path.read_bytes())
        path.unlink()
        return {group: int(found[group]) for group in GROUPS if int(found.get(group, 0)) > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def await_workers(run_file: Path, before: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    """Wait until the `up` that wrote `before` there has so many; RuntimeError if it has not."""
    deadline = time.monotonic() + AWAIT_SECONDS
    while time.monotonic() < deadline:
        now = running(run_file)
        if now is None or now["pid"] != before["pid"]:
            raise RuntimeError("./tickglass up has ended meanwhile.")
        if all(now.get(group) == count for group, count in counts.items()):
            return
        time.sleep(POLL_SECONDS)
    raise RuntimeError(f"./tickglass up has not done it within {AWAIT_SECONDS:g} s; see logs.")


class Hung:
    """Looks at all roles about once a second; `take` tells who is to be replaced."""

    def __init__(self) -> None:
        """Nobody hangs."""
        self._looks: dict[str, int] = {}

    def take(self, roles: Iterable[RoleState]) -> list[str]:
        """Roles that have been silent in HUNG_LOOKS looks in a row; Redis answered in each."""
        silent = {
            one.role
            for one in roles
            if one.state == SILENT
            and one.role.partition(".")[0] in REPLACED
            and one.beat.get("state") == "running"  # Compiling may keep a heart waiting.
        }
        self._looks = {role: self._looks.get(role, 0) + 1 for role in silent}
        hung = [role for role, looks in self._looks.items() if looks >= HUNG_LOOKS]
        for role in hung:
            del self._looks[role]
        return sorted(hung)

    def forget(self) -> None:
        """Redis does not answer: nobody's heart can be heard."""
        self._looks.clear()
