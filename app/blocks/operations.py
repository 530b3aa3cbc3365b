"""Shape: the blocks of operations: roles, what was refused, clocks, stages, servers, changes.

They are told once a second as JSON (app/operations.py) and hold no table of the market.
"""

from dataclasses import dataclass

from app.blocks.block import Block


@dataclass(frozen=True, slots=True)
class _Told(Block):
    """A block that needs nothing but what is told of operations."""

    told = "operations"


@dataclass(frozen=True, slots=True)
class Roles(_Told):
    """Every process: its state and since when, heartbeat, rate, how far behind, memory, restarts.

    Its head has the worst state as a tag, its foot what is wrong and what to do.
    """

    title: str = "Processes"

    kind = "roles"


@dataclass(frozen=True, slots=True)
class Refused(_Told):
    """Frames that were refused, by reason."""

    title: str = "Quarantine"
    height: int = 219
    narrow: int | None = 159

    kind = "refused"


@dataclass(frozen=True, slots=True)
class Line(_Told):
    """Events that were lost, came twice or came late."""

    title: str = "Gaps and repeats"
    note: str = "of all sources"
    height: int = 219
    narrow: int | None = 199

    kind = "line"


@dataclass(frozen=True, slots=True)
class Clocks(_Told):
    """How far the clocks of the sources stand from ours."""

    title: str = "Clocks"
    note: str = "source less ours, ± 250 ms"

    kind = "clocks"


@dataclass(frozen=True, slots=True)
class Stages(_Told):
    """Where the milliseconds of a number go, from the event to the page."""

    title: str = "Where time goes"
    note: str = "last second, of the slowest server"
    height: int = 239
    narrow: int | None = 219

    kind = "stages"


@dataclass(frozen=True, slots=True)
class Servers(_Told):
    """Web servers and their pages."""

    title: str = "Web servers"
    note: str = "event to paint as the pages measure it"
    height: int = 239
    narrow: int | None = 219

    kind = "servers"


@dataclass(frozen=True, slots=True)
class Changes(_Told):
    """Which process came to which state when, the newest first."""

    title: str = "What changed"

    kind = "changed"
