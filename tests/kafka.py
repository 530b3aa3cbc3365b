"""A real Kafka as processes of its own, to start, stop, kill and freeze in tests."""

import contextlib
import signal
import subprocess
from pathlib import Path

import psutil

from app import probe, standins
from app.settings import ROOT

START = ROOT / "deploy" / "kafka" / "start"
END_SECONDS = 30


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row."""
    while True:
        first = standins.free_port()
        if not any(probe.port(first + number) for number in range(count)):
            return first


class Kafka:
    """A cluster on `folder`; its ports and its data stay the same over restarts."""

    blows = ("kafka",)  # What a storm can do to it, beside what it does to a stand-in.

    def __init__(self, folder: Path, brokers: int = 1, partitions: int = 1) -> None:
        self.folder, self.brokers = folder, brokers
        self.port = free_ports(2 * brokers)  # Each broker's and, one above, its controller's.
        self.address = ""
        self._options = ("--port", self.port, "--brokers", brokers, "--partitions", partitions)
        self._scripts: list[subprocess.Popen[str]] = []

    def start(self, *options: object) -> "Kafka":
        """The whole cluster, or with `--node K` a broker that died; waits until it answers."""
        command = [START, *self._options, "--data", self.folder, *options]
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        self._scripts.append(process)
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        logs = self.folder.glob("node-*/*.out")
        assert ready[:1] == ["ready"], "\n".join(log.read_text()[-1000:] for log in logs)
        self.address = ready[1]
        return self

    def broker(self, node: int = 1) -> psutil.Process:
        """The Java process of that broker."""
        mine = str(self.folder / f"node-{node}" / "server.properties")
        for script in self._scripts:
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(script.pid).children():
                    if child.cmdline()[-1:] == [mine]:
                        return child
        raise AssertionError(f"broker {node} does not run")

    def kill(self, node: int = 1) -> None:
        """As a kill -9 does: nothing is flushed, nobody is told."""
        process = self.broker(node)
        process.kill()
        process.wait(END_SECONDS)

    def restart(self, node: int = 1) -> None:
        """Start a broker that was killed."""
        self.start("--node", node)

    def close(self) -> None:
        """End all of them."""
        for script in self._scripts:
            script.send_signal(signal.SIGTERM)
        for script in self._scripts:
            script.communicate(timeout=END_SECONDS)
