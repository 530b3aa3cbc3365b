"""Loop: the fork server: has loaded and compiled what workers need, and forks them on demand.

A worker that starts from nothing imports and loads machine code for seconds; one that is forked
runs after hundredths, and shares its parent's memory. Enters, on the socket that is standard
input: who is to be forked (Order). Leaves, on the same: the process id. The new process is its
supervisor's child (app/forks.py adopts it), so it outlives this one. Nothing is opened here that
does not survive a fork: no thread, no connection.
"""

import ctypes
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from app.process import Stop, end_with, yield_to_others
from app.settings import take_environment

READY = b"ready"
MESSAGE_BYTES_MAX = 1 << 20  # An environment is a few kB; Linux allows more than anyone has.
POLL_SECONDS = 0.2  # How soon a signal is heard.
ADOPT_SECONDS = 5.0  # The kernel hands an orphan over at once; a busy machine takes its time.


class Order(NamedTuple):
    """Who is to be forked: what would be its command line's arguments, and its surroundings."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: str
    folder: str
    nice: int
    parent: int  # The process that adopts it.

    def packed(self) -> bytes:
        """As it travels."""
        return json.dumps(self._asdict()).encode()


def serve(stop: Stop) -> Order | None:
    """Fork whom the socket asks for, until told to stop or nobody can ask any more.

    Answers the order in the forked process, which is to carry it out; None in this one.
    """
    with socket.socket(fileno=os.dup(0)) as asked:
        asked.settimeout(POLL_SECONDS)
        asked.send(READY)
        while not stop.set:
            try:
                data = asked.recv(MESSAGE_BYTES_MAX)
            except TimeoutError:
                continue
            if not data:
                return None
            order = Order(**json.loads(data))
            if _forked():
                _become(order)
                asked.send(str(os.getpid()).encode())
                return order
    return None


def _forked() -> bool:
    """True in a new process whose parent has ended, so that the supervisor adopts it."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return False
    if os.fork():
        os._exit(0)
    return True


def _become(order: Order) -> None:
    """Take on the surroundings that the supervisor would have started a process in."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    deadline = time.monotonic() + ADOPT_SECONDS
    while os.getppid() != order.parent:
        if time.monotonic() > deadline:
            os._exit(1)
        time.sleep(0.001)
    end_with(order.parent)
    os.setsid()
    os.chdir(order.folder)
    _redirect(order.log)
    take_environment(order.environment)
    sys.argv[1:] = order.arguments
    yield_to_others(0, order.nice)
    _show(order.arguments)


def _redirect(log: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for source, target in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    for number in (nothing, written):
        os.close(number)


def _show(arguments: tuple[str, ...]) -> None:
    """Be seen by `ps` as what is done here, in place of what the fork server was started as."""
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(stat[45]), int(stat[46])  # proc(5): arg_start, arg_end
    words = "\0".join((sys.executable, "-m", "app", *arguments)).encode()
    room = end - begin
    if room > 0:
        ctypes.memmove(begin, words[: room - 1].ljust(room, b"\0"), room)


def load(folder: Path) -> None:
    """Import what workers import, and have their machine code in memory."""
    import compute.alert_record
    import compute.archive
    import compute.derived
    import compute.live
    import compute.live_shards
    import compute.merge
    import compute.record
    import compute.record_shards
    import compute.risk
    import compute.tape  # noqa: F401
    from app.loops import compile_kernels
    from compute import fold
    from compute.engine import Engine
    from ingest.instrument import Reference

    compile_kernels(Engine(Reference()), folder)
    fold.rehearse()
    # Children that share these objects' pages never touch them: their collectors skip them.
    gc.collect()
    gc.freeze()
