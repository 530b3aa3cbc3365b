"""Rule: when a web server looks for garbage in cycles: rarely, and not while pages come and go.

Python's full collection walks every object: with 250 pages a quarter of a second, in which nobody
is told anything; and by itself it begins when a quarter more objects have come, that is in the
middle of a crowd. What a page leaves in cycles when it goes is little (800 objects),
because Panel takes its document apart. So the full collection waits for enough of them, and until a
crowd that comes or goes is over. Young objects are collected as before. Panel itself would collect
whenever a page has gone: app/blocks/page.py has it leave that.
"""

import asyncio
import gc
import time
from collections.abc import Callable

GONE, GONE_MAX = 100, 1_000  # Pages: enough for a quiet moment, and for any.
QUIET_SECONDS = 30.0
EVERY_SECONDS = 3_600.0  # What is no page's leaves cycles too.
LOOK_SECONDS = 1.0
NEVER = 2**30  # Collections of the middle generation before a full one.


class Garbage:
    """Of one web process."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        collect: Callable[[], object] = gc.collect,
    ) -> None:
        """From now on nothing but `look` begins a full collection."""
        self._monotonic, self._collect = monotonic, collect
        self._gone = 0
        self._moved_at = self._collected_at = monotonic()
        gc.set_threshold(*gc.get_threshold()[:2], NEVER)

    def came(self) -> None:
        """A page has come."""
        self._moved_at = self._monotonic()

    def left(self) -> None:
        """A page has gone."""
        self._gone += 1
        self._moved_at = self._monotonic()

    def look(self) -> bool:
        """Collect if it is time to; whether it was."""
        now = self._monotonic()
        enough = self._gone >= GONE or now >= self._collected_at + EVERY_SECONDS
        quiet = now >= self._moved_at + QUIET_SECONDS
        if not (enough and quiet) and self._gone < GONE_MAX:
            return False
        self._gone = 0
        self._collect()
        self._collected_at = self._monotonic()
        return True

    async def run(self) -> None:
        """For as long as the server serves."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()
