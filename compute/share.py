"""Rule: which shards a worker has, while workers come and go. The same for `live` and `record`.

Workers of a group agree through leases in Redis: each says several times a second that it lives
and which shards it has, and everyone is told the same of all. From that each works out how many it
should have (`quotas`). Who has too many closes some, and only then lets them go; who has too few
takes what nobody has. A worker that dies or hangs says nothing any more, and its leases run out.
Nobody else is disturbed, and no two have a shard at a time, but for one that sleeps through the
end of its lease: it wakes to be fenced, `live` by Redis and `record` by ClickHouse.

Why not Kafka's own group protocol: it shares out partitions and knows nothing of shards, which
must stay together over all topics; it hears of a death after six seconds at the earliest; and the
stand-in for Kafka has no coordinator. Redis away: everyone keeps what it has, and nobody takes.
"""

import contextlib
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from compute.bus import BusError, SupersededError

FIRST_STREAM = 1_000  # On the bus a shard is the worker of this number, and those behind it.
RENEW_SECONDS = 0.2
LACKING_SECONDS = 0.02  # Who has too few looks so often: what is let go stands still until taken.
JOIN_SECONDS = 0.4  # Before the first one takes: those that start together see each other first.
ROUNDS_MIN = 5  # Renewals that may come late, or not at all, before a lease has run out.


class Bus(Protocol):
    """What is needed of compute.bus.Bus."""

    def renew(
        self, group: str, member: tuple[str, int], lease_s: float, held: Iterable[int]
    ) -> tuple[list[str], dict[int, str]]:
        """Say that we live and have these; all members, and all owners."""

    def take_shard(self, group: str, member: tuple[str, int], lease_s: float, number: int) -> bool:
        """Lease a shard that nobody has."""

    def let_go(
        self, group: str, member: tuple[str, int], numbers: Iterable[int], *, leave: bool = False
    ) -> None:
        """Give leases back."""


def stream(number: int) -> int:
    """Where a shard's deltas, image and checkpoint are on the bus."""
    return FIRST_STREAM + number


def quotas(members: Sequence[str], owners: Mapping[int, str], shards: int) -> dict[str, int]:
    """How many shards each member should have: as equal as can be, whoever has more has more."""
    each, odd = divmod(shards, len(members))
    held = Counter(owners.values())
    order = sorted(members, key=lambda member: (-held[member], member))
    return {member: each + (place < odd) for place, member in enumerate(order)}


def preferred(member: str, numbers: Iterable[int]) -> list[int]:
    """In which order a member takes shards: each another one, so that few want the same."""
    role = member.rpartition("/")[0]
    return sorted(numbers, key=lambda number: zlib.crc32(f"{role} {number}".encode()))


class Share:
    """One worker's part; its leases are renewed by a thread, its shards change in `settle`."""

    def __init__(  # noqa: PLR0913
        self,
        bus: Bus,
        role: str,
        shards: int,
        lease_s: float,
        started_ms: int,
        *,
        busy_s: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`role` is as in the health reports, `live.0`: its first word names the group.

        `busy_s`: a loop that takes longer for one round hangs, and its leases run out; 0: never.
        """
        assert lease_s >= ROUNDS_MIN * RENEW_SECONDS
        self.bus, self.shards, self.lease_s, self.monotonic = bus, shards, lease_s, monotonic
        self.group, self.member = role.partition(".")[0], (role, started_ms)
        self.name = f"{role}/{started_ms}"
        self.held: frozenset[int] = frozenset()
        self.busy_s, self._turned_at = busy_s, monotonic()
        self._members: list[str] = []
        self._owners: dict[int, str] = {}
        self._join_at = 0.0
        self._lock = threading.Lock()  # What was seen is of what is held.
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="share", daemon=True)

    def start(self) -> "Share":
        """Begin to renew."""
        self._thread.start()
        return self

    def look(self) -> None:
        """Renew, and see who is there; a Redis that is away leaves all as it is."""
        with self._lock, contextlib.suppress(BusError):
            if self.busy_s and self.monotonic() - self._turned_at > self.busy_s:
                return
            self._see()

    def _see(self) -> None:
        self._members, self._owners = self.bus.renew(
            self.group, self.member, self.lease_s, sorted(self.held)
        )
        self._join_at = self._join_at or self.monotonic() + JOIN_SECONDS

    def lost(self) -> set[int]:
        """Shards that another worker has meanwhile, because our lease ran out. A round begins.

        SupersededError where a later process has our role.
        """
        self._turned_at = self.monotonic()
        role, started_ms = self.member
        for member in self._members:
            other, _, began_ms = member.rpartition("/")
            if other == role and int(began_ms) > started_ms:
                raise SupersededError(f"another process has begun as {role}: this one ends")
        gone = {n for n in self.held if self._owners.get(n, self.name) != self.name}
        self.held -= gone
        return gone

    def surplus(self) -> list[int]:
        """Shards that others should have; to be closed and then let go."""
        if self.name not in self._members:
            return []
        mine = quotas(self._members, self._owners, self.shards)[self.name]
        return preferred(self.name, self.held)[mine:]

    def let_go(self, number: int) -> None:
        """It is closed: whoever should have it may take it."""
        with self._lock:
            self.held -= {number}
            with contextlib.suppress(BusError):  # Then its lease runs out.
                self.bus.let_go(self.group, self.member, [number])
                if not self._done.is_set():
                    self._see()
                for other in self.held if self._done.is_set() else ():
                    self.bus.take_shard(self.group, self.member, self.lease_s, other)

    def take(self) -> int | None:
        """A shard that nobody has and we should; it is ours from now on."""
        if not self._lacks():
            return None
        role = self.member[0]
        former = {n for n, owner in self._owners.items() if owner.rpartition("/")[0] == role}
        free = set(range(self.shards)) - (self._owners.keys() - former) - self.held
        if self.monotonic() < self._join_at and self._owners.keys() <= former:
            free &= former  # Ours before we were started again.
        with self._lock, contextlib.suppress(BusError):
            for number in preferred(self.name, free):
                if self.bus.take_shard(self.group, self.member, self.lease_s, number):
                    self.held |= {number}
                    self._see()
                    return number
            if free:
                self._see()  # Somebody else was faster.
        return None

    def _lacks(self) -> bool:
        """Whether we should have more than we have."""
        members = self._members
        quota = quotas(members, self._owners, self.shards) if self.name in members else {}
        return len(self.held) < quota.get(self.name, 0)

    def leave(self) -> None:
        """Be no member any more: others may take what we have, each as we let it go."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock, contextlib.suppress(BusError):
            self.bus.let_go(self.group, self.member, [], leave=True)

    def close(self) -> None:
        """Leave the group: what we have is free at once."""
        self.leave()
        with self._lock, contextlib.suppress(BusError):
            self.bus.let_go(self.group, self.member, sorted(self.held))
            self.held = frozenset()

    def _run(self) -> None:
        while not self._done.is_set():
            self.look()
            self._done.wait(LACKING_SECONDS if self._lacks() else RENEW_SECONDS)
