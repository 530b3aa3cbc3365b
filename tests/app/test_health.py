import asyncio
import json

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tornado.httpclient import AsyncHTTPClient
from tornado.web import Application

from app import health as health_room
from app.health import Health, metric, routes
from app.screens import Screens
from app.watch import Watch
from compute.bus import BusError
from ingest import clock

BEAT = {"count": 1, "pid": 7, "state": "running", "memory_bytes": 1 << 20, "restarts": 2}
REPORT = {"now_ms": 1.0, "events_per_s": 50_000, "behind_s": 0.002, "kafka_ms_p99": 7.5, "gaps": 3}


class Mirror:
    problem, state, images = "", "live", 1

    def __init__(self):
        self.bus, self.health = self, {"live.0": REPORT}
        self.error = None

    async def beats(self):
        if self.error:
            raise self.error
        return {"live.0": BEAT | {"now_ms": clock.now_ns() / 1e6}}


class Hub:
    role, sessions = "web.1", ()
    screens = None

    def __init__(self):
        self.mirror, self.ticks = Mirror(), 0

    def tick(self):
        self.ticks += 1


@pytest.fixture
def health(monkeypatch):
    monkeypatch.setattr(health_room, "LOOK_SECONDS", 0.01)
    return Health(Hub(), Watch())


def asked(health, in_loop, *paths):
    async def ask():
        task = asyncio.ensure_future(health.run()) if health else None
        await asyncio.sleep(0.1)
        server = Application(routes(lambda: health)).listen(0, "127.0.0.1")
        port = next(iter(server._sockets.values())).getsockname()[1]
        found = []
        for path in paths:
            answer = await AsyncHTTPClient().fetch(
                f"http://127.0.0.1:{port}{path}", raise_error=False
            )
            found.append((answer.code, answer.body.decode()))
        server.stop()
        if task:
            task.cancel()
        return found

    return in_loop(ask())


def test_what_is_up_and_since_when(health, in_loop):
    ((code, text),) = asked(health, in_loop, "/health")
    told = json.loads(text)
    assert (code, told["state"], told["troubles"]) == (200, "up", [])
    (live,) = told["roles"]
    assert (live["role"], live["state"], live["restarts"]) == ("live.0", "up", 2)
    assert live["since"].endswith("+00:00")
    assert health.hub.ticks == 1, "pages are told at once, and once"


def test_acts_that_were_let_go_are_told(health, in_loop):
    screens = health.hub.screens = Screens(None, "web.1-1")
    screens.acts_lost, screens.lost = 7, 3
    health.hub.mirror.health = {"web.1": {"now_ms": clock.now_ns() / 1e6, **screens.told()}}
    (_, text), (_, metrics) = asked(health, in_loop, "/health", "/metrics")
    server = json.loads(text)["server"]
    assert (server["acts_lost"], server["screens_lost"]) == (7, 3)
    assert 'tickglass_web_acts_lost{role="web.1"} 7.0' in metrics


def test_redis_away_is_degraded_and_pages_are_still_carried(health, in_loop):
    health.hub.mirror.error = BusError("Redis is away")
    (_, text), (code, _) = asked(health, in_loop, "/health", "/ready")
    assert json.loads(text)["state"] == "degraded"
    assert json.loads(text)["server"]["problem"] == "Redis is away"
    assert code == 200


def test_ready_once_there_is_an_image(health, in_loop):
    health.hub.mirror.images, health.hub.mirror.problem = 0, "waiting for live's first image"
    ((code, text),) = asked(health, in_loop, "/ready")
    assert (code, json.loads(text)["why"]) == (503, "waiting for live's first image")
    assert asked(None, in_loop, "/ready")[0][0] == 503


def test_metrics_are_prometheus_and_say_what_is_reported(health, in_loop):
    ((code, text),) = asked(health, in_loop, "/metrics")
    assert code == 200
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    role = ("role", "live.0")
    assert found["tickglass_role_state", role, ("state", "up")] == 1
    assert found["tickglass_role_state", role, ("state", "silent")] == 0
    assert found["tickglass_role_restarts_total", role] == 2
    assert found["tickglass_live_events_per_second", role] == 50_000
    assert found["tickglass_live_kafka_milliseconds", ("quantile", "0.99"), role] == 7.5
    assert found["tickglass_live_gaps", role] == 3
    assert found["tickglass_ready",] == 1


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a_behind_s", ("a_behind_seconds", "")),
        ("a_events_per_s", ("a_events_per_second", "")),
        ("glass_ms_p50", ("glass_milliseconds", "0.5")),
        ("gaps", ("gaps", "")),
    ],
)
def test_units_are_written_out(name, written):
    assert metric(name) == written
