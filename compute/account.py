"""Rule: the record's account: rows, offsets, and each hole or double there is, by partition."""

from collections.abc import Sequence
from typing import NamedTuple

from compute.archive import Archive

NAMED_MAX = 5  # Holes and doubles that a count names per partition.


class Count(NamedTuple):
    """What is on record of one partition, and all that is wrong with it."""

    topic: int
    partition: int
    rows: int
    first: int
    last: int
    offsets: int  # distinct
    holes: int  # offsets between first and last that no row has
    doubles: int  # rows beyond one for each (offset, index)
    torn: int  # indexes missing below an offset's highest
    named: tuple[str, ...]  # the first of them, for people


def count(archive: Archive) -> list[Count]:
    """Every partition on record: rows, offsets, and each hole or double there is."""
    found = archive.rows(
        "SELECT topic, partition, sum(n), min(offset), max(offset), count(), "
        "sum(n - d), sum(m + 1 - d) FROM (SELECT topic, partition, offset, count() AS n, "
        "uniqExact(`index`) AS d, max(`index`) AS m "
        f"FROM {archive.database}.events GROUP BY topic, partition, offset "
        "SETTINGS optimize_aggregation_in_order = 1) "
        "GROUP BY topic, partition ORDER BY topic, partition"
    )
    counts = []
    for topic, part, rows, first, last, offsets, doubles, torn in found:
        holes = last - first + 1 - offsets
        one = Count(topic, part, rows, first, last, offsets, holes, doubles, torn, ())
        counts.append(one._replace(named=_named(archive, one)))
    return counts


def _named(archive: Archive, count: Count) -> tuple[str, ...]:
    place = f"topic = {count.topic} AND partition = {count.partition}"
    where = f"{archive.database}.events WHERE {place}"
    named = []
    if count.holes:
        found = archive.rows(
            "SELECT before + 1, offset - 1 FROM (SELECT offset, lagInFrame(offset, 1, offset) "
            f"OVER (ORDER BY offset) AS before FROM (SELECT DISTINCT offset FROM {where})) "
            f"WHERE offset > before + 1 ORDER BY offset LIMIT {NAMED_MAX}"
        )
        named += [f"hole {a}" if a == b else f"hole {a} to {b}" for a, b in found]
    if count.doubles or count.torn:
        found = archive.rows(
            "SELECT offset, count() AS n, uniqExact(`index`) AS d, max(`index`) AS m "
            f"FROM {where} GROUP BY offset HAVING n > d OR m + 1 > d "
            f"ORDER BY offset LIMIT {NAMED_MAX}"
        )
        for offset, rows, distinct, highest in found:
            if rows > distinct:
                named.append(f"offset {offset} has {rows - distinct} rows twice")
            if highest + 1 > distinct:
                named.append(f"offset {offset} lacks {highest + 1 - distinct} rows")
    return tuple(named)


def describe(counts: Sequence[Count]) -> str:
    """A table for people, one line a partition, and a verdict that names what is wrong."""
    heads = (
        "topic",
        "partition",
        "rows",
        "first",
        "last",
        "offsets",
        "holes",
        "doubles",
    )
    widths = (5, 9, 14, 12, 12, 12, 7, 7)
    lines = [" ".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True))]
    lines += [
        f"{c.topic:>5} {c.partition:>9} {c.rows:>14,} {c.first:>12,} {c.last:>12,} "
        f"{c.offsets:>12,} {c.holes + c.torn:>7,} {c.doubles:>7,}"
        for c in counts
    ]
    wrong = [
        f"topic {c.topic} partition {c.partition}: {', '.join(c.named)}" for c in counts if c.named
    ]
    rows = sum(c.rows for c in counts)
    if wrong:
        return "\n".join([*lines, *wrong])
    verdict = f"{rows:,} rows, every offset from first to last is there, none twice"
    return "\n".join([*lines, verdict if counts else "nothing is on record yet"])
