"""Rule: how a column of `compute.table` is set in a grid; what it means stays in the table.

What enters is a table and the column names that a layout wrote; what leaves is plain JSON for the
page. The painter knows only what is said here: width, place on the decimal point, and the order in
which columns go when the panel is narrow (`drop` 0 never goes, the highest goes first). `inputs`
are the columns that a hover card shows beside a value: what it was made of.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from app.quant import COLUMNS
from compute.quant import QUANT_OF
from compute.quant_read import nearest
from compute.table import (
    INSTRUMENTS,
    POSITIONS,
    TABLES,
    Column,
    MarkSource,
    Model,
    Smile,
    State,
    Table,
)
from ingest.instrument import AssetClass

# Rows of the second table are those of the first, so one feed may name columns of both.
BESIDE = {"instruments": "analytics", "positions": "risk"}


# Dealt in face or notional: a desk of these alone reads quantities in millions.
IN_MILLIONS = frozenset((AssetClass.FX, AssetClass.GOVERNMENT_BOND, AssetClass.CREDIT))

# Of one unit: 0.00047; of a million 470, as dealers say it.
_OF_A_UNIT = frozenset(("dv01", "cs01"))
# Six decimals beside five figures before the point; sizes in billions of the smallest coins.
_COINS = frozenset((AssetClass.CRYPTO_SPOT, AssetClass.CRYPTO_PERPETUAL))
_MORE_OF_COINS = {"price": 8, "quantity": 18}


@dataclass(frozen=True, slots=True)
class Setting:
    """Widths in px at the one type size. `flash`: a change of the value is worth a look."""

    width: int
    drop: int = 0
    flash: bool = False
    quiet: bool = False  # Secondary: drawn in text2.
    signed: bool = False
    places: int | None = None  # Decimals, where the format leaves them open.
    cost: bool = False  # Above 0 is worse: orange.
    arrow: bool = False  # A rise or a fall has its arrow.
    format: str = ""  # Another one than the table's.
    head: str = ""  # A shorter one, where the panel says the rest.


_BY_FORMAT = {
    "price": Setting(82, drop=1, quiet=True),
    "quantity": Setting(90, drop=2),  # -999,999,999
    "percent": Setting(60, drop=1, quiet=True),
    "basis_points": Setting(70, signed=True),
    "money_k": Setting(68, signed=True),
    "money_m": Setting(66, signed=True),
    "count": Setting(56, drop=2, quiet=True),
    "moment": Setting(54),
    "flags": Setting(0),
    "number": Setting(70, drop=2, quiet=True, places=4),
}
_VOLATILITY = Setting(62, drop=1, quiet=True, places=2)
_KEY_RATE = Setting(60, drop=2, signed=True)
_LIMIT = Setting(84, drop=2, format="amount")
_BY_NAME = {
    "bid": Setting(82, flash=True),
    "ask": Setting(82, flash=True),
    "last": Setting(82, flash=True),
    "bid_size": Setting(70, drop=3, quiet=True),  # 25,000,000
    "ask_size": Setting(70, drop=3, quiet=True),
    "last_size": Setting(74, drop=3, quiet=True),
    "change": Setting(62, signed=True, arrow=True),
    "vwap_30m": Setting(82, drop=3, quiet=True),
    "vwap_ex": Setting(84, drop=4, quiet=True),
    "gap_overnight": Setting(58, drop=3, signed=True),
    "position": Setting(84),  # -999,999,999
    "quantity": Setting(90),
    "pnl": Setting(68, flash=True, signed=True),
    "exposure": Setting(66, flash=True, signed=True),
    "net": Setting(56, signed=True),
    "gross": Setting(58, drop=1),
    "positions": Setting(44, drop=2, quiet=True),
    "volume": Setting(86, drop=2, quiet=True),  # 9,999,999,999
    "volatility": Setting(72, drop=1, quiet=True),
    "realised": Setting(84, drop=1, quiet=True),
    "trades": Setting(76, drop=4, quiet=True),  # A total of 99,999,999
    "gaps": Setting(44, drop=5, quiet=True),
    "mark_source": Setting(62, drop=3, quiet=True, format="code"),
    "ts_mark": Setting(66, drop=4),
    "implied": _VOLATILITY,
    "implied_bid": Setting(66, drop=6, quiet=True, places=2),
    "implied_ask": Setting(66, drop=6, quiet=True, places=2),
    "smile": Setting(66, drop=3, quiet=True, places=2),
    "delta": Setting(62, places=3, signed=True),
    "gamma": Setting(76, drop=2, quiet=True, places=6),
    "vega": Setting(66, drop=1, places=4, quiet=True),
    "theta": Setting(66, drop=1, places=4, quiet=True, signed=True),
    "rho": Setting(70, drop=5, places=5, quiet=True),
    "underlying_price": Setting(72, drop=4, quiet=True, places=2),
    "forward": Setting(72, drop=5, quiet=True, places=2),
    "smile_age_s": Setting(70, drop=6, quiet=True, places=0),
    "yield": Setting(62, places=3),
    "accrued": Setting(66, drop=3, quiet=True, places=4),
    "duration": Setting(58, drop=1, quiet=True, places=2),
    "dv01": Setting(112, places=6),  # A JGB future: 123,760 yen.
    "cs01": Setting(76, drop=2, places=6, quiet=True),
    "z_spread_bp": Setting(60, drop=1, signed=True),
}
_BY_TABLE: dict[str, dict[str, Setting]] = {
    "positions": {
        "book": Setting(118, drop=0, quiet=True, format="book"),
        "average": Setting(82, drop=3, quiet=True),
        "realised": Setting(74, drop=2, signed=True),
        "unrealised": Setting(86, drop=2, signed=True),
        "day_pnl": Setting(72, signed=True),
        "overnight": Setting(76, drop=1, signed=True),
        "intraday": Setting(70, drop=1, signed=True),
        "exit_value": Setting(82, drop=3, signed=True),
        "dividends": Setting(78, drop=3, signed=True),
        "coupons": Setting(74, drop=3, signed=True),
        "fees": Setting(54, drop=3, quiet=True),
        "income": Setting(62, drop=3, signed=True),
        "translation": Setting(52, drop=4, signed=True),
        "day_translation": Setting(66, drop=4, signed=True),
        "fx": Setting(60, drop=4, quiet=True, places=4),
        "value": Setting(66, signed=True),
    },
    "risk": {
        "delta_usd": Setting(62, signed=True),
        "beta_usd": Setting(58, drop=3, signed=True),
        "gamma_usd": Setting(78, drop=3, signed=True),
        "vega_usd": Setting(56, drop=1, signed=True),
        "theta_usd": Setting(60, drop=3, signed=True),
        "dv01_usd": Setting(62, drop=1, signed=True),
        "cs01_usd": Setting(60, drop=2, signed=True),
        "days_to_exit": Setting(66, drop=4, quiet=True),
        "worst_usd": Setting(66, drop=1, signed=True),
        "component_usd": Setting(84, drop=4, signed=True),
        "incremental_usd": Setting(76, drop=5, signed=True),
        "stale": Setting(44, drop=5, quiet=True),
        "mark_source": Setting(88, drop=2, quiet=True, format="code"),
        "ts_mark": Setting(62, drop=2),
    },
    "exposures": {
        "long": Setting(64, drop=4, quiet=True),
        "short": Setting(66, drop=4, quiet=True, signed=True),
        "net": Setting(66, signed=True),
        "gross": Setting(66),
        "net_pct": Setting(56, drop=2, signed=True, places=1),
        "gross_pct": Setting(60, drop=2, quiet=True, places=1),
        "delta": Setting(62, drop=3, signed=True),
        "beta": Setting(60, drop=5, signed=True),
        "vega": Setting(56, drop=3, signed=True),
        "dv01": Setting(60, drop=1, signed=True),
        "cs01": Setting(60, drop=5, signed=True),
        "pnl": Setting(64, drop=2, signed=True),
        "day_pnl": Setting(72, signed=True),
        "stale_share": Setting(56, drop=4, quiet=True, places=1),
        "concentration": Setting(66, drop=6, quiet=True, places=1),
        "lines": Setting(44, drop=5, quiet=True),
        "missing": Setting(54, drop=1, format="missing"),
        **{f"kr_{tenor}": _KEY_RATE for tenor in ("3m", "1y", "2y", "5y", "10y", "30y")},
    },
    "attribution": {
        "from_price": Setting(66, signed=True),
        "from_delta": Setting(66, drop=1, signed=True),
        "from_gamma": Setting(66, drop=3, signed=True),
        "from_vega": Setting(62, drop=3, signed=True),
        "from_theta": Setting(62, drop=4, signed=True),
        "from_carry": Setting(62, drop=4, signed=True),
        "from_trades": Setting(66, drop=1, signed=True),
        "from_fx": Setting(58, drop=2, signed=True),
        "residual": Setting(76, drop=2, signed=True),
        "day_pnl": Setting(76, signed=True),
        "total": Setting(66, signed=True),
    },
    "value_at_risk": {
        "hist_95": Setting(62, drop=5),
        "hist_99": Setting(62),
        "es_975": Setting(66),
        "param_95": Setting(62, drop=6, quiet=True),
        "param_99": Setting(62, drop=3, quiet=True),
        "worst": Setting(60, drop=4, quiet=True),
        "known_99": Setting(76, drop=1, quiet=True),
        "hist_99_pct": Setting(58, drop=7, quiet=True, places=2),
        "missing": Setting(54, format="missing"),
        "scenarios": Setting(44, drop=8, quiet=True),
    },
    "limits": {
        "use_pct": Setting(42, places=0, format="use"),
        "value": Setting(54, drop=3, format="amount"),
        "warning": _LIMIT,
        "breach": Setting(54, drop=1, format="amount"),
        "since_ms": Setting(46, drop=4),
    },
    "execution": {
        "worth": Setting(72),
        "fees": Setting(54, drop=3, quiet=True),
        "arrival_bp": Setting(62, signed=True, cost=True, head="Arrival bp"),
        "vwap_bp": Setting(58, drop=2, signed=True, cost=True, head="VWAP bp"),
        "decision_bp": Setting(74, drop=3, signed=True, cost=True, head="Decision bp"),
        "arrival_usd": Setting(58, drop=1, signed=True, cost=True, head="Cost k"),
        "vwap_usd": Setting(64, drop=4, signed=True, cost=True, head="VWAP k"),
        "decision_usd": Setting(80, drop=5, signed=True, cost=True, head="Decision k"),
        "vwap": Setting(82, drop=5, quiet=True),
        "decision": Setting(78, drop=6, quiet=True),
        "ts_order": Setting(54, drop=3, format="clock"),  # The newest stand first without it.
        "size": Setting(86, format="side"),
        "filled": Setting(78, drop=3, quiet=True),
        "price": Setting(84, drop=1),
        "arrival": Setting(78, drop=4, quiet=True),
        "done": Setting(50, drop=4, quiet=True, places=0),
        "fills": Setting(36, drop=5, quiet=True),
    },
}

_MARK = ("mark", "mark_source", "ts_mark")
_SMILE = ("underlying_price", "forward", "years", "rate", "smile_age_s", "smile_bits", "model")
_BOND = ("yield", "accrued", "duration", "model")
_INPUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "instruments": {
        "pnl": ("position", *_MARK),
        "exposure": ("position", *_MARK),
        "mark": ("bid", "ask", "last", "mark_source", "ts_mark"),
        "mark_source": ("mark", "ts_mark"),
        "change": ("last", "mid"),
        "vwap": ("volume", "trades", "vwap_ex"),
        "vs_vwap": ("last", "vwap"),
    },
    "analytics": {
        "model_price": ("smile", *_SMILE),
        "implied": ("mid", *_SMILE),
        "implied_bid": ("bid", *_SMILE),
        "implied_ask": ("ask", *_SMILE),
        "smile": _SMILE,
        **dict.fromkeys(("delta", "gamma", "vega", "theta", "rho"), ("smile", *_SMILE)),
        "yield": ("mid", "accrued", "model"),
        "dv01": _BOND,
        "cs01": _BOND,
        "z_spread_bp": ("yield", "mid"),
        "duration": ("yield", "accrued"),
    },
    "positions": {
        "pnl": ("realised", "unrealised", "fees", "income", "fx"),
        "day_pnl": ("overnight", "intraday", "income", "fees"),
        "unrealised": ("quantity", "mark", "average", "fx"),
        "realised": ("fifo_realised", "mean_realised"),
        "overnight": ("start_quantity", "mark", "close"),
        "income": ("dividends", "coupons", "funding", "borrow"),
        "mark": ("mark_source", "ts_mark", "exit_mark"),
        "value": ("quantity", "mark", "mark_source", "ts_mark", "fx", "fx_stale"),
        "exit_value": ("quantity", "exit_mark", "mark", "fx"),
        "average": ("fifo_average", "mean_average"),
        "translation": ("day_translation", "fx", "fx_stale"),
    },
    "risk": {
        **dict.fromkeys(("delta_usd", "beta_usd", "dv01_usd"), ("value_usd", "mark")),
        **dict.fromkeys(("gamma_usd", "vega_usd", "theta_usd"), ("delta_usd", "mark")),
    },
}


def place_of(table: Table, name: str) -> tuple[Table, Column]:
    """The table that holds the column, and the column: of `table`, of one beside it, or a quant's.

    KeyError names what `table` has.
    """
    other = BESIDE.get(table.name)
    quants = QUANT_OF.get(table.name)
    if quants and (found := COLUMNS.find(quants.name, name)):
        return quants, found[1]
    if other and name not in table.names:
        beside = next(known for known in TABLES if known.name == other)
        if name in beside.names:
            return beside, beside.columns[beside.index(name)]
    return table, table.columns[table.index(name)]


class MissingError(KeyError):
    """Columns that a table has not, each with the nearest that it has."""

    def __init__(self, table: str, missing: Sequence[str], names: Sequence[str]) -> None:
        """`missing`: those asked for; `names`: those there are."""
        self.missing = {
            name: f"{table} has no column {name!r}.{nearest(name, names)}" for name in missing
        }
        super().__init__("\n".join(self.missing.values()))


def has_column(table: Table, name: str) -> bool:
    """Whether `table`, one beside it or a quant has the column."""
    try:
        place_of(table, name)
    except KeyError:
        return False
    return True


def names_of(table: Table) -> list[str]:
    """All columns that stand in a row of `table`, but a quant's."""
    beside = [known for known in TABLES if known.name == BESIDE.get(table.name)]
    return [name for each in (table, *beside) for name in each.names]


def setting(table: Table, name: str, classes: Collection[AssetClass] = ()) -> dict[str, Any]:
    """The page's description of one column; KeyError names what the table has.

    A column has one scale in all its rows: quantities are whole, or millions where all of the
    desk's `classes` are dealt in face or notional, and sensitivities are those of a million.
    """
    home, column = place_of(table, name)
    chosen = _BY_TABLE.get(home.name, _BY_NAME).get(name) or _BY_FORMAT[column.format]
    described = asdict(chosen)
    described.update(
        name=name,
        head=chosen.head or column.head,
        format=chosen.format or column.format,
        unit=column.unit,
        source=column.source,
        home=home.name,
        inputs=list(_INPUTS.get(home.name, {}).get(name, ())),
    )
    if described["format"] == "quantity" and classes and IN_MILLIONS.issuperset(classes):
        described.update(head=f"{described['head']} M", scale=1e6, width=72)
    if name in _OF_A_UNIT and classes and IN_MILLIONS.issuperset(classes):
        described.update(head=f"{described['head']} /M", scale=1e-6, width=78, places=1)
    if classes and _COINS.issuperset(classes):
        described["width"] += _MORE_OF_COINS.get(described["format"], 0)
    return described


def details(table: Table, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Settings of all inputs of `columns`, once each: what the hover cards of a grid may show."""
    names = dict.fromkeys(name for column in columns for name in column["inputs"])
    return [setting(table, name) for name in names]


def codes() -> dict[str, Any]:
    """Words for columns that hold codes or bits: {column: {"bits": bool, "words": {n: word}}}."""
    found: dict[str, Any] = {}
    kinds: dict[str, type[Enum]] = {"mark_source": MarkSource, "model": Model}
    bits: dict[str, type[Enum]] = {"smile_bits": Smile, "state": State}
    for name, kind in (kinds | bits).items():
        words = {one.value: one.name.lower().replace("_", " ") for one in kind}
        found[name] = {"bits": name in bits, "words": words}
    return found


assert BESIDE.keys() == {INSTRUMENTS.name, POSITIONS.name}
