"""A Panel server that serves a desk with a fake session: seeded data, the real push contract.

Run as a program: `python tests/app/blocks/fake_server.py PORT [--rate 20] [--cells 600]`. Commands
come as lines on standard input (JSON), answers go out as lines, so a test can stop the feed, cut
the socket, or set one cell and know what must be on the glass.
"""

import argparse
import asyncio
import json
import struct
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
from bokeh.server.views.ws import WSHandler

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from app import blocks  # noqa: E402
from compute.table import BOOKS, CLASSES, INSTRUMENTS, State  # noqa: E402
from ingest.universe import universe  # noqa: E402


def page_rows(count: int) -> list[dict[str, Any]]:
    """Reference rows of the demo universe."""
    return [asdict(row) for row in universe(count)]


class Market:
    """Tables that move by themselves; `cells` says how many cells of the first rows move a step."""

    def __init__(self, rows: list[dict[str, Any]], seed: int = 11) -> None:
        self.rows = rows
        self.rng = np.random.default_rng(seed)
        n = len(rows)
        self.asset_class = np.array([row["asset_class"] for row in rows])
        self.tables = {
            "instruments": INSTRUMENTS.empty(n),
            "books": BOOKS.empty(8),
            "classes": CLASSES.empty(12),
        }
        self.unit = np.array([row["tick"] for row in rows])
        close = np.array([row["close_prev"] or 1.0 for row in rows])
        self.level = close * (1 + self.rng.normal(0, 0.01, n))
        self.worth = np.array([row["multiplier"] * row["usd_rate"] for row in rows])
        self.pace = self.rng.pareto(1.1, n) + 0.02
        self.volume = np.round(self.rng.pareto(1.0, n) * 40_000)
        self.start = close
        cash = np.where(self.rng.random(n) < 0.2, self.rng.normal(2e5, 9e5, n), 0.0)
        self.position = np.round(cash / np.maximum(1e-6, np.abs(close * self.worth)))
        self.states = np.zeros(n)
        for bit, at in ((State.HALTED, 7), (State.CROSSED, 9), (State.CORRECTED, 12)):
            self.states[at::211] = bit
        self.states[15::301] = State.GAP
        self.states[18::401] = State.AUCTION
        self.states[21::307] = State.ONE_SIDED
        self.silent = self.rng.random(n) < 0.04
        self.ts = np.full(n, time.time() * 1e3)
        self.ts[self.silent] -= self.rng.uniform(12e3, 4e6, self.silent.sum())
        self.touch(np.arange(n), time.time() * 1e3)
        self.series: dict[int, list[list[float]]] = {}

    def touch(self, who: np.ndarray, now_ms: float) -> None:
        """Move the instruments `who` and all that hangs on them."""
        t, at = self.tables["instruments"], INSTRUMENTS.index
        unit, start = self.unit[who], self.start[who]
        step = self.rng.integers(-2, 3, len(who)) * unit
        self.level[who] = np.where(
            start > 0, np.maximum(unit, self.level[who] + step), self.level[who]
        )
        mid = np.round(self.level[who] / unit) * unit
        t[who, at("bid")], t[who, at("ask")] = mid, mid + unit
        crossed = self.states[who] == State.CROSSED
        t[who[crossed], at("bid")] += 3 * unit[crossed]
        one = self.states[who] == State.ONE_SIDED
        t[who[one], at("ask")] = np.nan
        t[who, at("last")] = mid
        t[who, at("mid")] = mid + unit / 2
        for name in ("bid_size", "ask_size", "last_size"):
            t[who, at(name)] = self.rng.integers(1, 90, len(who)) * 100
        self.volume[who] += self.rng.integers(1, 9, len(who)) * 100
        t[who, at("change")] = (mid / start - 1) * 100
        vwap = (mid + start * 3) / 4
        t[who, at("vwap")] = vwap
        t[who, at("vs_vwap")] = (mid / vwap - 1) * 1e4
        t[who, at("volatility")] = 12 + 30 * self.rng.random(len(who))
        t[who, at("volume")] = self.volume[who]
        position = self.position[who]
        t[who, at("position")] = position
        worth = position * self.worth[who]
        t[who, at("pnl")] = worth * (mid - start)
        t[who, at("exposure")] = worth * mid
        ts = np.where(self.silent[who], self.ts[who], now_ms)
        t[who, at("ts_event")] = ts
        t[who, at("state")] = self.states[who]
        t[who, at("gaps")] = 0
        self.total()

    def total(self) -> None:
        """Books and classes from the instruments."""
        t, at = self.tables["instruments"], INSTRUMENTS.index
        exposure, pnl = t[:, at("exposure")], t[:, at("pnl")]
        held = exposure != 0
        for table, by in (("classes", self.asset_class), ("books", np.arange(len(t)) % 8)):
            size = len(self.tables[table])
            add = lambda w, by=by, size=size: np.bincount(by, w, size)
            long, short = add(np.maximum(exposure, 0)), add(np.minimum(exposure, 0))
            self.tables[table][:] = np.stack(
                [long, short, long + short, long - short, add(pnl), add(held)], 1
            )


class FakeSession:
    """One page: its viewport, sort and filter; sends everything that differs from what it sent."""

    def __init__(self, server: "Fake", spec: dict[str, Any], document: Any) -> None:
        self.server, self.spec, self.document = server, spec, document
        self.reference = server.reference
        self.views = {
            k: {"feed": feed, "first": 0, "count": 0, "order": None, "sent": None, "fresh": True}
            for k, feed in enumerate(spec["feeds"])
            if feed["kind"] == "grid"
        }
        self.row, self.series_sent, self.ready = -1, 0, False
        self.heard: list[dict[str, Any]] = []
        self.acks: list[tuple[int, int, float, float]] = []
        self.in_flight: list[int] = []
        self.status_at = 0.0
        self.handler: Any = None

    def control(self, message: dict[str, Any]) -> None:
        """From the page, in any thread."""
        self.server.loop.call_soon_threadsafe(self.heed, message)

    def heed(self, message: dict[str, Any]) -> None:
        self.heard.append(message)
        whole = ("first", "count", "row", "feed")
        assert all(isinstance(message.get(name, 0), int) for name in whole), message
        kind = message["type"]
        if kind == "ready":
            self.ready, self.in_flight, self.status_at = True, [], 0.0
            self.handler = self.handlers()[-1]
            for view in self.views.values():
                view["fresh"] = True
            self.server.sessions.add(self)
        elif kind == "select":
            self.row, self.series_sent = message["row"], 0
        else:
            view = self.views[message["feed"]]
            view.update({k: v for k, v in message.items() if k not in ("type", "feed")})
            if kind == "filter":
                view["first"] = 0
            view["order"], view["fresh"] = None, True
        self.push()

    def handlers(self) -> list[Any]:
        context = self.document.session_context
        return [c._socket for c in context.session._subscribed_connections] if context else []

    def order(self, view: dict[str, Any]) -> np.ndarray:
        if view["order"] is None:
            table = self.server.market.tables[view["feed"]["table"]]
            rows = np.arange(len(table))
            if view["feed"]["table"] == "instruments":
                if view.get("classes"):
                    rows = rows[np.isin(self.server.market.asset_class, view["classes"])]
                if view.get("text"):
                    text = view["text"].upper()
                    rows = np.array([r for r in rows if text in self.server.rows[r]["symbol"]], int)
            column = view.get("column")
            if column == "symbol":
                rows = np.array(sorted(rows, key=lambda r: self.server.rows[r]["symbol"]), int)
                rows = rows[::-1] if view.get("descending") else rows
            elif column:
                index = {"instruments": INSTRUMENTS, "books": BOOKS, "classes": CLASSES}[
                    view["feed"]["table"]
                ].index(column)
                values = table[rows, index]
                key = -values if view.get("descending") else values
                rows = rows[np.argsort(np.where(np.isnan(key), np.inf, key), kind="stable")]
            view["order"] = rows
        return view["order"]

    def sections(self, oldest: dict[int, float]) -> list[bytes]:
        parts: list[bytes] = []
        for number, view in self.views.items():
            table = self.server.market.tables[view["feed"]["table"]]
            order = self.order(view)
            shown = order[view["first"] : view["first"] + view["count"]]
            columns = _columns(view["feed"])
            values = table[np.ix_(shown, columns)] if len(shown) else np.zeros((0, len(columns)))
            if view["fresh"]:
                view["fresh"] = False
                parts.append(_rows(number, len(order), view["first"], shown))
                cells = np.arange(values.size)
                slots, stamps = np.zeros(0, int), np.zeros(0)
            else:
                sent = view["sent"]
                differ = ~((values == sent) | (np.isnan(values) & np.isnan(sent)))
                cells = np.flatnonzero(differ)
                slots = np.unique(cells // len(columns))
                stamps = np.array([oldest.get(int(shown[s]), np.nan) for s in slots])
                known = ~np.isnan(stamps) & (view["feed"]["table"] == "instruments")
                slots, stamps = slots[known], stamps[known]
            view["sent"] = values
            if len(cells):
                parts.append(_cells(number, cells, values.ravel()[cells], slots, stamps))
        return parts

    def push(self) -> None:
        """Send what is due, unless two pushes are unpainted."""
        if not self.ready or len(self.in_flight) >= 2:
            return
        if self.handler.ws_connection is None:
            self.ready = False
            self.server.sessions.discard(self)
            return
        if not self.handler.write_lock._block._value:  # Bokeh is writing.
            self.server.loop.call_later(0.002, self.push)
            return
        fake = self.server
        parts = self.sections(fake.oldest)
        series = next((k for k, f in enumerate(self.spec["feeds"]) if f["kind"] == "series"), None)
        if series is not None and self.row >= 0:
            parts += fake.series_section(self, series)
        now = time.time()
        if now - self.status_at >= 1 and not fake.mute:
            self.status_at = now
            parts.append(_status(len(self.spec["feeds"]) - 1, fake.status()))
        if not parts:
            return
        fake.sequence += 1
        head = struct.pack(
            "<IIddd", 0x31504754, len(parts), fake.sequence, time.time_ns() / 1e6, 42.0
        )
        framed = _framed(head + b"".join(parts))
        self.in_flight = [*self.in_flight, fake.sequence]
        self.handler.ws_connection.stream.write(framed)

    def ack(self, samples: int, sequence: float, worst: float) -> None:
        self.acks.append((int(sequence), samples, worst, time.time()))
        self.in_flight = [s for s in self.in_flight if s > sequence]
        self.push()


def _columns(feed: dict[str, Any]) -> list[int]:
    table = {"instruments": INSTRUMENTS, "books": BOOKS, "classes": CLASSES}[feed["table"]]
    return [table.index(name) for name in feed["columns"]]


def _section(feed: int, kind: int, payload: bytes, pad: bytes = b"\0") -> bytes:
    payload += pad * (-len(payload) % 8)
    return struct.pack("<HHI", feed, kind, len(payload)) + payload


def _rows(feed: int, total: int, first: int, rows: np.ndarray) -> bytes:
    head = struct.pack("<IIII", total, first, len(rows), 0)
    return _section(feed, 2, head + rows.astype("<u4").tobytes())


def _cells(
    feed: int, cells: np.ndarray, values: np.ndarray, slots: np.ndarray, stamps: np.ndarray
) -> bytes:
    base = float(stamps.min()) if len(stamps) else 0.0
    return _section(
        feed,
        1,
        struct.pack("<IId", len(cells), len(slots), base)
        + values.astype("<f8").tobytes()
        + (stamps - base).astype("<f4").tobytes()
        + slots.astype("<u2").tobytes()
        + cells.astype("<u2").tobytes(),
    )


def _status(feed: int, status: dict[str, Any]) -> bytes:
    return _section(feed, 4, json.dumps(status).encode(), b" ")


def _framed(push: bytes) -> bytes:
    """The push as one WebSocket frame: final, binary, unmasked."""
    n = len(push)
    if n < 126:
        return struct.pack("!BB", 0x82, n) + push
    if n < 65536:
        return struct.pack("!BBH", 0x82, 126, n) + push
    return struct.pack("!BBQ", 0x82, 127, n) + push


def say(answer: dict[str, Any]) -> None:
    """One line to the test."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Fake:
    """The server's state: one market, the sessions, and what a test has told it to do."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.rows = page_rows(arguments.instruments)
        self.reference = json.dumps(self.rows)
        self.market = Market(self.rows)
        self.arguments = arguments
        self.sessions: set[FakeSession] = set()
        self.oldest: dict[int, float] = {}
        self.sequence = 0
        self.still = arguments.rate == 0
        self.mute = False
        self.moved_at = time.time()
        self.notes: list[str] = []
        self.loop: Any = None

    def attach(self, spec: dict[str, Any], document: Any, send_control: Any) -> FakeSession:
        return FakeSession(self, spec, document)

    def status(self) -> dict[str, Any]:
        """As the web server says it once a second."""
        closed = self.arguments.rate == 0
        rate = 0 if self.still else 503_214 + int(self.market.rng.integers(-4000, 4000))
        return {
            "now_ms": time.time_ns() / 1e6,
            "events_per_s": rate,
            "behind_s": 0.003,
            "gaps": 0,
            "repeats": 12,
            "quarantined": 3,
            "recorded_rows": 1_204_331_207 + self.sequence * 1000,
            "record_behind_s": 0.41,
            "feed_age_s": 0.01 if closed else max(0.0, time.time() - self.moved_at - 0.05),
            "live_age_s": 0.02,
            "sessions": len(self.sessions),
            "state": "live",
            "notes": self.notes,
        }

    def series_section(self, session: FakeSession, feed: int) -> list[bytes]:
        """An hour of made-up past, then one point a second."""
        row, now = session.row, float(int(time.time()) * 1000)
        table, at = self.market.tables["instruments"], INSTRUMENTS.index
        if session.series_sent == 0:
            rng = np.random.default_rng(row)
            n = 1800
            walk = np.cumsum(rng.normal(0, 1, n))
            last = table[row, at("last")] + (walk - walk[-1]) * self.market.unit[row] * 3
            volume = table[row, at("volume")] - np.cumsum(rng.pareto(2, n) * 300)[::-1]
            vwap = np.cumsum(last) / np.arange(1, n + 1)
            t = now - 2000.0 * np.arange(n, 0, -1)
            points = np.stack([t, last, vwap, volume])
            mode = 0
        elif now <= session.series_sent:
            return []
        else:
            names = ("last", "vwap", "volume")
            points = np.array([[now], *[[table[row, at(name)]] for name in names]])
            mode = 1
        session.series_sent = now
        head = struct.pack("<IIII", row, points.shape[1], mode, 0)
        return [_section(feed, 3, head + points.astype("<f8").tobytes())]

    def step(self) -> None:
        """Move some instruments and push."""
        now_ms = time.time() * 1e3
        self.oldest = {}
        if not self.still:
            self.moved_at = time.time()
            shown = [
                s.order(v)[v["first"] : v["first"] + v["count"]]
                for s in self.sessions
                for v in s.views.values()
                if v["feed"]["table"] == "instruments"
            ]
            if self.arguments.all:
                who = np.unique(np.concatenate(shown)) if shown else np.zeros(0, int)
            else:
                chance = 1 - np.exp(-self.market.pace / self.arguments.rate)
                who = np.flatnonzero(self.market.rng.random(len(chance)) < chance)
            who = who[(self.market.states[who] != State.HALTED) & ~self.market.silent[who]]
            self.market.touch(who, now_ms)
            self.oldest = dict.fromkeys(who.tolist(), now_ms)
        for session in list(self.sessions):
            session.push()

    async def run(self) -> None:
        """Steps at the rate, for ever."""
        self.loop = asyncio.get_running_loop()
        threading.Thread(target=self.listen, daemon=True).start()
        pace = 1 / (self.arguments.rate or 20)
        say({"ready": True})
        due = time.perf_counter()
        while True:
            due += pace
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self.step()

    def listen(self) -> None:
        """Commands of the test, one JSON object a line."""
        for line in sys.stdin:
            self.loop.call_soon_threadsafe(self.command, json.loads(line))

    def command(self, command: dict[str, Any]) -> None:
        answer: Any = True
        if "set" in command:
            row, column, value = command["set"]
            value = np.nan if value is None else value
            self.market.tables["instruments"][row, INSTRUMENTS.index(column)] = value
            self.oldest = {row: time.time() * 1e3}
            for session in self.sessions:
                session.push()
            self.oldest = {}
        elif "still" in command:
            self.still = command["still"]
        elif "mute" in command:
            self.mute = command["mute"]
        elif "notes" in command:
            self.notes = command["notes"]
        elif "cut" in command:
            for session in list(self.sessions):
                self.sessions.discard(session)
                for handler in session.handlers():
                    handler.close()
        elif "heard" in command:
            answer = [m for s in self.sessions for m in s.heard]
        elif "acks" in command:
            answer = [a for s in self.sessions for a in s.acks]
        elif "table" in command:
            rows = command["rows"]
            table = self.market.tables[command["table"]]
            answer = np.where(np.isnan(table[rows]), None, table[rows]).tolist()
        say({"answer": answer})


def hear_acks(fake: Fake) -> None:
    """Catch the page's 24-byte binary frames before Bokeh's receiver sees them."""
    bokeh_on_message = WSHandler.on_message

    async def on_message(self: Any, message: str | bytes) -> None:
        if isinstance(message, bytes) and len(message) == 24:
            magic, samples, sequence, worst = struct.unpack("<IIdd", message)
            assert magic == 0x31414754
            for session in list(fake.sessions):
                if self is session.handler:
                    session.ack(samples, sequence, worst)
            return
        await bokeh_on_message(self, message)

    WSHandler.on_message = on_message  # type: ignore[method-assign]


def main() -> None:
    """Serve `layouts/overview.py` on a port of loopback."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--instruments", type=int, default=6000)
    parser.add_argument("--all", action="store_true", help="every visible cell at every step")
    fake = Fake(parser.parse_args())
    blocks.desk.join = fake.attach  # type: ignore[attr-defined]
    hear_acks(fake)
    pn.config.reconnect = True
    server = pn.io.server.get_server(
        {"overview": str(ROOT / "layouts" / "overview.py")},
        port=fake.arguments.port,
        address="127.0.0.1",
        websocket_origin=[f"127.0.0.1:{fake.arguments.port}"],
        start=False,
        show=False,
    )
    server.io_loop.add_callback(fake.run)
    server.start()
    server.io_loop.start()


if __name__ == "__main__":
    main()
