"""Rule: whether a deployment is fit: each check looks at one thing and says what to mend.

Enters: the settings, and what the places that they name answer. Leaves: findings, in the order of
the checks. A check that fails itself is a finding too; nothing here changes anything but for a
trial file in the data folder.
"""

import importlib.metadata
import os
import re
import resource
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from app import certificate, front, probe
from app.settings import ROOT, Settings, misspelt
from app.ticket import SECRET_FILE
from ingest import clock
from ingest.address import parse, shown

GOOD, WARNING, BAD = "good", "warning", "bad"
GIB = 2**30
DISK_BAD_BYTES, DISK_WARNING_BYTES = 2 * GIB, 50 * GIB
MEMORY_BYTES = 8 * GIB
FILES_MIN = 4_096  # A web server holds a socket a page; ClickHouse and Kafka hold files a part.
CORES_MIN = 4
SECRET_CHARACTERS_MIN = 32
CLOCK_WARNING_MS, CLOCK_BAD_MS = 5.0, 100.0  # What latency figures and a regulator bear.
COPIES, IN_SYNC = 3, 2
DAY_NS, CERTIFICATE_WARNING_DAYS = 86_400 * 10**9, 21
DENIED = "ACCESS_DENIED"  # ClickHouse's word for what its user has no right to.
REDIS_OLDEST, CLICKHOUSE_OLDEST = (6, 2), (24, 3)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: how bad, of what, and what to do about it ("" where it is good)."""

    level: str
    subject: str
    text: str
    remedy: str = ""


Found = Iterator[Finding]
Check = Callable[[Settings], Found]


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding of every check."""
    for check in CHECKS:
        try:
            yield from check(settings)
        except (OSError, RuntimeError, ValueError) as error:  # It must not hide the others.
            name = check.__name__.strip("_").replace("_", " ")
            yield Finding(BAD, name, f"could not be checked: {error}", "Mend that and look again.")


def _program(_settings: Settings) -> Found:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(GOOD, "Python", version)
    pins = list(_pins((ROOT / "requirements" / "base.txt").read_text()))
    wrong = [f"{name} {have or 'is missing'}, not {want}" for name, want, have in pins]
    if wrong:
        remedy = "Run ./tickglass, which installs what requirements/base.txt names."
        yield Finding(BAD, "packages", "; ".join(wrong), remedy)
    else:
        yield Finding(GOOD, "packages", "as in requirements/base.txt")


def _pins(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, pinned and installed version of each package of these that is not as pinned."""
    for line in text.splitlines():
        if not re.match(r"[A-Za-z0-9]", line):
            continue
        pin = Requirement(line.rstrip("\\ "))
        if pin.marker and not pin.marker.evaluate():
            continue
        try:
            have = importlib.metadata.version(pin.name)
        except importlib.metadata.PackageNotFoundError:
            have = ""
        if not (have and pin.specifier.contains(have, prereleases=True)):
            yield pin.name, str(pin.specifier).lstrip("="), have


def _environment(_settings: Settings) -> Found:
    wrong = misspelt()
    for name, near in wrong:
        remedy = f"Did you mean {near}?" if near else "Take it out."
        yield Finding(BAD, "environment", f"{name} is no setting", remedy)
    if not wrong:
        yield Finding(GOOD, "environment", "every TICKGLASS_ variable is a setting")


def _disk(settings: Settings) -> Found:
    if problem := probe.folder(settings.data):
        yield Finding(BAD, "data folder", problem)
        return
    free = shutil.disk_usage(settings.data).free
    text = f"{settings.data}: {free / GIB:.0f} GiB free"
    if free < DISK_WARNING_BYTES:
        level = BAD if free < DISK_BAD_BYTES else WARNING
        yield Finding(level, "data folder", text, "A busy day's record takes 150 GiB: make room.")
    else:
        yield Finding(GOOD, "data folder", text)


def _secrets(settings: Settings) -> Found:
    audit = settings.audit_folder
    paths = [*sorted(audit.glob("*.key")), settings.data / SECRET_FILE, *_named(settings)]
    there = [path for path in paths if path.exists()]
    wrong = [path for path in there if stat.S_IMODE(path.stat().st_mode) & 0o077]
    for path in wrong:
        yield Finding(BAD, "secrets", f"{path} can be read by others", f"chmod 600 {path}")
    if settings.secret and len(settings.secret) < SECRET_CHARACTERS_MIN:
        text = f"TICKGLASS_SECRET has {len(settings.secret)} characters"
        yield Finding(BAD, "secrets", text, f"Give {SECRET_CHARACTERS_MIN} random ones or more.")
    elif not wrong:
        yield Finding(GOOD, "secrets", f"{len(there)} files that their owner alone can read")
    if (audit / "seal.key").exists() and (audit / "witness.key").exists():
        yield Finding(
            *(WARNING, "witness", f"its key lies beside the seal's in {audit}"),
            "Run ./tickglass witness on a host of its own, with a folder of its own (--audit).",
        )


def _named(settings: Settings) -> Iterator[Path]:
    """Secrets that lie where the settings say."""
    if settings.certificate_key:
        yield settings.certificate_key
    for address in (settings.kafka, settings.redis, settings.clickhouse):
        files = parse(address).files
        yield from (Path(files[name]) for name in ("key", "password_file") if name in files)


def _origins(settings: Settings) -> Found:
    wrong = 0
    for origin in filter(None, settings.origins.split(",")):
        if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", origin):
            wrong += 1
            remedy = "Name exact hosts: desk.firm.example or host:port."
            yield Finding(BAD, "origins", f"{origin!r} is no host", remedy)
    if not wrong:
        text = settings.origins or "pages are served from loopback alone"
        yield Finding(GOOD, "origins", text)


def _doors(settings: Settings) -> Found:
    """Passwords and encryption, where an address leaves this machine."""
    for name in ("kafka", "redis", "clickhouse"):
        address = str(getattr(settings, name))
        place = parse(address)
        hosts = [host.rpartition(":")[0] or host for host in place.hosts]
        if all(map(_here, hosts)):  # Also where it is no address, or a socket's path.
            continue
        told = shown(address)
        if not (place.password or "certificate" in place.files):
            remedy = "Give it a user, and name both in the address: user@...?password_file=FILE."
            yield Finding(BAD, name, f"{told} has neither password nor certificate", remedy)
        if not place.encrypted:
            remedy = "Use rediss://, https:// and ssl:// or sasl_ssl:// (deploy/roles.md)."
            yield Finding(WARNING, name, f"{told} is not encrypted", remedy)
        if place.secret:
            remedy = "Put it into a file: user@...?password_file=FILE."
            yield Finding(WARNING, name, f"the password stands in the address {told}", remedy)


def _pages(settings: Settings) -> Found:
    """The certificate of the pages, and that nobody gets them in the clear."""
    if settings.certificate is None:
        if settings.everywhere:
            remedy = "Name TICKGLASS_CERTIFICATE and TICKGLASS_CERTIFICATE_KEY."
            yield Finding(BAD, "pages", f"on {settings.listen} without encryption", remedy)
        return
    found = certificate.read(settings.certificate, settings.certificate_key)
    days = (found.ends_ns - clock.now_ns()) / DAY_NS
    if days < CERTIFICATE_WARNING_DAYS:
        level = BAD if days < 0 else WARNING
        text = f"{settings.certificate} ends in {days:.0f} days"
        yield Finding(level, "pages", text, "Renew it, then end nginx: it starts with the new one.")
    hosts = [origin.partition(":")[0] for origin in settings.origins.split(",") if origin]
    if strange := [host for host in hosts if not found.covers(host)]:
        text = f"{settings.certificate} does not stand for {', '.join(strange)}"
        yield Finding(BAD, "pages", text, "Have one made with these names.")
    elif days >= CERTIFICATE_WARNING_DAYS:
        yield Finding(GOOD, "pages", f"encrypted; the certificate holds for {days:.0f} days")


def _here(host: str) -> bool:
    try:
        return socket.gethostbyname(host).startswith("127.")
    except OSError:
        return False


def _kafka(settings: Settings) -> Found:
    if not settings.kafka:
        yield Finding(WARNING, "Kafka", "no address: up starts a stand-in", "Give TICKGLASS_KAFKA.")
        return
    if problem := probe.kafka(settings.kafka):
        yield Finding(BAD, "Kafka", problem)
        return
    from ingest.source import TOPICS, spreads  # The client takes its time to load.

    found = spreads(settings.kafka)
    if missing := [topic for topic in TOPICS if topic not in found]:
        remedy = "Make them, all with the same number of partitions, or let a first `up` make them."
        yield Finding(WARNING, "Kafka", f"no topic {', '.join(missing)} yet", remedy)
    counts = {topic: found[topic].partitions for topic in TOPICS if topic in found}
    if len(set(counts.values())) > 1:
        remedy = "Give all topics the same number: an instrument's shard is one number in each."
        yield Finding(BAD, "Kafka", f"partitions differ: {counts}", remedy)
    behind = [name for name, one in found.items() if one.in_sync < one.copies]
    if behind:
        remedy = "See what keeps a broker from following."
        yield Finding(BAD, "Kafka", f"copies are behind: {', '.join(sorted(behind))}", remedy)
    few = [topic for topic in counts if found[topic].copies < COPIES]
    if few and not all(_here(one.rpartition(":")[0]) for one in parse(settings.kafka).hosts):
        remedy = f"Use replication {COPIES} with min.insync.replicas {IN_SYNC}."
        yield Finding(WARNING, "Kafka", f"{len(few)} topics have too few copies", remedy)
    partitions = next(iter(counts.values()), 0)
    yield Finding(GOOD, "Kafka", f"{len(counts)} topics of {partitions} partitions")


def _redis(settings: Settings) -> Found:
    if not settings.redis:
        yield Finding(WARNING, "Redis", "no address: up starts a stand-in", "Give TICKGLASS_REDIS.")
        return
    from compute.bus import Bus

    bus = Bus(settings.redis)
    before = clock.now_ns()
    told, ts = bus.server()
    yield from _clock("Redis", ts, before, clock.now_ns())
    bus.close()
    yield from _version("Redis", str(told.get("redis_version", "")), REDIS_OLDEST)
    if told.get("maxmemory_policy") not in (None, "noeviction"):
        text = f"it may forget: maxmemory-policy is {told['maxmemory_policy']}"
        yield Finding(BAD, "Redis", text, "Set maxmemory-policy noeviction.")


def _clickhouse(settings: Settings) -> Found:
    if not settings.clickhouse:
        remedy = "Give TICKGLASS_CLICKHOUSE."
        yield Finding(WARNING, "ClickHouse", "no address: up starts a stand-in", remedy)
        return
    from compute.archive import Archive, ArchiveError
    from compute.row import SCHEMA

    archive = Archive(settings.clickhouse, settings.database)
    before = clock.now_ns()
    version, ts = archive.rows("SELECT version(), toUnixTimestamp64Nano(now64(9))")[0]
    yield from _clock("ClickHouse", int(ts), before, clock.now_ns())
    yield from _version("ClickHouse", str(version), CLICKHOUSE_OLDEST)
    disks: Sequence[Any] = ()
    try:
        disks = archive.rows("SELECT name, unreserved_space FROM system.disks")
    except ArchiveError as error:
        if DENIED not in str(error):
            raise
        remedy = "Look as tickglass_record or tickglass_audit (deploy/roles.md)."
        yield Finding(WARNING, "ClickHouse", "this user may not see how full its disks are", remedy)
    for name, free in disks:
        if free < DISK_WARNING_BYTES:
            level = BAD if free < DISK_BAD_BYTES else WARNING
            text = f"disk {name} has {free / GIB:.0f} GiB free"
            yield Finding(level, "ClickHouse", text, "Make room, or keep less: record_keep_years.")
    schema = archive.schema()
    if not schema:
        yield Finding(GOOD, "record", f"no {settings.database} yet; the first recorder makes it")
        return
    if schema > SCHEMA:
        remedy = "Use the newer program, or name another database."
        yield Finding(BAD, "record", f"schema {schema}, this program has {SCHEMA}", remedy)
    else:
        older = "" if schema == SCHEMA else f"; the next recorder brings it to {SCHEMA}"
        yield Finding(GOOD, "record", f"{settings.database}, schema {schema}{older}")


def _version(name: str, version: str, oldest: tuple[int, int]) -> Found:
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < oldest:
        yield Finding(BAD, name, f"version {version}", f"Use {oldest[0]}.{oldest[1]} or newer.")
    else:
        yield Finding(GOOD, name, f"version {version}")


def _clock(name: str, ts: int, before: int, after: int) -> Found:
    """How far its clock is from ours, as far as the way there lets one know."""
    apart_ms = max(0, before - ts, ts - after) / 1e6
    if apart_ms > CLOCK_WARNING_MS:
        level = BAD if apart_ms > CLOCK_BAD_MS else WARNING
        yield Finding(level, "clocks", f"{name}'s is {apart_ms:,.0f} ms off", "Discipline both.")


def _host_clock(_settings: Settings) -> Found:
    from ingest import host_clock

    clock = host_clock.read()
    if clock.reference == host_clock.UNKNOWN:
        remedy = "Run chrony, or ptp4l with phc2sys, on every host."
        yield Finding(WARNING, "clocks", "nobody disciplines this host's", remedy)
        return
    within_ms = clock.uncertainty_ns / 1e6
    text = f"this host's is within {within_ms:,.3f} ms of {clock.reference}"
    if within_ms > CLOCK_WARNING_MS:
        level = BAD if within_ms > CLOCK_BAD_MS else WARNING
        yield Finding(level, "clocks", text, "Name nearer time servers.")
    else:
        yield Finding(GOOD, "clocks", text)


def _machine(settings: Settings) -> Found:
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{cores} cores, {memory / GIB:.0f} GiB of memory"
    if cores < CORES_MIN or memory < MEMORY_BYTES:
        remedy = f"For a desk give it {CORES_MIN} cores and {MEMORY_BYTES // GIB} GiB or more."
        yield Finding(WARNING, "machine", text, remedy)
    else:
        yield Finding(GOOD, "machine", text)
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FILES_MIN:
        text = f"a process may open {most} files"
        yield Finding(BAD, "machine", text, f"ulimit -n {FILES_MIN}, or LimitNOFILE of its unit")
    elif files != resource.RLIM_INFINITY and files < FILES_MIN:
        text = f"a process may open {files} files at first"
        yield Finding(WARNING, "machine", text, f"ulimit -n {FILES_MIN}")
    if settings.fronted and not front.program():
        text = "several web servers or a certificate, and no nginx before them"
        yield Finding(BAD, "machine", text, "apt-get install nginx")


def _web(settings: Settings) -> Found:
    for number in {settings.port, *front.ports(settings)}:
        if not probe.listening(number) and (problem := probe.port(number)):
            yield Finding(BAD, "web", problem)
    yield Finding(GOOD, "web", f"port {settings.port} on loopback")


CHECKS: tuple[Check, ...] = (
    *(_program, _environment, _machine, _host_clock, _disk, _secrets, _origins, _doors, _pages),
    *(_kafka, _redis, _clickhouse, _web),
)


def worst(findings: Iterable[Finding]) -> str:
    """The worst level among them."""
    levels = [one.level for one in findings]
    return next((level for level in (BAD, WARNING) if level in levels), GOOD)


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """For people: one line a finding, and what to do under it."""
    for one in findings:
        yield f"{one.level:<8} {one.subject:<12} {one.text}"
        if one.remedy:
            yield f"{'':<8} {'':<12} -> {one.remedy}"


def as_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """For programs."""
    names = ("level", "subject", "text", "remedy")
    return [{name: getattr(one, name) for name in names} for one in findings]
