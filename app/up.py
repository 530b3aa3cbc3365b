"""Key: the whole product on one machine. Decides what runs and in which order it starts.

Stand-ins where no address is given; then, each as soon as what it needs answers: web, live,
risk, record, replay. A Kafka stand-in keeps its log in memory, so each of its lives gets a record
(a ClickHouse database) of its own, and its death starts all over but the web servers.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app import front, probe, status, workers
from app.rolling import Rolling
from app.settings import PORT_MAX, ROOT, Settings, process_mark, running
from app.standins import LOOPBACK, free_port, make_topics, redis_server
from app.supervisor import Role, Supervisor
from app.watch import Watch
from ingest import clock

TICK_SECONDS = 0.02  # How soon the next process starts after what it waited for.
STATUS_SECONDS = 1.0
SLOW_SECONDS = 8.0  # Then say what the start is waiting for.
RECORD_NICE = 5  # The record may lag, the glass may not; but a busy machine must not starve it.
RISK_NICE = 10  # Beside the tick path: the tick goes first, and the record before risk.
TAPE_NICE = 10  # As risk; Redis holds 4 s for it, and a hole is said where it was.
WITNESS_NICE = 19  # Reads every row again, and has time.
# A worker's matrices are small: BLAS's second thread would only spin, 0.06 core in `risk`.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
ALIVE_MS = 500.0  # What a server that was ended may still have said of itself is not newer.
ANNOUNCED = "kafka.address"
# Count in offsets.
WORKERS = ("live", "merge", "risk", "replay", "record", "tape", "seal", "witness")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to publish: the demo market, or recorded files; `options` are those of `replay`."""

    paths: tuple[Path, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(slots=True)
class Waiting:
    """A start that waits for `ready()`."""

    what: str
    ready: Callable[[], bool]
    begin: Callable[[], None]
    since: float
    told: bool = False


class CannotStartError(RuntimeError):
    """What stands in the way, found before anything was started."""


def check(settings: Settings, plan: Plan) -> None:
    """CannotStartError with every reason, one a line, why `up` could not work here."""
    problems = [probe.folder(settings.data), probe.files(list(plan.paths))]
    other = running(settings.run_file)
    if other:
        problems.append(
            f"Another ./tickglass up (process {other['pid']}) uses the data folder "
            f"{settings.data}. End it, or name another folder: --data."
        )
    ports = {settings.port, *front.ports(settings)}
    if max(ports) > PORT_MAX:
        problems.append(f"{settings.web} web servers from port {settings.port} pass {PORT_MAX}.")
    else:
        problems += [probe.port(port) for port in sorted(ports)]
    if settings.fronted and not front.program():
        problems.append(
            "A certificate and several web servers need nginx: apt-get install nginx, or --web 1."
        )
    if settings.everywhere and settings.certificate is None:
        problems.append(
            f"Pages would be served on {settings.listen} without encryption: name a certificate "
            "(TICKGLASS_CERTIFICATE and TICKGLASS_CERTIFICATE_KEY)."
        )
    if settings.everywhere and settings.access is None and not settings.insecure_demo:
        problems.append(
            f"Pages would be served on {settings.listen} to whoever comes: name an access file "
            "(TICKGLASS_ACCESS), or set TICKGLASS_INSECURE_DEMO where that is wanted."
        )
    problems += [
        probe.kafka(settings.kafka) if settings.kafka else "",
        probe.redis(settings.redis) if settings.redis else "",
        probe.clickhouse(settings.clickhouse) if settings.clickhouse else "",
    ]
    if any(problems):
        raise CannotStartError("\n".join(problem for problem in problems if problem))
    if not settings.redis:
        redis_server()
    if settings.kafka:
        make_topics(settings.kafka, settings.partitions)


class Up:
    """The running product; `step` until told to stop, then `close`."""

    def __init__(self, settings: Settings, plan: Plan, screen: status.Screen) -> None:
        """CannotStartError unless all that is needed is there; nothing is started yet."""
        check(settings, plan)
        self.given, self.plan, self.screen = settings, plan, screen
        self.settings = settings.model_copy(update={"parent": os.getpid()})
        self.supervisor = Supervisor(settings.logs, self._environment, screen.say, ROOT)
        self.waiting: list[Waiting] = []
        self._bus: Any = None
        self._status_due = 0.0
        self.watch, self.hung = Watch(), workers.Hung()
        self.rolling: Rolling | None = None
        self.rolling_wanted, self.rolled, self.begun_ms = False, 0, 0.0
        settings.logs.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start what needs nothing; `step` starts the rest as what it needs answers."""
        if not self.given.redis:
            self._set(redis=f"redis://{LOOPBACK}:{free_port()}/0")
        if not self.given.clickhouse:
            self._set(clickhouse=f"http://{LOOPBACK}:{free_port()}")
        if sys.platform.startswith("linux"):
            self._run("fork-server", "fork-server", forks=True)
        self._start_log()
        self._start_web()
        if not self.given.clickhouse:
            port, data = _port(self.settings.clickhouse), self.settings.data
            options = ("standin", "clickhouse", "--port", port, "--data", data)
            self._run("clickhouse", *options, leaned_on=True, nice=RECORD_NICE)
        self._then("the page", self._page_there, self._welcome)

    def step(self) -> int:
        """One round; the number of processes that had died or could start."""
        began_ms = clock.now_ns() // 1_000_000
        deaths = self.supervisor.step()
        for death in deaths:
            self._bury(death.role.name, began_ms)
        self._roll()
        if any(death.role.name == "kafka" for death in deaths):
            self._begin_anew()
        begun = [waiting for waiting in self.waiting if self._ready(waiting)]
        self.waiting = [waiting for waiting in self.waiting if waiting not in begun]
        for waiting in begun:
            waiting.begin()
        if self.logged and time.monotonic() >= self._status_due:
            self._status_due = time.monotonic() + STATUS_SECONDS
            self._show_status()
        time.sleep(TICK_SECONDS)
        return len(deaths) + len(begun)

    def close(self) -> None:
        """End every child, and leave a note of where the record is."""
        self.screen.close()
        self.supervisor.stop()
        self._write_run_file(pid=0)

    @property
    def logged(self) -> bool:
        """Whether Kafka and Redis have answered: from then on there is something to tell."""
        return bool(self._processes("live"))

    @property
    def page(self) -> str:
        """Where a browser finds the desk."""
        scheme = "https" if self.settings.certificate else "http"
        return f"{scheme}://{LOOPBACK}:{self.settings.port}/overview"

    def _environment(self) -> dict[str, str]:
        return {**ONE_THREAD, **self.settings.environment()}

    def _set(self, **changes: Any) -> None:
        self.settings = self.settings.model_copy(update=changes)

    def _run(self, name: str, *arguments: object, **more: Any) -> None:
        command = (sys.executable, "-m", "app", *map(str, arguments))
        self.supervisor.start(Role(name, command, **more))

    def _then(self, what: str, ready: Callable[[], bool], begin: Callable[[], None]) -> None:
        self.waiting.append(Waiting(what, ready, begin, time.monotonic()))

    def _ready(self, waiting: Waiting) -> bool:
        if waiting.ready():
            return True
        if not waiting.told and time.monotonic() - waiting.since > SLOW_SECONDS:
            waiting.told = True
            self.screen.say(f"Still waiting for {waiting.what}; logs: {self.settings.logs}")
        return False

    def _start_log(self) -> None:
        """Kafka and Redis, and whoever counts in the offsets of that Kafka."""
        announced = self.settings.data / ANNOUNCED
        announced.unlink(missing_ok=True)
        if not self.given.kafka:
            moment = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)
            self._set(kafka="", database=f"{self.given.database}_{moment:%Y%m%d_%H%M%S}")
            options = ("--partitions", self.settings.partitions, "--announce", announced)
            self._run("kafka", "standin", "kafka", *options, leaned_on=True, restart=False)
        if not self.given.redis:
            port = _port(self.settings.redis)
            self._run("redis", "standin", "redis", "--port", port, leaned_on=True)
        self._then("Kafka and Redis", self._log_answers, self._await_forks)

    def _await_forks(self) -> None:
        self._then("compiled code", self._loaded, self._start_workers)

    def _loaded(self) -> bool:
        """Whether workers can be forked; where nobody forks, or that failed, none waits for it."""
        server = self.supervisor.children.get("fork-server")
        return server is None or self.supervisor.forks.ready or server.short_lives > 0

    def _start_web(self) -> None:
        port, ports = self.settings.port, self.web_ports
        if self.settings.fronted:
            names = (f"127.0.0.1:{port}", f"localhost:{port}", self.given.origins)
            self._set(origins=",".join(filter(None, names)))
            self._run("nginx", "front", "--port", port, "--web", len(ports))
        for one in ports:
            self._run(f"web.{one}", "web", "--port", one)

    @property
    def web_ports(self) -> list[int]:
        """Where each web server listens."""
        return front.ports(self.settings)

    def _page_there(self) -> bool:
        return all(probe.listening(port) for port in {self.settings.port, *self.web_ports})

    def restart_web(self) -> None:
        """Begin to start the web servers anew, one after the other; from a signal's handler."""
        self.rolling_wanted = True

    def _roll(self) -> None:
        if self.rolling_wanted and self.rolling is None:
            self.rolling_wanted = False
            names = [f"web.{port}" for port in self.web_ports]
            self.rolling = Rolling(names, self._start_again, self._serves)
        if self.rolling is not None:
            self.rolling.step()
            if self.rolling.done:
                self.rolling, self.rolled = None, self.rolled + 1
                self._write_run_file(pid=os.getpid())
                self.screen.say("All web servers have been started anew.")

    def _start_again(self, name: str) -> None:
        role = self.supervisor.children[name].role
        self.supervisor.stop([name])
        self.supervisor.start(role)
        self.begun_ms = clock.now_ns() / 1e6

    def _serves(self, name: str) -> bool:
        told = (self._health() or {}).get(name, {})
        young = float(told.get("now_ms", 0)) > self.begun_ms + ALIVE_MS
        return young and told.get("mirror") == "live"

    def _log_answers(self) -> bool:
        if not self.settings.kafka:
            with contextlib.suppress(FileNotFoundError):
                self._set(kafka=(self.settings.data / ANNOUNCED).read_text())
        return bool(self.settings.kafka) and not probe.redis(self.settings.redis)

    def _start_workers(self) -> None:
        self._write_run_file(pid=os.getpid())
        workers.wanted(self.settings.data)  # What an `up` before this one was asked for.
        self._start_group("live")
        if self.settings.live:
            self._run("merge", "merge", forked=True)
        self._run("risk", "risk", nice=RISK_NICE, forked=True)
        # The replay makes ready meanwhile, and publishes once both readers have reported: what
        # the stand-in forgets before they start would be a hole in the record.
        arguments = ("--after", "live,record", *self.plan.options, *self.plan.paths)
        self._run("replay", "replay", *arguments, ends=True, forked=True)
        self._then(
            "ClickHouse",
            lambda: not probe.clickhouse(self.settings.clickhouse),
            self._start_recorders,
        )

    def _start_recorders(self) -> None:
        self._start_group("record")
        self._run("tape", "tape", nice=TAPE_NICE, forked=True)
        # Before the recorder has made its tables there is nothing to sign, only errors to tell.
        self._then("the record", self._recording, self._start_sealing)

    def _processes(self, kind: str) -> list[str]:
        """Names of the processes of a kind that run, or are about to."""
        return [name for name in self.supervisor.children if name.partition(".")[0] == kind]

    def _start_group(self, group: str) -> None:
        """Let it have as many workers as the settings say: start who lacks, end who is over."""
        count = getattr(self.settings, group)
        names, there = workers.names(group, count), self._processes(group)
        nice = RECORD_NICE if group == "record" else 0
        for number, name in enumerate(names):
            if name not in there:
                options = ("--worker", number) if count else ()
                self._run(name, group, *options, nice=nice, forked=True)
        over = [name for name in there if name not in names]
        for name in reversed(over):  # What one lets go of is taken up before the next does.
            self.supervisor.stop([name])
        if over:
            self._dismiss(over)

    def _bury(self, role: str, until_ms: int) -> None:
        """A worker has died that shared with others: they need not wait until its leases end."""
        from compute.bus import BusError

        group = role.partition(".")[0]
        if group in workers.BURIED and getattr(self.settings, group) and self._bus:
            with contextlib.suppress(BusError):  # Then they wait.
                self._bus.bury(group, role, until_ms)

    def _dismiss(self, roles: list[str]) -> None:
        """Nobody waits for roles that were ended: what they told last goes with them."""
        from compute.bus import BusError

        with contextlib.suppress(BusError):  # Then they are told as silent for an hour.
            if self._bus:
                self._bus.dismiss(roles)

    def _resize(self) -> None:
        """Have as many workers as somebody wants since."""
        for group, count in workers.wanted(self.settings.data).items():
            if getattr(self.settings, group) and self._processes(group):
                self._set(**{group: count})
                self._start_group(group)
        self._write_run_file(pid=os.getpid())

    def _replace(self, role: str) -> None:
        """Start a process anew that hangs."""
        name = role if role in self.supervisor.children else role.partition(".")[0]
        child = self.supervisor.children.get(name)
        if child is not None and child.process is not None:
            self.screen.say(f"{name} hangs: it is ended, and started anew.")
            child.process.kill()

    def _recording(self) -> bool:
        told = self._health() or {}
        return any(
            role.startswith("record.") and row.get("state") in ("catching up", "recording")
            for role, row in told.items()
        )

    def _start_sealing(self) -> None:
        self._run("seal", "seal", nice=RISK_NICE)
        if self.settings.witness:
            self._run("witness", "witness", nice=WITNESS_NICE)

    def _begin_anew(self) -> None:
        self.screen.say("Kafka's log is lost with it: starting a new one, and a new record.")
        self.supervisor.stop([name for kind in WORKERS for name in self._processes(kind)])
        self.supervisor.stop(["redis"])
        self.waiting = [waiting for waiting in self.waiting if waiting.what == "the page"]
        self._start_log()

    def _welcome(self) -> None:
        end = f"Ctrl-C ends it. Logs: {self.settings.logs}"
        self.screen.say(f"Tickglass is up: {self.page}\n{self.settings.audience}\n{end}")

    def _write_run_file(self, pid: int) -> None:
        names = ("kafka", "redis", "clickhouse", *workers.GROUPS) if pid else ()
        run = {name: getattr(self.settings, name) for name in (*names, "database", "partitions")}
        run |= {"pid": pid, "process_mark": process_mark(pid) if pid else "", "page": self.page}
        run["web_restarts"] = self.rolled
        run["layouts"] = str(self.settings.layouts or "")
        # Addresses may hold passwords, and a reader must never see half of the file.
        draft = self.settings.run_file.with_suffix(".draft")
        draft.touch(0o600)
        draft.write_text(json.dumps(run))
        draft.replace(self.settings.run_file)

    def _show_status(self) -> None:
        told = self._health()
        if (self.settings.data / workers.WANTED).exists():
            self._resize()
        if told is not None:
            self.screen.status(status.line(told, clock.now_ns() / 1e6, self.watch))
            for role in self.hung.take(self.watch.roles):
                self._replace(role)
        else:
            self.hung.forget()
            self.screen.status("Redis does not answer; it is being started again.")

    def _health(self) -> dict[str, dict[str, Any]] | None:
        """What each role last told; None while Redis is away."""
        from compute.bus import Bus, BusError

        self._bus = self._bus or Bus(self.settings.redis)
        try:
            told = dict(self._bus.health())
            self.watch.take(self._bus.beats(), told)
        except BusError:
            return None
        return told


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])
