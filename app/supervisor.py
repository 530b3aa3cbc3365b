"""Loop: keeps a family of child processes alive, and ends them all within KILL_SECONDS.

A child that dies is started again: at once after a good life, later and later after short ones.
Children sit in sessions of their own, so Ctrl-C reaches the supervisor alone, and each asks the
kernel to die with it (app/process.py: end_with). A role that is `forked` comes from the fork server
where that is ready. It knows processes and logs, not what they do.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.fork_server import Order
from app.forks import Forks, Process
from app.process import yield_to_others

GOOD_LIFE_SECONDS = 10.0  # A child that lived this long was well; its death is news, not a habit.
RESTART_SECONDS_MIN = 0.1
RESTART_SECONDS_MAX = 10.0
FIRST_SECONDS = 1.6  # What the workers may take to end, while what they lean on still stands.
KILL_SECONDS = 2.5  # After this nobody is asked any more: all are gone within 3 s.
assert FIRST_SECONDS < KILL_SECONDS < 3
LOG_BYTES_MAX = 16 << 20  # A longer log is moved aside when its process starts again.
TAIL_LINES = 5
TAIL_BYTES = 4096
POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Role:
    """What is to run: a name for people and its command."""

    name: str
    command: tuple[str, ...]
    nice: int = 0
    leaned_on: bool = False  # Ended after the others, which need it to end well.
    ends: bool = False  # May end by itself, with code 0.
    restart: bool = True  # False: its death is for the caller to mend.
    forks: bool = False  # The fork server.
    forked: bool = False  # Its command is `python -m app ...`, which the fork server can take on.


@dataclass(slots=True)
class Child:
    """A role's present process, or the moment of its next one."""

    role: Role
    process: Process | None = None
    started: float = 0.0
    restart_at: float | None = None
    short_lives: int = 0
    told: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Death:
    """A child's end that nobody asked for."""

    role: Role
    code: int
    seconds: float


class Supervisor:
    """Starts roles, restarts what dies, ends all."""

    def __init__(
        self,
        logs: Path,
        environment: Callable[[], Mapping[str, str]],
        say: Callable[[str], None],
        folder: Path | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`environment()` is asked at every start, so a restarted child gets today's addresses.

        `folder` is where the children stand.
        """
        self.logs, self.environment, self.say = logs, environment, say
        self.folder, self.now = folder, now
        self.children: dict[str, Child] = {}
        self.forks = Forks()

    def start(self, role: Role) -> None:
        """Start a role, or start it anew with another command."""
        child = self.children.setdefault(role.name, Child(role))
        child.role = role
        self._spawn(child)

    def step(self) -> list[Death]:
        """One round: reap who died, restart who is due. Does not wait."""
        deaths = []
        now = self.now()
        for child in list(self.children.values()):
            if child.process is not None and (code := child.process.poll()) is not None:
                deaths.append(self._died(child, code, now))
            if child.restart_at is not None and now >= child.restart_at:
                self._spawn(child)
        return deaths

    def stop(self, names: list[str] | None = None) -> None:
        """End these roles, or all: asked first, killed KILL_SECONDS later; none is left."""
        wanted = [c for c in self.children.values() if names is None or c.role.name in names]
        begun = time.monotonic()
        for leaned_on, limit in ((False, FIRST_SECONDS), (True, KILL_SECONDS)):
            group = [c for c in wanted if c.role.leaned_on is leaned_on]
            for child in group:
                child.restart_at = None
                if child.process is not None and child.process.poll() is None:
                    child.process.terminate()
            _await(group, begun + limit)
        _await(wanted, begun + KILL_SECONDS)
        for child in wanted:
            if child.process is not None:
                if child.process.poll() is None:
                    child.process.kill()
                child.process.wait()
            if child.role.forks:
                self.forks.close()
            del self.children[child.role.name]

    def log(self, name: str) -> Path:
        """Where a role's output goes."""
        return self.logs / f"{name}.log"

    def tail(self, name: str) -> str:
        """The last lines of a role's log."""
        try:
            with self.log(name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def _spawn(self, child: Child) -> None:
        role = child.role
        path = self.log(role.name)
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        child.restart_at, child.started = None, self.now()
        child.process = (self._fork(role) if role.forked else None) or self._start_process(role)

    def _fork(self, role: Role) -> Process | None:
        return self.forks.fork(
            Order(
                role.command[3:],  # Behind `python -m app`.
                dict(self.environment()),
                str(self.log(role.name).absolute()),
                str(self.folder or Path.cwd()),
                role.nice,
                os.getpid(),
            )
        )

    def _start_process(self, role: Role) -> Process:
        given = self.forks.renew() if role.forks else None
        with self.log(role.name).open("ab") as log:
            process = subprocess.Popen(
                role.command,
                stdin=given.fileno() if given else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment(),
                start_new_session=True,
            )
        if given is not None:
            given.close()
        yield_to_others(process.pid, role.nice)
        return process

    def _died(self, child: Child, code: int, now: float) -> Death:
        role, lived = child.role, now - child.started
        child.process = None
        if code == 0 and role.ends:
            self.say(f"{role.name} has finished.")
        elif role.restart:
            child.short_lives = child.short_lives + 1 if lived < GOOD_LIFE_SECONDS else 0
            wait = restart_seconds(child.short_lives)
            child.restart_at = now + wait
            self.say(self._obituary(child, code, lived, _again(wait)))
        else:
            self.say(self._obituary(child, code, lived, ""))
        return Death(role, code, lived)

    def _obituary(self, child: Child, code: int, lived: float, then: str) -> str:
        name = child.role.name
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        often = f", {child.short_lives} times in a row" if child.short_lives > 1 else ""
        text = f"{name} {how} after {lived:.1f} s{often}. {then}".rstrip()
        last = self.tail(name)
        if lived < GOOD_LIFE_SECONDS and last and last != child.told:
            child.told = last
            text += f" Last lines of {self.log(name)}:\n{last}"
        return text


def _again(wait: float) -> str:
    return f"Starting it again in {wait:.1f} s." if wait else "Starting it again."


def restart_seconds(short_lives: int) -> float:
    """How long to wait before a start that follows so many short lives in a row."""
    if not short_lives:
        return 0.0
    doubled = RESTART_SECONDS_MIN * 2.0 ** min(short_lives - 1, 30)
    return min(RESTART_SECONDS_MAX, doubled)


def _await(children: list[Child], deadline: float) -> None:
    def alive() -> bool:
        return any(c.process is not None and c.process.poll() is None for c in children)

    while alive() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
