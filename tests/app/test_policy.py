"""Every desk by HTTPS and WSS through real nginx, under the policy, with no other host to ask."""

import contextlib
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit

import psutil
import pytest

from app import probe, standins
from app.blocks import policy
from app.settings import ROOT, SettingsError, load
from compute.archive import Archive
from compute.bus import Bus
from ingest.source import spreads
from tests.browser import chromium
from tests.certificates import Authority
from tests.kafka import free_ports
from tests.web import Publisher, serving, until

MARKER = "marker-8f2c"
SOON = 120_000  # ms; a busy machine takes its time.
DESKS = sorted(path.stem for path in (ROOT / "layouts").glob("*.py"))
VIOLATED = """
window.violated = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violated.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


@contextmanager
def front(folder, port):
    """nginx before one web server, with a certificate of an authority that it gives."""
    made = Authority(folder)
    pages = made.issue("pages")
    names = ("TICKGLASS_CERTIFICATE", "TICKGLASS_CERTIFICATE_KEY")
    environment = os.environ | dict(zip(names, map(str, pages), strict=True))
    words = ["front", "--port", str(port), "--web", "1", "--data", str(folder / "front")]
    process = subprocess.Popen([sys.executable, "-m", "app", *words], cwd=ROOT, env=environment)
    try:
        until(lambda: probe.listening(port), 60)
        yield made
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.requires("chromium", "nginx")
def test_every_desk_encrypted_under_the_policy_without_another_host(tmp_path, monkeypatch):
    port = free_ports(2)
    monkeypatch.setenv("TICKGLASS_ORIGINS", f"localhost:{port},127.0.0.1:{port}")
    with (
        standins.started(load(data=tmp_path / "redis"), "redis") as redis,
        front(tmp_path, port) as authority,
        known_by_password(redis) as known,
        serving(known, "", tmp_path, port + 1),
    ):
        Publisher(known)
        address = f"https://localhost:{port}"
        trusting = ssl.create_default_context(cafile=str(authority.ca))
        with urllib.request.urlopen(f"{address}/overview", timeout=60, context=trusting) as answer:
            told, page, headers = answer.headers["Content-Security-Policy"], answer.read(), answer
            assert "Secure; SameSite=None; Partitioned" in str(headers.headers)
        scripts = told.partition("script-src ")[2].partition(";")[0]
        assert "unsafe" not in scripts
        assert policy.MARK not in page
        assert f'nonce="{scripts.split("nonce-")[1].split(chr(39))[0]}"'.encode() in page
        with pytest.raises(urllib.error.URLError):  # An authority that nobody here knows.
            urllib.request.urlopen(f"{address}/overview", timeout=60)
        with chromium() as browser:
            assert looked_at(browser, address) == []
        tapped = [(tmp_path / "web.log").read_text(), repr(load(redis=known))]
        for one in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):  # It has just ended.
                tapped.append(str(one.cmdline()))
        for path in ("health", "metrics", "ready", "overview"):
            with contextlib.suppress(urllib.error.HTTPError):
                asked = urllib.request.urlopen(f"{address}/{path}", timeout=60, context=trusting)
                tapped.append(asked.read().decode())
        assert len(tapped) > 5
        assert not [text for text in tapped if MARKER in text]


@contextmanager
def known_by_password(redis):
    """That Redis, which wants one from now on: its address with it."""
    client = Bus(redis)._redis
    client.config_set("requirepass", MARKER)
    yield redis.replace("://", f"://default:{MARKER}@")


def test_no_command_and_no_error_tells_a_password(tickglass):
    """Addresses where nobody answers, with a password in each: what is said of them is masked."""
    nobody = f"someone:{MARKER}@127.0.0.1:1"
    given = {
        "TICKGLASS_REDIS": f"redis://{nobody}/0",
        "TICKGLASS_CLICKHOUSE": f"http://{nobody}",
        "TICKGLASS_KAFKA": f"sasl_plaintext://{nobody}",
    }
    for words in (("up",), ("doctor",), ("audit", "verify")):
        told = tickglass(*words, timeout=120, **given)
        assert told.returncode
        assert MARKER not in told.stdout + told.stderr, words
    told = tickglass("up", "--redis", given["TICKGLASS_REDIS"], timeout=120)
    assert "password_file" in told.stderr
    assert MARKER not in told.stdout + told.stderr
    for name, wrong in (("redis", "redi"), ("clickhouse", "htp"), ("kafka", "sasl")):
        with pytest.raises(SettingsError) as error:
            load(**{name: f"{wrong}://someone:{MARKER}/x@host:1"})
        assert MARKER not in str(error.value)
    for act in (
        Bus(given["TICKGLASS_REDIS"]).ping,
        lambda: Archive(given["TICKGLASS_CLICKHOUSE"]).rows("SELECT 1"),
        lambda: Archive(f"htp://{nobody}"),
        lambda: spreads(given["TICKGLASS_KAFKA"]),
        lambda: standins.make_topics(f"ssl://{nobody}?ca=/none", 1),
    ):
        with pytest.raises(RuntimeError) as failed:
            act()
        assert MARKER not in str(failed.value)


def looked_at(browser, address):
    """What was wrong on any desk: violations, sockets in the clear, hosts that are not ours."""
    wrong, ours = [], urlsplit(address).netloc
    context = browser.new_context(ignore_https_errors=True)
    context.add_init_script(VIOLATED)

    def outside(route):
        wrong.append(f"asked {route.request.url}")
        route.abort()

    context.route(lambda url: url.startswith("http") and urlsplit(url).netloc != ours, outside)
    for desk in DESKS:
        page, sockets = context.new_page(), []
        page.on("websocket", lambda socket, seen=sockets: seen.append(socket.url))
        page.on("pageerror", lambda error, seen=wrong, desk=desk: seen.append(f"{desk}: {error}"))
        page.goto(f"{address}/{desk}")
        page.wait_for_function("() => window.tickglass?.stats()", timeout=SOON)
        wrong += [f"{desk}: {one}" for one in page.evaluate("() => window.violated")]
        wrong += [f"{desk}: {one}" for one in sockets if not one.startswith(f"wss://{ours}/")]
        assert sockets, desk
        page.close()
    return wrong
