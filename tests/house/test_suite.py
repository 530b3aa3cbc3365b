"""The suite's own rule: who gets a second look, and what is red."""

import pytest

from tests import suite


@pytest.mark.parametrize(
    ("codes", "failed", "looks", "code"),
    [
        ((0, 0, 0, 0), 0, 3, 0),
        ((0, 0, 1, 0), 2, 4, 0),  # What failed by the clock passed at the second look.
        ((0, 1, 0, 0), 2, 4, 0),
        ((0, 1, 1, 1), 2, 4, 1),
        ((0, 0, 1, 0), suite.FEW + 1, 3, 1),
        ((1, 0, 0, 0), 0, 3, 1),  # What no clock decides gets no second look.
        ((1, 0, 1, 0), 1, 4, 1),
        ((0, 0, 2, 0), 1, 3, 2),  # The run itself was broken.
    ],
)
def test_who_gets_a_second_look_and_what_is_red(monkeypatch, codes, failed, looks, code):
    ran = []

    def run(name, *options):
        ran.append(options)
        return codes[len(ran) - 1]

    again = [f"tests/app/test_a.py::test_{k}" for k in range(failed)]
    monkeypatch.setattr(suite, "run", run)
    monkeypatch.setattr(suite, "failed", lambda name: again if name == "clocked" else [])
    monkeypatch.setattr(suite.shutil, "rmtree", lambda *_, **__: None)
    assert suite.main([]) == code
    assert len(ran) == looks
    if looks == len(codes):
        assert list(ran[-1]) == again


def test_what_is_asked_for_is_run_alone(monkeypatch):
    ran = []
    monkeypatch.setattr(suite, "run", lambda name, *options: ran.append(options) or 0)
    assert suite.main(["-k", "nothing"]) == 0
    assert ran == [("-k", "nothing")]
