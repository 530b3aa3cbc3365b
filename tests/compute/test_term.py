"""Terms say of each instrument what exposure needs, with the class's word where its own is none."""

from compute.table import STALE_S
from compute.term import terms
from ingest.instrument import Instrument, Reference


def row(ident: int, **fields: object) -> Instrument:
    base = {"multiplier": 1.0, "asset_class": 0, "venue": "X", "currency": "USD"} | fields
    return Instrument(ident, f"S{ident}", tick=0.01, decimals=2, **base)


def test_a_mark_is_stale_when_its_row_says_so_or_else_its_class() -> None:
    reference = Reference([row(0), row(1, stale_s=2.5), row(3, asset_class=9)])
    stale_ms = terms(reference)["stale_ms"].tolist()
    assert stale_ms[:2] == [STALE_S[0] * 1e3, 2_500.0]
    assert stale_ms[2] != stale_ms[2], "no such instrument"
    assert stale_ms[3] == STALE_S[9] * 1e3
