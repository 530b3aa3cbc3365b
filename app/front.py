"""Key: nginx before several web servers, from deploy/nginx and a folder of its own.

One process in the foreground, so that whoever started it sees its end and ends it. It knows the
ports of the servers and nothing else of them.
"""

import os
import shutil
from pathlib import Path
from typing import Never

from app.settings import ROOT, Settings

TEMPLATE = ROOT / "deploy" / "nginx" / "nginx.conf"
SBIN = "/usr/sbin"  # Debian's nginx lives here, off many a PATH.
# In a group of two or more: after so many failures it is left alone for so long.
HEALTH = "max_fails=1 fail_timeout=3s"
LINK_HEALTH = "max_fails=1 fail_timeout=1s"  # Pages try again by themselves, and soon.


def program() -> str:
    """Path of nginx; "" where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path=SBIN) or ""


def servers(port: int, count: int, *, fronted: bool = False) -> list[int]:
    """Ports of so many web servers behind `port`; one alone stands there itself, if it may."""
    return [port] if count == 1 and not fronted else [port + 1 + number for number in range(count)]


def ports(settings: Settings) -> list[int]:
    """Where each web server listens."""
    return servers(settings.port, settings.web, fronted=settings.fronted)


# TLS 1.2 with ephemeral keys and authenticated ciphers, and 1.3: Mozilla's "intermediate".
_CIPHERS = ":".join(
    f"ECDHE-{signed}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for signed in ("ECDSA", "RSA")
)
PLAIN, FRAMED = "SameSite=Lax", "Secure; SameSite=None; Partitioned"


def _listens(settings: Settings) -> list[str]:
    """Where, and where that is encrypted, how."""
    encrypted = settings.certificate is not None
    places = [settings.listen] if settings.listen in ("0.0.0.0", "127.0.0.1") else []  # noqa: S104
    places = places or ["127.0.0.1", settings.listen]
    shown = [f"[{place}]" if ":" in place else place for place in places]
    lines = [f"listen {one}:{settings.port}{' ssl' if encrypted else ''};" for one in shown]
    if encrypted:
        lines += [
            f'ssl_certificate "{settings.certificate}";',
            f'ssl_certificate_key "{settings.certificate_key}";',
            "ssl_protocols TLSv1.2 TLSv1.3;",
            f"ssl_ciphers {_CIPHERS};",
            "ssl_session_cache shared:tls:10m;",
            "ssl_session_tickets off;",
            "error_page 497 =301 https://$http_host$request_uri;  # Who asks without.",
        ]
    return lines


def configuration(settings: Settings) -> str:
    """Nginx's configuration for these web servers of loopback; ValueError where it has no task."""
    if not settings.fronted:
        raise ValueError("nginx stands before two web servers or more, or before a certificate")
    behind, encrypted = ports(settings), settings.certificate is not None
    others = [_but(one, [other for other in behind if other != one]) for one in behind]
    strict = 'add_header Strict-Transport-Security "max-age=31536000" always;'
    filled = {
        "@listen@": "\n        ".join(_listens(settings)),
        "@strict@": strict if encrypted and settings.everywhere else "",
        # In the frame of another site a browser stays at its server, too.
        "@cookie@": FRAMED if encrypted else PLAIN,
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
    listed.append(f"server 127.0.0.1:{one}{' backup' if others else ''};")
    return " ".join([f"upstream but_{one} {{ least_conn;", *listed, "}"])


def become(settings: Settings, folder: Path) -> Never:
    """Turn this process into nginx; RuntimeError where it is not installed."""
    found = program()
    if not found:
        raise RuntimeError("nginx is not installed: apt-get install nginx, or up --web 1.")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    path.write_text(configuration(settings))
    # One process: a parent that is killed takes all of it along.
    alone = "daemon off; master_process off;"
    os.execv(found, [found, "-p", str(folder), "-c", str(path), "-e", "stderr", "-g", alone])
