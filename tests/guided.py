"""The same doors as tests/fuzz.py, by inputs that coverage chooses: what reaches new code is kept.

    python -m tests.guided --inputs 1000000 --seed 7

libFuzzer, by atheris: branches of the modules in DOORS are counted; an input that takes a new one
is changed further, by libFuzzer's hand or by ours, which keeps frames and JSON whole enough to be
read. The first byte says through which door the rest goes. A failure prints the input and leaves
it in a file; `python -m tests.guided FILE` repeats it.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import atheris

DOORS = [  # Without kernels: Numba compiles functions as they are written.
    "ingest.frame",
    "ingest.address",
    "app.blocks.personal",
    "app.blocks.transport",
    "app.desks",
    "app.inquiry",
    "app.keeping",
    "app.moment",
    "app.portal",
    "app.push",
    "app.session",
    "app.table_file",
    "app.view",
]
INPUT_BYTES_MAX = 8_192
CORPUS = 240  # Inputs to begin with.
TICK_INPUTS = 64

with atheris.instrument_imports(include=DOORS, enable_loader_override=False):
    from app.keeping import Keeping
    from tests import fuzz
    from tests.app.test_keeping import Held
    from tests.app.test_session import Desk


class Doors:
    """All surfaces, and inputs as bytes of them."""

    def __init__(self, folder: Path) -> None:
        """A server's worth of state, which all inputs share."""
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(self._failed)
        keeping = Keeping(Held(), folder, count(1).__next__)
        self.desk = Desk(self.loop)
        self.surfaces = [
            fuzz.frames(),
            fuzz.acknowledgements(),
            fuzz.messages(self.desk),
            fuzz.addresses(keeping),
            fuzz.tables(),
            fuzz.desks(keeping),
        ]
        self.wrong: list[dict[str, Any]] = []
        self.inputs = 0

    def _failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.wrong.append(context)

    def surface(self, data: bytes) -> fuzz.Surface:
        """Which one the first byte means."""
        return self.surfaces[data[0] % len(self.surfaces)]

    def bytes_of(self, number: int, given: Any) -> bytes:
        """An input of tests/fuzz.py as bytes."""
        name = self.surfaces[number].name
        if name in ("messages", "desks"):
            given = json.dumps(given).encode()
        elif name == "addresses":
            given = bytes([given[0]]) + given[1].encode(errors="surrogatepass")
        return bytes([number]) + given

    def given(self, data: bytes) -> Any:
        """The way back; ValueError where these bytes say nothing."""
        name, rest = self.surface(data).name, data[1:]
        if name in ("messages", "desks"):
            return json.loads(rest)
        if name == "addresses":
            return rest[0] % 4 if rest else 0, rest[1:].decode(errors="replace")
        return rest

    async def _take(self, data: bytes) -> None:
        try:
            given = self.given(data)
        except (ValueError, RecursionError):
            return
        fuzz.take(self.surface(data), given)
        self.inputs += 1
        if self.inputs % TICK_INPUTS == 0:
            self.desk.hub.tick()
            await asyncio.sleep(0)  # What messages began goes on in the loop.

    def take(self, data: bytes) -> None:
        """One input of libFuzzer's."""
        if data:
            self.loop.run_until_complete(self._take(data))
        if self.wrong:
            raise AssertionError(str(self.wrong[:3]))

    def change(self, data: bytes, max_size: int, seed: int) -> bytes:
        """Three of four by our hand, from this input or anew; the fourth is libFuzzer's."""
        hand = fuzz.Hand(seed)
        if not data or seed % 4 == 0:
            return bytes(atheris.Mutate(data, max_size))
        number = data[0] % len(self.surfaces)
        try:
            given = self.given(data)
        except (ValueError, RecursionError):
            given = None
        if seed % 4 == 1 or given is None:
            changed = self.surfaces[number].make(hand)
        elif isinstance(given, bytes):
            changed = hand.of_bytes(given)
        elif isinstance(given, tuple):
            changed = given[0], hand.of_text(given[1])
        else:
            changed = hand.of_value(given)
        return self.bytes_of(number, changed)[:max_size]

    def corpus(self, folder: Path, seed: int) -> None:
        """What to begin with."""
        hand = fuzz.Hand(seed)
        for k in range(CORPUS):
            number = k % len(self.surfaces)
            data = self.bytes_of(number, self.surfaces[number].make(hand))
            folder.joinpath(str(k)).write_bytes(data[:INPUT_BYTES_MAX])


def main() -> None:
    """The command; libFuzzer ends the process."""
    words = argparse.ArgumentParser(description="Inputs that coverage chooses.")
    words.add_argument("--inputs", type=int, default=1_000_000)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("file", nargs="?", help="an input to repeat")
    asked = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tickglass-guided-"))
    doors, corpus = Doors(folder), folder / "corpus"
    corpus.mkdir()
    doors.corpus(corpus, asked.seed)
    options = [f"-runs={asked.inputs}", f"-seed={asked.seed}", f"-max_len={INPUT_BYTES_MAX}"]
    options += ["-timeout=60", "-rss_limit_mb=4096", f"-artifact_prefix={folder}/"]
    options.append(asked.file or str(corpus))
    atheris.Setup([sys.argv[0], *options], doors.take, custom_mutator=doors.change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
