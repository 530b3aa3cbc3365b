"""Redis: delta and image in one step; a late reader recovers by the image."""

import asyncio
import json

import pytest

from compute.bus import (
    ANSWER_SECONDS,
    ASK_BYTES_MAX,
    ASK_COUNT,
    ASKS_MAX,
    AsyncBus,
    Bus,
    BusError,
)


def test_what_is_published_is_read_in_order(redis, in_loop):
    bus = Bus(redis)
    bus.publish(0, 7, 1, b"one", image=b"image")
    bus.save(0, b"state" * 100_000)
    bus.publish(0, 7, 2, b"two")
    bus.publish(0, 9, 1, b"three")

    async def read():
        reader = AsyncBus(redis)
        assert await reader.image(0) == b"image"
        found = []
        async for entries in reader.deltas(7, 1):
            found += entries
            if len(found) == 2:
                break
        await reader.close()
        return found

    assert in_loop(read()) == [(7, 2, b"two"), (9, 1, b"three")]
    assert bus.checkpoint(0) == b"state" * 100_000
    assert bus.last_epoch(0) == 9


def test_an_older_epoch_cannot_publish_any_more(redis):
    """A worker that was stopped and wakes after its successor began is refused by the ids."""
    bus = Bus(redis)
    bus.publish(0, 9, 1, b"new")
    with pytest.raises(BusError, match="equal or smaller"):
        bus.publish(0, 8, 500, b"old", image=b"old")
    assert bus.last_epoch(0) == 9


def test_a_waiting_reader_is_woken_at_once(redis, in_loop):
    async def read():
        reader, bus = AsyncBus(redis), Bus(redis)
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, bus.publish, 0, 1, 1, b"x")
        async for entries in reader.deltas(0, 0):
            assert entries == [(1, 1, b"x")]
            break
        await reader.close()

    in_loop(read())


def test_health_is_by_role(redis):
    bus = Bus(redis)
    bus.report("live.0", {"now_ms": 1})
    bus.report("web.5006", {"now_ms": 2})
    assert bus.health() == {"live.0": {"now_ms": 1}, "web.5006": {"now_ms": 2}}
    bus.beat("live.0", {"pid": 1})
    bus.dismiss(["live.0", "live.1"])
    assert bus.health() == {"web.5006": {"now_ms": 2}}
    assert bus.beats() == {}


def test_a_password_is_not_shown():
    with pytest.raises(BusError) as error:
        Bus("redis://user:hush@127.0.0.1:1/0").ping()
    assert "hush" not in str(error.value)
    assert "redis://***@127.0.0.1:1/0" in str(error.value)


def test_an_address_that_does_not_answer_is_named():
    with pytest.raises(BusError, match=r"redis://127\.0\.0\.1:1/0 does not answer"):
        Bus("redis://127.0.0.1:1/0").ping()


def test_what_people_ask_is_read_once_and_answered(redis, in_loop):
    bus = Bus(redis)
    assert bus.asks("0-0") == []

    async def ask():
        people = AsyncBus(redis)
        given = [await people.ask_risk({"type": "what_if", "n": n}) for n in range(ASK_COUNT + 3)]
        assert await people.answer("x", 0.05) is None
        asyncio.get_running_loop().call_later(0.1, bus.answer, "x", b'{"id": "x"}')
        assert await people.answer("x", 2.0) == {"id": "x"}
        with pytest.raises(ValueError, match="limit"):
            await people.ask_risk({"text": "x" * ASK_BYTES_MAX})
        assert await people.alerts() is None
        bus.set_alerts(b"[]")
        assert await people.alerts() == b"[]"
        await people.close()
        return given

    given = in_loop(ask())
    first = bus.asks("0-0")
    rest = bus.asks(first[-1][0])
    assert [ask_id for ask_id, _ in first + rest] == given
    assert len(first) == ASK_COUNT
    assert [json.loads(data)["n"] for _, data in first + rest] == list(range(ASK_COUNT + 3))
    assert bus.asks(given[-1]) == []
    assert 0 < bus._redis.ttl("tickglass:answers:x") <= ANSWER_SECONDS


def test_asks_that_nobody_reads_do_not_grow_for_ever(redis, in_loop):
    async def ask():
        people = AsyncBus(redis)
        for _ in range(ASKS_MAX + 500):
            await people.ask_risk({})
        await people.close()

    in_loop(ask())
    assert ASKS_MAX <= Bus(redis)._redis.xlen("tickglass:asks") < ASKS_MAX + 200


def test_a_connection_that_was_reset_while_it_is_written_to_is_redis_away():
    async def written_after_a_reset():
        raise AttributeError("'NoneType' object has no attribute '_add_writer'")  # asyncio's own.

    with pytest.raises(BusError, match="does not answer"):
        asyncio.run(AsyncBus("redis://127.0.0.1:1/0")._ask(written_after_a_reset()))
