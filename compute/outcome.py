"""Shape: what runs of `./tickglass audit verify` found, a JSON line each, beside the roots.

Who verifies appends; who witnesses reads the newest one and tells it to the pages. It lies outside
of the database, as the roots do: who can change the record cannot change what was found of it.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

TAIL_BYTES = 1 << 16  # The newest line is within these.
FAULT_CHARACTERS_MAX = 500


class Outcome(NamedTuple):
    """One run over the whole record."""

    ts_ns: int  # When it ended.
    who: str
    verified: bool
    rows: int
    slices: int
    roots: int
    seconds: float
    fault: str  # The first one; "" where all is as sealed.


def outcomes_file(folder: Path, database: str) -> Path:
    """Where the outcomes of a database are."""
    return folder / f"{database}.verified"


def append(path: Path, one: Outcome) -> None:
    """Keep it; on disk before anyone is told."""
    short = one._replace(fault=one.fault[:FAULT_CHARACTERS_MAX])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        # On a line of its own, whatever a kill left of the one before.
        file.write(b"\n" + json.dumps(short._asdict()).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def newest(path: Path) -> Outcome | None:
    """The last whole one; None where there is none. What is no outcome is passed over."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            return Outcome(**json.loads(line))
        except (ValueError, TypeError):
            continue
    return None


def told(one: Outcome | None) -> dict[str, Any]:
    """For reports: nothing where nobody has verified."""
    if one is None:
        return {}
    return {
        "verified": one.verified,
        "verified_ms": one.ts_ns / 1e6,
        "verified_rows": one.rows,
        "verify_fault": one.fault,
    }
