"""Promise: rights and encryption on cost at most a tenth, of glass's p99 and of a session's tick.

The whole product twice (bench/glass.py), by turns: open as on one's own machine, and guarded: HTTPS
through nginx, an access file, a person signed in by a one-time token who sees two books of eight.
A session's tick is `fanout`'s, with what rights add to it (bench/entitled.py); encryption is
nginx's work, in a process of its own, and shows in the whole product.
"""

import contextlib
import hashlib
import json as json_room
import ssl
import tempfile
import time
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import entitled, fanout
from bench.glass import measure
from bench.report import machine, report
from tests.certificates import Authority

RATIO_MAX = 1.10
SESSIONS, TICKS_PER_S, SECONDS = 200, 20.0, 5.0
PATIENCE_SECONDS = 60.0
KEY, PERSON = "a-key-of-this-bench-alone", "ann"
ACCESS = f"""
[keys]
"portal" = "{hashlib.sha256(KEY.encode()).hexdigest()}"
[rights.desk]
people = ["{PERSON}"]
books = ["US TMT", "FX carry"]
hide = ["risk"]
"""


class Door:
    """What a guarded product is started with, and how the page comes in."""

    flags: tuple[str, ...] = (
        "--ignore-certificate-errors",
    )  # Of the browser: nobody knows this authority.

    def __init__(self, folder: Path) -> None:
        """Make a certificate and an access file in `folder`."""
        self._authority = Authority(folder)
        certificate, key = self._authority.issue("pages")
        access = folder / "access.toml"
        access.touch(0o600)
        access.write_text(ACCESS)
        self._given = {"ACCESS": access, "CERTIFICATE": certificate, "CERTIFICATE_KEY": key}

    def environment(self, port: int) -> dict[str, str]:
        """Settings of `up`."""
        given = {name: str(path) for name, path in self._given.items()}
        given["ORIGINS"] = f"localhost:{port}"
        return {f"TICKGLASS_{name}": value for name, value in given.items()}

    def address(self, port: int) -> str:
        """Of the desk, by way of the sign-in."""
        said = json_room.dumps({"person": PERSON})
        trusting = ssl.create_default_context(cafile=str(self._authority.ca))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            asked = HTTPSConnection("localhost", port, timeout=PATIENCE_SECONDS, context=trusting)
            with contextlib.closing(asked), contextlib.suppress(OSError, HTTPException):
                asked.request("POST", "/login/once", said, {"Authorization": f"Bearer {KEY}"})
                answer = asked.getresponse()
                if answer.status == HTTPStatus.OK:
                    token = json_room.load(answer)["token"]
                    return f"https://localhost:{port}/login?next=/overview&token={token}"
            if time.monotonic() > deadline:
                raise SystemExit(f"No token was given on port {port}: is a web server there?")
            time.sleep(0.2)


def main(
    rate: Annotated[int, typer.Option(min=1, help="Events a second.")] = 50_000,
    seconds: Annotated[float, typer.Option(min=1, help="Of each of four looks.")] = 20.0,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """What rights and encryption cost, beside the same without."""
    found = machine()
    with tempfile.TemporaryDirectory(prefix="tickglass-guarded-") as name:
        folder = Path(name)
        door = Door(folder)
        looks: dict[str, list[dict[str, Any]]] = {"open": [], "guarded": []}
        for kind in ("open", "guarded", "guarded", "open"):
            looks[kind].append(measure(rate, seconds, [], door if kind == "guarded" else None))
        tick = fanout.measure(SESSIONS, TICKS_PER_S, SECONDS, folder)
    rights = entitled.measure()
    more_us = rights["us_hub_per_session_entitled"] - rights["us_hub_per_session"]
    p99 = {kind: sum(one["glass_ms_p99"] for one in each) / 2 for kind, each in looks.items()}
    figures = {
        **{f"{kind}_ms_p50": [one["glass_ms_p50"] for one in each] for kind, each in looks.items()},
        **{f"{kind}_ms_p99": [one["glass_ms_p99"] for one in each] for kind, each in looks.items()},
        "samples": [one["samples"] for each in looks.values() for one in each],
        "glass_ratio": p99["guarded"] / p99["open"],
        "us_per_session": tick["us_per_session"],
        "us_per_session_of_rights": more_us,
        "fanout_ratio": 1 + more_us / tick["us_per_session"],
    }
    holds = max(figures["glass_ratio"], figures["fanout_ratio"]) <= RATIO_MAX
    report("guarded", holds, figures, found)


if __name__ == "__main__":
    typer.run(main)
