"""Rule: the reports of several workers or shards -> one, as if one of them had it all."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

OLD_MS = 3_000.0  # Behind the newest of its kind: of a worker that is no more.

# The most of these, of `feed_age_s` the least; of all other figures the sum.
MOST = (
    *("behind_s", "kafka_ms_p50", "kafka_ms_p99", "clock_steps", "epoch", "now_ms"),
    *("instruments", "reference_version", "reference_refused"),
)
STATES = ("waiting", "starting", "catching up", "recording")  # The worst first.


def merged(healths: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One report of several."""
    healths = list(healths)
    if len(healths) == 1:
        return dict(healths[0])
    found: dict[str, list[Any]] = {}
    for health in healths:
        for name, value in health.items():
            found.setdefault(name, []).append(value)
    return {name: _one(name, values) for name, values in found.items()}


def _one(name: str, values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    if not known:
        return None
    if name == "state":
        return min(known, key=lambda state: STATES.index(state) if state in STATES else -1)
    if name == "stages_ms":
        stages = {stage for value in known for stage in value}
        return {stage: _slowest([value.get(stage) for value in known]) for stage in stages}
    if isinstance(known[0], str):
        return next((value for value in known if value), "")
    if isinstance(known[0], dict):
        return dict(sum((Counter(value) for value in known), Counter()))
    if name == "clocks":  # Each worker hears each source; the farthest is told.
        farthest = sorted(_one("", known), key=lambda clock: abs(clock["offset_ms"]))
        return list({clock["source"]: clock for clock in farthest}.values())[::-1]
    if isinstance(known[0], list):
        return [one for value in known for one in value]
    if name == "feed_age_s":
        return min(known)
    return max(known) if name in MOST else sum(known)


def _slowest(ways: list[Any]) -> list[float | None]:
    timed: list[list[float]] = [way for way in ways if way and way[1] is not None]
    return [*max(timed, key=lambda way: way[1])] if timed else [None, None]


def of(health: Mapping[str, Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """What all that are of a kind say now, as one says it; empty where nobody does."""
    told = [health[role] for role in sorted(health) if role.partition(".")[0] == kind]
    newest_ms = max((one.get("now_ms") or 0.0 for one in told), default=0.0)
    return merged(one for one in told if (one.get("now_ms") or 0.0) >= newest_ms - OLD_MS)
