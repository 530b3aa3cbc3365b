"""Door: how far this host's clock is from what disciplines it, as chrony or the kernel say.

Nothing is asked of the network: chrony's own word where it runs, else what ntpd, timesyncd or ptp
have told the kernel (adjtimex, read only). Where nobody disciplines the clock nothing is known, and
that is what is said.
"""

import ctypes
import shutil
import socket
import subprocess
from typing import NamedTuple

UNKNOWN = "unknown"
UNCERTAIN_NS = 2**64 - 1  # Of an offset that nobody knows.
ASK_SECONDS = 1.0
STA_UNSYNC, STA_NANO = 0x0040, 0x2000
TIME_ERROR = 5
_TRACKING = 14  # Fields of chrony's answer; 1 the source, 4 the offset, 10 and 11 the root's.


class HostClock(NamedTuple):
    """Offset is this clock less true time as far as known; true time is within `uncertainty_ns`."""

    host: str
    reference: str  # What it is held against; UNKNOWN where nobody disciplines it.
    offset_ns: int
    uncertainty_ns: int


class _Timex(ctypes.Structure):
    """Linux' struct timex of a 64-bit machine; modes 0 reads and changes nothing."""

    _fields_ = (
        *(("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long)),
        *(("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int)),
        *(("constant", ctypes.c_long), ("precision", ctypes.c_long)),
        ("rest", ctypes.c_long * 32),  # More than the kernel writes.
    )


def read() -> HostClock:
    """What is known now."""
    host = socket.gethostname()
    if path := shutil.which("chronyc"):
        try:
            asked = [path, "-n", "-c", "tracking"]
            done = subprocess.run(
                asked, capture_output=True, text=True, timeout=ASK_SECONDS, check=True
            )
            if found := of_chrony(host, done.stdout):
                return found
        except (OSError, subprocess.SubprocessError):
            pass  # It is not running: the kernel may know.
    try:
        timex = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):  # No Linux.
        return HostClock(host, UNKNOWN, 0, UNCERTAIN_NS)
    return of_kernel(host, state, timex.status, timex.offset, timex.maxerror)


def of_chrony(host: str, text: str) -> HostClock | None:
    """What `chronyc -n -c tracking` says; None where it follows no source."""
    words = text.strip().split(",")
    try:
        source, stratum = words[1], int(words[2])
        offset_s, delay_s, dispersion_s = (float(words[at]) for at in (4, 10, 11))
    except (IndexError, ValueError):
        return None
    if len(words) < _TRACKING or not source or not stratum or words[-1] == "Not synchronised":
        return None
    # Its bound, as `man chronyc` has it: the offset is still being slewed away.
    within_s = abs(offset_s) + dispersion_s + delay_s / 2
    return HostClock(host, f"chrony {source}", round(offset_s * 1e9), round(within_s * 1e9))


def of_kernel(host: str, state: int, status: int, offset: int, maxerror_us: int) -> HostClock:
    """What adjtimex says; its offset is what is still to be slewed, in us or, newer, ns."""
    if state in (-1, TIME_ERROR) or status & STA_UNSYNC:
        return HostClock(host, UNKNOWN, 0, UNCERTAIN_NS)
    left_ns = offset if status & STA_NANO else offset * 1_000
    return HostClock(host, "kernel", -left_ns, maxerror_us * 1_000)
