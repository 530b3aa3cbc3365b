"""What strangers may send, changed at random: no crash, no hang, no leak.

    python -m tests.fuzz --inputs 1000000 --seed 7

Frames of Kafka, acknowledgements and the frames of a page's socket, its messages, addresses with
what they ask, tables and desks that are sent to us. Each input is a good one, changed by a seeded
hand; whoever takes it may refuse it by the error that his docstring names. A failure prints the
seed, the number and the input that repeat it.
"""

import argparse
import asyncio
import base64
import ctypes
import gc
import json
import random
import resource
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, Never

import numpy as np
import psutil
import pyarrow as pa

from app.blocks.desk import describe
from app.blocks.personal import told
from app.blocks.transport import split_acks
from app.desks import Desks, page_desk
from app.keeping import Keeping
from app.moment import MomentError, parse
from app.portal import local
from app.push import ACK, ACK_MAGIC, unpack_acks
from app.settings import ROOT
from app.table_file import TableError, table_file
from compute.bus import BusError
from ingest import address, frame
from ingest.event import EVENT, EVENT_BYTES, Kind
from tests.app.test_keeping import Held
from tests.app.test_session import Desk

DEADLINE_SECONDS = 20.0  # Of CPU, so that a busy machine is no matter; an input takes 0.1 ms.
LEAK_BYTES_MAX = 64.0  # An input, over the second half of a run: what is kept of it for good.
LEAK_INPUTS_MIN = 100_000  # Below, the allocator's own habits are all there is to see.
TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's.
SAMPLES = 64
NUMBERS = (0, 1, -1, 2**31, 2**32 - 1, 2**53, 2**63, -(2**63), 10**30, 1e308, -0.0, 1e-320)
WILD: tuple[Any, ...] = (
    None,
    True,
    [],
    {},
    "",
    "x" * 3_000,
    "\0",
    "../..",
    "=1+1",
    "\ud800",
    float("nan"),
    *NUMBERS,
)
PIECES = (b"", b"\0", b"\xff" * 8, b"%00", b"//", b"@", b"?", b"&", b"'", b"<script>", b"\r\n")
NOW_NS = 1_800_000_000 * 10**9


class Hand:
    """Changes good inputs; the same seed changes alike."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of_bytes(self, data: bytes) -> bytes:
        """One to four changes: a bit, a cut, a piece twice, a piece of the world's worst."""
        out, pick = bytearray(data), self.random
        for _ in range(pick.randint(1, 4)):
            at = pick.randrange(len(out) + 1)
            what = pick.randrange(5)
            if what == 0 and at < len(out):
                out[at] ^= 1 << pick.randrange(8)
            elif what == 1:
                del out[at : at + pick.choice((1, 2, 8, 64, len(out)))]
            elif what == 2:
                out[at:at] = out[: pick.randrange(65)]
            elif what == 3:
                out[at : at + 8] = pick.choice((0, 1, 2**31, 2**63, 2**64 - 1)).to_bytes(
                    8, "little"
                )
            else:
                out[at:at] = pick.choice(PIECES)
        return bytes(out)

    def of_text(self, text: str) -> str:
        """The same for what is read as text."""
        return self.of_bytes(text.encode(errors="surrogatepass")).decode(errors="replace")

    def of_value(self, value: Any) -> Any:
        """A JSON value with one to three of its places changed, taken out, or put elsewhere."""
        out = json.loads(json.dumps(value))
        for _ in range(self.random.randint(1, 3)):
            out = self._changed(out)
        return out

    def _changed(self, value: Any) -> Any:
        pick = self.random
        if isinstance(value, dict) and value and pick.random() < 0.85:
            key = pick.choice(list(value))
            if pick.random() < 0.1:
                return {name: one for name, one in value.items() if name != key}
            return {**value, key: self._changed(value[key])}
        if isinstance(value, list) and value and pick.random() < 0.85:
            at = pick.randrange(len(value))
            if pick.random() < 0.1:
                return [*value[:at], *value[at + 1 :]]
            return [*value[:at], self._changed(value[at]), *value[at + 1 :]]
        if isinstance(value, str) and pick.random() < 0.5:
            return self.of_text(value)
        return pick.choice((*WILD, [value], {"x": value}, [value] * 300))


@dataclass
class Surface:
    """Something that takes what strangers send."""

    name: str
    share: int  # Of a hundred inputs.
    make: Callable[[Hand], Any]
    take: Callable[[Any], Any]
    refuses: tuple[type[Exception], ...] = ()
    inputs: int = field(default=0)
    refused: int = field(default=0)


def frames() -> Surface:
    """Half of them with a checksum that fits, so that what stands behind it is read."""
    events = np.zeros(24, EVENT)
    events["kind"], events["instrument"] = Kind.TRADE, np.arange(24)
    events["ts_event"] = events["ts_recv"] = NOW_NS
    good = [frame.encode(events[:size], 3, 17, NOW_NS) for size in (1, 2, 24)]
    known = np.ones(24, bool)

    def make(hand: Hand) -> bytes:
        value = hand.of_bytes(hand.random.choice(good))
        if len(value) >= frame.HEADER_BYTES and hand.random.random() < 0.5:
            size = (len(value) - frame.HEADER_BYTES) // EVENT_BYTES
            head = value[:8] + size.to_bytes(4, "little")
            value = (
                head + zlib.crc32(value[16:], zlib.crc32(head)).to_bytes(4, "little") + value[16:]
            )
        return value

    def take(value: bytes) -> None:
        frame.check(frame.decode(value).events, NOW_NS, known)

    return Surface("frames", 25, make, take, (frame.FrameError,))


def acknowledgements() -> Surface:
    """What a page says of its paints, and the frames of its socket."""
    one = ACK.pack(ACK_MAGIC, 3, 7, 123.0, 8.5)
    mask = b"\1\2\3\4"
    hidden = bytes(byte ^ mask[at % 4] for at, byte in enumerate(one))
    socket = bytes([0x82, 0x80 | len(one)]) + mask + hidden
    good = (one, one * 5, socket, socket * 3 + b"\x8a\x80" + mask)

    def take(data: bytes) -> None:
        unpack_acks(data)
        _acks, _pongs, rest, begun = split_acks(data)
        assert len(rest) + len(begun) <= len(data)

    return Surface(
        "acknowledgements", 20, lambda hand: hand.of_bytes(hand.random.choice(good)), take
    )


MESSAGES: tuple[dict[str, Any], ...] = (
    {"type": "ready", "epoch": 0, "sequence": 0},
    {"type": "viewport", "feed": 0, "first": 0, "count": 40},
    {"type": "sort", "feed": 0, "column": "bid", "descending": True},
    {"type": "sort", "feed": 0, "by": [["bid", True], ["last", False]]},
    {"type": "filter", "feed": 0, "classes": [1, 2], "text": "AB", "scope": 3},
    {"type": "columns", "feed": 0, "shown": [0, 1, 2]},
    {"type": "group", "feed": 0, "by": "asset_class", "shut": [1], "total": True},
    {"type": "hold", "feed": 0, "on": True},
    {"type": "select", "row": 3},
    {"type": "chart", "chart": 1, "rows": [1, 2], "minutes": 5, "points": 100, "kind": "price"},
    {"type": "provenance", "id": "a", "table": "instruments", "row": 1, "column": "last"},
    {"type": "acknowledge", "id": "a", "alert": "x", "person": "ann", "number": 3},
    {"type": "what_if", "id": "a", "trades": [{"book": 1, "instrument": 2, "quantity": 5.0}]},
)


class Away:
    """Redis, which takes what it is asked and does not answer."""

    async def ask_risk(self, message: dict[str, Any]) -> Never:
        json.dumps(message).encode()
        raise BusError("away")


def messages(desk: Desk) -> Surface:
    """What a page asks for, at a hub of its own."""
    desk.mirror.bus = Away()
    session, socket = desk.open()

    def take(message: Any) -> None:
        session.take_all([message] if isinstance(message, dict) else [])
        session.answers.clear()
        for held in (socket.pushes, socket.told, socket.series):
            held.clear()

    return Surface("messages", 25, lambda hand: hand.of_value(hand.random.choice(MESSAGES)), take)


def addresses(keeping: Keeping) -> Surface:
    """Of pages: moments, ways back, desks as they were arranged; and of servers."""
    shipped = describe(ROOT / "layouts" / "overview.py")
    link = base64.urlsafe_b64encode(json.dumps({"left": [["0", 5, 5]]}).encode()).decode()

    def make(hand: Hand) -> tuple[int, str]:
        what = hand.random.randrange(4)
        good = (
            "2026-11-22T14:03:02.113",
            "/overview?asof=-90s",
            link,
            "rediss://me:x@a:1,b:2/0?ca=",
        )
        return what, hand.of_text(good[what])

    def take(given: tuple[int, str]) -> None:
        what, text = given
        if what == 0:
            parse(text, NOW_NS)
        elif what == 1:
            assert local(text).startswith("/")
            assert not local(text).startswith(("//", "/\\"))
        elif what == 2:
            page_desk(keeping, shipped, "", text)
        else:
            address.parse(text)

    return Surface("addresses", 15, make, take, (MomentError, address.AddressError))


def tables() -> Surface:
    """What a page wants as a file."""
    columns = [
        {"name": "Symbol", "kind": "text"},
        {"name": "Bid", "kind": "number", "unit": "USD", "table": "instruments"},
        {"name": "At", "kind": "moment"},
    ]
    rows = [["AAPL", 1.5, 1.7e12], ["=cmd", None, 0]]
    good = [
        {"form": form, "facts": {"desk": "Overview"}, "columns": columns, "rows": rows}
        for form in ("csv", "parquet")
    ]

    def make(hand: Hand) -> bytes:
        body = json.dumps(hand.of_value(hand.random.choice(good))).encode()
        return hand.of_bytes(body) if hand.random.random() < 0.2 else body

    return Surface("tables", 10, make, table_file, (TableError,))


def desks(keeping: Keeping) -> Surface:
    """Desks that pages keep, share and have written out; each answer says what was wrong."""
    layouts = {path.stem: path for path in (ROOT / "layouts").glob("overview.py")}
    asked = Desks(None, keeping, layouts)
    arranged = told(describe(layouts["overview"]))
    good = {"do": "python", "person": "ann", "team": "macro", "name": "Mine", "base": "overview"}
    good |= {"id": 1, "mine": "", "with": {"left": [["0", 5, 5]]}}
    both = (good, good | {"do": "list"}, good | {"do": "share"}, {**good, "mine": arranged})

    def take(message: Any) -> None:
        if isinstance(message, dict):
            json.dumps(asked.answer(message))

    return Surface("desks", 5, lambda hand: hand.of_value(hand.random.choice(both)), take)


class HangError(RuntimeError):
    """An input that nobody is done with."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """HangError in the middle of what takes more of the CPU."""

    def late(_number: int, _frame: FrameType | None) -> Never:
        raise HangError(f"longer than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def take(surface: Surface, given: Any) -> None:
    """One input; what it may not raise goes on."""
    surface.inputs += 1
    try:
        with deadline(DEADLINE_SECONDS):
            surface.take(given)
    except surface.refuses:
        surface.refused += 1


def _kept(process: psutil.Process) -> int:
    """Resident bytes, without the pages that allocators have free and would give back."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    if TRIM:
        TRIM(0)
    return int(process.memory_info().rss)


async def run(inputs: int, seed: int, folder: Path) -> dict[str, Any]:
    """So many inputs; the figures. AssertionError names what an input did."""
    keeping = Keeping(Held(), folder, count(1).__next__)
    loop, wrong = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _loop, context: wrong.append(context))
    desk = Desk(loop)
    surfaces = [frames(), acknowledgements(), messages(desk), addresses(keeping), tables()]
    surfaces.append(desks(keeping))
    hand, process, resident = Hand(seed), psutil.Process(), []
    shares = [surface.share for surface in surfaces]
    begun, every = time.monotonic(), max(1, inputs // SAMPLES)
    for number in range(inputs):
        surface = hand.random.choices(surfaces, shares)[0]
        given = surface.make(hand)
        try:
            take(surface, given)
        except Exception as error:
            raise AssertionError(
                f"seed {seed}, input {number}, {surface.name}: {error!r} of {given!r:.2000}"
            ) from error
        if number % 64 == 0:
            desk.hub.tick()
            await asyncio.sleep(0)  # What messages began goes on in the loop.
        if number % every == 0:
            resident.append((number, _kept(process)))
    gc.collect()  # A task that failed says so when it goes.
    assert not wrong, f"seed {seed}: {wrong[:3]}"
    half = resident[len(resident) // 2 :]
    slope = float(np.polyfit(*np.array(half, float).T, 1)[0]) if len(half) > 1 else 0.0
    return {
        "inputs": {one.name: one.inputs for one in surfaces},
        "refused": {one.name: one.refused for one in surfaces},
        "nonsense": desk.hub.nonsense,
        "leak_bytes_per_input": round(slope, 1),
        "leaks": inputs >= LEAK_INPUTS_MIN and slope > LEAK_BYTES_MAX,
        "seconds": round(time.monotonic() - begun, 1),
        "rss_max_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> int:
    """The command."""
    words = argparse.ArgumentParser(description="Inputs that were changed at random.")
    words.add_argument("--inputs", type=int, default=1_000_000)
    words.add_argument("--seed", type=int, default=1)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(run(given.inputs, given.seed, Path(folder)))
    sys.stdout.write(json.dumps(figures) + "\n")
    return int(figures["leaks"])


if __name__ == "__main__":
    sys.exit(main())
