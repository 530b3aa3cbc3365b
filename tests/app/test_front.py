"""The configuration of nginx before several web servers."""

import re

import pytest

from app.front import configuration, servers
from app.settings import load


def test_one_server_stands_alone_and_several_behind_the_port():
    assert servers(5006, 1) == [5006]
    assert servers(5006, 3) == [5007, 5008, 5009]
    with pytest.raises(ValueError, match="two"):
        configuration(load(port=5006, web=1))


def test_who_avoids_a_server_is_sent_to_the_others_first():
    text = configuration(load(port=5006, web=3))
    assert not re.search(r"@\w+@", text.partition("worker_processes")[2])
    assert text.count("listen ") == text.count("listen 127.0.0.1:5006;") == 1
    for one in (5007, 5008, 5009):
        (group,) = re.findall(rf"upstream but_{one} {{(.*)}}", text)
        first, last = group.rsplit("server ", 1)
        assert last.split(";")[0] == f"127.0.0.1:{one} backup"
        assert {f"127.0.0.1:{other}" for other in (5007, 5008, 5009)} - {f"127.0.0.1:{one}"} == {
            *re.findall(r"server (\S+)", first)
        }
        assert f"{one} but_{one};" in text
