"""Who is at a page: what Panel's sign-in says, and nobody where there is none."""

import asyncio
from types import SimpleNamespace

import pytest

from app import runtime


class State:
    def __init__(self, user) -> None:
        self.user = user


@pytest.mark.parametrize(("known", "expected"), [(None, ""), ("ann.lee", "ann.lee")])
def test_the_person_at_a_page_is_whom_sign_in_knows(monkeypatch, known, expected):
    monkeypatch.setattr(runtime.pn, "state", State(known))
    assert runtime._user() == expected


def test_without_sign_in_nobody_is_known():
    assert runtime._user() == ""


def test_a_server_whose_numbers_nobody_follows_any_more_ends(monkeypatch):
    async def scene() -> None:
        async def broken() -> None:
            raise ArithmeticError("nobody foresaw it")

        async def lasting() -> None:
            await asyncio.sleep(60.0)

        failing, other, beside = (
            asyncio.ensure_future(one()) for one in (broken, lasting, lasting)
        )
        hub = SimpleNamespace(tasks=[failing], screens=SimpleNamespace(task=other))
        monkeypatch.setattr(runtime.Runtime, "hub", hub)
        monkeypatch.setattr(runtime.Runtime, "tasks", [beside])
        stopped = []
        server = SimpleNamespace(stop=lambda *, wait: stopped.append(wait))
        loop = SimpleNamespace(stop=lambda: stopped.append("loop"))
        runtime._guard(server, loop)
        other.cancel()
        await asyncio.sleep(0.01)
        assert stopped == [False, "loop"], "once, and not because a task was ended on purpose"
        assert isinstance(runtime.Runtime.error, ArithmeticError)
        beside.cancel()

    monkeypatch.setattr(runtime.Runtime, "error", None)
    asyncio.run(scene())
