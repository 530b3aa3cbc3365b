"""Real nginx before servers of the test: who answers, who is avoided, and that it ends with us."""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from app import probe
from app.settings import ROOT
from tests.kafka import free_ports


class Named(BaseHTTPRequestHandler):
    """Says on which port it was asked."""

    def do_GET(self):
        body = str(self.server.server_address[1]).encode()
        self.server.heard = self.headers
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


def serve(stack, port):
    server = ThreadingHTTPServer(("127.0.0.1", port), Named)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return server


def ask(port, path="/overview", cookie=""):
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    told = answer.status, answer.read().decode(), answer.getheader("Set-Cookie")
    connection.close()
    return told


@pytest.fixture
def stack():
    with ExitStack() as made:
        yield made


@pytest.fixture
def front(require, tmp_path, stack):
    """nginx for two servers: its port, and its process."""
    require("nginx")
    port = free_ports(3)
    words = ["front", "--port", str(port), "--web", "2", "--data", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "app", *words],
        cwd=ROOT,
        env={**os.environ, "TICKGLASS_PARENT": str(os.getpid())},
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    deadline = time.monotonic() + 30
    while not probe.listening(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    return port, process


@pytest.mark.requires("nginx")
def test_a_browser_stays_at_its_server_and_leaves_one_that_is_gone(front, stack):
    port, _ = front
    servers = {str(one): serve(stack, one) for one in (port + 1, port + 2)}
    status, _, remembered = ask(port)
    assert status == 200
    cookie = remembered.split(";")[0]
    here = ask(port, cookie=cookie)[1]
    assert {ask(port, cookie=cookie)[1] for _ in range(5)} == {here}
    (other,) = set(servers) - {here}
    # Whoever avoids a server is at another, as long as there is one.
    assert {ask(port, f"/link?avoid={here}")[1] for _ in range(5)} == {other}
    assert {ask(port, f"/link?avoid={other}")[1] for _ in range(5)} == {here}
    servers[here].shutdown()
    servers[here].server_close()
    assert {ask(port, cookie=cookie)[:2] for _ in range(5)} == {(200, other)}
    assert ask(port, f"/link?avoid={other}")[1] == other, "better than nobody"
    servers[other].shutdown()
    servers[other].server_close()
    status, said, _ = ask(port, cookie=cookie)
    assert (status, "looks again" in said, 'http-equiv="refresh"' in said) == (503, True, True)
    assert ask(port, f"/link?avoid={other}")[0] == 502


@pytest.mark.requires("nginx")
@pytest.mark.parametrize("path", ["/overview", "/overview/ws", "/link", "/login/once"])
def test_nobody_says_himself_where_he_comes_from(front, stack, path):
    """Addresses on record and limits by address rest on these headers."""
    port, _ = front
    servers = [serve(stack, one) for one in (port + 1, port + 2)]
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    connection.request("GET", path, headers=forged)
    assert connection.getresponse().status == 200
    connection.close()
    (heard,) = [one.heard for one in servers if hasattr(one, "heard")]
    assert heard.get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert heard.get_all("X-Forwarded-Proto") == ["http"]
    assert heard["Host"] == f"127.0.0.1:{port}"


@pytest.mark.requires("nginx")
def test_a_server_that_hangs_is_left_for_another(front, stack):
    port, _ = front
    hanging = stack.enter_context(socket.create_server(("127.0.0.1", port + 1)))
    serve(stack, port + 2)
    assert {ask(port)[:2] for _ in range(3)} == {(200, str(port + 2))}
    assert hanging.fileno() >= 0


@pytest.mark.requires("nginx")
def test_it_is_one_process_in_a_folder_of_its_own(front, tmp_path):
    _, process = front
    assert not psutil.Process(process.pid).children()
    opened = [file.path for file in psutil.Process(process.pid).open_files()]
    assert not [path for path in opened if not path.startswith(str(tmp_path))]
    assert (tmp_path / "nginx" / "nginx.pid").read_text().strip() == str(process.pid)
    process.terminate()
    assert process.wait(10) == 0
