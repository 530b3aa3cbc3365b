"""Desk: a trader of rates and credit: yields, DV01 by key rate, and the contracts on them."""

from app.blocks import AssetClass, Candles, Desk, Dv01Ladder, Grid, KeyRates, Term, Tiles

QUOTES = ["bid", "ask", "last", "change", "yield", "z_spread_bp", "accrued", "duration"]
HELD = ["dv01", "cs01", "position", "exposure", "pnl", "ts_event"]

Desk(
    "Rates",
    left=[Tiles(), Candles()],
    centre=[
        Grid(
            "Rates and credit",
            columns=[*QUOTES, *HELD],
            classes=[AssetClass.GOVERNMENT_BOND, AssetClass.CREDIT, AssetClass.RATES_FUTURE],
        ),
    ],
    foot=[Term("Yields", height=299, narrow=179, yields=True), Term(height=299, narrow=179)],
    right=[Dv01Ladder(), KeyRates(height=299, narrow=219)],
    widths=(360, 600, 280, 320),
).servable()
