"""Rule: a raw websocket capture of cryptofeed -> the messages that were received.

Lines: `epoch: {json}` was received; `url <-> epoch` connects, `url <- epoch: {json}` was sent, `url
-> epoch: {json}` answers a question by HTTP; the last line may hold the configuration. Only what
was received is a row. Numbers of a message stay text, so that none goes through a float.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ingest.feeds import blocks
from ingest.feeds.feed import Tally
from ingest.feeds.lines import whole_lines

_RECEIVED = re.compile(rb"(\d+)\.(\d{1,9}): (\{.*)")
_OTHER = re.compile(rb"\S+ (<->|<-|->) |configuration: ")
_ANSWER = re.compile(rb"\S+ -> [\d.]+: (\{.*)")


class Message(NamedTuple):
    """One message as it came; `line` is its line in the file."""

    line: int
    received_ns: int
    body: Any
    place: str
    data: bytes


def messages(path: Path, tally: Tally) -> Iterator[Message]:
    """Every message received. What is no line of a capture is refused, and reading goes on."""
    for line, text in _lines(path, tally):
        place = f"{path} line {line}"
        found = _RECEIVED.fullmatch(text)
        if found is None:
            if not _OTHER.match(text):
                tally.refuse(place, "not a line of a capture", text)
            continue
        try:
            body = json.loads(found[3], parse_float=str, parse_int=str)
        except ValueError as error:
            tally.refuse(place, str(error), text)
            continue
        received = int(found[1]) * 1_000_000_000 + int(found[2].ljust(9, b"0"))
        yield Message(line, received, body, place, text)


def answers(path: Path) -> Iterator[Any]:
    """What HTTP requests were answered with."""
    for _, text in _lines(path, Tally()):
        found = _ANSWER.fullmatch(text)
        if found:
            yield json.loads(found[1], parse_float=str)


def _lines(path: Path, tally: Tally) -> Iterator[tuple[int, bytes]]:
    number = 0
    for block in whole_lines(blocks.text(path, tally), str(path), tally):
        for line in block.splitlines():
            number += 1
            if line.strip():
                yield number, line


def identity(text: str) -> int:
    """60 bits of a hexadecimal id, which is longer than a `reference`."""
    return int(text.replace("-", "")[:15], 16)
