"""Redis: delta and image in one step; a late reader recovers by the image."""

import asyncio

import pytest

from compute.bus import AsyncBus, Bus, BusError


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


def test_a_password_is_not_shown():
    with pytest.raises(BusError) as error:
        Bus("redis://user:hush@127.0.0.1:1/0").ping()
    assert "hush" not in str(error.value)
    assert "redis://127.0.0.1:1/0" in str(error.value)


def test_an_address_that_does_not_answer_is_named():
    with pytest.raises(BusError, match=r"redis://127\.0\.0\.1:1/0 does not answer"):
        Bus("redis://127.0.0.1:1/0").ping()
