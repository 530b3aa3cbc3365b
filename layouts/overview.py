"""Desk: the whole fund on one page."""

from app.blocks import (
    AssetClass,
    Bars,
    Books,
    Chart,
    Desk,
    Exposure,
    Feed,
    Glass,
    Grid,
    News,
    PnlCurve,
    Treemap,
)

QUOTES = ["bid_size", "bid", "ask", "ask_size", "last", "change", "vwap", "vs_vwap", "volatility"]
VWAP = ["last", "vwap", "vs_vwap", "vwap_1m", "vwap_5m", "vwap_30m", "vwap_ex"]
MOVES = ["volatility", "realised", "gap_overnight", "volume", "trades", "ts_event"]
GREEKS = ["bid", "ask", "implied", "smile", "delta", "gamma", "vega", "theta", "rho"]
UNDER = ["underlying_price", "forward", "implied_bid", "implied_ask"]
RATES = ["bid", "ask", "last", "change", "yield", "z_spread_bp", "accrued", "duration"]
HELD = ["position", "exposure", "pnl", "ts_event"]
TODAY = ["last", "change", "open", "high", "low", "mark", "mark_source", "ts_mark"]

Desk(
    "Overview",
    left=[
        Books(),
        Exposure(),
        Bars("P&L by class", "USD k", 299, 0, "classes", "Class", "pnl", ["pnl", "positions"]),
        Exposure(
            "Exposure by book", height=0, narrow=None, table="books", head="Book", total=False
        ),
    ],
    centre=[
        Grid(
            "Blotter",
            sets={
                "Quotes": [*QUOTES, "volume", *HELD],
                "VWAP & vol": [*VWAP, *MOVES],
                "Greeks": [*GREEKS, *UNDER, "position", "pnl", "ts_event"],
                "Rates": [*RATES, "dv01", "cs01", *HELD],
                "P&L": [*TODAY, *HELD, "gaps"],
            },
            focus={
                "Greeks": [AssetClass.EQUITY_OPTION, AssetClass.FUTURE_OPTION],
                "Rates": [AssetClass.GOVERNMENT_BOND, AssetClass.CREDIT],
            },
        )
    ],
    foot=[PnlCurve(height=161, narrow=150, span=30), Treemap("Exposure map")],
    right=[Chart(), News(), Feed(narrow=None), Glass()],
).servable()
