"""All garbage is looked for when enough pages have gone and nobody comes or goes."""

import gc
import sys
from collections.abc import Iterator

import pytest
from panel.io import document as panel_document

from app.blocks.page import lighten
from app.garbage import EVERY_SECONDS, GONE, GONE_MAX, QUIET_SECONDS, Garbage


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def own_collection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = gc.get_threshold()
    monkeypatch.setattr(panel_document, "_garbage_collect", panel_document._garbage_collect)
    yield
    gc.set_threshold(*before)


def made() -> tuple[Garbage, Clock, list[float]]:
    clock, collected = Clock(), list[float]()
    return Garbage(clock, lambda: collected.append(clock.now)), clock, collected


def test_enough_pages_have_gone_and_nobody_has_come_or_gone_for_a_while():
    garbage, clock, collected = made()
    for _ in range(GONE):
        assert not garbage.look()
        garbage.left()
    assert not garbage.look(), "the last of them has only just gone"
    clock.now += QUIET_SECONDS / 2
    garbage.came()
    clock.now += QUIET_SECONDS / 2
    assert not garbage.look(), "one is just coming"
    clock.now += QUIET_SECONDS
    assert garbage.look()
    assert collected == [clock.now]
    clock.now += QUIET_SECONDS
    assert not garbage.look(), "nothing has gone since"


def test_where_it_is_never_quiet_very_many_are_enough():
    garbage, clock, collected = made()
    for _ in range(GONE_MAX - 1):
        garbage.left()
        clock.now += QUIET_SECONDS / 10
        assert not garbage.look()
    garbage.left()
    assert garbage.look()
    assert len(collected) == 1


def test_now_and_then_all_the_same():
    garbage, clock, collected = made()
    clock.now += EVERY_SECONDS
    assert garbage.look()
    assert not garbage.look()
    assert len(collected) == 1


def test_panel_collects_nothing_when_a_page_has_gone(monkeypatch: pytest.MonkeyPatch):
    # Else another version of Panel has another name for it.
    assert "_garbage_collect" in panel_document._destroy_document.__code__.co_names
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    lighten()
    full = gc.get_stats()[2]["collections"]
    panel_document._garbage_collect()
    assert gc.get_stats()[2]["collections"] == full


def test_python_begins_no_full_collection_by_itself_any_more():
    full = gc.get_stats()[2]["collections"]
    made()
    held = []
    for _ in range(400_000):  # Enough for several by its own rule, which counts in hundreds.
        held.append([held])
    assert gc.get_stats()[2]["collections"] == full
    assert gc.get_stats()[1]["collections"] > 0
    held.clear()
