import gzip
import random
import zipfile

import zstandard

from ingest.feeds import blocks
from ingest.feeds.feed import Tally

TEXT = b"".join(b"%d,%d\n" % (i, i * i % 977) for i in range(60_000))


def archive(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    with zipfile.ZipFile(path) as file:
        return file.infolist()


def damage(path, at, length=64):
    data = bytearray(path.read_bytes())
    data[at : at + length] = random.Random(1).randbytes(length)
    path.write_bytes(data)


def test_whole_files_come_out_whole(tmp_path):
    (info,) = archive(tmp_path / "a.zip", {"a": TEXT})
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT[:5000]) + gzip.compress(TEXT[5000:]))
    (tmp_path / "a.zst").write_bytes(zstandard.compress(TEXT[:9]) + zstandard.compress(TEXT[9:]))
    (tmp_path / "a").write_bytes(TEXT)
    tally = Tally()
    for stream in (
        blocks.entry(tmp_path / "a.zip", info, tally),
        blocks.gzip(tmp_path / "a.gz", tally),
        blocks.zstd(tmp_path / "a.zst", tally),
        blocks.plain(tmp_path / "a"),
    ):
        assert b"".join(stream) == TEXT
    assert tally.refused_total == 0


def test_damage_in_a_zip_entry_costs_what_lies_behind_it_in_that_entry_only(tmp_path):
    path = tmp_path / "a.zip"
    first, second = archive(path, {"a": TEXT, "b": TEXT})
    damage(path, first.compress_size // 2)
    tally = Tally()
    read = b"".join(blocks.entry(path, first, tally))
    assert len(read) > len(TEXT) // 3
    assert TEXT.startswith(read[: len(TEXT) // 3])
    assert tally.refused_total == 1
    assert tally.refused[0].place.startswith(f"{path}!a")
    assert b"".join(blocks.entry(path, second, tally)) == TEXT
    assert tally.refused_total == 1


def test_a_cut_gzip_gives_what_is_there(tmp_path):
    packed = gzip.compress(TEXT)
    (tmp_path / "a.gz").write_bytes(packed[: len(packed) // 2])
    tally = Tally()
    read = b"".join(blocks.gzip(tmp_path / "a.gz", tally))
    assert len(read) > len(TEXT) // 3
    assert TEXT.startswith(read)
    assert [one.reason for one in tally.refused] == ["ends before its end"]


def test_a_false_value_is_told_by_the_checksum(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:  # Stored, so a byte may change unnoticed.
        file.writestr("a", TEXT)
        info = file.infolist()[0]
    damage(path, 1000, 1)
    tally = Tally()
    assert len(b"".join(blocks.entry(path, info, tally))) == len(TEXT)
    assert "checksum" in tally.refused[0].reason
