"""Rule: one partition's log of the Kafka stand-in. The newest in memory, what is needed on disk.

What falls out of memory is forgotten, unless a group that commits has not come so far, or had not
REREAD_SECONDS ago: then it goes to disk, where it stays until it is no longer needed or the disk's
share is full. So calm weather writes nothing, and an outage of whoever commits costs disk, not
memory. The files have no names: the space is free again when the process ends, however it ends.
"""

import contextlib
import os
import tempfile
from bisect import bisect_right
from collections import deque
from pathlib import Path
from struct import Struct
from typing import NamedTuple

CHUNK_BYTES = 1 << 18  # Written at once, and read at once: 0.1 ms for whoever waits meanwhile.
KEPT_OF_FULL = 15 / 16  # How much stays when the oldest must go: seldom, and then many at once.
# A reader that died goes back to its last checkpoint: the recorder makes one each 10 s.
REREAD_SECONDS = 12.0
SEGMENT_BYTES = 64 << 20  # Of a file: 300 of them are ten minutes of 500,000 events a second.
DISK_BYTES_MAX = 24 << 30  # 600 s x 500,000 events/s x 64 bytes and their batches' heads: 20 GB.
FREE_BYTES_MIN = 2 << 30  # Left to the others on that disk.
BATCH_TIME_AT = 35  # Of a batch of records: the greatest time in it.
_TIME = Struct(">q")


class Segment:
    """A file without a name; it goes when nobody refers to it any more."""

    __slots__ = ("_file", "size")

    def __init__(self, folder: Path) -> None:
        """OSError where the disk is full or will not have it."""
        free = os.statvfs(folder)
        if free.f_bavail * free.f_frsize < FREE_BYTES_MIN + SEGMENT_BYTES:
            raise OSError(f"less than {FREE_BYTES_MIN >> 30} GB are free in {folder}")
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self.size = 0

    def write(self, pieces: list[bytes]) -> int:
        """Append, all or none; where it begins. OSError."""
        at, body = self.size, b"".join(pieces)
        if os.pwrite(self._file.fileno(), body, at) != len(body):
            raise OSError("the disk is full")
        self.size += len(body)
        return at

    def read(self, at: int, size: int) -> bytes:
        """What stands there."""
        return os.pread(self._file.fileno(), size, at)

    def __del__(self) -> None:
        """Give the space back."""
        with contextlib.suppress(AttributeError):  # It could not even be opened.
            self._file.close()


class Chunk(NamedTuple):
    """Successive batches of a partition on disk."""

    base: int  # Offset of the first record, and the offset behind the last one
    end: int
    position: int  # Bytes before it, counted from the log's birth
    time_ms: int
    segment: Segment
    at: int
    size: int


class Disk:
    """The share of the disk that all partitions have together."""

    def __init__(self, folder: Path, bytes_max: int = DISK_BYTES_MAX) -> None:
        """Nothing is written yet."""
        self.folder, self.bytes_max = folder, bytes_max
        self.bytes = 0
        self._segment: Segment | None = None

    def keep(self, pieces: list[bytes]) -> tuple[Segment, int] | None:
        """Write; where it is, or None where there is no room."""
        size = sum(map(len, pieces))
        if self.bytes + size > self.bytes_max:
            return None
        try:
            if self._segment is None or self._segment.size >= SEGMENT_BYTES:
                self._segment = Segment(self.folder)
            at = self._segment.write(pieces)
        except OSError:
            return None
        self.bytes += size
        return self._segment, at


class Log:
    """One partition. `end` is the offset that comes next, `start` the oldest that is kept."""

    __slots__ = ("bases", "batches", "chunks", "disk", "end", "position", "positions", "read_by")

    def __init__(self, disk: Disk | None = None) -> None:
        """Empty; without a disk, what falls out of memory is forgotten."""
        self.bases: list[int] = []  # Offset of each batch's first record.
        self.positions: list[int] = []  # Bytes before each batch, counted from the log's birth.
        self.batches: list[bytes] = []  # Those in memory; the three are as long as each other.
        self.chunks: deque[Chunk] = deque()  # What lies before them on disk, without a hole.
        self.disk = disk
        # By group: when it wanted which offset next, of the last REREAD_SECONDS.
        self.read_by: dict[bytes, deque[tuple[float, int]]] = {}
        self.end = self.position = 0

    @property
    def start(self) -> int:
        """Oldest offset that can be read; `end` where there is none."""
        if self.chunks:
            return self.chunks[0].base
        return self.bases[0] if self.bases else self.end

    @property
    def kept_bytes(self) -> int:
        """Size of what is kept in memory."""
        return self.position - self.positions[0] if self.positions else 0

    def append(self, batch: bytes, records: int) -> None:
        """Keep a batch of so many records, its base offset being `end`."""
        self.bases.append(self.end)
        self.positions.append(self.position)
        self.batches.append(batch)
        self.end += records
        self.position += len(batch)

    def shrink(self, bytes_max: int) -> int:
        """Let the oldest go until at most `bytes_max` are in memory; the bytes gone. One stays.

        What is still needed goes to disk, and no more than must: each chunk is a stop for all.
        """
        before = self.kept_bytes
        beyond = bisect_right(self.positions, self.position - bytes_max * KEPT_OF_FULL - 1)
        many = min(beyond, len(self.batches) - 1)
        if self.disk is not None and self._needed < self.bases[many]:
            while self.kept_bytes > bytes_max and len(self.batches) > 1:
                if not self._move() and not self.chunks:  # No room, and none to be made.
                    break
            many = 0 if self.kept_bytes < before else many
        if many:
            self._forget(len(self.chunks))  # Older than what goes now.
            self._drop(many)
        return before - self.kept_bytes

    @property
    def _needed(self) -> int:
        """The oldest offset that a group may yet ask for."""
        return min((marks[0][1] for marks in self.read_by.values()), default=self.end)

    def _move(self) -> bool:
        """Move the oldest batches to disk, a chunk of them; where there is no room make some."""
        end = bisect_right(self.positions, self.positions[0] + CHUNK_BYTES - 1)
        count = min(end, len(self.batches) - 1)
        pieces = self.batches[:count]
        assert self.disk is not None
        place = self.disk.keep(pieces)
        if place is None:
            self._forget(1)
            return False
        size = sum(map(len, pieces))
        time_ms = max(_TIME.unpack_from(piece, BATCH_TIME_AT)[0] for piece in pieces)
        bases = self.bases[0], self.bases[count]
        self.chunks.append(Chunk(*bases, self.positions[0], time_ms, *place, size))
        self._drop(count)
        return True

    def _drop(self, many: int) -> None:
        del self.bases[:many], self.positions[:many], self.batches[:many]

    def _forget(self, many: int) -> None:
        for chunk in [self.chunks.popleft() for _ in range(min(many, len(self.chunks)))]:
            assert self.disk is not None
            self.disk.bytes -= chunk.size

    def committed(self, group: bytes, offset: int, now: float) -> None:
        """A group has come so far; what nobody needs any more leaves the disk."""
        marks = self.read_by.setdefault(group, deque())
        marks.append((now, offset))
        while len(marks) > 1 and marks[1][0] <= now - REREAD_SECONDS:
            marks.popleft()
        while self.chunks and self.chunks[0].end <= self._needed:
            self._forget(1)

    def bytes_from(self, offset: int) -> int:
        """Bytes to be read from the batch that holds `offset` on; it must be kept or the end."""
        if offset >= self.end:
            return 0
        if offset < self.bases[0]:
            return self.position - self._chunk(offset).position
        return self.position - self.positions[bisect_right(self.bases, offset) - 1]

    def _chunk(self, offset: int) -> Chunk:
        first = bisect_right(self.chunks, offset, key=lambda chunk: chunk.base) - 1
        return self.chunks[first]

    def read(self, offset: int, bytes_max: int) -> tuple[list[bytes], int]:
        """Batches from the one that holds `offset` on, as many as fit but one at least; bytes.

        From disk it is one chunk, which may begin with earlier batches: clients leave them out.
        """
        if offset < self.bases[0]:
            chunk = self._chunk(offset)
            return [chunk.segment.read(chunk.at, chunk.size)], chunk.size
        first = bisect_right(self.bases, offset) - 1
        begin = self.positions[first]
        if self.position - begin <= bytes_max:
            return self.batches[first:], self.position - begin
        last = max(bisect_right(self.positions, begin + bytes_max) - 1, first + 1)
        end = self.positions[last] if last < len(self.positions) else self.position
        return self.batches[first:last], end - begin

    def since(self, time_ms: int) -> tuple[int, int]:
        """Time and offset of the first batch with a record that old or younger; (-1, -1).

        On disk it is the first chunk with one.
        """
        for chunk in self.chunks:
            if chunk.time_ms >= time_ms:
                return chunk.time_ms, chunk.base
        for base, batch in zip(self.bases, self.batches, strict=True):
            (latest,) = _TIME.unpack_from(batch, BATCH_TIME_AT)
            if latest >= time_ms:
                return latest, base
        return -1, -1
