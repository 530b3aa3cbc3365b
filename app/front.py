"""Key: nginx before several web servers, from deploy/nginx and a folder of its own.

One process in the foreground, so that whoever started it sees its end and ends it. It knows the
ports of the servers and nothing else of them.
"""

import os
import shutil
from pathlib import Path
from typing import Never

from app.settings import ROOT

TEMPLATE = ROOT / "deploy" / "nginx" / "nginx.conf"
SBIN = "/usr/sbin"  # Debian's nginx lives here, off many a PATH.
# In a group of two or more: after so many failures it is left alone for so long.
HEALTH = "max_fails=1 fail_timeout=3s"
LINK_HEALTH = "max_fails=1 fail_timeout=1s"  # Pages try again by themselves, and soon.


def program() -> str:
    """Path of nginx; "" where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path=SBIN) or ""


def servers(port: int, count: int) -> list[int]:
    """Ports of so many web servers behind `port`; one alone stands there itself."""
    return [port] if count == 1 else [port + 1 + number for number in range(count)]


def configuration(port: int, behind: list[int]) -> str:
    """Nginx's configuration for these servers of loopback; ValueError for fewer than two."""
    if len(behind) < 2:
        raise ValueError("nginx stands before two web servers or more")
    others = [_but(one, [other for other in behind if other != one]) for one in behind]
    filled = {
        "@port@": str(port),
        "@servers@": "\n        ".join(f"server 127.0.0.1:{one} {HEALTH};" for one in behind),
        "@avoid@": "\n        ".join(f"{one} but_{one};" for one in behind),
        "@others@": "\n    ".join(others),
    }
    text = TEMPLATE.read_text()
    for mark, lines in filled.items():
        text = text.replace(mark, lines)
    return text


def _but(one: int, others: list[int]) -> str:
    listed = [f"server 127.0.0.1:{other} {LINK_HEALTH};" for other in others]
    listed.append(f"server 127.0.0.1:{one} backup;")
    return " ".join([f"upstream but_{one} {{ least_conn;", *listed, "}"])


def become(port: int, behind: list[int], folder: Path) -> Never:
    """Turn this process into nginx; RuntimeError where it is not installed."""
    found = program()
    if not found:
        raise RuntimeError("nginx is not installed: apt-get install nginx, or up --web 1.")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    path.write_text(configuration(port, behind))
    # One process: a parent that is killed takes all of it along.
    alone = "daemon off; master_process off;"
    os.execv(found, [found, "-p", str(folder), "-c", str(path), "-e", "stderr", "-g", alone])
