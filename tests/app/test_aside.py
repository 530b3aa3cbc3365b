"""A web server that starts beside others leaves them the machine until it serves."""

import socket
from pathlib import Path

import pytest

from app import front
from app.aside import NICE, step_aside, step_in
from app.settings import load
from app.standins import free_port


@pytest.fixture
def autogroup(tmp_path: Path) -> Path:
    return tmp_path / "autogroup"


def test_others_that_serve_go_first_until_it_serves_itself(autogroup: Path):
    shared = load(port=free_port(), web=3)
    mine, _, other = front.ports(shared)
    assert not step_aside(shared, mine, autogroup)
    assert not autogroup.exists(), "nobody serves yet"
    with socket.create_server(("127.0.0.1", other)):
        assert step_aside(shared, mine, autogroup)
    assert autogroup.read_text() == str(NICE)
    step_in(autogroup)
    assert autogroup.read_text() == "0"


def test_nginx_in_front_serves_nobody_by_itself(autogroup: Path):
    shared = load(port=free_port(), web=2)
    with socket.create_server(("127.0.0.1", shared.port)):
        assert not step_aside(shared, front.ports(shared)[0], autogroup)


def test_one_alone_and_one_of_another_place_start_at_full_speed(autogroup: Path):
    shared = load(port=free_port(), web=1)
    assert not step_aside(shared, shared.port, autogroup)
    with socket.create_server(("127.0.0.1", shared.port)):
        assert not step_aside(shared, shared.port + 7, autogroup)
    assert not autogroup.exists()


def test_a_system_that_has_no_such_thing(tmp_path: Path):
    step_in(tmp_path / "nowhere" / "autogroup")
