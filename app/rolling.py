"""Loop: starts a family of servers anew, one after the other, each when the last one serves.

A page whose server ends goes on at another, so nobody waits as long as one of them serves. It
knows names and a question to ask; what serving means is its caller's.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.settings import running

RESTART_SECONDS_MAX = 120.0  # Of all; one takes about three.
POLL_SECONDS = 0.1


class Rolling:
    """One round over `names`; `step` until `done`."""

    def __init__(
        self, names: list[str], again: Callable[[str], None], serves: Callable[[str], bool]
    ) -> None:
        """`again` ends one and starts it anew; `serves`: whether the new one can take pages."""
        self.waiting, self.again, self.serves = list(names), again, serves
        self.current = ""

    @property
    def done(self) -> bool:
        """Whether all have been started anew and serve."""
        return not self.waiting and not self.current

    def step(self) -> int:
        """Start the next one where the last one serves; 1 where something was done."""
        if self.current and not self.serves(self.current):
            return 0
        self.current = self.waiting.pop(0) if self.waiting else ""
        if self.current:
            self.again(self.current)
        return 1


def await_restart(run_file: Path, before: dict[str, Any]) -> None:
    """Wait until the `up` that wrote `before` there has done a round; RuntimeError if it fails."""
    deadline = time.monotonic() + RESTART_SECONDS_MAX
    while time.monotonic() < deadline:
        now = running(run_file)
        if now is None or now["pid"] != before["pid"]:
            raise RuntimeError("./tickglass up has ended meanwhile.")
        if now.get("web_restarts", 0) > before.get("web_restarts", 0):
            return
        time.sleep(POLL_SECONDS)
    raise RuntimeError(
        f"Not all web servers serve again after {RESTART_SECONDS_MAX:g} s; see logs."
    )
