"""A storm over everything: the whole product, pages that look, and blows drawn from a seed.

`./tickglass storm --minutes M --seed N --rate R [--kafka real [--brokers 3]]`, or
`python -m tests.storms.everything` with the same. Processes are killed and stopped, Redis is
flushed, garbage is published and said, load is doubled, servers are started anew; on real Kafka
and Redis the network fails too. After each blow everybody must be up again and every page must show
what the mirror holds; the record must be whole, and in the end all of the log, proven, and what the
log gives to a fresh engine. Nobody may be left behind, nor grow beyond its limit. A failure names
the seed and the command that repeats it.
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compute.archive import ArchiveError
from compute.bus import BusError
from tests.storms import oracles
from tests.storms.blows import Round, rounds
from tests.storms.product import Product

RATE, PAGES = 20_000.0, 20
COUNT_SHARE = 0.1  # Of the time may go into counting rows: a long record is counted less often.


class Wish(NamedTuple):
    """Which storm."""

    seed: int = 1
    minutes: float = 2.0
    rate: float = RATE
    brokers: int = 0  # Of a real Kafka; 0: stand-ins.
    pages: int = PAGES
    glass: bool = True  # A browser looks too.

    @property
    def command(self) -> str:
        """What repeats it."""
        real = f" --kafka real --brokers {self.brokers}" if self.brokers else ""
        return (
            f"./tickglass storm --minutes {self.minutes:g} --seed {self.seed} "
            f"--rate {self.rate:g} --pages {self.pages}{'' if self.glass else ' --no-glass'}{real}"
        )


class Storm:
    """One storm from its beginning to the verdict."""

    def __init__(self, wish: Wish, folder: Path) -> None:
        self.wish, self.begun = wish, time.monotonic()
        self.product = Product(folder, wish.seed, wish.rate, wish.brokers, wish.pages)
        self.memory = oracles.Memory(self.product)
        self.lines: list[str] = []
        self.seen: list[float] = []
        self.healed: list[float] = []
        self.equal: list[float] = []
        self.databases: list[str] = []
        self.rows, self.count_at = 0, 0.0

    def say(self, text: str) -> None:
        """One line of the report, now."""
        self.lines.append(f"{time.monotonic() - self.begun:7.1f} s  {text}")
        sys.stderr.write(self.lines[-1] + "\n")
        sys.stderr.flush()

    def blow(self, first: Sequence[tuple[str, str]], count: int) -> None:
        """Blow after blow, until the time is up and so many have fallen."""
        if self.wish.glass:
            self.product.look()
        healing = oracles.Healing(self.product)
        healing.begin()
        healing.await_all()
        self.note_database()
        self.say(f"all are up: {', '.join(sorted(healing.expected))}")
        end = time.monotonic() + 60.0 * self.wish.minutes
        drawn = rounds(self.wish.seed, first, apart=self.wish.brokers > 0)
        for number, each in enumerate(drawn):
            if number >= count and time.monotonic() >= end:
                return
            self.strike(each, healing)

    def strike(self, each: Round, healing: oracles.Healing) -> None:
        """Blows that fall together, and what must be when they are over."""
        self.note_database()
        time.sleep(each.pause)
        falling = list(each.blows)
        for one in falling:
            hit = self.product.begin(one)
            if not hit:
                self.say(f"{one}: there is no such process at this moment")
        begun = time.monotonic()
        for one in sorted(falling, key=lambda one: one.seconds):
            while (left := begun + one.seconds - time.monotonic()) > 0:
                self.hold(self.memory.look())
                time.sleep(min(left, 0.5))
            self.product.end(one)
        healing.begin()
        try:
            seen, seconds = healing.await_all()
        except AssertionError as error:
            raise AssertionError(f"{each}: {error}") from error
        self.seen.append(seen)
        self.healed.append(seconds)
        equal, wrong = oracles.pages(self.product)
        self.equal.append(equal)
        self.hold(wrong)
        self.hold(oracles.readers(self.product))
        self.hold(oracles.processes(self.product))
        self.hold(self.memory.look())
        self.count()
        self.say(
            f"{each}: pages live in {seen:.1f} s, all up in {seconds:.1f} s, then equal in "
            f"{equal:.1f} s; {self.rows:,} rows whole"
        )

    def hold(self, wrong: str) -> None:
        """An oracle's answer."""
        assert not wrong, wrong

    def note_database(self) -> None:
        """Each life of Kafka's stand-in has a record of its own."""
        name = self.product.run["database"]
        if name not in self.databases:
            self.databases.append(name)
            self.count_at = 0.0
            self.product.publish_walker()  # Each log must know the instrument.

    def count(self) -> None:
        """The record's account, unless that would take too much of the time."""
        self.note_database()
        if time.monotonic() < self.count_at:
            return
        begun = time.monotonic()
        self.rows, wrong = oracles.record(self.product)
        self.hold(wrong)
        self.count_at = time.monotonic() + (time.monotonic() - begun) / COUNT_SHARE

    def judge(self) -> None:
        """What must hold in the end."""
        product = self.product
        self.note_database()
        with product.quiet():
            self.hold(oracles.await_record(product))
            for database in self.databases:
                rows, wrong = oracles.record(product, database)
                self.hold(wrong)
                self.hold(oracles.good(product, database))
                self.say(f"{database}: {rows:,} rows, every offset once, from first to last")
            self.prove("verify", "--afresh", "--database", self.databases[-1])
            kafka = ("--kafka", product.run["kafka"])
            self.prove("rebuild", "--database", self.databases[-1], *kafka)
            for database in self.databases[:-1]:
                self.prove("verify", "--afresh", "--database", database)
        peaks = sorted(self.memory.peaks.items())
        said = ", ".join(f"{kind} {size / oracles.MB:.0f}" for kind, size in peaks)
        self.say(f"most memory in MB: {said}")

    def prove(self, *words: str) -> None:
        """A command of `audit`."""
        said, wrong = oracles.audit(self.product, *words)
        self.hold(wrong and f"audit {' '.join(words)}: {wrong}")
        self.say(f"audit {words[0]}: {said}")

    def end(self) -> None:
        """End the product; nobody may be left."""
        self.product.processes()
        self.product.close()
        left = self.product.left()
        self.hold(f"left behind: {', '.join(left)}" if left else "")
        self.say(f"ended; none of {len(self.product.seen)} processes is left")

    def report(self) -> str:
        """The whole of it."""
        seen, healed = (_spread(found) for found in (self.seen, self.healed))
        verdict = (
            f"{len(self.healed)} blows healed: pages live in {seen}, all up in {healed}; pages "
            f"equal to the mirror within {max(self.equal):.1f} s; seed {self.wish.seed}"
        )
        return "\n".join([*self.lines, verdict])


def _spread(found: list[float]) -> str:
    middle = sorted(found)[len(found) // 2]
    return f"{middle:.1f} s at the median and {max(found):.1f} at most"


def run(wish: Wish, first: Sequence[tuple[str, str]] = (), count: int = 0) -> str:
    """One storm; its report, or AssertionError with what repeats it. `count`: blows at least."""
    folder = Path(tempfile.mkdtemp(prefix="tickglass-storm-"))
    storm = None
    try:
        storm = Storm(wish, folder)
        storm.blow(first, count)
        storm.judge()
        storm.end()
    except (AssertionError, ArchiveError, BusError, OSError, RuntimeError) as error:
        told = "\n".join(storm.lines) if storm else ""
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        raise AssertionError(
            f"{told}\nFAILED  {kind}{error}\nseed {wish.seed}; logs: {folder}\n"
            f"to repeat: {wish.command}"
        ) from error
    finally:
        if storm is not None:
            with contextlib.suppress(RuntimeError):
                storm.product.close()
    shutil.rmtree(folder, ignore_errors=True)
    return storm.report()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./tickglass storm", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=RATE, help="events a second")
    parser.add_argument("--kafka", choices=("standin", "real"), default="standin")
    parser.add_argument("--brokers", type=int, default=1, help="of a real Kafka")
    parser.add_argument("--pages", type=int, default=PAGES, help="that look, without a browser")
    parser.add_argument("--no-glass", action="store_true", help="no browser looks")
    given = parser.parse_args()
    brokers = given.brokers if given.kafka == "real" else 0
    wish = Wish(given.seed, given.minutes, given.rate, brokers, given.pages, not given.no_glass)
    try:
        sys.stdout.write(run(wish) + "\n")
    except AssertionError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
