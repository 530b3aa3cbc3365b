"""What a process carries: a web process no Numba and no Kafka, a worker no Panel."""

import os
import subprocess
import sys

import pytest

from tests.house.house import FILES, ROOT, name

WEB, WORKER = ("numba", "confluent_kafka", "chdb"), ("panel", "bokeh", "tornado", "chdb")
CARRIES_NOT = [
    ("app.runtime", WEB),
    ("app.blocks", WEB),
    ("app.session", WEB),
    ("compute.live", WORKER),
    ("compute.record", WORKER),
    ("app.loops", WORKER),
    ("app.publish", WORKER),
    ("app.__main__", (*WEB, *WORKER, "numpy", "redis", "clickhouse_connect")),
    ("app.up", (*WEB, *WORKER, "numpy")),
]
RUN = "import sys, importlib; importlib.import_module({0!r}); print(*sys.modules)"


@pytest.mark.parametrize(("entry", "banned"), CARRIES_NOT)
def test_a_process_carries_only_what_it_needs(entry, banned):
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(entry)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split()) & set(banned)
    assert not loaded, f"{entry} loads {loaded}: import it inside the function that needs it"


WATCH = """
import builtins, importlib, os, socket, subprocess, sys, threading
before = threading.active_count()
events = []
def watch(event, arguments):
    if event in ("socket.connect", "subprocess.Popen", "os.fork"):
        events.append(event)
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes and not str(arguments[0]).startswith(os.environ["NUMBA_CACHE_DIR"]):
        events.append(f"open {arguments[0]}")
sys.addaudithook(watch)
for module in sys.argv[1:]:
    importlib.import_module(module)
signals = __import__("signal")
assert signals.getsignal(signals.SIGTERM) == signals.SIG_DFL, "a signal handler"
assert not events, events
assert threading.active_count() == before, threading.enumerate()
"""


@pytest.mark.parametrize("room", ["ingest", "compute", "app"])
def test_an_import_has_no_effect(room, tmp_path):
    modules = [
        name(path).removesuffix(".py").replace("/", ".")
        for path in FILES
        if name(path).startswith(f"{room}/") and path.stem != "__init__"
    ]
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, *modules],
        cwd=ROOT,
        # Numba looks whether it may write there; kernels that it keeps are no effect of ours.
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"importing {room} does something:\n{done.stderr[-1000:]}"
