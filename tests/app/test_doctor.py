"""What the doctor says of settings, keys, addresses, clocks and packages, and of real servers."""

import json
import resource
import shutil
import time
from types import SimpleNamespace

import pytest

from app import doctor
from app.certificate import CertificateError
from app.doctor import BAD, GOOD, WARNING, Finding
from app.settings import load, misspelt
from compute.bus import Bus
from tests.certificates import Authority
from tests.clickhouse import ClickHouse


def found(check, **given):
    return list(check(load(**given)))


def levels(findings, subject):
    return [one.level for one in findings if one.subject == subject]


def test_a_misspelt_setting_is_told_with_the_right_one(monkeypatch):
    environment = {"TICKGLASS_KAFAK": "a:1", "TICKGLASS_KAFKA": "a:1", "TICKGLASS_HOME": "/x"}
    assert misspelt(environment) == [("TICKGLASS_KAFAK", "TICKGLASS_KAFKA")]
    monkeypatch.setenv("TICKGLASS_QQQQQQQQQ", "1")
    (told,) = found(doctor._environment)
    assert (told.level, told.remedy) == (BAD, "Take it out.")


def test_keys_that_others_can_read_are_told(tmp_path):
    audit = tmp_path / "audit"
    audit.mkdir()
    for name in ("seal.key", "witness.key"):
        (audit / name).write_text("secret")
        (audit / name).chmod(0o600)
    fine = found(doctor._secrets, data=tmp_path, audit=audit)
    assert levels(fine, "secrets") == [GOOD]
    assert levels(fine, "witness") == [WARNING]
    (audit / "seal.key").chmod(0o640)
    told = found(doctor._secrets, data=tmp_path, audit=audit)
    assert [one.remedy for one in told if one.level == BAD] == [f"chmod 600 {audit / 'seal.key'}"]
    short = found(doctor._secrets, data=tmp_path / "none", secret="hunter2")
    assert levels(short, "secrets") == [BAD]
    assert "hunter2" not in str(short)


@pytest.mark.parametrize(
    ("origins", "level"),
    [
        ("", GOOD),
        ("desk.firm.example,10.0.0.1:8443", GOOD),
        ("*", BAD),
        ("https://desk.firm.example", BAD),
        ("desk.firm.example/page", BAD),
    ],
)
def test_origins_are_exact_hosts(origins, level):
    assert {one.level for one in found(doctor._origins, origins=origins)} == {level}


@pytest.mark.parametrize(
    ("free", "level"),
    [
        (doctor.DISK_WARNING_BYTES, GOOD),
        (doctor.DISK_WARNING_BYTES - 1, WARNING),
        (doctor.DISK_BAD_BYTES, WARNING),
        (doctor.DISK_BAD_BYTES - 1, BAD),
    ],
)
def test_a_disk_that_fills_is_told(monkeypatch, tmp_path, free, level):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    (told,) = found(doctor._disk, data=tmp_path)
    assert told.level == level
    assert ("make room" in told.remedy) == (level != GOOD)
    assert f"{free / doctor.GIB:.0f} GiB free" in told.text


def test_what_leaves_the_machine_needs_a_password_and_encryption(tmp_path):
    assert not found(doctor._doors, redis="redis://127.0.0.1:1/0", clickhouse="http://localhost:1")
    bare = found(doctor._doors, redis="redis://192.0.2.1:1/0", clickhouse="http://192.0.2.1:1")
    assert levels(bare, "redis") == [BAD, WARNING]
    assert levels(bare, "clickhouse") == [BAD, WARNING]
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    tail = f"?password_file={secret}"
    kept = {"redis": f"rediss://me@192.0.2.1:1/0{tail}"}
    kept |= {"clickhouse": f"https://me@192.0.2.1:1{tail}"}
    kept |= {"kafka": f"sasl_ssl://me@192.0.2.1:1,192.0.2.2:1{tail}"}
    assert not found(doctor._doors, **kept)
    half = found(doctor._doors, redis="redis+sentinel://:hush@192.0.2.1:1,192.0.2.2:1/main")
    assert levels(half, "redis") == [WARNING, WARNING]
    assert "hush" not in str(half)
    secret.chmod(0o644)
    told = found(doctor._secrets, data=tmp_path / "none", **kept)
    assert {one.remedy for one in told if one.level == BAD} == {f"chmod 600 {secret}"}


def test_pages_beyond_this_machine_need_a_certificate_that_holds(tmp_path):
    made = Authority(tmp_path)
    pages = dict(zip(("certificate", "certificate_key"), made.issue("desk"), strict=True))
    assert levels(found(doctor._pages, listen="192.0.2.1"), "pages") == [BAD]
    assert levels(found(doctor._pages, **pages, origins="localhost:1"), "pages") == [GOOD]
    assert levels(found(doctor._pages, **pages, origins="desk.firm.example"), "pages") == [BAD]
    old = dict(zip(pages, made.issue("old", days=3), strict=True))
    assert levels(found(doctor._pages, **old), "pages") == [WARNING]
    mixed = pages | {"certificate_key": old["certificate_key"]}
    with pytest.raises(CertificateError, match="do not fit"):
        found(doctor._pages, **mixed)


def test_a_package_that_is_not_as_pinned_is_told():
    text = (
        'numpy==0.1 \\\n    --hash=sha256:00\nno-such-package==3 ; python_version >= "3"\n'
        'elsewhere==1 ; sys_platform == "amiga"\n'
    )
    told = list(doctor._pins(text))
    assert [(name, want) for name, want, _ in told] == [("numpy", "0.1"), ("no-such-package", "3")]
    assert told[0][2]
    assert not told[1][2]
    pins = (doctor.ROOT / "requirements" / "base.txt").read_text()
    assert not list(doctor._pins(pins))


@pytest.mark.parametrize(("apart_ms", "level"), [(1, None), (50, WARNING), (-5_000, BAD)])
def test_clocks_apart_are_told(apart_ms, level):
    now = time.time_ns()
    told = list(doctor._clock("Redis", now + apart_ms * 10**6, now - 1_000, now + 1_000))
    assert [one.level for one in told] == ([level] if level else [])


def test_few_files_are_told(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1_024))
    assert any("1024 files" in one.text for one in found(doctor._machine) if one.level == BAD)


def test_a_check_that_fails_hides_no_other(monkeypatch, settings):
    def _broken(_settings):
        raise OSError("no such luck")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (_broken, doctor._origins))
    first, second = doctor.examine(settings)
    assert (first.level, first.subject) == (BAD, "broken")
    assert "no such luck" in first.text
    assert second.level == GOOD


def test_worst_and_lines():
    fine, poor = Finding(GOOD, "a", "b"), Finding(WARNING, "c", "d", "mend it")
    assert doctor.worst([fine]) == GOOD
    assert doctor.worst([fine, poor]) == WARNING
    assert doctor.worst([poor, Finding(BAD, "e", "f")]) == BAD
    assert [line.strip() for line in doctor.lines([poor])][1] == "-> mend it"


@pytest.fixture
def server(tmp_path):
    started = ClickHouse(tmp_path / "clickhouse").start()
    yield started
    started.kill()


def test_real_servers_are_looked_at(kafka, real_redis, server, tickglass):
    addresses = {
        "TICKGLASS_KAFKA": kafka,
        "TICKGLASS_REDIS": real_redis,
        "TICKGLASS_CLICKHOUSE": server.address,
    }
    done = tickglass("doctor", "--json", timeout=120, **addresses)
    told = [Finding(**one) for one in json.loads(done.stdout)]
    bad = [one for one in told if one.level == BAD]
    assert done.returncode == (1 if bad else 0)
    assert not [one for one in bad if one.subject in ("Kafka", "Redis", "record")]
    for subject in ("Kafka", "Redis", "ClickHouse", "record"):  # A machine's disk may be small.
        assert GOOD in levels(told, subject), told
    Bus(real_redis)._redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        forgets = found(doctor._redis, redis=real_redis)
    finally:
        Bus(real_redis)._redis.config_set("maxmemory-policy", "noeviction")
    assert levels(forgets, "Redis")[-1] == BAD
