"""Door: checkpoints of an engine in a folder, so that a killed recorder need not begin anew.

A checkpoint is the engine's state with the positions (last offset taken of each partition) and
whatever else its owner notes. It is written beside, synced, and renamed: a file is whole or it is
not there. A checkpoint is a convenience: all it holds can be made again from the log.
"""

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from compute.flat import flat

KEPT = 3  # The newest may be ahead of what is on record; the one before is not.
_HEAD = struct.Struct("<8sII")  # magic, note bytes, crc32 of the rest
_MAGIC = b"TGcheck1"

Positions = dict[tuple[int, int], int]


class Checkpoint(NamedTuple):
    """Engine state as of `positions`; `note` is JSON of its owner's."""

    positions: Positions
    note: dict[str, Any]
    state: bytes | memoryview


class Checkpoints:
    """The checkpoints of one worker in `folder`."""

    def __init__(self, folder: Path, worker: int = 0) -> None:
        """The folder is made when first written to."""
        self.folder, self.worker = folder, worker

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one, whole or not at all, and drop all but the newest KEPT. OSError if it fails."""
        self.folder.mkdir(parents=True, exist_ok=True)
        known = self._files()
        number = int(known[-1].stem.split("-")[-1]) + 1 if known else 1
        path = self.folder / f"record-{self.worker}-{number:09}.checkpoint"
        beside = path.with_suffix(".part")
        with beside.open("wb") as file:
            file.write(pack(checkpoint))
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        for old in known[: len(known) + 1 - KEPT]:
            old.unlink(missing_ok=True)

    def newest(self, recorded: Positions) -> Checkpoint | None:
        """The newest whole one that is nowhere beyond `recorded`, or None."""
        for path in reversed(self._files()):
            try:
                checkpoint = unpack(path.read_bytes())
            except (OSError, ValueError):
                continue  # Torn by a fault of the disk: an older one, or none, will do.
            beyond = any(
                offset > recorded.get(place, -1) for place, offset in checkpoint.positions.items()
            )
            if not beyond:
                return checkpoint
        return None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"record-{self.worker}-*.checkpoint"))


def pack(checkpoint: Checkpoint) -> memoryview:
    """Bytes of a checkpoint, guarded by a checksum."""
    positions = [[*place, offset] for place, offset in sorted(checkpoint.positions.items())]
    text = json.dumps({"positions": positions, "note": checkpoint.note}).encode()
    checksum = _checksum(text, checkpoint.state)
    return flat([_HEAD.pack(_MAGIC, len(text), checksum), text, checkpoint.state])


def unpack(data: bytes | memoryview) -> Checkpoint:
    """Inverse of `pack`; ValueError where the bytes are torn."""
    if len(data) < _HEAD.size:
        raise ValueError("checkpoint is torn: shorter than its head")
    magic, size, checksum = _HEAD.unpack_from(data)
    body = memoryview(data)[_HEAD.size :]
    text, state = bytes(body[:size]), body[size:]
    if magic != _MAGIC or size > len(body) or _checksum(text, state) != checksum:
        raise ValueError("checkpoint is torn: its checksum does not fit")
    whole = json.loads(text)
    positions = {(topic, part): offset for topic, part, offset in whole["positions"]}
    return Checkpoint(positions, whole["note"], state)


def _checksum(text: bytes, state: bytes | memoryview) -> int:
    # The length comes first: without it, where text ends and state begins would be unguarded.
    return zlib.crc32(state, zlib.crc32(text, len(text)))
