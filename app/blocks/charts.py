"""Shape: charts that the server makes of the record and of what is live, see app/figures.py.

Each says what it is and how far back it begins; the page asks for it at the width it has. All of
them follow the instrument that is selected, but those of the whole fund.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.blocks.block import Block
from compute.table import BOOK_NAMES
from ingest.instrument import AssetClass


@dataclass(frozen=True, slots=True)
class Timed(Block):
    """A chart over time: `spans` are the minutes that a trader may choose, `span` the first."""

    span: int = 120
    spans: Sequence[int] = (30, 120, 480, 1_440)

    def spec(self) -> dict[str, Any]:
        """Minutes, and what they are called."""
        return Block.spec(self) | {
            "span": self.span,
            "spans": [
                [minutes, f"{minutes} m" if minutes < 60 else f"{minutes // 60} h"]
                for minutes in self.spans
            ],
            "books": list(BOOK_NAMES),
        }


@dataclass(frozen=True, slots=True)
class Candles(Timed):
    """Open, high, low and close with volume and VWAP of the selected instrument."""

    title: str = "Candles"

    kind = "candles"


@dataclass(frozen=True, slots=True)
class Lines(Timed):
    """The instruments last selected, each as change since the left edge."""

    title: str = "Compared"
    note: str = "% since the left edge"

    kind = "lines"


@dataclass(frozen=True, slots=True)
class PnlCurve(Timed):
    """P&L of the fund or of one book, from the record and live."""

    title: str = "P&L"
    note: str = "USD k"

    kind = "pnl"


@dataclass(frozen=True, slots=True)
class Depth(Block):
    """Best bid and ask, and what traded at each price: the engine keeps no deeper book."""

    title: str = "Ladder"
    note: str = "top of book · volume of 5 m by price"

    kind = "depth"


@dataclass(frozen=True, slots=True)
class Smile(Block):
    """Implied volatility by strike: what the market's bid and ask imply, and the fitted smile."""

    title: str = "Smile"
    note: str = "IV % by strike"

    kind = "smile"


@dataclass(frozen=True, slots=True)
class Ladder(Block):
    """Greeks of calls and puts by strike, of one expiry."""

    title: str = "Greeks"
    note: str = "per unit"

    kind = "ladder"


@dataclass(frozen=True, slots=True)
class Heatmap(Block):
    """P&L, net or gross by book and asset class."""

    title: str = "Book by class"
    note: str = "USD k"

    kind = "heatmap"

    def spec(self) -> dict[str, Any]:
        """Names of the rows and columns."""
        codes = [item.code for item in AssetClass]
        return Block.spec(self) | {"books": list(BOOK_NAMES), "codes": codes}


@dataclass(frozen=True, slots=True)
class PositionMap(Block):
    """The largest positions: area is gross value, tint is P&L over it."""

    title: str = "Positions"
    note: str = "area gross · tint P&L / gross"

    kind = "position_map"

    def spec(self) -> dict[str, Any]:
        """Names of books."""
        return Block.spec(self) | {"books": list(BOOK_NAMES)}
