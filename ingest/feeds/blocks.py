"""Rule: a file, or an entry of a zip -> blocks of its plain bytes, as far as it is whole.

Damage ends a stream with one refusal. What decoded before it is handed out to the last byte, and
what lies beside it (other entries, other files) is not touched by it.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipInfo

import zstandard

from ingest.feeds.feed import Tally

PLAIN_BYTES = 128 << 10  # A block of text: some thousand lines.
PACKED_BYTES = 16 << 10  # Tick data pack 8 to 15 times, so a block again.
_ENTRY_HEAD = struct.Struct("<26xHH")


def plain(path: Path) -> Iterator[bytes]:
    """Blocks of a file as it is."""
    with path.open("rb") as file:
        while block := file.read(PLAIN_BYTES):
            yield block


def entry(path: Path, info: ZipInfo, tally: Tally) -> Iterator[bytes]:
    """Blocks of one entry of a zip. Its checksum is looked at last: bad lines are found by line."""
    place = f"{path}!{info.filename}"
    if info.compress_type not in (ZIP_DEFLATED, ZIP_STORED) or info.flag_bits & 1:
        tally.refuse(place, "packed by a method other than deflate, or encrypted")
        return
    packed = _cut(path, info)
    checksum, size, refused = 0, 0, tally.refused_total
    stored = info.compress_type == ZIP_STORED
    for block in packed if stored else _inflate(packed, -zlib.MAX_WBITS, place, tally):
        checksum = zlib.crc32(block, checksum)
        size += len(block)
        yield block
    if tally.refused_total == refused and (size, checksum) != (info.file_size, info.CRC):
        # Damage may unpack to other bytes without an error.
        what = f"{size} bytes of {info.file_size}" if size != info.file_size else "all bytes"
        tally.refuse(place, f"the checksum does not fit ({what}): some lines of it are not true")


def gzip(path: Path, tally: Tally) -> Iterator[bytes]:
    """Blocks of a gzip file, of one member or many."""
    return _inflate(_pieces(path), zlib.MAX_WBITS | 16, str(path), tally)


def text(path: Path, tally: Tally) -> Iterator[bytes]:
    """Blocks of a file of text that may be packed by gzip."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip(path, tally) if packed else plain(path)


def zstd(path: Path, tally: Tally) -> Iterator[bytes]:
    """Blocks of a Zstandard file, of one frame or many."""
    with path.open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        size = 0
        try:
            while block := reader.read(PLAIN_BYTES):
                size += len(block)
                yield block
        except zstandard.ZstdError as error:
            tally.refuse(f"{path} byte {size} unpacked", f"damaged: {error}")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PACKED_BYTES):
            yield piece


def _cut(path: Path, info: ZipInfo) -> Iterator[bytes]:
    """Packed bytes of a zip entry: behind its own head, whose name and extra field may differ."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = _ENTRY_HEAD.unpack(file.read(_ENTRY_HEAD.size).ljust(_ENTRY_HEAD.size, b"\0"))
        file.seek(name + extra, 1)
        left = info.compress_size
        while left > 0 and (piece := file.read(min(left, PACKED_BYTES))):
            left -= len(piece)
            yield piece


def _inflate(pieces: Iterator[bytes], bits: int, place: str, tally: Tally) -> Iterator[bytes]:
    decoder = zlib.decompressobj(bits)
    size = 0
    for piece in pieces:
        packed = piece
        while packed:
            if decoder.eof:  # The next member of a gzip file.
                decoder = zlib.decompressobj(bits)
            spare = decoder.copy()
            try:
                block = decoder.decompress(packed)
            except zlib.error as error:
                block = b"".join(_until_damage(spare, packed))
                tally.refuse(f"{place} byte {size + len(block)} unpacked", f"damaged: {error}")
                yield block
                return
            size += len(block)
            yield block
            packed = decoder.unused_data if bits > 0 else b""
    if not decoder.eof:
        tally.refuse(f"{place} byte {size} unpacked", "ends before its end")


def _until_damage(decoder: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    """What is packed before the byte at which it cannot be decoded."""
    with suppress(zlib.error):
        for i in range(len(packed)):
            yield decoder.decompress(packed[i : i + 1])
