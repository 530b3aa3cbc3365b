"""Rule: how the supervisor asks the fork server for a process, and how it adopts what it gets.

The fork server (app/fork_server.py) hangs on one end of a socket pair, this is the other. A server
that is not there, not ready or too slow costs nothing but time: the answer is None, and the
supervisor starts the process from nothing. Linux alone lets a process adopt its grandchildren.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Protocol

from app.fork_server import READY, Order

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
ANSWER_SECONDS = 2.0  # A fork of 300 MB takes 10 ms; on a machine that swaps, more.
WAIT_SECONDS = 0.01


class Process(Protocol):
    """What the supervisor needs of subprocess.Popen and of Forked."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, below 0 for a signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


class Forked:
    """A child that another process forked for us."""

    def __init__(self, pid: int) -> None:
        """`pid` is a child of this process by now."""
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, below 0 for a signal; None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended; subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout if timeout is not None else None
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(WAIT_SECONDS)
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        # As long as it is not reaped its number is not given to another process.
        if self.poll() is None:
            os.kill(self.pid, number)


class Forks:
    """The supervisor's end of the socket."""

    def __init__(self) -> None:
        """No server yet."""
        self._socket: socket.socket | None = None
        self._ready = False

    def renew(self) -> socket.socket:
        """Standard input of a new server; to be closed by who has started it."""
        self.close()
        adopt()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return theirs

    @property
    def ready(self) -> bool:
        """Whether there is a server that has told so."""
        if self._socket is not None and not self._ready:
            with contextlib.suppress(OSError):  # Nothing was said yet, or it has ended.
                self._ready = self._said(0.0) == READY
        return self._ready

    def fork(self, order: Order) -> Forked | None:
        """A new process, a child of this one; None: there is nobody who could, start it anew."""
        if not self.ready or self._socket is None:
            return None
        try:
            self._socket.send(order.packed())
            said = self._said(ANSWER_SECONDS)
        except OSError:  # A timeout too.
            said = b""
        if said:
            return Forked(int(said))
        self.close()  # Whom a late answer speaks of finds nobody here, and ends.
        return None

    def _said(self, seconds: float) -> bytes:
        assert self._socket is not None
        self._socket.settimeout(seconds)
        return self._socket.recv(64)

    def close(self) -> None:
        """Have no server."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._ready = None, False


def adopt() -> None:
    """Become the parent of descendants whose own parents end."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
