"""Loop: a worker's heartbeat: that its process lives, what it makes ready, when it last stepped.

A thread tells it through a connection of its own, so a loop that waits for Kafka or ClickHouse
still beats; a process that was stopped or killed does not, and a loop that hangs is told by the
age of its last step. The beat has a count: a reader goes by its own clock and by whether the
count has moved, so that no wall clock can make a role look dead or alive (app/watch.py).
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from app.process import Loop
from compute.bus import BusError
from ingest import clock

BEAT_SECONDS = 0.25  # A reader that misses five of them in a row speaks of silence.
MAKING = {  # What takes its time before a role's first step, for people.
    "live": "reads the reference rows and compiles its kernels",
    "record": "reads the reference rows and compiles its kernels",
    "merge": "waits for the tables of all partitions",
    "risk": "reads positions and limits",
    "replay": "makes the market and waits for its readers",
    "web": "waits for the first image",
}
STARTING, RUNNING, ENDED, FAILED = "starting", "running", "ended", "failed"


class Bus(Protocol):
    """What is needed of compute.bus.Bus."""

    def beat(self, role: str, beat: dict[str, Any]) -> None:
        """Tell a heartbeat."""

    def started(self, role: str) -> int:
        """Count a start; how many there have been."""

    def close(self) -> None:
        """Leave."""


class Heartbeat:
    """The heartbeat of one process; `with` it for as long as it is to beat."""

    def __init__(
        self,
        role: str,
        bus: Bus,
        every_s: float = BEAT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`role` is as in the health reports: `live.0`, `web.5006`."""
        self.role, self.bus, self.every_s, self.monotonic = role, bus, every_s, monotonic
        self.state, self.what = STARTING, MAKING.get(role.partition(".")[0], "makes ready")
        self.steps = self.count = 0
        self.failed = False  # Whether its end, if it comes, is one that nobody asked for.
        self.restarts: int | None = None  # Unknown while Redis has not counted this start.
        self.stepped_at = self.started_at = monotonic()
        self.started_ms = self.since_ms = clock.now_ns() / 1e6
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        """Begin to beat."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Beat a last time, to say whether this end is meant."""
        self._done.set()
        self._thread.join(self.every_s + 2.0)
        self._become(FAILED if self.failed else ENDED, "")
        self._beat()
        self.bus.close()

    def stepped(self) -> None:
        """The loop has finished a step."""
        self.steps += 1
        self.stepped_at = self.monotonic()
        if self.state != RUNNING:
            self._become(RUNNING, "")

    def around(self, make: Callable[[], Loop]) -> Loop:
        """The loop that `make` makes, every step of which is told here."""
        return _Stepped(make(), self)

    def beat(self) -> dict[str, Any]:
        """What is told."""
        self.count += 1
        return {
            "count": self.count,
            "now_ms": clock.now_ns() / 1e6,
            "state": self.state,
            "what": self.what,
            "since_ms": self.since_ms,
            "started_ms": self.started_ms,
            "restarts": self.restarts,
            "steps": self.steps,
            "step_age_s": round(self.monotonic() - self.stepped_at, 3),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "memory_bytes": memory_bytes(),
            "cpu_s": round(time.process_time(), 2),
        }

    def _become(self, state: str, what: str) -> None:
        self.state, self.what, self.since_ms = state, what, clock.now_ns() / 1e6

    def _run(self) -> None:
        while not self._done.is_set():
            self._beat()
            self._done.wait(self.every_s)

    def _beat(self) -> None:
        try:
            if self.restarts is None:
                self.restarts = self.bus.started(self.role) - 1
            self.bus.beat(self.role, self.beat())
        except BusError:
            pass  # Who reads hears nothing of us, which is what is so.


class _Stepped:
    """A loop whose steps are told."""

    def __init__(self, loop: Loop, heart: Heartbeat) -> None:
        self._loop, self._heart = loop, heart

    def step(self) -> int:
        """One round of the loop."""
        done = self._loop.step()
        self._heart.stepped()
        return done

    def close(self) -> None:
        """End the loop, where it has an end."""
        close = getattr(self._loop, "close", None)
        if close:
            close()


def memory_bytes(pid: int | str = "self") -> int | None:
    """What a process holds in memory; None where that cannot be read."""
    try:
        resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(resident) * os.sysconf("SC_PAGE_SIZE")
