"""A page of the past goes on whatever befalls one picture of it."""

import asyncio
from types import SimpleNamespace

import numpy as np

from app.asof import Moment, PastHub
from app.mirror import Mirror
from app.session import Hub
from compute.asof import NOTES, Told

TS = 10**18


class Tape:
    """What is read: the first picture breaks in a way that nobody foresaw."""

    def __init__(self, archive: object) -> None:
        self.archive, self.looks = archive, 0

    def read(self, ts: int) -> Moment:
        self.looks += 1
        if self.looks == 1:
            raise IndexError("a slice too many")
        return Moment(Told(ts, {}, None), dict.fromkeys(NOTES, b""), {})

    def around(self, ts: int) -> None:
        pass

    def span(self) -> tuple[int, int]:
        return TS - 1, TS


def test_a_picture_that_breaks_is_said_and_tried_again(monkeypatch, capsys):
    async def page() -> None:
        loop = asyncio.get_running_loop()
        live = Hub(Mirror(None), loop, "web.1")
        past = PastHub(live, SimpleNamespace(database="d", close=lambda: None), TS)
        tape = Tape(past.past.archive)
        monkeypatch.setattr("app.asof.Past", lambda _archive: tape)
        monkeypatch.setattr("app.asof.REST_SECONDS", 0.01)
        monkeypatch.setattr(past, "_read", tape.read)
        said = []
        tick = past.tick

        def told() -> None:
            said.append(past.status()["notes"])
            tick()

        monkeypatch.setattr(past, "tick", told)
        past.start()
        for _ in range(500):
            await asyncio.sleep(0.01)
            if tape.looks > 1 and past.told:
                break
        assert "this moment cannot be shown, IndexError: a slice too many" in said[0]
        assert past.told.ts == TS
        assert not past.problem
        assert np.isfinite(past.read_ms)
        past.stop()

    asyncio.run(page())
    assert "a slice too many" in capsys.readouterr().err
