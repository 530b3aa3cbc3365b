"""Desk: a trader of credit: spreads and yields along maturity, CS01 and DV01 by group."""

from app.blocks import AssetClass, Candles, Desk, Dv01Ladder, Grid, KeyRates, Lines, Term, Tiles

QUOTES = ["bid", "ask", "last", "change", "z_spread_bp", "yield", "accrued", "duration"]
HELD = ["cs01", "dv01", "position", "exposure", "pnl", "ts_event"]

Desk(
    "Credit",
    left=[Tiles(), Candles(), Lines(height=279, narrow=199)],
    centre=[Grid("Credit", columns=[*QUOTES, *HELD], classes=[AssetClass.CREDIT])],
    foot=[
        Term("Spreads", height=279, narrow=179, spreads=True),
        Term("Yields", height=279, narrow=179, yields=True),
    ],
    right=[
        Dv01Ladder(
            "DV01 and CS01",
            columns=["cs01", "dv01", "kr_1y", "kr_2y", "kr_5y", "kr_10y", "kr_30y"],
            tabs=["sector", "class", "book", "currency", "strategy"],
        ),
        KeyRates(height=299, narrow=219),
    ],
    widths=(360, 560, 256, 300),
).servable()
