"""Rule: what a storm does, and in which order: drawn from its seed and from nothing else.

Blows are dealt like cards, each once before any comes again, one or two at a time, with a pause of
chance before them. How many of them fall is the clock's, which they are is not.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

WORKERS = ("live", "record", "risk", "replay", "tape", "seal", "witness")
WEB = ("web.0", "web.1")
BOTH = "web servers"
STORES = ("redis", "clickhouse", "kafka")
KILLED = (*WORKERS, *WEB, BOTH, "nginx", "fork-server", "redis", "clickhouse")
STOPPED = ("live", "record", "risk", "replay", *WEB, BOTH, "nginx", *STORES)
FAULTS = ("delay", "cut", "half open", "stall")  # Of the network before a store.
SECONDS = {  # How long each lasts, least and most; a kill that is not named is a moment.
    "stop": (0.5, 8.0),
    "away": (0.0, 6.0),  # Of a store that nobody starts again but who killed it.
    "poison": (2.0, 5.0),
    "nonsense": (2.0, 6.0),
    "load": (8.0, 20.0),
    **dict.fromkeys(FAULTS, (0.5, 8.0)),
}
PAIR_SHARE = 0.3  # Of the blows fall with another.
PAUSE_SECONDS_MAX = 2.0


class Blow(NamedTuple):
    """One thing that is done to the product."""

    what: str
    whom: str
    seconds: float

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.what} {self.whom}{lasting}"


class Round(NamedTuple):
    """Blows that fall together, after a pause."""

    pause: float
    blows: tuple[Blow, ...]

    def __str__(self) -> str:
        return " + ".join(map(str, self.blows))


def cards(*, apart: bool) -> list[tuple[str, str]]:
    """Every blow there is; `apart`: stores are the storm's own, behind a network of its own."""
    dealt = [("kill", whom) for whom in KILLED] + [("stop", whom) for whom in STOPPED]
    dealt += [("flush", "redis"), ("poison", "kafka"), ("nonsense", "web.0"), ("load", "kafka")]
    dealt += [("roll", BOTH), ("kill", "kafka")]
    if apart:
        dealt += [(fault, store) for fault in FAULTS for store in STORES]
    return dealt


def rounds(seed: int, first: Sequence[tuple[str, str]] = (), *, apart: bool) -> Iterator[Round]:
    """For ever: those named first, then all cards, shuffled anew each time that they run out."""
    chance = random.Random(seed)
    for card in first:
        yield Round(chance.uniform(0.0, PAUSE_SECONDS_MAX), (_blow(chance, card, apart=apart),))
    left: list[tuple[str, str]] = []
    while True:
        if not left:
            left = cards(apart=apart)
            chance.shuffle(left)
        chosen = [left.pop()]
        pair, pause = chance.random() < PAIR_SHARE, chance.uniform(0.0, PAUSE_SECONDS_MAX)
        if pair and left and _may_meet(chosen[0], left[-1], apart=apart):
            chosen.append(left.pop())
        yield Round(pause, tuple(_blow(chance, card, apart=apart) for card in chosen))


def _may_meet(one: tuple[str, str], other: tuple[str, str], *, apart: bool) -> bool:
    # What is stopped is not killed meanwhile, and a stand-in's log takes all workers along.
    webs = {*WEB, BOTH}
    same = one[1] == other[1] or {one[1], other[1]} <= webs
    return not same and (apart or ("kill", "kafka") not in (one, other))


def _blow(chance: random.Random, card: tuple[str, str], *, apart: bool) -> Blow:
    what, whom = card
    limits = SECONDS.get("away" if what == "kill" and apart and whom in STORES else what)
    return Blow(what, whom, chance.uniform(*limits) if limits else 0.0)
