"""What chrony and the kernel say of this host's clock; what neither knows is said as unknown."""

import pytest

from ingest import host_clock
from ingest.host_clock import (
    STA_NANO,
    STA_UNSYNC,
    TIME_ERROR,
    UNCERTAIN_NS,
    UNKNOWN,
    HostClock,
    of_chrony,
    of_kernel,
)

FOLLOWS = (
    "C0A80001,192.168.0.1,3,1700000000.123456789,-0.000012500,0.000003,0.000020,-12.5,0.001,0.05,"
    "0.001000000,0.000250000,64.2,Normal\n"
)
FREE = "00000000,,0,0.000000000,0.000000000,0.0,0.0,0.0,0.0,0.0,1.000,1.000,0.0,Not synchronised\n"


def test_chrony_says_offset_and_bound() -> None:
    assert of_chrony("h", FOLLOWS) == HostClock("h", "chrony 192.168.0.1", -12_500, 762_500)


@pytest.mark.parametrize("text", ["", FREE, "506 Cannot talk to daemon\n", FOLLOWS[:60], ",,,,,"])
def test_a_chrony_that_follows_nobody_knows_nothing(text: str) -> None:
    assert of_chrony("h", text) is None


def test_the_kernel_says_what_is_left_to_slew() -> None:
    assert of_kernel("h", 0, STA_NANO, 1_500, 400) == HostClock("h", "kernel", -1_500, 400_000)
    assert of_kernel("h", 0, 0, 2, 400) == HostClock("h", "kernel", -2_000, 400_000)


@pytest.mark.parametrize(("state", "status"), [(TIME_ERROR, 0), (-1, 0), (0, STA_UNSYNC | 1)])
def test_a_clock_that_nobody_disciplines_is_unknown(state: int, status: int) -> None:
    assert of_kernel("h", state, status, 5, 400) == HostClock("h", UNKNOWN, 0, UNCERTAIN_NS)


def test_this_host_is_asked_without_a_network() -> None:
    found = host_clock.read()
    assert found.host
    assert found.reference == UNKNOWN or found.uncertainty_ns < 60 * 10**9
    assert (found.uncertainty_ns == UNCERTAIN_NS) == (found.reference == UNKNOWN)


def test_a_chrony_that_hangs_is_not_waited_for(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "chronyc"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(host_clock.shutil, "which", lambda _name: str(script))
    monkeypatch.setattr(host_clock, "ASK_SECONDS", 0.2)
    assert host_clock.read().host
