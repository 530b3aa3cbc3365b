"""Who is at a page: what Panel's sign-in says, and nobody where there is none."""

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
