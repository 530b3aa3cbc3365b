"""Rule: what a web server answers at /health, /ready and /metrics, and the loop that finds it.

`/health` tells of all roles, for people and programs: what is up, behind, degraded, since when.
`/ready` tells whether this server can carry pages: it has the market, and its own loop turns. It
stays ready while others are away: its pages say so themselves. `/metrics` is Prometheus's text.
"""

import asyncio
import json
import time
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from tornado.web import RequestHandler

from app.mirror import Mirror
from app.screens import Screens
from app.watch import STATES, RoleState, Watch, sentence, told
from compute.bus import BusError

LOOK_SECONDS = 0.4  # With SILENT_SECONDS and a push at once: a hung role is told in two seconds.
ANSWER_SECONDS = 2.0
LOOP_LATE_SECONDS = 1.0
METRICS = "/metrics"
READY = "/ready"  # Asked by whoever shares out pages, without a key.
_UNITS = {"_per_s": "_per_second", "_s": "_seconds", "_ms": "_milliseconds"}
_QUANTILES = {"_p50": "0.5", "_p99": "0.99", "_p999": "0.999"}


class Hub(Protocol):
    """What is needed of app.session.Hub."""

    mirror: Mirror
    role: str
    sessions: set[Any]
    screens: Screens | None

    def tick(self) -> None:
        """Push to everyone who is ready."""


class Health:
    """What this server knows of everybody."""

    def __init__(self, hub: Hub, watch: Watch) -> None:
        """Nothing is known yet."""
        self.hub, self.watch = hub, watch
        self.problem = "Redis has not answered yet"
        self.looked_at = time.monotonic()

    async def run(self) -> None:
        """Look for ever; whoever's state has changed is told to all pages at once."""
        while True:
            version = self.watch.version
            bus = self.hub.mirror.bus
            try:
                beats = await asyncio.wait_for(bus.beats(), ANSWER_SECONDS)
            except (BusError, TimeoutError, ValueError) as error:
                self.problem = str(error) or "Redis does not answer"
            else:
                self.problem = ""
                self.watch.take(beats, self.hub.mirror.health)
            self.looked_at = time.monotonic()
            if self.watch.version != version:
                self.hub.tick()
            await asyncio.sleep(LOOK_SECONDS)

    def ready(self) -> str:
        """Why this server cannot carry pages; "" where it can."""
        if not self.hub.mirror.images:
            return self.hub.mirror.problem or "no image of the market has come"
        late_s = time.monotonic() - self.looked_at - LOOK_SECONDS - ANSWER_SECONDS
        return f"the server's loop is {late_s:.0f} s late" if late_s > LOOP_LATE_SECONDS else ""

    @property
    def state(self) -> str:
        """Of the whole."""
        return "degraded" if self.problem else self.watch.state

    def whole(self) -> dict[str, Any]:
        """What /health says."""
        mirror = self.hub.mirror
        return {
            "state": self.state,
            "server": {
                "role": self.hub.role,
                "ready": not self.ready(),
                "problem": self.problem or mirror.problem,
                "mirror": mirror.state,
                "sessions": len(self.hub.sessions),
                **(self.hub.screens.told() if self.hub.screens else {}),
            },
            "troubles": [sentence(one) for one in self.watch.troubles()],
            "roles": [told(one) for one in self.watch.roles],
        }

    def collect(self) -> Any:
        """For Prometheus: states, heartbeats, and every number that a role reports."""
        roles = self.watch.roles
        states = GaugeMetricFamily(
            "tickglass_role_state", "1 for the state a role is in", labels=["role", "state"]
        )
        for one in roles:
            for state in STATES:
                states.add_metric([one.role, state], float(one.state == state))
        yield states
        for name, text, value in _HEART:
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(f"tickglass_role_{name}", text, labels=["role"])
            for one in roles:
                found = value(one)
                if found is not None:
                    family.add_metric([one.role], float(found))
            yield family
        yield from _reported(roles)
        ready = GaugeMetricFamily("tickglass_ready", "1 where this server can carry pages")
        ready.add_metric([], float(not self.ready()))
        yield ready


_HEART: tuple[tuple[str, str, Any], ...] = (
    ("heartbeat_age_seconds", "Since the heart was last heard", lambda one: one.age_s),
    ("state_seconds", "Since the state began", lambda one: one.for_s),
    ("memory_bytes", "Resident memory", lambda one: one.beat.get("memory_bytes")),
    ("cpu_seconds_total", "CPU time of the process", lambda one: one.beat.get("cpu_s")),
    ("steps_total", "Steps of the loop", lambda one: one.beat.get("steps")),
    ("restarts_total", "Starts after the first", lambda one: one.beat.get("restarts")),
)


def _reported(roles: list[RoleState]) -> Any:
    """One gauge for each figure, `tickglass_live_events_per_second{role="live.0"}`."""
    families: dict[str, GaugeMetricFamily] = {}
    for one in roles:
        kind = one.role.partition(".")[0]
        for field, value in one.report.items():
            if field == "now_ms" or type(value) not in (int, float):
                continue
            name, quantile = metric(f"tickglass_{kind}_{field}")
            labels = ["role", *(["quantile"] if quantile else [])]
            text = f"{field} as {kind} reports it"
            family = families.setdefault(name, GaugeMetricFamily(name, text, labels=labels))
            family.add_metric([one.role, *([quantile] if quantile else [])], float(value))
    yield from families.values()


def metric(name: str) -> tuple[str, str]:
    """Prometheus's name of a figure, and the quantile that it is; units are written out."""
    quantile = next((q for end, q in _QUANTILES.items() if name.endswith(end)), "")
    if quantile:
        name = name.rpartition("_")[0]
    for end, unit in _UNITS.items():
        if name.endswith(end):
            return name.removesuffix(end) + unit, quantile
    return name, quantile


class _Handler(RequestHandler):
    """The health of this process, however it is made."""

    def initialize(self, find: Any) -> None:
        """`find()` is the Health, None before there is one."""
        self.health: Health | None = find()

    def _json(self, status: int, answer: dict[str, Any]) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(answer, indent=1) + "\n")


class HealthHandler(_Handler):
    """/health: 200 as long as this server lives."""

    def get(self) -> None:
        """JSON."""
        self._json(200, self.health.whole() if self.health else {"state": "starting"})


class ReadyHandler(_Handler):
    """/ready: 200 or 503."""

    def get(self) -> None:
        """JSON with the reason."""
        why = self.health.ready() if self.health else "the server is starting"
        self._json(503 if why else 200, {"ready": not why, "why": why})


class MetricsHandler(_Handler):
    """/metrics for Prometheus."""

    def get(self) -> None:
        """Prometheus's text."""
        registry = CollectorRegistry(auto_describe=False)
        if self.health:
            registry.register(self.health)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(generate_latest(registry))


def routes(find: Any) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Patterns of the three, for a server; `find()` is this process's Health or None."""
    handlers = {"health": HealthHandler, "ready": ReadyHandler, "metrics": MetricsHandler}
    return [(f"/{name}", handler, {"find": find}) for name, handler in handlers.items()]
