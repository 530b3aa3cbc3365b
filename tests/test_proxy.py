"""What the proxy does to bytes, before it is trusted to judge others: each fault on its own."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from ingest.source import Publisher, Source
from tests.proxy import HOST, Proxy
from tests.web import until

SOON_SECONDS = 0.3  # What passes at all has passed by then, but on a machine that stands still.
LONG = bytes(range(256)) * 40_000


@pytest.fixture
def echo():
    """Address of a server that sends back what it gets."""
    server = socket.create_server((HOST, 0))

    def serve(connection):
        with connection, suppress(OSError):
            while data := connection.recv(65_536):
                connection.sendall(data)

    def accept():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"{HOST}:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@contextmanager
def connected(proxy):
    host, _, port = proxy.address.partition(":")
    with socket.create_connection((host, int(port)), 10) as client:
        client.settimeout(10)
        yield client


def say(client, data):
    """Send it and read as much back."""
    sending = threading.Thread(target=client.sendall, args=(data,))
    sending.start()
    back = b""
    while len(back) < len(data) and (more := client.recv(65_536)):
        back += more
    sending.join()
    return back


def reset(proxy):
    """Who connects is reset, while it connects or after."""
    with pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.recv(1)


def silent(client):
    client.settimeout(SOON_SECONDS)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(10)


def test_all_bytes_pass_both_ways_and_so_does_the_end(echo):
    with Proxy(echo) as proxy, connected(proxy) as client:
        assert say(client, LONG) == LONG
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        until(lambda: not proxy.open, 10)
        assert proxy.connections == 1


def test_what_is_delayed_is_late_and_in_order(echo):
    with Proxy(echo) as proxy, connected(proxy) as client:
        assert say(client, b"now") == b"now"
        proxy.delay(100, jitter_ms=50)
        begun = time.monotonic()
        assert say(client, LONG) == LONG
        assert time.monotonic() - begun >= 0.1  # 50 ms at least, each way.


def test_a_stall_keeps_what_it_holds_back(echo):
    with Proxy(echo) as proxy, connected(proxy) as client:
        proxy.stall()
        client.sendall(b"kept")
        silent(client)
        proxy.heal()
        assert client.recv(4) == b"kept"


def test_a_cut_resets_those_that_are_and_those_that_come(echo):
    with Proxy(echo) as proxy, connected(proxy) as client:
        assert say(client, b"now") == b"now"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        reset(proxy)
        proxy.heal()
        with connected(proxy) as other:
            assert say(other, b"again") == b"again"


def test_who_is_half_open_stays_so_and_who_comes_later_is_well(echo):
    with Proxy(echo) as proxy, connected(proxy) as client:
        assert say(client, b"now") == b"now"
        proxy.half_open()
        client.sendall(b"lost")
        with connected(proxy) as other:
            other.sendall(b"lost too")
            silent(other)
            proxy.heal()
            silent(other)
        with connected(proxy) as other:
            assert say(other, b"again") == b"again"
        client.sendall(b"still lost")
        silent(client)


def test_nobody_behind_it_is_a_reset(echo):
    with Proxy(f"{HOST}:1") as proxy:
        reset(proxy)


def test_it_keeps_the_form_of_an_address():
    with Proxy(f"redis://{HOST}:6379/0") as proxy:
        assert proxy.address.startswith(f"redis://{HOST}:")
        assert proxy.address.endswith("/0")
        assert ":6379" not in proxy.address


def test_kafka_is_read_through_it_alone(kafka):
    with Proxy(kafka, kafka=True) as proxy:
        publisher, source = Publisher(proxy.address), Source(proxy.address, "test")
        publisher.publish("fills", 0, b"one")
        assert publisher.flush(10) == 0
        source.seek({})
        assert until(source.poll, 10)[0].value == b"one"
        proxy.stall()
        publisher.publish("fills", 0, b"two")
        assert publisher.flush(SOON_SECONDS) == 1
        assert not source.poll(SOON_SECONDS)
        proxy.heal()
        assert until(source.poll, 10)[0].value == b"two"
        source.close()
