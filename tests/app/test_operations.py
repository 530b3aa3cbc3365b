import json

from app.operations import SECTION, section_of, whole
from app.watch import Watch
from tests.app.test_watch import World

LIVE = {
    "events_per_s": 50_000,
    "behind_s": 0.004,
    "behind_frames": 2,
    "quarantined": 3,
    "reasons": {"checksum": 2, "kind": 1},
    "gaps": 7,
    "clocks": [{"source": 3, "offset_ms": -2.0, "off": False}],
    "stages_ms": {"decode": [0.1, 0.4], "engine": [None, None]},
}


def told(server_ms):
    world = World()
    webs = {
        f"web.{port}": {"sessions": 2, "acts_lost": 4, "stages_ms": {"wait": [1.0, ms]}}
        for port, ms in server_ms.items()
    }
    reports = {"live.0": LIVE, **webs}
    world.watch.take({role: world.beat(restarts=1, memory_bytes=5) for role in reports}, reports)
    return whole(reports, world.watch)


def test_a_desk_is_told_of_roles_refusals_clocks_and_servers():
    found = told({5006: 30.0})
    live, web = found["roles"]
    assert (live["rate"], live["behind_frames"], live["restarts"]) == (50_000, 2, 1)
    assert (web["role"], web["rate"]) == ("web.5006", None)
    refused = {"count": 3, "reasons": {"checksum": 2, "kind": 1}}
    assert found["refused"] == {**refused, "replayed": None, "refused_again": None}
    assert (found["line"]["gaps"], found["line"]["repeats"]) == (7, None)
    assert found["servers"][0]["sessions"] == 2
    assert (found["servers"][0]["acts_lost"], found["servers"][0]["screens_lost"]) == (4, None)
    assert [change[1:4] for change in found["changes"]] == [
        ("web.5006", "", "up"),
        ("live.0", "", "up"),
    ]


def test_stages_are_those_that_were_timed_and_of_the_slowest_server():
    stages = told({5006: 30.0, 5007: 90.0, 5008: 10.0})["stages"]
    assert stages == [
        ["live", "decoded", 0.1, 0.4],
        ["web", "waited for the page", 1.0, 90.0],
    ]


def test_a_page_of_the_past_is_told_nothing():
    section = section_of(4, {}, None)
    assert int.from_bytes(section[2:4], "little") == SECTION
    assert json.loads(section[8:]) == {}
    assert whole({}, Watch())["state"] == "starting"
