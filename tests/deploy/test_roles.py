"""The users that deploy/users makes: each role does what it must, at a real Redis, and no more."""

import subprocess

import pytest

from app import probe, standins
from app.settings import ROOT
from compute.bus import AsyncBus, Bus, BusError
from tests.web import until


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secrets")
    for _ in range(2):  # Again: what is there is kept.
        made = subprocess.run([ROOT / "deploy" / "users", folder], capture_output=True, check=True)
        assert made.stdout == made.stderr == b""
        told = (folder / "users.acl").read_bytes()
    assert (folder / "users.acl").read_bytes() == told
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
        if "-" in path.name:
            assert path.read_text() not in (told + (folder / "users.sql").read_bytes()).decode()
    return folder


@pytest.fixture(scope="module")
def buses(secrets, require, tmp_path_factory):
    """A bus for each role, at one Redis."""
    port = standins.free_port()
    words = ["--port", port, "--save", "", "--aclfile", secrets / "users.acl"]
    command = [require("redis"), *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=secrets)
    try:
        until(lambda: not probe.redis(f"redis://127.0.0.1:{port}/0"), 60)
        yield {
            path.name.partition("-")[2]: Bus(
                f"redis://{path.name.partition('-')[2]}@127.0.0.1:{port}/0?password_file={path}"
            )
            for path in secrets.glob("redis-*")
        }
    finally:
        process.terminate()
        process.wait(60)


def refused(act):
    with pytest.raises(BusError, match=r"refuses \(.*permission"):
        act()


def test_each_role_does_what_it_must(buses, in_loop):
    live, risk, web = buses["live"], buses["risk"], buses["web"]
    live.publish(0, 1, 1, b"delta", b"image")
    live.publish(12, 1, 1, b"delta", b"image")
    live.save(0, b"x" * 300_000)
    assert live.checkpoint() == b"x" * 300_000
    assert live.last_epoch() == 1
    live.set_reference(b"[]")
    live.swap_legs({3: b"leg"})
    live.renew("live", ("live.0", 1), 5.0, [0])
    assert live.take_shard("live", ("live.0", 1), 5.0, 0)
    live.let_go("live", ("live.0", 1), [0], leave=True)
    assert risk.deltas(0, 0) == [(1, 1, b"delta")]
    assert risk.deltas_of({0: (0, 0), 1: (0, 0)}, 0.1) == {0: [(1, 1, b"delta")]}
    risk.publish(1, 1, 1, b"delta", b"image")
    risk.set_names(b"{}")
    risk.set_alerts(b"[]")
    buses["record"].renew("record", ("record.0", 1), 5.0, [])
    buses["record"].swap_legs({})
    web.keep_desk("a/b", b"{}")
    web.keep_once("mark", b"x", 60)
    assert web.take_once("mark") == b"x"
    web.sign_out("ann", 1.0)

    async def page():
        bus = AsyncBus(web.url)
        try:
            assert await bus.image() == b"image"
            assert await bus.names() == b"{}"
            await bus.ask_risk({"id": "q"})
            await bus.put_screens(b"h", b"b")
            return await bus.reference()
        finally:
            await bus.close()

    assert in_loop(page()) == b"[]"
    assert [data for _, data in risk.asks("0-0")] == [b'{"id":"q"}']
    risk.answer("q", b"{}")
    assert buses["tape"].screens("0-0")[0][1:] == (b"h", b"b")
    assert set(buses["tape"].notes()) == {"names", "alerts"}
    assert buses["audit"].reference() == b"[]"
    assert buses["operator"].signed_out() == {"ann": 1.0}
    for role, bus in buses.items():
        bus.report(role, {"now_ms": 1})
        bus.beat(role, {})
        assert bus.started(role) == 1
    buses["operator"].dismiss(["web"])
    buses["operator"].bury("live", "live.0", 0)
    buses["operator"].server()


def test_no_role_does_more(buses):
    web, risk, live = buses["web"], buses["risk"], buses["live"]
    refused(lambda: web.publish(0, 2, 1, b"forged"))
    refused(lambda: web.set_reference(b"[]"))
    refused(lambda: web.set_names(b"{}"))
    refused(lambda: web.set_alerts(b"[]"))
    refused(lambda: web.answer("q", b"{}"))
    refused(web.checkpoint)
    refused(lambda: risk.publish(0, 2, 1, b"forged"))
    refused(lambda: risk.take_once("mark"))
    refused(lambda: live.publish(1, 2, 1, b"forged"))
    refused(lambda: live.set_alerts(b"[]"))
    refused(lambda: buses["record"].publish(0, 2, 1, b"forged"))
    refused(lambda: buses["tape"].asks("0-0"))
    refused(buses["audit"].image)
    for bus in buses.values():
        client = bus._redis
        for words in (("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("ACL", "LIST")):
            with pytest.raises(Exception, match="permission"):
                client.execute_command(*words)
        with pytest.raises(Exception, match="permission"):
            client.set("elsewhere", "x")
    strange = Bus(web.url.partition("web@")[0] + web.url.partition("@")[2].partition("?")[0])
    with pytest.raises(BusError):
        strange.ping()
