"""Rule: a web server that starts anew leaves the machine to the others until it serves itself.

To start costs seconds of a core, at the very moment in which the pages of the one that has died
come to the others: their cells came 150 ms late. Unlike a process's niceness a session's may be
taken back by anybody; see sched(7). A server that has no others starts as fast as it can.
"""

import contextlib
from pathlib import Path

from app import front, probe
from app.settings import Settings

NICE = 10


def step_aside(shared: Settings, port: int, autogroup: Path = Path("/proc/self/autogroup")) -> bool:
    """Whether others serve, by the settings that all of them share; if so they go first."""
    ports = front.ports(shared)
    others = [other for other in ports if other != port] if port in ports else []
    aside = any(map(probe.listening, others))
    if aside:
        _weigh(autogroup, NICE)
    return aside


def step_in(autogroup: Path = Path("/proc/self/autogroup")) -> None:
    """This one serves: it weighs as much as any."""
    _weigh(autogroup, 0)


def _weigh(autogroup: Path, nice: int) -> None:
    with contextlib.suppress(OSError):  # Another system, or no autogroups.
        autogroup.write_text(str(nice))
