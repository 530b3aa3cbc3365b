"""Rule: what a trade is good for, by its tape and its sale conditions; a table with versions.

No plan of a tape defines VWAP, so this table does, and its version stands in the reference data of
each instrument: a change makes a new version, never another meaning of an old one. Volume counts
what was dealt; VWAP, and with it last, high and low, only prices of now by the common terms.
Version 1 takes odd lots into VWAP, version 2 leaves them out. A condition that the table does not
know counts in volume alone: it may be anything.

A reader of a feed judges by every version and writes what it found on the event: INELIGIBLE where
no version takes the trade, else the versions that leave it out (`left_out`, EVENT of a TRADE). The
engine holds that against the instrument's own version, so a change of the reference row counts
from the next trade on, for every feed; trades already counted stay as they were counted.
"""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from ingest.event import Flag

VERSIONS = (1, 2)


class Use(NamedTuple):
    """What a trade counts in, and whether it came out of an auction."""

    counts_volume: bool = True
    counts_vwap: bool = True
    auction: bool = False


NORMAL = Use()
AUCTION = Use(auction=True)
VOLUME = Use(counts_vwap=False)
NOTHING = Use(counts_volume=False, counts_vwap=False)
UNKNOWN = VOLUME


def _uses(**words: str) -> dict[str, Use]:
    """Conditions, separated by spaces, by what they are good for."""
    kinds = {"normal": NORMAL, "auction": AUCTION, "volume": VOLUME, "nothing": NOTHING}
    return {word: kinds[kind] for kind, text in words.items() for word in text.split()}


# Letters as in the CTS and UTP specifications. Out of VWAP: average price (CTA B, UTP W), cash C,
# next day N, seller R, price variation H, bunched sold (UTP G), sold last L, out of sequence Z,
# form T (T, U), prior reference P, contingent V, qualified contingent 7, derivatively priced 4,
# rule 127 or 155 K, UTP acquisition A and distribution D. M, Q, 9 repeat the auctions' volume. The
# same letter may differ: B is an average price on CTA, and one print for many on UTP.
_CTA = _uses(
    normal="@ E F I X 8 1 S Y",
    auction="O 5 6",
    volume="B C H K L N P R T U V Z 4 7",
    nothing="M Q 9",
)
_UTP = {**_CTA, **_uses(normal="B", volume="A D G W")}
# Bits of Lean's TradeConditionFlags. "thru" is exempt from the trade-through rule.
_LEAN_BITS = (
    *("regular", "cash", "next_day", "seller", "yellow", "sweep", "open", "close", "reopen"),
    *("derivative", "form_t", "sold", "stopped", "extended", "out_of_sequence", "split"),
    *("acquisition", "bunched", "stock_option", "distribution", "average", "cross"),
    *("price_variation", "rule_155", "official_close", "prior_reference", "official_open"),
    *("cap_election", "automatic", "thru", "undocumented", "odd_lot"),
)
_LEAN = _uses(
    normal="regular yellow sweep stopped split cross cap_election automatic thru undocumented "
    "odd_lot",
    auction="open close reopen",
    volume="cash next_day seller derivative form_t sold extended out_of_sequence acquisition "
    "bunched stock_option distribution average price_variation rule_155 prior_reference",
    nothing="official_close official_open",
)
# MMT flags of MiFID II: trading mode, market mechanism, and whatever says that the price was not
# made in the book. Modes 4 to 7: out of main session, reported on or off exchange, internaliser.
_MMT = _uses(
    normal="mode- mode2 mode3 mechanism- mechanism1 mechanism2 mechanism3 mechanism5 mechanism6 "
    "mechanism7 mechanism8",
    auction="mode1 modeO modeK modeI modeU",
    volume="mode4 mode5 mode6 mode7 mechanism4 negotiated benchmark deferred",
)
_EXCHANGES = {
    "IFEU": _uses(volume="leg block"),
    "DTCC": _uses(volume="package nonstandard novation late"),
}
TABLES = {"CTA": _CTA, "UTP": _UTP, "LEAN": _LEAN, "MMT": _MMT, **_EXCHANGES}
_ODD_LOTS = {("CTA", "I"), ("UTP", "I"), ("LEAN", "odd_lot")}


def use(tape: str, condition: str, version: int = 1) -> Use:
    """What a trade with one condition is good for; KeyError where there is no such tape."""
    if version not in VERSIONS:
        raise KeyError(f"no version {version} of the VWAP table; there are {VERSIONS}")
    if version == 2 and (tape, condition) in _ODD_LOTS:
        return VOLUME
    return TABLES[tape].get(condition, UNKNOWN)


def judge(tape: str, conditions: Iterable[str], version: int = 1) -> Use:
    """What a trade with all of `conditions` is good for; with none, for everything."""
    uses = [use(tape, condition, version) for condition in conditions]
    return Use(
        all(one.counts_volume for one in uses),
        all(one.counts_vwap for one in uses),
        any(one.auction for one in uses),
    )


def flags(tape: str, conditions: Iterable[str]) -> int:
    """The event's flags: INELIGIBLE (by every version), AUCTION; see `use` for errors."""
    words = list(conditions)
    by_version = [judge(tape, words, version) for version in VERSIONS]
    ineligible = Flag(0) if any(one.counts_vwap for one in by_version) else Flag.INELIGIBLE
    return int(ineligible | (Flag.AUCTION if by_version[0].auction else Flag(0)))


def left_out(tape: str, conditions: Iterable[str]) -> float:
    """The event's `left_out`: bits of the versions by which it counts in volume alone."""
    words = list(conditions)
    return float(sum(bit(v) for v in VERSIONS if not judge(tape, words, v).counts_vwap))


def bit(version: int) -> int:
    """Of a version in `left_out`."""
    return 1 << (version - 1)


class Masks(NamedTuple):
    """Of a tape whose conditions are bits: which bits make a trade so."""

    ineligible: int
    auction: int
    silent: int  # No volume of its own.


@cache
def lean_masks(version: int = 1) -> Masks:
    """The table for Lean's bits, so that arrays are judged at once."""
    uses = [use("LEAN", name, version) for name in _LEAN_BITS]
    return Masks(
        sum(1 << bit for bit, one in enumerate(uses) if not one.counts_vwap),
        sum(1 << bit for bit, one in enumerate(uses) if one.auction),
        sum(1 << bit for bit, one in enumerate(uses) if not one.counts_volume),
    )
