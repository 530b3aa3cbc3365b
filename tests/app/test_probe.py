import contextlib
import socket
import threading
from pathlib import Path

import pytest

from app import probe
from app.standins import free_port

ASK = {
    "kafka": lambda port: probe.kafka(f"127.0.0.1:{port}"),
    "redis": lambda port: probe.redis(f"redis://:geheim@127.0.0.1:{port}/0"),
    "clickhouse": lambda port: probe.clickhouse(f"http://me:geheim@127.0.0.1:{port}"),
}


@contextlib.contextmanager
def server(answer: bytes):
    """Somebody who says `answer` to whatever he hears."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


@pytest.mark.parametrize("kind", ASK)
def test_nobody_answers(kind):
    said = ASK[kind](free_port())
    assert "does not answer (connection refused)" in said
    assert f"--{kind}" in said
    assert "geheim" not in said


@pytest.mark.parametrize("kind", ASK)
def test_somebody_else_answers(kind):
    with server(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        assert "does not answer" in ASK[kind](port)


@pytest.mark.parametrize("kind", ASK)
def test_who_listens_but_says_nothing_is_told_within_seconds(kind, monkeypatch):
    monkeypatch.setattr(probe, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert "no answer within 0.1 s" in ASK[kind](listener.getsockname()[1])


def test_a_redis_that_wants_a_password_answers():
    with server(b"-NOAUTH Authentication required.\r\n") as port:
        assert ASK["redis"](port) == ""


def test_one_sentinel_of_many_is_enough():
    with server(b"+PONG\r\n") as port:
        sentinels = f"redis+sentinel://:geheim@127.0.0.1:1,127.0.0.1:{port}/tickglass/0"
        assert probe.redis(sentinels) == ""
    assert "connection refused" in probe.redis(sentinels)


def test_a_taken_port_and_a_free_one():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        assert f"Port {taken} cannot be used (address already in use)" in probe.port(taken)
        assert probe.listening(taken)
    assert probe.port(taken) == ""
    assert not probe.listening(taken)


def test_a_folder_that_cannot_be_written(tmp_path):
    assert probe.folder(tmp_path / "new" / "deep") == ""
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    (tmp_path / "file").touch()
    assert "cannot be written" in probe.folder(tmp_path / "file" / "folder")
    assert "--data" in probe.folder(Path("/proc/nowhere"))


def test_files_that_are_not_there(tmp_path):
    assert probe.files([tmp_path]) == ""
    assert "does not exist" in probe.files([tmp_path, tmp_path / "none.zip"])
