"""A Panel server that serves the desks with a fake session: seeded data, the real push contract.

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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
from bokeh.server.views.ws import WSHandler

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

sys.path.insert(0, str(Path(__file__).parent))

from fake_market import Market, page_rows  # noqa: E402
from true_sessions import TrueSessions  # noqa: E402

from app import blocks  # noqa: E402
from app.blocks.column import BESIDE  # noqa: E402
from app.flow import WINDOW  # noqa: E402
from app.push import unpack_acks  # noqa: E402
from compute.incident import Incidents  # noqa: E402
from compute.table import INSTRUMENTS, TABLES, State  # noqa: E402

BY_NAME = {table.name: table for table in TABLES}


class FakeSession:
    """One page: its viewport, sort and filter; sends everything that differs from what it sent."""

    WITH_TRUE_ONLY = ("hold", "columns", "group")  # See --true for what these do.

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
        self.answers: list[dict[str, Any]] = []
        self.acks: list[tuple[int, int, float, float]] = []
        self.in_flight: list[int] = []
        self.status_at = 0.0
        self.told = -1  # Version of the names and alerts that the page has.
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
            self.ready, self.in_flight, self.status_at, self.told = True, [], 0.0, -1
            self.handler = self.handlers()[-1]
            for view in self.views.values():
                view["fresh"] = True
            self.server.sessions.add(self)
        elif kind == "select":
            self.row, self.series_sent = message["row"], 0
        elif kind == "acknowledge":
            self.server.acknowledge(message["alert"], message["person"])
        elif kind == "what_if":
            if not self.server.deaf:
                self.answers.append(self.server.market.what_if(message))
        elif "feed" in message and kind not in self.WITH_TRUE_ONLY:
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
            market, name = self.server.market, view["feed"]["table"]
            rows = np.arange(len(market.tables[name]))
            if name == "instruments":
                if view.get("classes"):
                    rows = rows[np.isin(market.asset_class, view["classes"])]
                if view.get("text"):
                    text = view["text"].upper()
                    rows = np.array([r for r in rows if text in self.server.rows[r]["symbol"]], int)
            rows = self._chosen(view, name, rows)
            column = view.get("column")
            if column == "symbol":
                rows = np.array(sorted(rows, key=lambda r: self.server.rows[r]["symbol"]), int)
                rows = rows[::-1] if view.get("descending") else rows
            elif column:
                values = market.values(name, [column], rows)[:, 0]
                key = -values if view.get("descending") else values
                rows = rows[np.argsort(np.where(np.isnan(key), np.inf, key), kind="stable")]
            view["order"] = rows
        return view["order"]

    def _chosen(self, view: dict[str, Any], name: str, rows: np.ndarray) -> np.ndarray:
        """Slots in use, of one book; groups of one scope."""
        table, market = BY_NAME[name], self.server.market
        if name == "positions":
            books = market.tables[name][rows, table.index("book")]
            rows = rows[books == view["book"] if view.get("book") is not None else books >= 0]
        if name in ("execution", "exposures", "value_at_risk", "scenarios"):
            for column in ("scope", "key"):
                wanted = view.get(column, view["feed"].get("match", {}).get(column))
                found = market.tables[name][rows, table.index(column)]
                rows = rows[found == wanted if wanted is not None else ~np.isnan(found)]
        return rows

    def sections(self, oldest: dict[int, float]) -> list[bytes]:
        parts: list[bytes] = []
        for number, view in self.views.items():
            order = self.order(view)
            shown = order[view["first"] : view["first"] + view["count"]]
            columns = view["feed"]["columns"]
            values = self.server.market.values(view["feed"]["table"], columns, shown)
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
        """Send what is due, unless too much is unpainted: two pushes, or the product's window."""
        if not self.ready or len(self.in_flight) >= (WINDOW if self.server.arguments.all else 2):
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
            parts.append(_json(len(self.spec["feeds"]) - 1, 4, fake.status()))
        if self.told != fake.alerts_version and fake.market.risk:
            self.told = fake.alerts_version
            parts.append(_json(0xFFFF, 5, fake.market.names))
            parts.append(_json(0xFFFF, 6, fake.shown()))
        parts += [_json(0xFFFF, 8, answer) for answer in self.answers]
        self.answers = []
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


def _json(feed: int, kind: int, told: Any) -> bytes:
    return _section(feed, kind, json.dumps(told).encode(), b" ")


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
        self.market = Market(self.rows, risk=not arguments.no_risk)
        self.incidents = Incidents()
        for alert in self.market.alerts():
            self.incidents.take(alert)
        self.alerts_version = 0
        self.arguments = arguments
        self.sessions: set[FakeSession] = set()
        self.oldest: dict[int, float] = {}
        self.sequence = 0
        self.still = arguments.rate == 0
        self.mute = False
        self.deaf = False  # As `risk` that does not answer what is asked.
        self.risk_age_s = 0.08
        self.moved_at = time.time()
        self.notes: list[str] = []
        self.loop: Any = None
        self.true = TrueSessions(self.market, self.rows) if arguments.true else None

    def attach(self, spec: dict[str, Any], document: Any, send_control: Any) -> Any:
        if self.true:
            return self.true.attach(spec, document)
        return FakeSession(self, spec, document)

    def acknowledge(self, alert: str, person: str) -> None:
        """A message more of the incident, as `risk` would tell it."""
        incident = self.incidents.named(alert)
        assert incident is not None
        number = incident.newest.number + 1
        seen = {"kind": "acknowledged", "person": person, "number": number}
        self.incidents.take(replace(incident.newest, **seen, ts_alert=time.time_ns()))
        self.alerts_version += 1

    def shown(self) -> list[dict[str, Any]]:
        """Incidents as `risk` tells them."""
        return [one.shown() for one in (*self.incidents.open, *self.incidents.closed)]

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
            "risk_age_s": self.risk_age_s if self.market.risk else None,
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
            if self.arguments.all and self.true:
                who = np.arange(len(self.rows))
            elif self.arguments.all:
                who = np.unique(np.concatenate(shown)) if shown else np.zeros(0, int)
            else:
                chance = 1 - np.exp(-self.market.pace / self.arguments.rate)
                who = np.flatnonzero(self.market.rng.random(len(chance)) < chance)
            who = who[(self.market.states[who] != State.HALTED) & ~self.market.silent[who]]
            self.market.touch(who, now_ms)
            self.oldest = dict.fromkeys(who.tolist(), now_ms)
        for session in list(self.sessions):
            session.push()
        if self.true:
            self.true.take()

    async def run(self) -> None:
        """Steps at the rate, for ever."""
        self.loop = asyncio.get_running_loop()
        if self.true:
            self.true.begin(self.loop)
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
            name = command.get("of", "instruments")
            name = name if column in BY_NAME[name].names else BESIDE[name]
            value = np.nan if value is None else value
            self.market.tables[name][row, BY_NAME[name].index(column)] = value
            self.oldest = {row: time.time() * 1e3}
            for session in self.sessions:
                session.push()
            self.oldest = {}
        elif "still" in command:
            self.still = command["still"]
        elif "deaf" in command:
            self.deaf = command["deaf"]
        elif "risk_age_s" in command:
            self.risk_age_s = command["risk_age_s"]
        elif "mute" in command:
            self.mute = command["mute"]
        elif "notes" in command:
            self.notes = command["notes"]
        elif "raise_alert" in command:
            now, known = time.time_ns(), self.incidents.open[0].first
            fresh = {"alert": f"new-{now}", "ts_alert": now, "ts_event": now}
            self.incidents.take(replace(known, **fresh, **command["raise_alert"]))
            self.alerts_version += 1
            for session in self.sessions:
                session.push()
        elif "cut" in command:
            for session in list(self.sessions):
                self.sessions.discard(session)
                for handler in session.handlers():
                    handler.close()
        elif "heard" in command:
            answer = [m for s in self.sessions for m in s.heard]
            answer += self.true.heard if self.true else []
        elif "acks" in command:
            answer = [a for s in self.sessions for a in s.acks]
        elif "table" in command:
            columns = command.get("columns") or list(BY_NAME[command["table"]].names)
            found = self.market.values(command["table"], columns, np.array(command["rows"], int))
            answer = np.where(np.isnan(found), None, found).tolist()
        say({"answer": answer})


def hear_acks(fake: Fake) -> None:
    """Catch the page's acknowledgements before Bokeh's receiver sees them."""
    bokeh_on_message = WSHandler.on_message

    async def on_message(self: Any, message: str | bytes) -> None:
        told = unpack_acks(message) if isinstance(message, bytes) else []
        for _, samples, _held_ms, sequence, worst in told:
            for session in list(fake.sessions):
                if self is session.handler:
                    session.ack(samples, sequence, worst)
        if told:
            return
        await bokeh_on_message(self, message)

    WSHandler.on_message = on_message  # type: ignore[method-assign]


def main() -> None:
    """Serve the layouts on a port of loopback."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--instruments", type=int, default=6000)
    parser.add_argument("--all", action="store_true", help="every visible cell at every step")
    parser.add_argument("--true", action="store_true", help="sessions of the product itself")
    parser.add_argument("--layouts", type=Path, help="a folder of desks beside the shipped ones")
    parser.add_argument("--no-risk", action="store_true", help="as if `risk` did not run")
    fake = Fake(parser.parse_args())
    blocks.desk.join = fake.attach  # type: ignore[attr-defined]
    if not fake.true:
        hear_acks(fake)
    pn.config.reconnect = True
    desks = {path.stem: str(path) for path in sorted((ROOT / "layouts").glob("*.py"))}
    more = [Path(__file__).parent.glob("*_desk.py")]
    more += [fake.arguments.layouts.glob("*.py")] if fake.arguments.layouts else []
    desks |= {path.stem: str(path) for folder in more for path in folder}
    server = pn.io.server.get_server(
        desks,
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
