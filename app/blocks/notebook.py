"""Door: a desk in a notebook: a server in the kernel's own process, and a frame that shows it.

The pushes of a desk are binary frames on a server's WebSocket, which a notebook's own channel is
not. So the first desk that is shown starts Panel's server on a free port of loopback, in a thread;
each desk has an address on it for as long as the kernel lives.
"""

import html
import socket
import time
from collections.abc import Callable
from typing import Any

import panel as pn

HEIGHT_PX = 720
LISTEN_SECONDS = 10.0


class Shown:
    """What this kernel serves."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._servers: dict[int, tuple[str, Any]] = {}

    def address(self, desk: Any, page: Callable[[], None]) -> str:
        """Where the desk is; its server is started at the first asking."""
        found = self._servers.get(id(desk))
        if found is None:
            port = _free_port()
            origins = [f"127.0.0.1:{port}", f"localhost:{port}"]
            server = pn.serve(
                {"desk": page},
                port=port,
                address="127.0.0.1",
                websocket_origin=origins,
                threaded=True,
                show=False,
            )
            listening(port)
            found = self._servers[id(desk)] = f"http://127.0.0.1:{port}/desk", (desk, server)
        return found[0]

    def close(self) -> None:
        """End all servers."""
        for _, (_, server) in self._servers.values():
            server.stop()
        self._servers.clear()


SHOWN = Shown()


def bundle(desk: Any) -> dict[str, str]:
    """What Jupyter shows of a desk: a frame, and its address for who cannot show frames."""
    address = SHOWN.address(desk, desk.servable)
    frame = (
        f'<iframe src="{html.escape(address)}" title="{html.escape(desk.title)}" '
        f'width="100%" height="{HEIGHT_PX}" style="border:0"></iframe>'
    )
    return {"text/html": frame, "text/plain": f"{desk.title}: {address}"}


def listening(port: int) -> None:
    """Until the server's thread listens; RuntimeError where it does not."""
    deadline = time.monotonic() + LISTEN_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), LISTEN_SECONDS).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"the desk's server does not listen on port {port}; show the desk again.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
