"""Shape: the last line that every bench prints, and the machine that it speaks of.

    {"bench": NAME, "holds": true, "figures": {...}, "machine": {...}}

Figures are numbers and plain names, units last (`glass_ms_p99`). A figure without the machine is
hearsay, so model, cores, load and versions go with it, and a machine that is busy or small for
the promise is said aloud on the line before.
"""

import json
import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

CORES_MIN = 2  # The promises are made for two cores.
BUSY_SHARE_MAX = 0.5  # Of all cores, before the bench adds its own: above, figures are not clean.
_VERSIONS = ("numpy", "numba", "panel", "bokeh", "confluent-kafka", "redis", "chdb")


def machine() -> dict[str, Any]:
    """What the figures depend on: cpu, cores, load (1 minute), memory_gib, python, versions."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": _versions(),
    }


def warnings(found: Mapping[str, Any]) -> list[str]:
    """Sentences on why the figures of machine `found` are not to be trusted; empty if they are."""
    said = []
    if found["cores"] < CORES_MIN:
        said.append(f"this machine has {found['cores']} core(s); the promises are for {CORES_MIN}")
    if found["load_1m"] > BUSY_SHARE_MAX * found["cores"]:
        said.append(f"this machine was busy: load {found['load_1m']} on {found['cores']} cores")
    return said


def report(
    bench: str,
    holds: bool,
    figures: Mapping[str, Any],
    found: Mapping[str, Any] | None = None,
) -> None:
    """Print warnings to stderr and the one JSON object as the last line of stdout.

    `found` is `machine()` as it was before the bench began, so that its own load is not held
    against it; by default the machine is looked at now.
    """
    found = machine() if found is None else dict(found)
    for sentence in warnings(found):
        print(f"warning: {sentence}", file=sys.stderr)
    sys.stderr.flush()
    whole = {"bench": bench, "holds": bool(holds), "figures": figures, "machine": found}
    print(json.dumps(whole, default=_plain), flush=True)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # A numpy scalar.
        return value.item()
    raise TypeError(f"a figure must be a number or a name, not {type(value).__name__}")


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    known = {}
    for name in _VERSIONS:
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return known
