"""Loop: runs one loop as a process of its own, until a signal or the end of its parent.

A loop has `step() -> int` and may have `close()`. A signal only sets a flag, so a step is always
finished. What a loop does wrong ends the process with one JSON line that says where.
"""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Protocol

PR_SET_PDEATHSIG = 1  # linux/prctl.h
IDLE_SECONDS = 0.001  # Sleep after a step that found nothing, where the loop does not wait itself.


class Loop(Protocol):
    """What is run here."""

    def step(self) -> int:
        """One round; the work done, 0 if there was none."""


class Stop:
    """Set by SIGTERM and SIGINT, or by hand."""

    def __init__(self) -> None:
        """Not set."""
        self.set = False

    def listen(self) -> "Stop":
        """Let the two signals set it, in place of what they did before."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        return self

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.set = True


def end_with(parent: int) -> None:
    """Be killed when process `parent` ends, however it ends; 0: never. Linux keeps this over exec.

    The signal is SIGKILL: a parent that was killed can no longer wait for a graceful end.
    """
    if not parent or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It ended before we asked.
        os._exit(1)


def yield_to_others(pid: int, nice: int) -> None:
    """Lower the priority of a process that leads a session of its own, and of its children.

    `pid` 0: of this one. Linux with autogroups weighs sessions against each other first, so there
    a process's own niceness means nothing to other sessions; the group's does. See sched(7).
    """
    if not nice:
        return
    os.setpriority(os.PRIO_PROCESS, pid, nice)  # While it has one thread: the others inherit it.
    with contextlib.suppress(OSError):  # Another system, or no autogroups.
        Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(nice))


def settle() -> None:
    """Leave what start-up made to itself: the collector would walk all of it, again and again.

    A full collection over the libraries' objects takes 50 to 150 ms, which every cell would wait
    for. Young objects are collected as before.
    """
    gc.collect()
    gc.freeze()


def run(
    make: Callable[[], Loop], stop: Stop | None = None, idle_seconds: float = IDLE_SECONDS
) -> int:
    """Make a loop and step it until told to stop; the process's exit code.

    A loop ends itself by a step that raises StopIteration. `idle_seconds` 0 is for loops that
    wait in their own step.
    """
    stop = stop or Stop().listen()
    loop = None
    try:
        loop = make()
        settle()
        while not stop.set:
            if not loop.step() and idle_seconds:
                time.sleep(idle_seconds)
    except StopIteration:
        return 0
    except Exception as error:  # The policy: what we do wrong ends the process, and is said.
        say("ended", error=error)
        return 1
    finally:
        close = getattr(loop, "close", None)
        if close:
            close()
    return 0


def say(event: str, error: BaseException | None = None, **fields: object) -> None:
    """One line on standard error: JSON where that is a log, a sentence where it is a terminal.

    RuntimeError is what doors raise with a sentence for people: its place in our code is no news.
    """
    trace = "".join(traceback.format_exception(error)) if error else ""
    expected = isinstance(error, RuntimeError)
    if sys.stderr.isatty():
        where = "" if expected or not error else f" ({_place(error)})"
        kind = "" if expected or not error else f"{type(error).__name__}: "
        sys.stderr.write(f"{event}: {kind}{error or fields}{where}\n")
        return
    import structlog

    if error:
        fields |= {"error": str(error), "kind": type(error).__name__}
    if trace and not expected:
        fields["trace"] = trace
    structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
    ).msg(event, **fields)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "no place"
