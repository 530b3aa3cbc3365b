"""The ClickHouse stand-in as a process of its own, to start, stop and kill in tests."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys
from pathlib import Path
from app.chdb_http import ServeError, serve
try:
    serve(Path(sys.argv[1]), int(sys.argv[2]), lambda port: print(port, flush=True))
except ServeError as error:
    sys.exit(str(error))
"""
READY_SECONDS = 30


class ClickHouse:
    """One endpoint on `folder`; the port stays the same over restarts.

    The engine reads `config.xml` of the folder `home`, where there is one.
    """

    def __init__(self, folder: Path, home: Path = ROOT) -> None:
        self.folder, self.home = folder, home
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "ClickHouse":
        self.kill()
        self.process = spawn(self.folder, self.port, self.home)
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], READY_SECONDS)
        line = self.process.stdout.readline() if ready else ""
        assert line.strip().isdigit(), f"no endpoint: {line}{self.process.stderr}"
        self.port = int(line)
        return self

    def signal(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.communicate(timeout=10)
        return self.process.returncode

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)


def spawn(folder: Path, port: int = 0, home: Path = ROOT) -> subprocess.Popen[str]:
    """The process, ready or not."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(port)],
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
